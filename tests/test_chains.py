"""Chains: a run that follows another one. A toy paper in a copy of the house, run by papermill."""

import json
import os
import signal
import subprocess
import sys
import time

import pages
import psutil
import pytest

PARAMETERS = """from typing import Literal
data: Literal['digits'] = 'digits'  # data set
{more}
wait: float = 0.0  # ≥ 0: seconds a step
seed: int = 0  # ≥ 0: of every draw
device: str = 'cpu'  # cpu
threads: int = 1  # ≥ 1, ≤ 256: CPU threads
save_every: float = 0.5  # > 0: seconds between checkpoints
fresh: bool = False  # keep an old run aside
"""
FIRST = """import time, torch
from torch import nn
from papers_nb import runs
run = runs.open('toy/{name}', globals())
net = nn.Linear(2, 1)
for p in net.parameters(): nn.init.zeros_(p)
{start}
def fit(run, net):
    "A few steps."
    for step in run.steps(steps, {{'net': net}}):
        with torch.no_grad(): net.weight += torch.randn(1, 2)
        time.sleep(wait)
        run.log(loss=float(net.weight.sum()))
fit(run, net)
run.finish({{'sum of {name}': (float(net.weight.sum()), '1')}}, 'nothing', weights={{'net': net}})
"""
LOAD = """from safetensors.torch import load_file
net.load_state_dict(load_file(run.upstream.folder/'net.safetensors'))
"""


