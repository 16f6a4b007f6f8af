"""Presets, parameters, run folders, records and locks: what makes a notebook a run."""
import ast
import configparser
import difflib
import hashlib
import importlib
import json
import math
import os
import re
import socket
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from papers_nb.core import files, images
from papers_nb.errors import UserError, need, on_signals

__all__ = ["Run", "check", "notebook", "notebooks", "open", "parameters", "preset", "presets", "read_record", "records", "root", "run_name"]

HERE = Path(__file__).parent
NOTEBOOKS = HERE / "nbs" if (HERE / "nbs").exists() else HERE.parent / "nbs"
OPERATIONAL = ("device", "threads", "save_every", "fresh")  # recorded, but no part of what was asked
LOCK_WAIT = 30.0  # seconds that a second process waits for a run folder


def notebooks() -> dict[str, Path]:
    """Every packaged notebook by its numberless name: `adab2n/train` → `.../adab2n/30_train.ipynb`."""
    files = {p.relative_to(NOTEBOOKS): p for p in sorted(NOTEBOOKS.rglob("*.ipynb"))}
    return {re.sub(r"(^|/)\d+_", r"\1", f.with_suffix("").as_posix()): p
            for f, p in files.items() if not any(part[0] in "._" or part == "runs" for part in f.parts)}


def notebook(name: str) -> Path:
    """The packaged notebook called `name`; raises `UserError` listing the paper's notebooks."""
    found = notebooks()
    if name not in found:
        raise UserError(f"no notebook {name!r}; there are {', '.join(n for n in found if '/' in n)}")
    return found[name]


def _settings() -> configparser.ConfigParser:
    settings = configparser.ConfigParser(interpolation=None)
    settings.optionxform = str
    settings.read(HERE / "settings.ini", encoding="utf-8")
    return settings


def presets(paper: str, kind: str = "") -> dict[str, dict[str, str]]:
    """The presets of a paper in settings.ini, name → parameters; its grids with kind `grid:`."""
    prefix = f"{paper}/{kind}"
    return {name.removeprefix(prefix): dict(section) for name, section in _settings().items() if name.startswith(prefix) and (kind or ":" not in name)}


def preset(name: str) -> dict[str, str]:
    """The preset `paper/name`; raises `UserError` listing those that exist."""
    paper, _, short = name.partition("/")
    known = presets(paper)
    if short not in known:
        raise UserError(f"no preset {name!r}; there are {', '.join(f'{paper}/{k}' for k in known) or 'none for ' + repr(paper)}")
    return known[short]


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell."""
    name: str
    kind: ast.expr
    default: Any

    def __str__(self):
        return f"{self.name}: {ast.unparse(self.kind).replace('Literal', 'one of ')}"


def parameters(source: str | dict) -> dict[str, Parameter]:
    """What a notebook takes, read from the syntax tree of its tagged cell; `source` is a name or a notebook's JSON."""
    nb = json.loads(notebook(source).read_text(encoding="utf-8")) if isinstance(source, str) else source
    cells = [c for c in nb["cells"] if "parameters" in c["metadata"].get("tags", [])]
    if not cells:
        return {}
    text = "".join(cells[0]["source"])
    return {n.target.id: Parameter(n.target.id, n.annotation, ast.literal_eval(n.value)) for n in ast.parse(text).body if isinstance(n, ast.AnnAssign)}


def _convert(value, kind: ast.expr):
    """`value` as `kind`, an annotation of a parameters cell; raises ValueError if it is not one."""
    word = value.strip().lower() if isinstance(value, str) else value
    match kind:
        case ast.BinOp(left=left, right=right):
            try:
                return _convert(value, right)
            except ValueError:
                return _convert(value, left)
        case ast.Constant(value=None) if word in (None, "none", "null"):
            return None
        case ast.Subscript(value=ast.Name(id="Literal")):
            choices = ast.literal_eval(kind.slice)
            choices = choices if isinstance(choices, tuple) else (choices,)
            if fits := [c for c in choices if str(c) == str(value)]:
                return fits[0]
        case ast.Subscript(value=ast.Name(id="list")):
            items = value.split(",") if isinstance(value, str) else value
            return [_convert(v, kind.slice) for v in items]
        case ast.Name(id="bool") if isinstance(word, bool) or word in ("true", "false"):
            return word in (True, "true")
        case ast.Name(id="int") if not isinstance(value, bool) and (isinstance(value, int) or str(value).strip().lstrip("-").isdigit() or float(value).is_integer()):
            return int(value) if isinstance(value, int) or str(value).strip().lstrip("-").isdigit() else int(float(value))
        case ast.Name(id="float") if not isinstance(value, bool) and math.isfinite(float(value)):
            return float(value)
        case ast.Name(id="str") if isinstance(value, str):
            return value
    raise ValueError(f"{value!r} is no {ast.unparse(kind)}")


