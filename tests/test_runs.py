"""Parameters, run folders, resuming: what `papers_nb.runs` promises."""

import inspect
import itertools
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from breaking import Killed
from torch import nn

from papers_nb import parameters, runs
from papers_nb.core import records, train
from papers_nb.errors import UserError

# ---- the loop ----


class Noise:
    """A method's own tensor: remembers a little of every step."""

    def __init__(self):
        self.memory = torch.zeros(3)

    def state_dict(self):
        return {"memory": self.memory.clone()}

    def load_state_dict(self, state):
        self.memory = state["memory"].clone()


UNKEYED = torch.Generator().manual_seed(0)


def fit(run, net, noise, total=40, unkeyed=False, left_out=(), nan_at=None, enough_at=None):
    """Momentum, dropout, and draws from Python, numpy and torch in every step."""
    opt = torch.optim.SGD(net.parameters(), 0.005, momentum=0.9)
    state = {k: v for k, v in {"net": net, "opt": opt, "noise": noise}.items() if k not in left_out}
    for step in run.steps(total, state):
        x = torch.randn(4, 3) + random.random() + np.random.rand() + noise.memory.mean()
        if unkeyed:
            x = x + torch.rand(1, generator=UNKEYED)
        loss = (net(x) - torch.randn(4, 1, generator=train.generator(run.seed, "target", step))) ** 2
        loss = loss.mean() * (float("nan") if step == nan_at else 1)
        opt.zero_grad()
        loss.backward()
        opt.step()
        noise.memory = 0.5 * noise.memory + 0.1 * x.mean(0).detach()
        run.log(loss=loss)
        if step + 1 == enough_at:
            run.enough()


def open_run(name="toy/run", **params):
    """A run without a notebook, in the test's own root."""
    return runs.Run(name, "toy/run", {"seed": 3, "threads": 1, "device": "cpu", "save_every": 1e9, **params})


