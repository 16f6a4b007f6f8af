"""Tables from records: runs by the name of a grid, comparisons, summaries, and the commands above them."""

import copy
import json
import re

import pages
import pytest

from papers_nb import cli, parameters, runs
from papers_nb.core import results, tables
from papers_nb.core.stats import interval
from papers_nb.errors import UserError


def record(seed, status="done", code="x", norm="a", notebook="adab2n/train", **metrics):
    """The parts of a run record that a table reads."""
    found = {m: {"value": v, "unit": "%"} for m, v in metrics.items()}
    return {
        "status": status,
        "notebook": notebook,
        "seed": seed,
        "code": code,
        "cost": {"wall_s": 2.0},
        "parameters": {"norm": norm, "seed": seed, "device": "cpu"},
        "metrics": found,
    }


def cells(text):
    """Rows of a Markdown table, header first, without the rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    split = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in split if set("".join(row)) != {"-"}]


def asked_by_grids(paper):
    """What every grid of a paper asks a notebook of it for, and the notebooks."""
    keys = set()
    for notebook in {r["notebook"] for r in runs.kept(paper)}:
        for grid in runs.presets(paper, "grid:"):
            try:
                keys |= {
                    (notebook, results._key(p, parameters.OPERATIONAL)) for p in runs.asked(notebook, grid)
                }
            except UserError:  # a grid of another notebook
                continue
    return keys


@pytest.mark.parametrize("paper", runs.papers())
def test_the_results_command_reads_every_shipped_record(paper, capsys):
    assert cli.main(["results", paper]) == 0
    shown = [row for row in cells(capsys.readouterr().out) if "seeds" not in row]
    assert len(shown) >= len({r["notebook"] for r in runs.kept(paper)})


def test_a_metric_that_the_first_record_lacks_is_shown_with_how_many_have_it():
    text = results.summary([record(0, a=1.0), record(1, a=2.0, b=5.0), record(2, a=3.0, b=7.0)])
    head, row = cells(text)
    assert head == ["seeds", "a [%]", "b [%]", "s a run"]
    assert row[2] == "6.0 ± 12.7 (2 of 3)"


def test_a_metric_that_the_later_records_lack_is_shown_too():
    _, row = cells(results.summary([record(0, a=1.0, b=5.0), record(1, a=2.0)]))
    assert row[2] == "5.0 (1 of 2)"


def test_runs_of_different_code_are_pooled_only_where_the_present_code_replays_them(monkeypatch):
    said = {"x": "this code", "y": "replayed", "z": "other"}
    monkeypatch.setattr("papers_nb.core.replay.status", lambda r: said[r["code"]])
    found = [record(seed, a=1.0, code=code) for seed, code in enumerate("xyz")]
    rows = cells(results.summary(found))
    assert [row[:2] for row in rows] == [["code", "seeds"], ["present", "2"], ["z", "1"]]
    assert cells(results.summary(found[:1]))[0][0] == "seeds", "one code needs no column"


def test_runs_that_did_not_finish_are_counted_and_not_averaged():
    text = results.summary([record(0, a=1.0), record(1, a=99.0, status="failed")])
    assert cells(text)[1][1] == "1.0 (one seed)" and text.endswith("1 runs did not finish")
    assert results.summary([record(1, status="failed")]) == "no finished runs"


def test_operational_parameters_make_no_new_setting():
    other = copy.deepcopy(record(1, a=2.0))
    other["parameters"]["device"] = "cuda"
    assert len(cells(results.summary([record(0, a=1.0), other]))) == 2


def test_a_grid_finds_its_seeds_and_no_others():
    """Searches ran the same setting with seeds from 100 on."""
    found = results.setting("adab2n/train", "digits", norm="adab2n")
    same = results.select(runs.records("adab2n", here=False), found[0]["parameters"])
    assert sorted(found) == list(range(10)) and set(same) > set(found)


def test_keys_stand_in_the_order_of_the_settings_file():
    found = results.rows("lirdrec/train", "baby-bprmf-search")
    assert [*next(iter(found.values())).point] == ["lr", "reg"]
    assert (0.001, 0.1) in found


def test_a_run_without_a_record_leaves_its_setting_short(monkeypatch):
    kept = [r for r in runs.records("adab2n", here=False) if r["seed"] != 3]
    monkeypatch.setattr(runs, "records", lambda paper, here: kept)
    results._kept.cache_clear()
    found = results.rows("adab2n/train", "digits-er")
    results._kept.cache_clear()
    assert {len(s) for s in found.values()} == {9}


def test_a_setting_without_a_record_names_the_nearest_one_and_what_to_do(monkeypatch):
    sections = parameters._settings()
    sections["adab2n/grid:digits"]["lr"] = "0.5"
    monkeypatch.setattr(parameters, "_settings", lambda: sections)
    found = results.rows("adab2n/train", "digits")
    with pytest.raises(
        UserError, match=r"the nearest has lr=0.03 \(asked 0.5\): name what a changed default"
    ):
        results.values(found["gn"], "class_il")


def test_names_that_a_grid_does_not_vary_are_refused():
    with pytest.raises(UserError, match="varies norm, not 'kappa'"):
        results.rows("adab2n/train", "digits-er", kappa=1.0)
    with pytest.raises(UserError, match="no run of grid 'digits-er' has"):
        results.rows("adab2n/train", "digits-er", norm="nothing")
    with pytest.raises(UserError, match="no grid 'nothing'"):
        results.rows("adab2n/train", "nothing")


def complete(notebook, grid):
    """Whether a notebook has a record of every run of a grid; no if the grid is none of its own."""
    try:
        found, asked = results.rows(notebook, grid).values(), runs.asked(notebook, grid)
    except UserError:
        return False
    wanted = lambda setting: sorted(p["seed"] for p in asked if setting.point.items() <= p.items())
    return all(sorted(setting) == wanted(setting) for setting in found)


@pytest.mark.parametrize("paper", runs.papers())
def test_every_grid_that_a_page_names_has_all_of_its_records(paper):
    named = set()
    for page in pages.sources():
        if page.parent.name == paper and page.name[0] in "04":
            named |= set(re.findall(r"'([\w-]+)'", page.read_text())) & set(runs.presets(paper, "grid:"))
    assert named, f"no page of {paper} asks for a grid"
    trainings = [n for n, p in runs.notebooks().items() if n.startswith(f"{paper}/") and p.name[0] == "3"]
    for grid in sorted(named):
        assert any(complete(notebook, grid) for notebook in trainings), grid


@pytest.mark.parametrize("paper", runs.papers())
def test_every_record_of_several_seeds_is_asked_for_by_a_grid(paper):
    """What no grid asks for and nothing follows are single runs, of a preset or of a notebook's defaults."""
    keys, groups = asked_by_grids(paper), {}
    kept = runs.records(paper, here=False)
    followed = {r["upstream"]["name"] for r in kept if r.get("upstream")}
    for r in (r for r in kept if r["name"] not in followed):
        if (r["notebook"], results._key(r["parameters"], parameters.OPERATIONAL)) not in keys:
            groups.setdefault(results._key(r["parameters"], results.VARYING), []).append(r["seed"])
    assert not {key: seeds for key, seeds in groups.items() if len(seeds) > 1}


