"""Kills of real papermill processes and their kernels; PAPERS_NB_KILLS sets how many (default 3)."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
import torch

from papers_nb import runs
from papers_nb.adab2n.data import Stream, split
from papers_nb.core.train import Checkpoint

KILLS = int(os.environ.get("PAPERS_NB_KILLS", 3))
STEPS, EVERY = 248, 0.09  # of the default training; saves about every twentieth step
STALL = """
import os, time
real, seen = os.replace, []
def stalling(source, target):
    if str(target).endswith('.pt'):
        seen.append(target)
        if len(seen) == 4:
            open(os.environ['STALLED'], 'w').close()
            time.sleep(120)
    real(source, target)
os.replace = stalling
"""


def start(root, out, *flags, notebook="adab2n/train", **env):
    """papermill on a training in `root`, not waited for."""
    command = [sys.executable, "-m", "papermill", "--engine", "papers", "--no-progress-bar"]
    command += [f"papers://{notebook}.ipynb", str(out), "-p", "save_every", str(EVERY), *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env={**os.environ, "PAPERS_NB_RUNS": str(root), **env}, **pipes)


def folder(root, **given):
    """The run folder that the default parameters ask for."""
    asked = runs.ask("adab2n/train", runs.check("adab2n/train", given))
    return root / runs.find(asked)


def rows(run):
    """Steps that the run has logged so far."""
    file = run / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def wait_for(condition, process, what):
    """Until `condition` holds; fails if the process ends first."""
    while not condition():
        assert process.poll() is None, f"papermill ended before {what}:\n{process.communicate()[0]}"
        time.sleep(0.002)


def kernel(process):
    """The kernel that a papermill process started."""
    return next(
        c
        for c in psutil.Process(process.pid).children(recursive=True)
        if "ipykernel" in " ".join(c.cmdline())
    )


def end_state(run):
    """Everything that must be equal bit for bit: metrics, files, the record but for times, the state."""
    record = json.loads((run / "record.json").read_text())
    cost = record.pop("cost")
    record.pop("ended")
    record["parameters"].pop("save_every")
    state = Checkpoint(run / "state").load()
    return (
        (run / "metrics.jsonl").read_bytes(),
        {name: (run / name).read_bytes() for name in record["artifacts"]},
        record,
        _flat(state["state"]),
        cost,
    )


def _flat(tree, name=""):
    if isinstance(tree, dict):
        return {k: v for n, t in tree.items() for k, v in _flat(t, f"{name}.{n}").items()}
    return {name: tree.numpy().tobytes() if isinstance(tree, torch.Tensor) else repr(tree)}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The end of the default training, run once and left alone."""
    root = tmp_path_factory.mktemp("alone")
    process = start(root, root / "out.ipynb")
    assert process.wait() == 0, process.communicate()[0]
    return end_state(folder(root))


def test_kills_at_random_steps_change_nothing(tmp_path, uninterrupted):
    draw, done = random.Random(0), []
    for i in range(KILLS):
        victim, at = draw.choice(["papermill", "kernel", "both"]), draw.uniform(1, STEPS - 1)
        root = tmp_path / str(i)
        process = start(root, tmp_path / "out.ipynb")
        run = folder(root)
        wait_for(lambda run=run, at=at: rows(run) >= at, process, f"step {at:.0f}")
        victims = [psutil.Process(process.pid)] * (victim != "kernel") + [kernel(process)] * (
            victim != "papermill"
        )
        for v in victims:
            v.kill()
        assert process.wait() != 0
        again = start(root, tmp_path / "out.ipynb")
        assert again.wait() == 0, again.communicate()[0]
        *state, cost = end_state(run)
        assert state == list(uninterrupted[:4]), f"{victim} killed at {at:.0f}"
        done.append((victim, round(at), cost["replayed_steps"]))
        assert cost["resumes"] == 1
    print("\nkilled, at step, steps replayed:", done)