def fresh_parts():
    """The same network and memory each time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1)), Noise()


def killed_and_resumed(monkeypatch, at=(13, 14, 29), wrong_step=False, **kw):
    """Run with a kill at each step of `at`, saving about every five steps; returns run, network, memory."""
    clock = iter(range(10**6))
    monkeypatch.setattr(runs.time, "monotonic", lambda: next(clock))
    UNKEYED.manual_seed(0)
    seed_all = train.seed_all
    for kill in (*at, None):
        net, noise = fresh_parts()
        run = open_run(save_every=5)
        log = run.log

        def dying(kill=kill, run=run, log=log, **values):
            if run.step == kill:
                raise Killed
            log(**values)

        run.log = dying
        if wrong_step:
            since_opened = itertools.count()
            monkeypatch.setattr(
                train, "seed_all", lambda seed, stream, step, n=since_opened: seed_all(seed, stream, next(n))
            )
        try:
            fit(run, net, noise, **kw)
        except Killed:
            run.lock.release(force=True)
    monkeypatch.setattr(train, "seed_all", seed_all)
    return run, net, noise


def alone(**kw):
    """The uninterrupted run, in memory."""
    UNKEYED.manual_seed(0)
    net, noise = fresh_parts()
    stepper = train.Stepper(seed=3)
    fit(stepper, net, noise, **kw)
    return stepper, net, noise


def same(a, b):
    """True if weights, memory and losses are equal bit for bit."""
    weights = all(torch.equal(p, q) for p, q in zip(a[1].state_dict().values(), b[1].state_dict().values()))
    return (
        weights
        and torch.equal(a[2].memory, b[2].memory)
        and [r["loss"] for r in a[0].metrics] == [r["loss"].item() for r in b[0].metrics]
    )


def test_a_killed_run_ends_bit_for_bit_like_an_uninterrupted_one(monkeypatch):
    resumed = killed_and_resumed(monkeypatch)
    assert same(resumed, alone())
    record = resumed[0].finish({"loss": (1.0, "")}, "nothing was selected")
    assert record["cost"]["resumes"] == 3 and record["cost"]["replayed_steps"] > 0 and record["steps"] == 40


@pytest.mark.parametrize(
    "fault",
    [
        {"left_out": ["net"]},
        {"left_out": ["opt"]},
        {"left_out": ["noise"]},
        {"unkeyed": True},
        {"wrong_step": True},
    ],
)
def test_what_is_left_out_of_the_state_is_noticed(monkeypatch, fault):
    kw = {k: v for k, v in fault.items() if k == "unkeyed"}
    assert not same(killed_and_resumed(monkeypatch, **fault), alone(**kw))


def test_the_first_twenty_steps_are_identical_in_two_runs():
    assert same(alone(total=20), alone(total=20))


def finished(name="toy/run", **kw):
    """A run that is done."""
    run = open_run(name)
    fit(run, *fresh_parts(), **kw)
    run.finish({"loss": (1.0, "")}, "nothing was selected")
    return run


def test_a_finished_run_is_returned_and_not_trained_again():
    first = finished()
    net, noise = fresh_parts()
    again = open_run()
    fit(again, net, noise)
    assert (
        again.done
        and same((again, net, noise), alone())
        and again.finish({}, "")["ended"] == first.record["ended"]
    )


def test_a_run_that_had_enough_ends_there_and_stays_ended(monkeypatch):
    reference = alone(enough_at=31)
    assert len(reference[0].metrics) == 31
    resumed = killed_and_resumed(monkeypatch, enough_at=31)
    assert same(resumed, reference)
    for _ in range(2):  # first without a record, as if killed before finish, then with one
        net, noise = fresh_parts()
        resumed[0].lock.release(force=True)
        again = open_run(save_every=5)
        fit(again, net, noise, enough_at=31)
        assert same((again, net, noise), reference)
        assert again.finish({"loss": (1.0, "")}, "stopped early")["steps"] == 31


def test_an_error_after_the_end_does_not_undo_the_record():
    run = finished()
    run.fail(ValueError("a slip in a later cell"))
    assert run.done


def test_a_finished_run_can_be_read_on_another_device_or_thread_count():
    finished()
    net, noise = fresh_parts()
    again = open_run(threads=2)
    fit(again, net, noise)
    train.setup("cpu", 1)
    assert same((again, net, noise), alone())


def test_a_second_try_in_the_same_process_begins_where_the_first_did():
    net, noise = fresh_parts()
    with pytest.raises(UserError, match="loss is nan"):
        fit(open_run(), net, noise, nan_at=12)
    run = open_run()
    edited = edited_fit("step == nan_at", "False")
    with pytest.raises(UserError, match="begun by code"):
        edited(run, net, noise)
    run.folder.joinpath("state").rename(run.folder / "other")
    net, noise = fresh_parts()
    fit(run, net, noise)
    assert same((run, net, noise), alone())


def test_finish_belongs_after_the_last_step_and_takes_finite_metrics():
    run = open_run()

    def half(run):
        for step in run.steps(4, {}):
            run.log(loss=1.0)
            if step == 1:
                break

    half(run)
    with pytest.raises(UserError, match="has not reached its last step"):
        run.finish({"loss": (1.0, "")}, "")
    run = open_run("toy/other")
    fit(run, *fresh_parts())
    with pytest.raises(UserError, match="metric loss of run toy/other is not finite"):
        run.finish({"loss": (float("nan"), "")}, "")
    assert run.record is None


def test_an_error_before_the_first_step_is_recorded():
    run = open_run()
    run.fail(ValueError("no such data"))
    assert run.record["status"] == "failed" and run.record["code"] is None


def test_runs_set_aside_are_no_records(run_root, monkeypatch):
    finished("adab2n-train/x")
    run = open_run("adab2n-train/x", fresh=True)
    fit(run, *fresh_parts())
    run.finish({"loss": (2.0, "")}, "nothing was selected")
    mine = [r for r in runs.records("adab2n") if r["name"] == "adab2n-train/x"]
    assert [r["metrics"]["loss"]["value"] for r in mine] == [2.0]


def test_a_torn_last_line_of_the_metrics_is_cut_and_a_lost_end_is_told(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(runs.time, "monotonic", lambda: next(clock))
    run = open_run(save_every=5)
    with pytest.raises(UserError):
        fit(run, *fresh_parts(), nan_at=30)
    metrics = run.folder / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes() + b'{"step": 30, "lo')
    net, noise = fresh_parts()
    again = open_run()
    fit(again, net, noise)
    assert same((again, net, noise), alone())
    metrics.write_bytes(metrics.read_bytes()[:100])
    with pytest.raises(UserError, match="has lost its end"):
        fit(open_run(), *fresh_parts())


def edited_fit(old, new):
    """`fit` with one edit of its source, as a cell would define it."""
    import linecache

    source = inspect.getsource(fit)
    assert old in source
    source = source.replace(old, new)
    linecache.cache["<edited>"] = (len(source), None, source.splitlines(True), "<edited>")
    scope = dict(globals())
    exec(compile(source, "<edited>", "exec"), scope)
    return scope["fit"]


def test_a_run_finished_by_other_code_is_refused_and_fresh_keeps_it_aside():
    folder = finished().folder
    with pytest.raises(UserError, match=r"finished by code \w+, and this is code \w+; set fresh=True"):
        edited_fit("momentum=0.9", "momentum=0.8")(open_run(), *fresh_parts())
    edited_fit("opt.zero_grad()", "opt.zero_grad()  # a comment")(open_run(), *fresh_parts())
    run = open_run(fresh=True)
    edited_fit("momentum=0.9", "momentum=0.8")(run, *fresh_parts())
    assert (
        json.loads(folder.with_name("run.old1").joinpath("record.json").read_text())["status"] == "done"
        and len(run.metrics) == 40
    )


def test_a_run_begun_by_other_code_or_threads_is_not_continued(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(runs.time, "monotonic", lambda: next(clock))
    run = open_run(save_every=5)
    with pytest.raises(UserError):
        fit(run, *fresh_parts(), nan_at=30)
    with pytest.raises(UserError, match="begun by code"):
        edited_fit("momentum=0.9", "momentum=0.8")(open_run(), *fresh_parts())
    with pytest.raises(UserError, match="begun by threads 1, and this is threads 2"):
        fit(open_run(threads=2), *fresh_parts())
    train.setup("cpu", 1)


def test_a_training_broken_to_an_error_does_not_pass_because_an_old_run_exists():
    finished()
    with pytest.raises(UserError, match="finished by code"):
        edited_fit("opt.zero_grad()", "1/0")(open_run(), *fresh_parts())


def test_nan_stops_the_run_keeps_the_last_good_state_and_records_it(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(runs.time, "monotonic", lambda: next(clock))
    run = open_run(save_every=5)
    with pytest.raises(UserError, match="loss is nan at step 17 of run toy/run; the last good state is kept"):
        fit(run, *fresh_parts(), nan_at=17)
    assert run.record["status"] == "failed" and "loss is nan" in run.record["error"]
    saved = run.checkpoints.load()
    assert 0 < saved["step"] <= 17 and not train.not_finite(saved["state"])


def test_a_state_that_is_not_finite_is_not_saved(monkeypatch):
    run = open_run(save_every=0)
    net, _ = fresh_parts()

    def fit(run):
        for step in run.steps(5, {"net": net}):
            if step == 3:
                with torch.no_grad():
                    net[0].weight[0, 0] = torch.inf
            run.log(loss=1.0)

    with pytest.raises(UserError, match=r"net.0.weight is nan at step 3"):
        fit(run)
    assert run.checkpoints.load()["step"] == 3


def test_a_corrupted_newest_checkpoint_falls_back_and_says_so(monkeypatch, capsys):
    clock = iter(range(10**6))
    monkeypatch.setattr(runs.time, "monotonic", lambda: next(clock))
    run = open_run(save_every=5)
    with pytest.raises(UserError):
        fit(run, *fresh_parts(), nan_at=30)
    _, new = run.checkpoints.files()
    new.write_bytes(new.read_bytes()[:-100])
    net, noise = fresh_parts()
    again = open_run()
    fit(again, net, noise)
    assert "is damaged and removed; falling back" in capsys.readouterr().out
    assert same((again, net, noise), alone())


def test_two_processes_on_one_run_folder(monkeypatch, run_root):
    code = """
