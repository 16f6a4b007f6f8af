"""Run folders, records, locks and chains: what makes a notebook a run."""

import inspect
import itertools
import json
import math
import os
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from papers_nb.core import files
from papers_nb.core.records import Finished, artifact, ask, checksum, compared, find, identity

# isort: split
from papers_nb.core.records import kept, read_asked, read_record, records, root
from papers_nb.errors import Held, UserError, need, on_signals
from papers_nb.parameters import NOTEBOOKS, asked, check, notebook, notebooks, papers, parameters, presets

__all__ = ["NOTEBOOKS", "Finished", "Run", "ask", "asked", "check", "checksum", "find", "identity", "kept"]
__all__ += ["notebook", "notebooks", "open", "papers", "parameters", "presets"]
__all__ += ["read_record", "records", "root"]

LOCK_WAIT = 30.0  # seconds that a second process waits for a run folder
FRESH = "set fresh=True to keep the old folder aside and start anew"


def _first(asked: dict) -> Finished | None:
    """The run that this one follows, run now if it is not done; waits for whoever is at it."""
    if (first := asked["upstream"]) is None:
        return None
    from papers_nb.grid import run_first

    run_first(first)
    done = Finished(first["name"])
    if bad := done.damaged():
        raise UserError(f"{bad[0]} of run {done.name} is damaged; run it once more to restore it")
    return done


def _injected(namespace: dict) -> set[str]:
    """Names that papermill's injected cell sets; without our engine nothing else looks at them."""
    import ast

    cells = [c for c in namespace.get("In", []) if c.startswith("# Parameters\n")]
    assigned = [n for c in cells for n in ast.parse(c).body if isinstance(n, ast.Assign)]
    return {t.id for n in assigned for t in n.targets if isinstance(t, ast.Name)}


def open(notebook: str, namespace: dict) -> "Run":
    """Open the run that the parameters in `namespace` ask for, and put them there converted.

    `notebook` is a numberless name. What the run follows runs first. Raises `UserError` for a mistake.
    """
    known = parameters(notebook)
    given = {n: namespace[n] for n in (known.keys() | _injected(namespace)) if n in namespace}
    params = check(notebook, given)
    wanted = ask(notebook, params)
    first = _first(wanted)
    namespace.update(params)
    run = Run(find(wanted), notebook, params, wanted)
    run.upstream = first
    return run


