"""A grid is a list of papermill commands, and this runs them on one machine."""
import importlib
import itertools
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from papers_nb import runs
from papers_nb.errors import UserError, on_signals

__all__ = ["Task", "code", "expand", "run", "tasks"]


@dataclass(frozen=True)
class Task:
    """One run of a grid: where it lies and how papermill is called."""
    notebook: str
    given: dict      # parameters as written
    name: str        # of the run folder
    params: dict     # all parameters, converted

    @property
    def folder(self) -> Path:
        """The run folder."""
        return runs.root() / self.name

    def command(self, fresh: bool = False) -> list[str]:
        """The papermill command of this run."""
        given = {**self.given, **({"fresh": "true"} if fresh else {})}
        flags = [x for k, v in given.items() for x in ("-p", k, str(v))]
        return [sys.executable, "-m", "papermill", "--engine", "papers", "--no-progress-bar", f"papers://{self.notebook}.ipynb", str(self.folder / "run.ipynb"), *flags]

    def status(self) -> str:
        """new, begun, done, failed, or other code: finished by code that is no longer the present one."""
        record = self.folder / "record.json"
        if not record.exists():
            return "begun" if any((self.folder / "state").glob("*.pt")) else "new"
        record = runs.read_record(record)
        if record["status"] == "done" and record["code"] != code(self.notebook):
            return "other code"
        return record["status"]


@cache
def code(notebook: str) -> str:
    """The code hash of the installed `fit` of a notebook."""
    from papers_nb.core.train import code_hash
    return code_hash(importlib.import_module(f"papers_nb.{notebook.replace('/', '.')}").fit, runs.notebook(notebook))


def expand(text: str) -> list[dict[str, str]]:
    """`norm=bn-joint,adab2n;seed=0..9` as the list of its combinations, the last name running fastest."""
    axes = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, equals, values = part.partition("=")
        if not equals or not values:
            raise UserError(f"grid {part!r}: write name=value,value or name=0..9, parts separated by ';'")
        axes[name.strip()] = [x for v in values.split(",") for x in _range(v.strip())]
    return [dict(zip(axes, combination)) for combination in itertools.product(*axes.values())]


def _range(value):
    """`0..9` as ten numbers, any other value as itself."""
    low, dots, high = value.partition("..")
    return map(str, range(int(low), int(high) + 1)) if dots and low.isdigit() and high.isdigit() else [value]


def tasks(notebook: str, grid: str, given: dict[str, str]) -> list[Task]:
    """The runs of a grid, written out or named in settings.ini; `given` parameters hold for all of them."""
    paper, found = notebook.split("/")[0], []
    if "=" not in grid and grid:
        known = runs.presets(paper, "grid:")
        if grid not in known:
            raise UserError(f"no grid {grid!r}; {paper} has {', '.join(known) or 'none'}, or write one: 'norm=bn-joint,adab2n;seed=0..9'")
        grid = ";".join(f"{k}={v}" for k, v in known[grid].items())
    for combination in expand(grid):
        both = {**given, **combination}
        params = runs.check(notebook, both)
        found.append(Task(notebook, both, runs.run_name(notebook, params), params))
    if twice := len(found) - len({t.name for t in found}):
        raise UserError(f"{twice} runs of the grid are asked for twice")
    return found


def run(asked: list[Task], workers: int = 1, gpus: list[str] | None = None, fresh: bool = False) -> list[Task]:
    """Run what is not done, `workers` at once, one GPU each if `gpus` are named; returns the runs that failed."""
    states = {t.name: t.status() for t in asked}
    failed, processes = [t for t in asked if states[t.name] == "other code" and not fresh], set()
    left = [t for t in asked if states[t.name] != "done" and t not in failed]
    for t in failed:
        print(f"refused  {t.name}: finished by other code; --fresh keeps the old folder aside and starts anew", flush=True)
    print(f"{len(asked)} runs: {len(asked) - len(left) - len(failed)} done, {len(left)} to run, {workers} at once", flush=True)
    stopped, ended, free = threading.Event(), itertools.count(1), list(itertools.islice(itertools.cycle(gpus or [""]), workers))

    def one(task):
        """Run one papermill process to its end and tell how it went."""
        if stopped.is_set():
            return
        gpu, began = free.pop(), time.monotonic()
        task.folder.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(task.command(fresh), env={**os.environ, **({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {})}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        processes.add(process)
        if stopped.is_set():
            process.terminate()
        why = process.communicate()[1].strip().splitlines()[-1:]
        processes.discard(process)
        free.append(gpu)
        if process.returncode:
            failed.append(task)
        what = f"failed  {task.name}: {' '.join(why)}" if process.returncode else f"done  {task.name}"
        print(f"[{next(ended)}/{len(left)}] {what}  ({time.monotonic() - began:.0f} s)", flush=True)

    def stop(number):
        """Pass a signal on to every running process and start no more."""
        stopped.set()
        for process in list(processes):
            process.send_signal(number)
    with on_signals(stop), ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, left))
    if stopped.is_set():
        raise UserError("stopped; running ones have saved, and the same command goes on")
    return failed