import time
from papers_nb import runs
run = runs.Run('toy/run', 'toy/run', {'seed': 3})
print('held', flush=True)
time.sleep(60)
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline().strip() == "held"
        monkeypatch.setattr(runs, "LOCK_WAIT", 0.2)
        with pytest.raises(
            UserError, match=rf"run toy/run is held by process {holder.pid} on .*; wait for it or stop it"
        ):
            open_run()
    finally:
        holder.kill()
        holder.wait()
    open_run()


FULL = """
import sys, torch
sys.path.insert(0, {tests!r})
import test_runs as t

def fit(run, net, steps):
    for step in run.steps(steps, {{'net': net}}): run.log(loss=1.)

run = t.open_run(save_every=0)
fit(run, torch.nn.Linear(10, 10), 1)
try:
    run.checkpoints.save(2, {{'net': torch.nn.Linear(100, 1000).state_dict()}}, {{}})
except t.UserError as e:
    print(e)
partial = [p for p in run.folder.rglob('*') if p.name.startswith('.')]
newest = run.checkpoints.load()['step']
partial = partial or 'no partial file'
print(f"{{len(run.checkpoints.files())}} checkpoints, the newest of step {{newest}}, {{partial}}")
"""


def test_a_full_disk_is_told_in_one_line_and_loses_nothing(tmp_path):
    disk, script = tmp_path / "disk", tmp_path / "script.py"
    disk.mkdir()
    script.write_text(FULL.format(tests=str(Path(__file__).parent)))
    mount = (
        f"mount -t tmpfs -o size=300k tmpfs {disk} && PAPERS_NB_RUNS={disk} exec {sys.executable} {script}"
    )
    try:
        done = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no unshare on this system, so no small disk can be mounted")
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    lines = done.stdout.strip().splitlines()
    assert "No space left on device after" in lines[-2] and lines[-2].endswith(
        "what was there before is kept"
    ), done.stdout + done.stderr
    assert lines[-1] == "2 checkpoints, the newest of step 1, no partial file"


