"""The ledger of claims, and what happens to a claim that is blunt or no longer true."""

import importlib
import json
import os
import re
import subprocess
import sys

import pages
import pytest
from hypothesis import strategies as st

from papers_nb import runs
from papers_nb.core.checks import KINDS, Check, claim, differences, faults, ledger, tally
from papers_nb.core.hunt import Hunt, reals
from papers_nb.core.mutants import mutant
from papers_nb.errors import UserError

CLAIMS = ledger(runs.notebooks())


@pytest.mark.parametrize("c", CLAIMS, ids=[c["id"] for c in CLAIMS])
def test_every_claim_has_routes_of_different_kind_and_every_edit_is_caught_by_far(c):
    kinds = [k["kind"] for k in c["checks"]]
    assert len(set(kinds)) >= 2 and set(kinds) <= set(KINDS)
    assert all(k["gap"] <= k["tol"] and k["why"] for k in c["checks"])
    caught = [[g is None or g >= 10 * k["tol"] for g, k in zip(m["gaps"], c["checks"])] for m in c["mutants"]]
    assert all(any(row) for row in caught) and all(any(column) for column in zip(*caught))
    assert caught == [m["caught"] for m in c["mutants"]] and faults(c) == []


@pytest.mark.parametrize("c", CLAIMS, ids=[c["id"] for c in CLAIMS])
def test_every_claim_is_hunted_and_notices_every_edit_by_rule(c):
    assert c["hunts"] and all(h["points"] and h["closest"] <= 1 and h["why"] for h in c["hunts"])
    assert all(c["refuses"]) and not c["made"]["survived"] and not c["made"]["noticed"]
    assert c["made"]["killed"] > 0 and all(why for _, why in c["made"]["equivalent"])


def test_every_public_function_of_a_derivation_is_claimed_and_says_whether_a_training_runs_it():
    claimed = {(c["page"], c["of"]): c["runs"] for c in CLAIMS}
    for name in (n for n, p in runs.notebooks().items() if re.match(r"1\d_", p.name)):
        module = importlib.import_module(f"papers_nb.{name.replace('/', '.')}")
        functions = [f for f in module.__all__ if callable(getattr(module, f))]
        assert functions and all((name, f) in claimed for f in functions), name
    assert claimed["lirdrec/copying", "next_weight"] == ["lirdrec/train"]
    assert claimed["adab2n/momentum", "averaging_factor"] == ["adab2n/train"]
    assert claimed["adab2n/dilemma", "tracking_error"] == []


def test_a_tally_adds_up():
    t = tally(CLAIMS)
    assert t["claims"] == len(CLAIMS) and t["survived"] == 0 and 0 < t["closest"] <= 1
    assert t["edits"] == t["by_number"] + t["by_error"] + t["equivalent"] > 1000


def test_claim_names_are_unique():
    assert len({c["id"] for c in CLAIMS}) == len(CLAIMS) > 10


def double(x):
    return x + x


HUNTS = [
    Hunt(lambda size: st.fixed_dictionaries({"x": reals(-size, size)}), lambda x: 2 * x, "algebra", 1e-12, "")
]
GOOD = [
    Check("limit", lambda f: f(0.0), lambda: 0.0, 1e-12, "exact"),
    Check("brute force", lambda f: f(3.0), lambda: 6.0, 1e-12, "exact"),
]


@pytest.mark.parametrize(
    "checks,edits,words",
    [
        (
            [GOOD[1], Check("limit", lambda f: f(1.0), lambda: 2.5, 1e-12, "wrong")],
            [("x + x", "x*x*x")],
            "limit has gap 5.0e-01, allowed 1.0e-12",
        ),
        (GOOD, [("x + x", "2*x")], "no check catches 'x + x' → '2*x'"),
        (GOOD, [("x + x", "x - x")], "limit catches no mutant"),
        (
            [GOOD[0], Check("brute force", lambda f: f(3.0), lambda: 6.0, 1.0, "far too wide")],
            [("x + x", "3*x")],
            "no check catches",
        ),
    ],
)
def test_a_blunt_claim_fails(checks, edits, words):
    with pytest.raises(AssertionError, match=re.escape(words)):
        claim("test.double", "Twice.", double, "ours", checks, edits, HUNTS)