def test_a_kill_inside_a_checkpoint_write_changes_nothing(tmp_path, uninterrupted):
    (tmp_path / "sitecustomize.py").write_text(STALL)
    stalled = tmp_path / "stalled"
    process = start(tmp_path, tmp_path / "out.ipynb", PYTHONPATH=str(tmp_path), STALLED=str(stalled))
    wait_for(stalled.exists, process, "the stalled write")
    for v in (kernel(process), psutil.Process(process.pid)):
        v.kill()
    process.wait()
    run = folder(tmp_path)
    assert list((run / "state").glob(".*.pt.*")), "the write was not in the middle"
    again = start(tmp_path, tmp_path / "out.ipynb")
    assert again.wait() == 0, again.communicate()[0]
    assert list(end_state(run)[:4]) == list(uninterrupted[:4])
    assert not list((run / "state").glob(".*.pt.*")), "the partial file is still there"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_to_papermill_loses_no_step(tmp_path, uninterrupted, number):
    process = start(tmp_path, tmp_path / "out.ipynb")
    run = folder(tmp_path)
    wait_for(lambda: rows(run) >= 100, process, "step 100")
    process.send_signal(number)
    output = process.communicate()[0]
    assert process.returncode == 128 + number, output
    assert f"Error: stopped by {number.name}; stopped by " in output and "Traceback" not in output
    again = start(tmp_path, tmp_path / "out.ipynb")
    assert again.wait() == 0, again.communicate()[0]
    *state, cost = end_state(run)
    assert state == list(uninterrupted[:4])
    assert cost["replayed_steps"] == 0 and cost["resumes"] == 1


def test_a_signal_before_the_training_stops_it(tmp_path):
    process = start(tmp_path, tmp_path / "out.ipynb")
    wait_for(
        lambda: any(
            "ipykernel" in " ".join(c.cmdline()) for c in psutil.Process(process.pid).children(recursive=True)
        ),
        process,
        "the kernel",
    )
    process.send_signal(signal.SIGTERM)
    output = process.communicate()[0]
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "Traceback" not in output and rows(folder(tmp_path)) == 0


def test_a_run_whose_starter_is_killed_saves_and_ends(tmp_path, uninterrupted):
    command = [sys.executable, "-m", "papers_nb.cli", "grid", "adab2n/train", "--grid", "seed=0"]
    command += ["-p", "save_every", str(EVERY)]
    starter = subprocess.Popen(command, env={**os.environ, "PAPERS_NB_RUNS": str(tmp_path)})
    run = folder(tmp_path)
    wait_for(lambda: rows(run) >= 60, starter, "step 60")
    others = psutil.Process(starter.pid).children(recursive=True)
    starter.kill()
    starter.wait()
    gone, alive = psutil.wait_procs(others, timeout=60)
    assert gone and not alive, "an orphan trains on"
    assert rows(run) < STEPS and "stopped by SIGTERM" in (run / "log.txt").read_text()
    again = subprocess.run(command, env={**os.environ, "PAPERS_NB_RUNS": str(tmp_path)})
    *state, cost = end_state(run)
    assert again.returncode == 0 and state == list(uninterrupted[:4])
    assert cost["resumes"] == 1 and cost["replayed_steps"] == 0


def test_a_kernel_killed_for_memory_is_told_and_the_run_goes_on(tmp_path, uninterrupted):
    process = start(tmp_path, tmp_path / "out.ipynb")
    run = folder(tmp_path)
    wait_for(lambda: rows(run) >= 50, process, "step 50")
    kernel(process).kill()
    output = process.communicate()[0]
    assert process.returncode == 137 and "Traceback" not in output, output
    assert "the kernel was killed (SIGKILL, as when memory runs out); the same command goes on" in output
    again = start(tmp_path, tmp_path / "out.ipynb")
    assert again.wait() == 0, again.communicate()[0]
    assert list(end_state(run)[:4]) == list(uninterrupted[:4])