def test_code_without_a_source_is_refused():
    scope = dict(globals())
    exec("def nowhere(run):\n for step in run.steps(1, {}): run.log(loss=1.)", scope)
    with pytest.raises(UserError, match="the source of nowhere cannot be read"):
        scope["nowhere"](open_run())


def test_every_stored_record_is_valid():
    for paper in runs.papers():
        for record in runs.kept(paper):
            train.validate(record)


def test_a_record_that_does_not_fit_names_the_entry():
    with pytest.raises(UserError, match=r"record 'x/y': data must contain"):
        train.validate({"name": "x/y"})


# ---- what was asked ----

TOY = """data: str = 'digits'  # data set
lr: float = 0.1  # > 0: learning rate
{more}
seed: int = 0  # ≥ 0: of every draw
threads: int = 1  # ≥ 1, ≤ 256: CPU threads
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A function that writes the parameters of the notebook toy/run, in a house of its own."""
    (tmp_path / "nbs/toy").mkdir(parents=True)
    monkeypatch.setattr(parameters, "NOTEBOOKS", tmp_path / "nbs")
    monkeypatch.setattr(records, "checksum", lambda notebook, params: "c0ffee")

    def write(more="width: int = 4  # ≥ 1: of a row"):
        """Write them."""
        cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": TOY.format(more=more)}
        (tmp_path / "nbs/toy/30_run.ipynb").write_text(json.dumps({"cells": [cell]}))

    parameters.notebook.cache_clear()
    write()
    yield write
    parameters.notebook.cache_clear()


def asked_run(**given):
    """The toy run that these parameters ask for, done."""
    wanted = runs.ask("toy/run", runs.check("toy/run", given))
    run = runs.Run(runs.find(wanted), "toy/run", wanted["parameters"], wanted)
    fit(run, *fresh_parts())
    run.finish({"loss": (1.0, "")}, "nothing was selected", {"net": fresh_parts()[0]})
    return run


@pytest.mark.parametrize(
    "more",
    [
        "width: int = 4  # ≥ 1: of a row\ndepth: int = 2  # ≥ 1: layers",
        "width: int = 8  # ≥ 1: of a row",
        "size: int = 4  # ≥ 1; was width: of a row",
        "# removed: width = 4",
        "size: int = 9  # ≥ 1; was width: of a row\nnew: bool = False  # another",
    ],
    ids=["new", "default", "renamed", "removed", "renamed and new"],
)
def test_a_run_is_found_again_whatever_became_of_its_parameters(toy, more):
    width = asked_run(width=4).name, asked_run(lr=0.2, width=4).name
    toy(more)
    present = {"width": 4} if "width: int" in more else {"size": 4} if "size" in more else {}
    found = [
        runs.find(runs.ask("toy/run", runs.check("toy/run", present | given))) for given in ({}, {"lr": 0.2})
    ]
    assert tuple(found) == width
    assert len({runs.identity(r) for r in runs.records("toy")}) == len(runs.records("toy")) == 2
    assert all(r["parameters"].keys() == runs.parameters("toy/run").keys() for r in runs.records("toy"))


def test_a_changed_default_asks_for_a_run_of_its_own(toy):
    old = asked_run()
    toy("width: int = 8  # ≥ 1: of a row")
    new = asked_run()
    assert new.name != old.name and len(runs.records("toy")) == 2
    assert {r["parameters"]["width"] for r in runs.records("toy")} == {4, 8}


