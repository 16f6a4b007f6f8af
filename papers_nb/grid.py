"""A grid is a list of papermill commands: skip what is done, run the rest, each after what it follows."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count, cycle, islice
from pathlib import Path

from papers_nb import runs
from papers_nb.core.records import Known
from papers_nb.engine import STARTER
from papers_nb.errors import UserError, on_signals
from papers_nb.parameters import check, combinations

__all__ = ["Local", "Task", "exit_code", "run", "run_first", "start", "tasks"]

HELD = 75  # exit code of a run that a live one holds
LOST = (130, 137, 138, 140, 143)  # stopped or killed: the same command goes on


@dataclass(frozen=True)
class Task:
    """One run of a grid: what it is asked, where it lies and how papermill is called."""

    asked: dict
    name: str  # of the run folder
    given: tuple  # parameters as written, pairs

    @property
    def folder(self) -> Path:
        """The run folder."""
        return runs.root() / self.name

    @property
    def log(self) -> Path:
        """Where what papermill says is kept."""
        return self.folder / "log.txt"

    @property
    def after(self) -> str | None:
        """The name of the run that this one follows."""
        return self.asked["upstream"] and self.asked["upstream"]["name"]

    def command(self, fresh: bool = False) -> list[str]:
        """The papermill command of this run."""
        given = {**dict(self.given), **({"fresh": "true"} if fresh else {})}
        flags = [x for k, v in given.items() for x in ("-p", k, str(v))]
        page, out = f"papers://{self.asked['notebook']}.ipynb", str(self.folder / "run.ipynb")
        papermill = [sys.executable, "-m", "papermill", "--engine", "papers", "--no-progress-bar"]
        return [*papermill, page, out, *flags]

    def status(self) -> str:
        """new, begun, done, failed, or other code: finished by code that is no longer the present one."""
        with suppress(UserError):  # a damaged record: the run goes on from its state
            if record := runs.read_record(self.folder / "record.json"):
                same = record["status"] != "done" or record["code"] == self._code()
                return record["status"] if same else "other code"
        return "begun" if any((self.folder / "state").glob("*.pt")) else "new"

    def _code(self):
        """The hash of the present code for this run."""
        from papers_nb.core.code import code_hash, page_cells

        page = runs.notebook(self.asked["notebook"])
        return code_hash(page_cells(page), self.asked["parameters"])


def _chain(asked, given, known):
    """The tasks of one run: what it follows, first things first, then itself."""
    first = asked["upstream"]
    before = _chain(first, tuple(first["parameters"].items()), known) if first else []
    return [*before, Task(asked, runs.find(asked, known), given)]


def tasks(notebook: str, grid: str, given: dict[str, str]) -> list[Task]:
    """The runs of a grid, written out or named in settings.ini, what they follow in front, each once.

    `given` parameters hold for all of them.
    """
    found, known, own = {}, Known(), set()
    for combination in combinations(notebook, grid):
        both = {**given, **combination}
        asked = runs.ask(notebook, check(notebook, both), known)
        *before, task = _chain(asked, tuple(both.items()), known)
        if task.name in own:
            raise UserError(f"a run of the grid is asked for twice: {task.name}")
        own.add(task.name)
        found |= {t.name: t for t in before if t.name not in found}
        found[task.name] = task
    return list(found.values())


def start(command: list[str], log: Path, **env: str) -> subprocess.Popen:
    """Start a process that saves and ends by itself when this one is gone: then its standard input ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        pipes = {"stdin": subprocess.PIPE, "stdout": out, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, env={**os.environ, **env, STARTER: "stdin"}, **pipes)


def _end(process, log):
    """Exit code and last line of a process that has ended; a negative code is a signal's."""
    process.stdin.close()
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
    code = process.returncode
    return (128 - code if code < 0 else code), lines[-1].removeprefix("Error: ")