class Run:
    """A run is a folder; `fit` asks it for steps and gives it numbers; it resumes, saves, logs, records."""

    upstream: Finished | None = None  # the run that this one follows

    def __init__(self, name: str, notebook: str, params: dict[str, Any], asked: dict | None = None):
        from papers_nb.core import train

        self._train, self.name, self.notebook, self.params = train, name, notebook, params
        self.asked = asked or {"notebook": notebook, "parameters": params, "data": {}, "upstream": None}
        self.seed, self.folder = params["seed"], root() / name
        self.device = train.setup(params.get("device", "cpu"), params.get("threads", 1))
        self.checkpoints = train.Checkpoint(self.folder / "state")
        self.step, self.code, self._loop = 0, None, None
        self._elapsed, self._left, self._ended = 0.0, True, False
        self._lock()
        self._watch_cells()

    def __repr__(self):
        return f"<run {self.name}: {'done' if self.done else 'open'}>"

    def _lock(self):
        """Hold the folder, so that two processes never write it; `fresh` keeps aside what lay there."""
        filelock = need("filelock", "run")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = filelock.FileLock(self.folder / "lock", is_singleton=True, fallback_to_soft=False)
        try:
            self.lock.acquire(timeout=LOCK_WAIT)
        except filelock.Timeout:
            who = "process {pid} on {host}".format(
                **{"pid": "unknown", "host": "another", **_holder(self.folder)}
            )
            raise Held(f"run {self.name} is held by {who}; wait for it or stop it") from None
        self._hold()
        self._set_aside_damage()
        if self.params.get("fresh") and (self.record or self.checkpoints.files()):
            old = self.folder.rename(_free(self.folder.name + ".old", self.folder.parent))
            self.lock.release(force=True)
            self._lock()
            if (old / "log.txt").exists():  # who started this run is writing there
                (old / "log.txt").rename(self.folder / "log.txt")
        self._compare()

    def _hold(self, **more):
        """Say who is at it, and how far it will go."""
        who = {"pid": os.getpid(), "host": socket.gethostname(), **more}
        (self.folder / "holder").write_text(json.dumps(who))

    def _set_aside_damage(self):
        """A record that cannot be read is kept under another name; the run goes on from its state."""
        try:
            read_record(self.folder / "record.json")
        except UserError as e:
            aside = _free("record.json.damaged", self.folder)
            (self.folder / "record.json").rename(aside)
            print(f"{e}; kept as {aside.name}, and the run goes on from its state")

    def _compare(self):
        """Refuse a folder, or a record in it, that was asked something else."""
        for stored in filter(None, (read_asked(self.folder), self.record)):
            if identity(stored) != identity(self.asked):
                ours, theirs = compared(self.asked), compared(stored)
                names = [k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k)]
                k = names[0] if names else "data"
                raise UserError(
                    f"run {self.name} was asked with {k}={theirs.get(k)!r}, "
                    f"and here it is {ours.get(k)!r}; {FRESH}"
                )
        files.write_atomically(self.folder / "asked.json", json.dumps(self.asked, indent=1).encode())

    @property
    def record(self) -> dict | None:
        """The record of a run that ended, else None."""
        return read_record(self.folder / "record.json")

    @property
    def done(self) -> bool:
        """True once the run has ended and its record says so."""
        return bool(self.record) and self.record["status"] == "done"

    @property
    def metrics(self) -> list[dict]:
        """Every row that `log` wrote, oldest first."""
        return _lines(self.folder / "metrics.jsonl")

    def steps(self, total: int, state: dict[str, Any]):
        """Yield the step numbers still to do, up to `total`; `state` holds objects with a state dict."""
        if not self.lock.is_locked:
            self._lock()
        self._hold(total=total)
        self.code = self._code(sys._getframe(1))
        if self.done and self.record["code"] != self.code:
            raise self._foreign("finished", f"code {self.record['code']}", f"code {self.code}")
        start = self._resume(state)
        self._left = not self._ended and start < total
        if self.done and start not in (total, self.record["steps"]):
            raise UserError(f"the final state of the finished run {self.name} is damaged; {FRESH}")
        self._loop = self._steps(start, total, state)
        return self._loop

    def _code(self, frame):
        """The hash of the code that runs: cells of the kernel, or the page, and a function from elsewhere."""
        from papers_nb.core.code import code_hash, kernel_cells, page_cells

        page, shell = notebooks().get(self.notebook), _shell()
        if page and shell:
            cells = kernel_cells(list(shell.user_ns["In"]), page, parameters(self.notebook))
        else:
            cells = page_cells(page) if page else []
        home = frame.f_globals.get("__name__", "")
        if not (home.startswith("papers_nb.") or (shell and home == "__main__")):
            cells.append(f"{_source(frame)}\ntrains = {frame.f_code.co_name}")
        return code_hash(cells, self.params)

    def _foreign(self, did, theirs, ours):
        return UserError(f"run {self.name} was {did} by {theirs}, and this is {ours}; {FRESH}")

    def _meta(self):
        torch = str(self._train.torch.__version__)
        threads = self.params.get("threads", 1)
        return {"code": self.code, "device": self.device, "threads": threads, "torch": torch}

    def _resume(self, state):
        """Load the newest sound checkpoint into `state`, cut the metrics back to it, and return its step."""
        saved = self.checkpoints.load(self.device)
        if not saved:  # saved, so that a second try in the same process begins where this one does
            meta = {**self._meta(), "bytes": 0, "elapsed": 0.0, "ended": False}
            self._cut_back(0, 0)
            self.checkpoints.save(0, {name: part.state_dict() for name, part in state.items()}, meta)
            self._elapsed, self._ended = 0.0, False
            return 0
        meta = saved["meta"]
        for key, ours in self._meta().items():
            if meta[key] != ours and not self.done:
                raise self._foreign("begun", f"{key} {meta[key]}", f"{key} {ours}")
        for name, part in state.items():
            part.load_state_dict(saved["state"][name])
        self._cut_back(saved["step"], meta["bytes"])
        self._elapsed, self._ended = meta["elapsed"], meta["ended"]
        return saved["step"]

    def _cut_back(self, start, size):
        """Drop the rows that were logged after the checkpoint, and note that the run goes on."""
        file = self.folder / "metrics.jsonl"
        written = file.read_bytes() if file.exists() else b""
        if len(written) < size:
            raise UserError(f"metrics.jsonl of run {self.name} has lost its end; {FRESH}")
        if not self.done and written:
            os.truncate(file, size)
            replayed = written[size:].count(b"\n")
            with (self.folder / "resumes.jsonl").open("a") as f:
                f.write(json.dumps({"from": start, "replayed": replayed}) + "\n")
            print(f"resumed at step {start}; {replayed} logged steps are replayed")

    def enough(self) -> None:
        """End the loop after the present step, as early stopping does."""
        self._ended = True

    def _steps(self, start, total, state):
        every, saved = self.params.get("save_every", 60), time.monotonic()
        self._since, self._rows = saved, (self.folder / "metrics.jsonl").open("ab")
        ahead = self._train.bar(range(start, start if self._ended else total), self.notebook)
        with on_signals((stop := []).append), self._rows:
            for step in self._train.keyed(ahead, self.seed):
                self.step = step
                yield step
                self._left = not (last := self._ended or step + 1 == total)
                if stop or last or time.monotonic() - saved >= every:
                    self._save(step + 1, state)
                    saved = time.monotonic()
                if last:
                    return
                if stop:
                    raise KeyboardInterrupt(f"stopped by {stop[0].name}, saved at step {step + 1} of {total}")

    def _save(self, step, state):
        """Write a checkpoint; one that is not finite fails the run, and the last good one stays."""
        tensors = {name: part.state_dict() for name, part in state.items()}
        if bad := self._train.not_finite(tensors):
            raise self._not_finite(bad, math.nan)
        os.fsync(self._rows.fileno())
        elapsed = self._elapsed + time.monotonic() - self._since
        meta = {**self._meta(), "bytes": self._rows.tell(), "elapsed": elapsed, "ended": self._ended}
        self.checkpoints.save(step, tensors, meta)

    def log(self, **values) -> None:
        """Write one row of numbers for the present step.

        A number that is not finite stops the run and keeps its last good state.
        """
        row = {"step": self.step, **{k: self._train.plain(v) for k, v in values.items()}}
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise self._not_finite(name, value)
        try:
            self._rows.write(json.dumps(row).encode() + b"\n")
            self._rows.flush()
        except OSError as e:
            why = f"cannot write the metrics of run {self.name}: {e.strerror}; its last checkpoint is kept"
            raise UserError(why) from e

    def _not_finite(self, name, value):
        error = UserError(
            f"{name} is {value} at step {self.step} of run {self.name}; "
            "the last good state is kept in its folder; try a smaller learning rate"
        )
        self.fail(error)
        return error

    def _watch_cells(self):
        """In a notebook: close a loop that a cell left, and record the error of a cell that broke the run."""
        if (shell := _shell()) is None:
            return

        def after(result):
            """Runs when a cell has ended."""
            if self._loop is not None:
                self._loop.close()
            if self.lock.is_locked and isinstance(result.error_in_exec, Exception):
                self.fail(result.error_in_exec)

        if hasattr(shell, "papers_nb_after"):
            shell.events.unregister("post_run_cell", shell.papers_nb_after)
        shell.papers_nb_after = after
        shell.events.register("post_run_cell", after)

    def _cost(self):
        """Time, resumes and memory of the run so far."""
        resumes = _lines(self.folder / "resumes.jsonl")
        since = time.monotonic() - self._since if hasattr(self, "_since") else 0.0
        return {
            "wall_s": round(self._elapsed + since, 2),
            "resumes": len(resumes),
            "replayed_steps": sum(r["replayed"] for r in resumes),
            "peak_mb": self._train.peak_mb(self.device),
        }

    def _followed(self):
        """What the record says of the run that this one follows."""
        if self.upstream is None:
            return None
        first = self.upstream.record
        return {k: first.get(k) for k in ("name", "notebook", "parameters", "data", "code", "upstream")}

    def _write_record(self, **parts):
        record = {
            "schema": 2,
            "name": self.name,
            "notebook": self.notebook,
            "parameters": self.params,
            "seed": self.seed,
            "data": self.asked["data"],
            "upstream": self._followed(),
            "code": self.code,
            "environment": self._train.environment(self.device),
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "cost": self._cost(),
            **self._train.digest(self.metrics),
            **parts,
        }
        self._train.validate(record)
        files.write_atomically(self.folder / "record.json", json.dumps(record, indent=1).encode())

    def finish(
        self,
        metrics: dict[str, tuple[float, str]],
        selection: str,
        weights: dict[str, Any] | None = None,
        artifacts: tuple[str, ...] = (),
    ) -> dict:
        """Write `weights` (name → module, as safetensors), then the record; a finished run stays as it is.

        `metrics`: name → value and unit; `artifacts`: other files of the folder whose hash is recorded too.
        """
        if self.done:
            self._restore(weights or {})
        else:
            if self._left:
                raise UserError(f"run {self.name} has not reached its last step; finish comes after it")
            if bad := [k for k, (v, _) in metrics.items() if not math.isfinite(v)]:
                raise UserError(f"metric {bad[0]} of run {self.name} is not finite; nothing is recorded")
            names = [self._weights(name, module) for name, module in (weights or {}).items()]
            self._write_record(
                status="done",
                error=None,
                selection=selection,
                metrics={k: {"value": float(v), "unit": u} for k, (v, u) in metrics.items()},
                artifacts={n: artifact(self.folder / n) for n in (*names, *artifacts)},
            )
        self.lock.release(force=True)
        return self.record

    def _weights(self, name, module):
        """Write the weights of a module, whole or not at all; returns the name of the file."""
        from safetensors.torch import save_file

        file = f"{name}.safetensors"
        whole = {k: v.contiguous() for k, v in module.state_dict().items()}
        files.write_whole(self.folder / file, lambda tmp: save_file(whole, tmp))
        return file

    def _restore(self, weights):
        """Make damaged artifacts of a finished run whole, from the modules that its final state filled."""
        done = Finished(self.name)
        for file in done.damaged():
            name = file.removesuffix(".safetensors")
            if name in weights:
                self._weights(name, weights[name])
                print(f"{file} of the finished run {self.name} was damaged or gone; restored from its state")
        if bad := done.damaged():
            raise UserError(f"{bad[0]} of the finished run {self.name} is damaged; {FRESH}")

    def fail(self, error: BaseException) -> None:
        """Record that the run broke off and why; checkpoints stay, and the record of a run that was done."""
        try:
            if not self.done:
                why = f"{type(error).__name__}: {error}"
                self._write_record(status="failed", error=why, selection="", metrics={}, artifacts={})
        except UserError as full:
            print(full)
        self.lock.release(force=True)


def _shell():
    """The interactive shell of a notebook, None elsewhere."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def _source(frame):
    """The source of the function that runs in a frame."""
    try:
        source = inspect.cleandoc("\n" + inspect.getsource(frame))
        return f"{source}\n{frame.f_code.co_name}()"
    except (OSError, TypeError):
        why = f"the source of {frame.f_code.co_name} cannot be read, so a run could not be told from another"
        raise UserError(f"{why}: define it by itself, in a file or a notebook cell") from None


def _lines(file):
    """The rows of a .jsonl file, none if it is not there."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def _free(name, folder):
    """The first path `name1`, `name2`, … in a folder that is not taken."""
    return next(p for i in itertools.count(1) if not (p := folder / f"{name}{i}").exists())


def _holder(folder):
    """What whoever is at the run in a folder says of itself."""
    try:
        return dict(json.loads((folder / "holder").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def progress(folder: Path) -> tuple[int, int | None]:
    """Steps that the run in a folder has logged, and how many it will do, if it said so."""
    file = folder / "metrics.jsonl"
    return (file.read_bytes().count(b"\n") if file.exists() else 0), _holder(folder).get("total")