def page(name, more, start=""):
    """A training notebook: its parameters, and all the rest in one cell."""
    cell = lambda source, **metadata: {
        "cell_type": "code",
        "id": name + str(len(source)),
        "metadata": metadata,
        "execution_count": None,
        "outputs": [],
        "source": source,
    }
    cells = [
        cell(PARAMETERS.format(more=more), tags=["parameters"]),
        cell(FIRST.format(name=name, start=start)),
    ]
    return {"cells": cells, "metadata": {"kernelspec": pages.KERNEL}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the house with two training pages of a toy paper: the second follows the first."""
    there = pages.copy(tmp_path_factory.mktemp("house"))
    follows = "steps: int = 12  # ≥ 1: steps\ninit: str = 'toy/{}?steps=10'  # the run that this one follows"
    notebooks = {
        "30_first": page("first", "steps: int = 40  # ≥ 1: steps"),
        "31_second": page("second", follows.format("first"), LOAD),
    }
    (there / "nbs/toy").mkdir()
    for name, nb in notebooks.items():
        (there / f"nbs/toy/{name}.ipynb").write_text(json.dumps(nb))
    with (there / "settings.ini").open("a") as f:
        f.write("\n[toy]\ntitle = A toy\nname = Toy\nquestion = None\n")
        f.write("\n[toy/slow]\nwait = 0.15\nsteps = 20\n\n[toy/circle]\ninit = toy/second?preset=circle\n")
    return there


def environment(house, root):
    """What a process of that house sees."""
    return {**os.environ, "PYTHONPATH": str(house), "PAPERS_NB_RUNS": str(root)}


def start(house, root, name, *flags, paper="toy"):
    """papermill in the house, not waited for."""
    command = [sys.executable, "-m", "papermill", "--engine", "papers", "--no-progress-bar"]
    command += [f"papers://{paper}/{name}.ipynb", str(root / f"{name}-{len(flags)}.ipynb"), *flags]
    root.mkdir(exist_ok=True)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=root, env=environment(house, root), **pipes)


def grid(house, root, *args):
    """Result of a grid in the house."""
    command = [sys.executable, "-m", "papers_nb.cli", "grid", *args]
    return subprocess.run(command, env=environment(house, root), capture_output=True, text=True, cwd=root)


def records(root):
    """Notebook and seed → record, of all runs below a root."""
    found = [json.loads(f.read_text()) for f in root.glob("*/*/record.json")]
    assert all(r["status"] == "done" for r in found)
    assert len({(r["notebook"], r["seed"]) for r in found}) == len(found)
    return {(r["notebook"].split("/")[1], r["seed"]): r for r in found}


def end(root, record):
    """What must be equal bit for bit."""
    folder = root / record["name"]
    return (
        (folder / "metrics.jsonl").read_bytes(),
        [(f.name, f.read_bytes()) for f in sorted(folder.glob("*.safetensors"))],
        record["metrics"],
    )


@pytest.fixture(scope="module")
def alone(house, tmp_path_factory):
    """A chain of two links, run once and left alone."""
    root = tmp_path_factory.mktemp("alone")
    process = start(house, root, "second", *SLOW)
    assert process.wait() == 0, process.communicate()[0]
    return root, records(root)


SLOW = ("-p", "init", "toy/first?preset=slow", "-p", "wait", "0.15")


def test_what_is_missing_runs_first_and_goes_into_name_and_record(alone):
    root, found = alone
    assert found.keys() == {("first", 0), ("second", 0)}
    first, second = found["first", 0], found["second", 0]
    assert first["upstream"] is None and second["upstream"]["name"] == first["name"]
    assert second["upstream"]["code"] == first["code"] and second["upstream"]["parameters"]["steps"] == 20
    assert (root / first["name"] / "run.ipynb").exists()


def test_another_upstream_is_another_run(alone, house):
    root = alone[0]
    process = start(house, root, "second", "-p", "init", "toy/first?steps=3")
    assert process.wait() == 0, process.communicate()[0]
    others = [json.loads(f.read_text()) for f in root.glob("toy-second/*/record.json")]
    assert len(others) == 2 and len({r["metrics"]["sum of second"]["value"] for r in others}) == 2


def wait_for(condition, process):
    """Until `condition` holds; fails if the process ends first."""
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


def rows(root, notebook, paper="toy"):
    """Steps logged so far by the runs of a notebook."""
    return sum(f.read_bytes().count(b"\n") for f in root.glob(f"{paper}-{notebook}/*/metrics.jsonl"))


def family(process):
    """All processes below one."""
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize("link,victim", [("first", "starter"), ("first", "kernels"), ("second", "starter")])
def test_a_chain_killed_inside_any_link_goes_on_and_ends_with_the_same_bits(
    alone, house, tmp_path, link, victim
):
    root = tmp_path / "chain"
    process = start(house, root, "second", *SLOW)
    wait_for(lambda: rows(root, link) >= 5, process)
    others = family(process)
    if victim == "starter":
        process.kill()
    else:
        for p in (p for p in others if "ipykernel" in " ".join(p.cmdline())):
            p.kill()
    process.wait()
    psutil.wait_procs(others, timeout=40)
    assert not [p for p in others if p.is_running() and p.status() != psutil.STATUS_ZOMBIE], (
        "an orphan trains on"
    )
    again = start(house, root, "second", *SLOW)
    assert again.wait() == 0, again.communicate()[0]
    found = records(root)
    for key, record in alone[1].items():
        assert end(root, found[key]) == end(alone[0], record), key


KRRST = {
    "init": "krrst/distill?steps=40&lifetime=20&save_every=0"
    "&init=krrst/target%3Fepochs%3D10%26save_every%3D0",  # an address within an address
    "pretrain_epochs": "60",
    "steps": "40",
    "repeats": "1",
    "save_every": "0",
}


def test_a_real_chain_killed_inside_every_one_of_its_links_ends_with_the_same_bits(tmp_path):
    flags = [word for pair in KRRST.items() for word in ("-p", *pair)]
    go = lambda root: start(pages.ROOT, root, "evaluate", *flags, paper="krrst")
    alone, broken = tmp_path / "alone", tmp_path / "broken"
    process = go(alone)
    assert process.wait() == 0, process.communicate()[0]
    for link in ("target", "distill", "evaluate"):
        process = go(broken)
        wait_for(lambda link=link: rows(broken, link, "krrst") >= 10, process)
        others = family(process)
        process.kill()
        process.wait()
        psutil.wait_procs(others, timeout=40)
        assert not list(broken.glob(f"krrst-{link}/*/record.json")), "killed too late to show anything"
    process = go(broken)
    assert process.wait() == 0, process.communicate()[0]
    found, expected = records(broken), records(alone)
    assert len(expected) == 3
    for key, record in expected.items():
        assert found[key]["cost"]["resumes"] == 1 and end(broken, found[key]) == end(alone, record), key


def test_a_signal_between_the_links_saves_what_runs(house, alone, tmp_path):
    root = tmp_path / "chain"
    process = start(house, root, "second", *SLOW)
    wait_for(lambda: rows(root, "first") >= 5, process)
    process.send_signal(signal.SIGUSR2)
    output = process.communicate()[0]
    assert process.returncode == 128 + signal.SIGUSR2 and "which has saved" in output, output
    again = start(house, root, "second", *SLOW)
    assert again.wait() == 0, again.communicate()[0]
    assert records(root)["first", 0]["cost"]["replayed_steps"] == 0
    assert end(root, records(root)["second", 0]) == end(alone[0], alone[1]["second", 0])


def test_two_runs_that_need_the_same_upstream_train_it_once(house, tmp_path):
    root = tmp_path / "two"
    flags = ("-p", "init", "toy/first?preset=slow")
    pair = [start(house, root, "second", *flags, *extra) for extra in ((), ("-p", "steps", "5"))]
    assert [p.wait() for p in pair] == [0, 0], [p.communicate()[0] for p in pair]
    first = [json.loads(f.read_text()) for f in root.glob("toy-first/*/record.json")]
    assert len(first) == 1 and first[0]["cost"]["resumes"] == 0 and first[0]["steps"] == 20


def test_a_grid_puts_what_is_missing_in_front_each_once(house, tmp_path):
    args = ["toy/second", "--grid", "steps=3,4;seed=0,1", "--workers", "2"]
    planned = grid(house, tmp_path, *args, "--dry-run").stdout.split()[1::2]
    kinds = [name.split("/")[0] for name in planned]
    assert kinds == ["toy-first", "toy-second", "toy-first", "toy-second", "toy-second", "toy-second"]
    assert grid(house, tmp_path, *args, "--task", "5").returncode == 0
    assert len(list(tmp_path.glob("toy-first/*/record.json"))) == 1, "only what the last run follows"
    done = grid(house, tmp_path, *args)
    assert done.returncode == 0 and "6 runs: 2 done, 4 to run" in done.stdout, done.stdout + done.stderr
    assert "sum of second" in done.stdout and "sum of first" not in done.stdout
    assert len(list(tmp_path.glob("*/*/record.json"))) == 6


def test_mistakes_in_a_chain_are_told_before_a_kernel_starts(house, tmp_path):
    for init, words in {
        "toy/frist": "init='toy/frist': no notebook 'toy/frist'",
        "toy/first?stesp=3": "unknown parameter 'stesp', did you mean 'steps'?",
        "toy/first?steps": "written as paper/notebook?name=value&name=value",
        "toy/first?steps=0": "≥ 1 is expected",
        "toy/second?preset=circle": "it follows itself in a circle",
    }.items():
        process = start(house, tmp_path, "second", "-p", "init", init)
        output = process.communicate()[0]
        assert process.returncode == 2 and words in output and "Traceback" not in output, output
    assert not list(tmp_path.glob("toy-*"))


def test_an_upstream_that_fails_is_named_and_the_rest_does_not_run(house, tmp_path):
    process = start(house, tmp_path, "second", "-p", "init", "toy/first?device=cuda")
    output = process.communicate()[0]
    assert process.returncode == 1 and "which this run follows, failed: device='cuda'" in output, output
    assert not list(tmp_path.glob("toy-second/*/record.json"))