class Local:
    """This machine as a place for runs: so many at once, one GPU each if any are named."""

    def __init__(self, workers: int = 1, gpus: list[str] | None = None):
        self.pool, self.free = ThreadPoolExecutor(workers), list(islice(cycle(gpus or [""]), workers))
        self.processes, self.stopped = set(), threading.Event()

    def submit(self, command: list[str], log: Path) -> Future:
        """Run a command; the future gives its exit code, the last line that it wrote, and seconds."""
        return self.pool.submit(self._run, command, log)

    def _run(self, command, log):
        if self.stopped.is_set():
            return 128 + signal.SIGTERM, "not started", 0.0
        gpu, began = self.free.pop(), time.monotonic()
        process = start(command, log, **({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}))
        self.processes.add(process)
        if self.stopped.is_set():
            process.terminate()
        while process.poll() is None:
            time.sleep(0.1)
        self.processes.discard(process)
        self.free.append(gpu)
        return *_end(process, log), time.monotonic() - began

    def stop(self, number: int) -> None:
        """Pass a signal on to every running process and start no more."""
        self.stopped.set()
        for process in list(self.processes):
            process.send_signal(number)


def run(asked: list[Task], place: Local, fresh: bool = False) -> dict[str, int]:
    """Run what is not done, each after what it follows; returns the exit code of every run, by name."""
    states = {t.name: t.status() for t in asked}
    codes = {n: 0 for n, s in states.items() if s == "done"}
    for name in (n for n, s in states.items() if s == "other code" and not fresh):
        codes[name] = 1
        print(f"refused  {name}: finished by other code; --fresh keeps the old folder aside and starts anew")
    left = [t for t in asked if t.name not in codes]
    refused = len(codes) - list(states.values()).count("done")
    print(f"{len(asked)} runs: {len(codes) - refused} done, {len(left)} to run", flush=True)
    stopped, ended = [], count(1)

    def stop(number):
        """Tell every run to save, and start no more."""
        stopped.append(number)
        place.stop(number)

    def ready(task):
        """True once what a task follows has ended, or is none of ours."""
        return task.after is None or task.after in codes or task.after not in states

    running, total = {}, len(left)
    with on_signals(stop):
        while left or running:
            for task in [t for t in left if ready(t)]:
                left.remove(task)
                if codes.get(task.after):
                    codes[task.name] = codes[task.after]
                    why = f"not run  {task.name}: {task.after} is not done"
                    print(f"[{next(ended)}/{total}] {why}", flush=True)
                else:
                    running[place.submit(task.command(fresh), task.log)] = task
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                task = running.pop(future)
                codes[task.name], why, seconds = future.result()
                what = "done" if not codes[task.name] else "stopped" if codes[task.name] in LOST else "failed"
                told = f"{what}  {task.name}{f': {why}' if codes[task.name] else ''}"
                print(f"[{next(ended)}/{total}] {told}  ({seconds:.0f} s)", flush=True)
    return codes | ({"": 128 + stopped[0]} if stopped else {})


def exit_code(codes: dict[str, int]) -> int:
    """The exit code of a grid: that of a signal, else 1 if a run failed, 75 if only held ones are left, 0."""
    if "" in codes:
        return codes[""]
    wrong = {c for c in codes.values() if c}
    return HELD if wrong == {HELD} else int(bool(wrong))


@contextmanager
def _shown(task):
    """A progress bar of a run in another process; gives the function that looks how far it is."""
    from tqdm import tqdm

    with tqdm(desc=f"first: {task.name}", unit="step", mininterval=0.5) as bar:

        def show():
            """Look once."""
            done, bar.total = runs.progress(task.folder)
            bar.update(done - bar.n)

        yield show


def run_first(asked: dict) -> None:
    """Run, or wait for, the run that another one follows; returns once it is done.

    Raises `UserError` if it fails, `KeyboardInterrupt` if a signal stops it: then it has saved.
    """
    task, came = _chain(asked, tuple(asked["parameters"].items()), Known())[-1], []
    if task.status() == "other code" and not asked["parameters"].get("fresh"):
        raise UserError(f"{task.name}, which this run follows, is by other code; add fresh=true to init")
    with _shown(task) as show:
        while task.status() != "done":
            process = start(task.command(), task.log)
            with on_signals(lambda number, p=process: (came.append(number), p.send_signal(number))):
                while process.poll() is None:
                    show()
                    time.sleep(0.2)
            code, why = _end(process, task.log)
            if came:
                raise KeyboardInterrupt(f"stopped by {came[0].name} while {task.name} ran, which has saved")
            if code not in (0, HELD):
                raise UserError(f"{task.name}, which this run follows, failed: {why}")
            show()
            time.sleep(1 if code else 0)