def test_a_run_that_a_live_one_holds_ends_with_code_75(tmp_path):
    first = start(tmp_path, tmp_path / "out.ipynb", "-p", "epochs", "40")
    run = folder(tmp_path, epochs=40)
    wait_for(lambda: rows(run) >= 1, first, "step 1")
    quick = "import papers_nb.runs; papers_nb.runs.LOCK_WAIT = 0.1"
    (tmp_path / "profile_default").mkdir()
    config = tmp_path / "profile_default/ipython_config.py"
    config.write_text(f"c = get_config()\nc.InteractiveShellApp.exec_lines = [{quick!r}]\n")
    second = start(tmp_path, tmp_path / "two.ipynb", "-p", "epochs", "40", IPYTHONDIR=str(tmp_path))
    output = second.communicate()[0]
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 128 + signal.SIGTERM
    assert second.returncode == 75 and "is held by process" in output and "Traceback" not in output, output


OTHERS = [n for n, p in runs.notebooks().items() if p.name[0] == "3" and n != "adab2n/train"]


@pytest.mark.parametrize("notebook", OTHERS)
def test_a_training_of_any_paper_killed_halfway_ends_with_the_same_bits(tmp_path, notebook):
    ends, own = [], f"{notebook.replace('/', '-')}/*"
    for root, killed in ((tmp_path / "alone", False), (tmp_path / "killed", True)):

        def halfway(root=root):
            """True once the run has logged half of its steps."""
            found = [runs.progress(f.parent) for f in root.glob(f"{own}/holder")]
            return any(total and done >= total / 2 for done, total in found)

        if killed:  # what it follows is there already
            shutil.copytree(
                tmp_path / "alone", root, ignore=shutil.ignore_patterns(own.removesuffix("/*"), "lock")
            )
        process = start(root, tmp_path / "out.ipynb", notebook=notebook)
        if killed:
            wait_for(halfway, process, "half of its steps")
            kernel(process).kill()
            assert process.wait() == 137, process.communicate()[0]
            process = start(root, tmp_path / "out.ipynb", notebook=notebook)
        assert process.wait() == 0, process.communicate()[0]
        *state, cost = end_state(next(root.glob(f"{own}/record.json")).parent)
        assert cost["resumes"] == killed
        ends.append(state)
    assert ends[0] == ends[1]


def test_a_grid_whose_processes_are_killed_ends_complete(tmp_path):
    size, draw = max(4, min(12, 4 * KILLS // 3)), random.Random(1)
    command = [
        sys.executable,
        "-m",
        "papers_nb.cli",
        "grid",
        "adab2n/train",
        "--grid",
        f"norm=bn-joint,adab2n;seed=0..{size // 2 - 1}",
        "--workers",
        "2",
        "-p",
        "save_every",
        ".2",
    ]
    env, kills, rounds = {**os.environ, "PAPERS_NB_RUNS": str(tmp_path)}, 0, 0
    while True:
        process, rounds = (
            subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True),
            rounds + 1,
        )
        while process.poll() is None and kills < size:
            time.sleep(draw.uniform(3, 9))
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            if family:
                with suppress(psutil.NoSuchProcess):
                    draw.choice([*family, psutil.Process(process.pid)]).kill()
                    kills += 1
        output = process.communicate()[0]
        if process.returncode == 0:
            break
        assert rounds < 3 * size, output
    records = [json.loads(f.read_text()) for f in tmp_path.glob("*/*/record.json")]
    assert len(records) == size and all(r["status"] == "done" for r in records)
    for r in records:
        data = split("digits", seed=r["seed"])
        steps = [
            json.loads(line)["step"]
            for line in (tmp_path / r["name"] / "metrics.jsonl").read_text().splitlines()
        ]
        assert steps == list(range(len(Stream(data.task_of(data.y), 5, epochs=2, seed=r["seed"]))))
    assert kills > 0
    print(
        f"\n{size} runs, {kills} kills, {rounds} starts, {sum(r['cost']['resumes'] for r in records)} resumes"
    )