@pytest.mark.parametrize(
    "checks,words",
    [
        (GOOD[:1] * 2, "two checks of different kind"),
        ([GOOD[0], Check("faith", lambda f: f(1.0), lambda: 2.0, 1.0, "")], "check kind 'faith'"),
        (
            [GOOD[0], Check("brute force", lambda f: f(1.0), lambda: double(1.0), 1e-12, "exact")],
            "calls double",
        ),
        (
            [GOOD[0], Check("brute force", lambda f: f(1.0), lambda g=double: g(1.0), 1e-12, "exact")],
            "calls double",
        ),
        (
            [GOOD[0], Check("brute force", lambda f: f(1.0), lambda: 2.0, 0.0, "none")],
            "must be positive and finite",
        ),
        (
            [GOOD[0], Check("brute force", lambda f: f(1.0), lambda: 2.0, float("inf"), "any")],
            "must be positive and finite",
        ),
        ([GOOD[0], Check("brute force", lambda f: [f(1.0)], lambda: 2.0, 1e-12, "exact")], "ours has shape"),
    ],
)
def test_a_check_that_proves_nothing_is_refused(checks, words):
    with pytest.raises(UserError, match=words):
        claim("test.double", "Twice.", double, "ours", checks, [("x + x", "x - x")], HUNTS)


def test_an_edit_must_name_one_place():
    with pytest.raises(UserError, match="'x' stands 3 times"):
        mutant(double, "x", "y")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_an_edit_whose_value_is_not_finite_is_caught(value):
    claim("test.double", "Twice.", double, "ours", GOOD, [("x + x", f"x + x + float('{value}')")], HUNTS)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_route_on_which_the_formula_is_not_finite_is_a_fault(value):
    check = Check("limit", lambda f: f(float(value)), lambda: 0.0, 1.0, "")
    assert check.gap(double) == float("inf")
    with pytest.raises(AssertionError, match="limit has gap inf, allowed"):
        claim("test.double", "Twice.", double, "ours", [check, GOOD[1]], [("x + x", "x - x")], HUNTS)


def test_a_claim_that_changed_or_went_is_noticed():
    c = CLAIMS[0]
    assert differences(c, c) == [] and differences(c, None) == [f"{c['id']}: not made by a fresh run"]
    assert differences(c, {**c, "statement": "Another."}) == [
        f"{c['id']}: became another claim, store it anew"
    ]


def claims_run(house):
    """`papers_nb claims adab2n --run` in a copy of the house."""
    return subprocess.run(
        [sys.executable, "-m", "papers_nb.cli", "claims", "adab2n", "--run"],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
    )


def test_running_the_claims_fails_when_a_formula_is_edited_by_one_sign(tmp_path):
    house = pages.copy(tmp_path)
    for page in pages.sources(house):
        if page.name not in ("10_momentum.ipynb", "30_train.ipynb"):
            page.unlink()
    assert claims_run(house).returncode == 0
    page = house / "nbs/adab2n/10_momentum.ipynb"
    text = page.read_text()
    assert text.count("return 1/(1/(1 - a) + a**(j - 1)") == 1
    page.write_text(text.replace("return 1/(1/(1 - a) + a**(j - 1)", "return 1/(1/(1 - a) - a**(j - 1)"))
    done = claims_run(house)
    assert done.returncode == 1 and "adab2n.factor" in done.stderr, done.stderr


def test_the_gate_notices_a_claim_that_fails(tmp_path):
    house = pages.copy(tmp_path)
    page = house / "nbs/adab2n/10_momentum.ipynb"
    page.write_text(
        page.read_text().replace("return 1/(1/(1 - a) + a**(j - 1)", "return 1/(1/(1 - a) - a**(j - 1)")
    )
    assert any("adab2n.factor" in why for why in pages.gate([page], house))


def test_the_gate_notices_a_stored_claim_changed_by_hand(tmp_path):
    house = pages.copy(tmp_path)
    page = house / "nbs/adab2n/10_momentum.ipynb"
    page.write_text(
        page.read_text().replace(
            '"source": "ours",\n       "statement": "After $J$',
            '"source": "theirs",\n       "statement": "After $J$',
        )
    )
    found = pages.gate([page], house)
    assert found == ["10_momentum.ipynb: adab2n.batch_weights: became another claim, store it anew"], found


def test_the_gate_notices_a_slider_that_draws_other_numbers(tmp_path):
    house = pages.copy(tmp_path)
    page = house / "nbs/core/plots.ipynb"
    nb = json.loads(page.read_text())
    frames = next(
        o["data"][pages.FIGURE]["frames"]
        for c in nb["cells"]
        for o in c.get("outputs", [])
        if "frames" in o.get("data", {}).get(pages.FIGURE, {})
    )
    frames[-1]["axes"][0]["lines"][0]["y"]["mean"] *= 1.01
    page.write_text(json.dumps(nb))
    assert len(pages.gate([page], house)) == 1