def test_a_table_refuses_a_row_of_another_length_and_a_line_break():
    assert tables.table([[1, "b"]], ["x", "y"]) == "| x | y |\n|---|---|\n| 1 | b |"
    with pytest.raises(UserError, match="a row of 2 cells"):
        tables.table([[1]], ["x", "y"])
    with pytest.raises(UserError, match="without line breaks"):
        tables.table([[1, "a\nb"]], ["x", "y"])


@pytest.mark.parametrize(
    "text,shown",
    [
        ("a|b", r"a\|b"),
        (r"a\|b", r"a\|b"),
        ("$|x|$", r"$\vert{}x\vert{}$"),
        (r"$\|x\|$", r"$\|x\|$"),
        ("`a | b`", "`a | b`"),
    ],
)
def test_a_bar_ends_no_cell(text, shown):
    assert tables.table([[text]], ["x"]).splitlines()[-1] == f"| {shown} |"


def test_a_padded_table_has_even_columns():
    lines = tables.table([["long", 1]], ["x", "seeds"], padded=True).splitlines()
    assert len(set(map(len, lines))) == 1


def test_the_commands_above_a_table_make_its_runs_each_once():
    found = results.rows("adab2n/train", "digits-er")
    text = tables.table([[1]], ["x"], of=found.values())
    assert text.startswith("```sh\npapers_nb grid adab2n/train --grid digits-er\n```\n\n| x |")
    assert tables.table([[1]], ["x"], of=[results.Setting({})]).startswith("| x |")


def test_a_difference_is_paired_over_common_seeds():
    a, b = (
        {0: record(0, m=1.0), 1: record(1, m=3.0), 2: record(2, m=99.0)},
        {0: record(0, m=0.0), 1: record(1, m=1.0)},
    )
    i = results.difference(a, b, "m")
    assert i.n == 2 and i.mean == 1.5 and i.half == interval([1.0, 2.0]).half