def check(source: str | dict, given: dict[str, Any]) -> dict[str, Any]:
    """All parameters of a notebook, `given` ones converted to their annotated types; raises `UserError` for any other."""
    known = parameters(source)
    takes = f"the notebook takes {', '.join(map(str, known.values()))}"
    if unknown := [n for n in given if n not in known]:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise UserError(f"unknown parameter {unknown[0]!r}{f', did you mean {near[0]!r}?' if near else ''}; {takes}")
    params = {name: p.default for name, p in known.items()}
    for name, value in given.items():
        try:
            params[name] = _convert(value, known[name].kind)
        except (ValueError, TypeError, OverflowError):
            raise UserError(f"parameter {name}={value!r} does not fit {known[name]}; {takes}") from None
    return params


def _injected(namespace: dict) -> set[str]:
    """Names that papermill's injected cell sets in this kernel; without our engine nothing else looks at them."""
    cells = [c for c in namespace.get("In", []) if c.startswith("# Parameters\n")]
    return {t.id for c in cells for n in ast.parse(c).body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}


def root() -> Path:
    """Where run folders live: `PAPERS_NB_RUNS`, else ./runs."""
    return Path(os.environ.get("PAPERS_NB_RUNS", "runs")).absolute()


def checksum(notebook: str, params: dict[str, Any]) -> str:
    """What a run stores as the identity of its data: a shared set has a card, any other belongs to its notebook or its paper."""
    owner = images if params["data"] in images.CARDS else next(m for n in (notebook, f"{notebook.split('/')[0]}/data") if hasattr(m := importlib.import_module(f"papers_nb.{n}".replace("/", ".")), "checksum"))
    return owner.checksum(params["data"])


def run_name(notebook: str, params: dict[str, Any]) -> str:
    """The folder that these parameters ask for, `adab2n-train/digits-seed3-1f9c2e7a`; `params` as `check` returns them."""
    asked = {k: v for k, v in params.items() if k not in OPERATIONAL}
    digest = hashlib.sha256(json.dumps([notebook, asked, checksum(notebook, params)], sort_keys=True).encode()).hexdigest()[:8]
    return f"{notebook.replace('/', '-')}/{params['data']}-seed{params['seed']}-{digest}"


def open(notebook: str, namespace: dict) -> "Run":
    """Open the run that the parameters in `namespace` ask for, and put them there converted; `notebook` is a numberless name."""
    known = parameters(notebook)
    given = {n: namespace[n] for n in (known.keys() | _injected(namespace)) if n in namespace}
    params = check(notebook, given)
    namespace.update(params)
    return Run(run_name(notebook, params), notebook, params)