def test_what_was_removed_with_another_value_is_another_run(toy):
    asked_run(width=5)
    toy("# removed: width = 4")
    assert runs.find(runs.ask("toy/run", runs.check("toy/run", {}))) != runs.records("toy")[0]["name"]


def test_a_folder_with_a_parameter_that_nobody_knows_is_refused(toy):
    asked_run()
    toy("")
    with pytest.raises(UserError, match="was asked with width=4, which its notebook does not take"):
        runs.find(runs.ask("toy/run", runs.check("toy/run", {})))


def test_operational_parameters_ask_for_the_same_run(toy):
    name = asked_run().name
    assert runs.find(runs.ask("toy/run", runs.check("toy/run", {"threads": 2}))) == name


def test_a_record_of_another_seed_in_the_folder_is_refused(toy):
    one, two = asked_run(), asked_run(seed=1)
    shutil.copy(two.folder / "record.json", one.folder / "record.json")
    with pytest.raises(UserError, match="was asked with seed=1, and here it is 0; set fresh=True"):
        asked_run()


@pytest.mark.parametrize("damage", ["", '{"schema": 2', "[]", "directory", "\x00"])
def test_a_damaged_record_is_named_blocks_nothing_and_is_made_anew(toy, damage, capsys):
    whole, broken = asked_run(), asked_run(seed=1)
    file = broken.folder / "record.json"
    before = json.loads(file.read_text())
    file.unlink()
    file.mkdir() if damage == "directory" else file.write_text(damage)
    assert [r["name"] for r in runs.records("toy")] == [whole.name]
    assert f"{broken.folder.name}/record.json is damaged" in capsys.readouterr().err
    again = asked_run(seed=1)
    assert "kept as record.json.damaged1, and the run goes on from its state" in capsys.readouterr().out
    assert again.record["metrics"] == before["metrics"] and again.record["artifacts"] == before["artifacts"]


def flipped(file):
    """Change one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [flipped, Path.unlink, lambda f: f.write_bytes(b"")])
def test_a_damaged_artifact_of_a_finished_run_is_restored(toy, damage, capsys):
    run = asked_run()
    weights = run.folder / "net.safetensors"
    before = weights.read_bytes()
    damage(weights)
    assert runs.Finished(run.name).damaged() == ["net.safetensors"]
    again = asked_run()
    assert weights.read_bytes() == before and "was damaged or gone; restored" in capsys.readouterr().out
    assert again.record["ended"] == run.record["ended"]


def test_an_artifact_that_cannot_be_restored_is_told(toy):
    run = asked_run()
    (run.folder / "net.safetensors").unlink()
    with pytest.raises(UserError, match=r"net.safetensors of the finished run .* is damaged; set fresh=True"):
        open_again = runs.Run(run.name, "toy/run", run.params, run.asked)
        fit(open_again, *fresh_parts())
        open_again.finish({}, "")


def test_what_is_kept_has_six_digits_and_is_sorted(toy):
    (parameters.NOTEBOOKS / "toy").mkdir(exist_ok=True)
    for seed in (2, 0):
        asked_run(seed=seed)
    assert records.keep("toy") == 2 and records.keep("toy") == 2
    kept = runs.kept("toy")
    assert [r["seed"] for r in kept] == [0, 2] and all(len(r["first_losses"]) == 20 for r in kept)


def test_ten_thousand_runs_are_planned_without_parsing_anything_twice(toy, monkeypatch):
    from papers_nb import grid

    parsed, parse = [], parameters.ast.parse
    monkeypatch.setattr(parameters.ast, "parse", lambda text: parsed.append(text) or parse(text))
    parameters._parsed.cache_clear()
    assert len(grid.tasks("toy/run", "seed=0..999", {})) == 1000
    assert len(parsed) <= 2


@pytest.mark.parametrize("fresh", [False, True])
def test_what_a_run_follows_by_other_code_is_refused_unless_init_says_fresh(toy, monkeypatch, fresh):
    from papers_nb import grid

    said = ["other code", "done"]
    monkeypatch.setattr(grid.Task, "status", lambda self: said.pop(0))
    asked = runs.ask("toy/run", runs.check("toy/run", {}))
    asked["parameters"] = asked["parameters"] | {"fresh": fresh}
    if fresh:
        grid.run_first(asked)
    else:
        with pytest.raises(UserError, match="is by other code; add fresh=true to init"):
            grid.run_first(asked)
    assert said == ([] if fresh else ["done"])