def test_a_comparison_says_nothing_of_its_base():
    rows = cells(results.comparison({"a": {0: record(0, m=1.0)}, "b": {0: record(0, m=2.0)}}, "a", ["m"]))
    assert rows[1][3:] == [""] * 4 and rows[2][3].startswith("+1.00")


def test_the_error_bars_of_figures_are_the_intervals_of_tables():
    v = [68.1, 70.4, 66.9]
    assert results.student(v) == (interval(v).low, interval(v).high)
    assert results.student([5.0]) == (5.0, 5.0)


def test_a_frame_has_a_line_a_run():
    frame = results.frame({"a": {0: record(0, m=1.0), 4: record(4)}}, ["m"])
    assert list(frame["seed"]) == [0, 4] and frame["m"].isna().tolist() == [False, True]


def test_runs_at_hand_are_held_against_the_committed_record_of_their_seed():
    found = results.rows("adab2n/train", "digits-er")
    mine = [copy.deepcopy(found[n][s]) for n in ("bn-separate", "bn-joint") for s in (0, 1)]
    mine[0]["metrics"]["class_il"]["value"] += 1.25
    mine.append({**copy.deepcopy(mine[0]), "seed": 77})
    rows = cells(results.against_records(mine))
    one = [row[-1] for row in rows if row[:2] == ["bn-separate", "0"]]
    assert one == ["+1.25"]
    assert [row[-2:] for row in rows if row[:2] == ["bn-separate", "77"]] == [["none", ""]]
    base = rows[[row[1] for row in rows].index("seeds") + 1]
    assert base[0] == "bn-separate" and base[1] == "10" and base[3] == ""


def test_runs_that_have_no_committed_record_are_left_to_the_summary():
    mine = copy.deepcopy(results.setting("adab2n/train", "digits-er", norm="bn-joint")[0])
    mine["parameters"]["lr"] = 0.123
    assert results.against_records([mine]) == ""
    assert results.against_records([{**mine, "status": "failed"}]) == ""


def cells_of(page):
    """Sources of the code cells of a notebook."""
    found = json.loads(page.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in found if c["cell_type"] == "code"]


RULE = r"\|[ :]*--|--[ :]*\|"  # below a header, whole or one column
ROW = r"""['"]\| """  # a text that begins a row
JOINT = r"""(['"]) ?\| ?\1\.join\b"""  # between its cells
JOINED = re.compile(f"{RULE}|{ROW}|{JOINT}")


def joining(root):
    """Lines of pages and modules that make a table by hand; `core/tables` alone may."""
    texts = {page: "\n".join(cells_of(page)) for page in pages.sources(root)}
    texts |= {module: module.read_text(encoding="utf-8") for module in (root / "papers_nb").rglob("*.py")}
    return [
        f"{file.relative_to(root)}: {line.strip()}"
        for file, text in sorted(texts.items())
        if file.parent.name != "core" or file.stem != "tables"
        for line in text.splitlines()
        if JOINED.search(line)
    ]


def test_no_page_and_no_module_joins_a_table_by_hand():
    assert joining(pages.ROOT) == []


@pytest.mark.parametrize(
    "line",
    [
        "head = '| name | set |\\n|---|---|'",
        "Markdown('\\n'.join([head, '| :--- | ---: |', *rows]))",
        "rule = '|' + '---|'*len(head)",
        "rows = [f'| {n} | {n**2} |' for n in (2, 10)]",
        "row = ' | '.join(map(str, cells))",
        'row = "|".join(cells)',
    ],
)
@pytest.mark.parametrize("file", ["nbs/core/stats.ipynb", "nbs/adab2n/12_weights.ipynb", "papers_nb/cli.py"])
def test_a_table_that_is_joined_by_hand_is_found(tmp_path, file, line):
    planted = tmp_path / file
    planted.parent.mkdir(parents=True)
    notes = {"cell_type": "markdown", "source": ["| a | b |\n", "|---|---|\n"]}
    page = json.dumps({"cells": [notes, {"cell_type": "code", "source": [line]}]})
    planted.write_text(page if planted.suffix == ".ipynb" else line + "\n")
    assert joining(tmp_path) == [f"{file}: {line}"]


def test_no_page_of_results_types_a_setting():
    for page in pages.sources():
        if page.name[0] in "04" or page.parent.name == "nbs":
            code = cells_of(page)
            assert not [c for c in code if "runs.check(" in c and "parameters.preset(" not in c], page