def read_record(file: Path) -> dict | None:
    """A run record, or None where there is none."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def kept(paper: str) -> list[dict]:
    """The records that the site quotes, `records.jsonl` beside the notebooks of a paper, sorted by name."""
    file = NOTEBOOKS / paper / "records.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def records(paper: str, here: bool = True) -> list[dict]:
    """The records of a paper: those that the site quotes and, with `here`, those of the runs at hand, each run once."""
    quoted = kept(paper)
    found = [read_record(f) for f in sorted(root().glob(f"{paper}-*/*/record.json")) if here and ".old" not in f.parent.name]
    return list({r["name"]: r for r in [*quoted, *(r for r in found if r["status"] == "done" or r["name"] not in {k["name"] for k in quoted})]}.values())


class Run:
    """A run is a folder; `fit` asks it for steps and gives it numbers, and it resumes, saves, logs and records."""

    def __init__(self, name: str, notebook: str, params: dict[str, Any]):
        from papers_nb.core import train
        self._train, self.name, self.notebook, self.params = train, name, notebook, params
        self.seed, self.folder = params["seed"], root() / name
        self.device = train.setup(params.get("device", "cpu"), params.get("threads", 1))
        self.checkpoints = train.Checkpoint(self.folder / "state")
        self.step, self.code, self._loop, self._elapsed, self._left, self._ended = 0, None, None, 0.0, True, False
        if self.seed < 0:
            raise UserError(f"seed={self.seed}: at least 0")
        self._lock()
        self._watch_cells()

    def __repr__(self):
        return f"<run {self.name}: {'done' if self.done else 'open'}>"

    def _lock(self):
        """Hold the folder, so that two processes never write it; with `fresh` what lay there is kept aside."""
        filelock = need("filelock", "run")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock, holder = filelock.FileLock(self.folder / "lock", is_singleton=True), self.folder / "holder"
        try:
            self.lock.acquire(timeout=LOCK_WAIT)
        except filelock.Timeout:
            raise UserError(f"run {self.name} is held by {holder.read_text() if holder.exists() else 'another process'}; wait for it or stop it") from None
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        if self.params.get("fresh") and (self.record or self.checkpoints.files()):
            old = next(p for i in range(1, 10**6) if not (p := self.folder.with_name(f"{self.folder.name}.old{i}")).exists())
            self.folder.rename(old)
            self.lock.release(force=True)
            self._lock()

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
        file = self.folder / "metrics.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []

    def steps(self, total: int, state: dict[str, Any]):
        """Yield the step numbers still to do, up to `total`; `state` holds objects with `state_dict` and `load_state_dict`."""
        if not self.lock.is_locked:
            self._lock()
        self.code = self._train.code_hash(sys._getframe(1), notebooks().get(self.notebook))
        if self.done and self.record["code"] != self.code:
            raise self._foreign("finished", f"code {self.record['code']}", f"code {self.code}")
        start = self._resume(state)
        self._left = not self._ended and start < total
        if self.done and start not in (total, self.record["steps"]):
            raise UserError(f"the final state of the finished run {self.name} is damaged; set fresh=True to keep the old folder aside and start anew")
        self._loop = self._steps(start, total, state)
        return self._loop

    def _foreign(self, did, theirs, ours):
        return UserError(f"run {self.name} was {did} by {theirs}, and this is {ours}; set fresh=True to keep the old folder aside and start anew")

    def _meta(self):
        return {"code": self.code, "device": self.device, "threads": self.params.get("threads", 1), "torch": str(self._train.torch.__version__)}

    def _resume(self, state):
        """Load the newest sound checkpoint into `state`, cut the metrics back to it, and return its step."""
        saved, metrics = self.checkpoints.load(self.device), self.folder / "metrics.jsonl"
        if saved:
            for key, ours in self._meta().items():
                if saved["meta"][key] != ours and not self.done:
                    raise self._foreign("begun", f"{key} {saved['meta'][key]}", f"{key} {ours}")
            for name, part in state.items():
                part.load_state_dict(saved["state"][name])
        start, size = (saved["step"], saved["meta"]["bytes"]) if saved else (0, 0)
        written = metrics.read_bytes() if metrics.exists() else b""
        if len(written) < size:
            raise UserError(f"metrics.jsonl of run {self.name} has lost its end; set fresh=True to keep the old folder aside and start anew")
        if not self.done and written:
            os.truncate(metrics, size)
            replayed = written[size:].count(b"\n")
            with (self.folder / "resumes.jsonl").open("a") as f:
                f.write(json.dumps({"from": start, "replayed": replayed}) + "\n")
            print(f"resumed at step {start}; {replayed} logged steps are replayed")
        self._elapsed, self._ended = (saved["meta"]["elapsed"], saved["meta"]["ended"]) if saved else (0.0, False)
        if not saved:  # so that a second try in the same process begins where this one does
            self.checkpoints.save(0, {name: part.state_dict() for name, part in state.items()}, {**self._meta(), "bytes": 0, "elapsed": 0.0, "ended": False})
        return start

    def enough(self) -> None:
        """End the loop after the present step, as early stopping does."""
        self._ended = True

    def _steps(self, start, total, state):
        every, saved = self.params.get("save_every", 60), time.monotonic()
        self._since, self._rows = saved, (self.folder / "metrics.jsonl").open("ab")
        with on_signals((stop := []).append), self._rows:
            for step in self._train.bar(range(start, start if self._ended else total), self.notebook):
                self.step = step
                self._train.seed_all(self.seed, "step", step)
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
        """Write a checkpoint, unless a tensor in it is not finite: then the last good one stays and the run fails."""
        tensors = {name: part.state_dict() for name, part in state.items()}
        if bad := self._train.not_finite(tensors):
            raise self._not_finite(bad, math.nan)
        os.fsync(self._rows.fileno())
        self.checkpoints.save(step, tensors, {**self._meta(), "bytes": self._rows.tell(), "elapsed": self._elapsed + time.monotonic() - self._since, "ended": self._ended})

    def log(self, **values) -> None:
        """Write one row of numbers for the present step; a number that is not finite stops the run and keeps its last good state."""
        row = {"step": self.step, **{k: self._train.plain(v) for k, v in values.items()}}
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise self._not_finite(name, value)
        try:
            self._rows.write(json.dumps(row).encode() + b"\n")
            self._rows.flush()
        except OSError as e:
            raise UserError(f"cannot write the metrics of run {self.name}: {e.strerror}; its last checkpoint is kept") from e

    def _not_finite(self, name, value):
        error = UserError(f"{name} is {value} at step {self.step} of run {self.name}; the last good state is kept in its folder; try a smaller learning rate")
        self.fail(error)
        return error

    def _watch_cells(self):
        """In a notebook: close a loop that a cell left, and record the error of the cell that broke the run."""
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if shell is None:
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

    def _write_record(self, **parts):
        resumes = self.folder / "resumes.jsonl"
        resumes = [json.loads(line) for line in resumes.read_text().splitlines()] if resumes.exists() else []
        wall = self._elapsed + (time.monotonic() - self._since if hasattr(self, "_since") else 0.0)
        record = {"schema": 1, "name": self.name, "notebook": self.notebook, "parameters": self.params, "seed": self.seed,
                  "data": {self.params["data"]: checksum(self.notebook, self.params)} if "data" in self.params else {}, "code": self.code,
                  "environment": self._train.environment(self.device), "ended": datetime.now(UTC).isoformat(timespec="seconds"),
                  "cost": {"wall_s": round(wall, 2), "resumes": len(resumes), "replayed_steps": sum(r["replayed"] for r in resumes), "peak_mb": self._train.peak_mb(self.device)},
                  **parts}
        self._train.validate(record)
        files.write_atomically(self.folder / "record.json", json.dumps(record, indent=1).encode())

    def finish(self, metrics: dict[str, tuple[float, str]], selection: str, weights: dict[str, Any] | None = None) -> dict:
        """Write `weights` (name → module, as safetensors), then the record with `metrics` (name → value, unit); a finished run is returned as it is."""
        if not self.done:
            if self._left:
                raise UserError(f"run {self.name} has not reached its last step; finish belongs after the training")
            if bad := [k for k, (v, _) in metrics.items() if not math.isfinite(v)]:
                raise UserError(f"metric {bad[0]} of run {self.name} is not finite; nothing is recorded")
            from safetensors.torch import save
            for name, module in (weights or {}).items():
                files.write_atomically(self.folder / f"{name}.safetensors", save({k: v.contiguous() for k, v in module.state_dict().items()}))
            self._write_record(status="done", error=None, selection=selection, **self._train.digest(self.metrics),
                               metrics={k: {"value": float(v), "unit": u} for k, (v, u) in metrics.items()})
        self.lock.release(force=True)
        return self.record

    def fail(self, error: BaseException) -> None:
        """Record that the run broke off and why; its checkpoints stay, and so does the record of a run that was done."""
        try:
            if not self.done:
                self._write_record(status="failed", error=f"{type(error).__name__}: {error}", selection="", **self._train.digest(self.metrics), metrics={})
        except UserError as full:
            print(full)
        self.lock.release(force=True)
