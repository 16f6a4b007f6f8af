"""Is a record still good: runs played again, who stands behind a record, and `papers_nb reproduce`.

As a script it plays runs with the package of any commit, so its top imports what all of them have."""

import csv
import difflib
import hashlib
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import types
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

from papers_nb import runs
from papers_nb.errors import UserError, need

__all__ = ["differences", "groups", "play", "present", "reproduce", "rows", "setting", "status"]

ROOT = Path(__file__).resolve().parents[1]  # where the package lies
ALONE = {"device": "cpu", "threads": 1, "save_every": 3600.0, "fresh": False}  # how a run is played again
THREADS = {f"{lib}_NUM_THREADS": "1" for lib in ("OMP", "OPENBLAS", "MKL")}
ASIDE = re.compile(
    r"^(#\| (label:|code-fold|echo: false)|[!%])", re.M
)  # cells that only show, and shell lines
MORE = 5  # steps that a run is played on after its first evaluation, if not to its end
RTOL = 1e-3  # of the first losses, between two processors


class _Past(BaseException):
    """A run has been played far enough."""


def _script(notebook: str, params: dict) -> str:
    """The code of a training notebook up to its record, as a plain script with `params` put in."""
    cells = []
    for cell in json.loads(runs.notebook(notebook).read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not ASIDE.search(source):
            cells.append(source)
            if "parameters" in cell["metadata"].get("tags", []):
                cells.append("\n".join(f"{k} = {v!r}" for k, v in params.items()))
            if "run.finish(" in source:
                return "\n\n".join(cells) + "\n"
    raise UserError(f"{notebook} has no cell with run.finish, so nothing of it is recorded")


def _tensors(named: dict) -> str:
    """Hash of names, types, shapes and bits."""
    found = hashlib.sha256()
    for name, tensor in sorted(named.items()):
        array = tensor.detach().cpu().numpy()
        found.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return found.hexdigest()


def _play(notebook: str, params: dict, whole: bool, folder: str) -> dict:
    """Run a notebook in this process: its rows, its record's numbers, and hashes of what it leaves."""
    os.environ["PAPERS_NB_RUNS"] = folder
    script, log, after = Path(folder) / "page.py", runs.Run.log, []
    script.write_text(_script(notebook, {**params, **ALONE}), encoding="utf-8")
    main, real = types.ModuleType("__main__"), sys.modules["__main__"]
    main.__file__ = str(script)

    def logged(run, **values):
        """Break off some steps after the first evaluation."""
        log(run, **values)
        if after or any(isinstance(v, list) for v in values.values()):
            after.append(run.step)
        if not whole and len(after) > MORE:
            raise _Past

    runs.Run.log, sys.modules["__main__"] = logged, main
    try:
        exec(compile(script.read_text(encoding="utf-8"), script, "exec"), main.__dict__)
    except _Past:
        main.run.lock.release(force=True)
    finally:
        runs.Run.log, sys.modules["__main__"] = log, real
    run, net = main.run, main.__dict__.get("net")
    left = [
        f
        for f in run.folder.iterdir()
        if f.suffix in (".safetensors", ".npy", ".json") and f.name != "record.json"
    ]
    return {
        "rows": run.metrics,
        "record": run.record,
        "net": net and _tensors(net.state_dict()),
        "files": {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(left)},
    }


def _work() -> None:
    """Play the tasks that come as JSON lines; each answer is a file, whose name is printed."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for task in map(json.loads, sys.stdin):
        out = Path(task.pop("out"))
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = _play(**task, folder=folder)
            except UserError as e:
                result = {"error": str(e)}
            except Exception as e:
                result = {"error": " ".join(f"{type(e).__name__}: {e}".split())}
        part = out.with_suffix(".part")
        part.write_text(json.dumps(result), encoding="utf-8")
        part.rename(out)
        print(out, file=answers, flush=True)


def play(
    root: Path, tasks: list[dict], done: Callable = print, errors: int | None = subprocess.DEVNULL
) -> None:
    """Play tasks with the package in `root`, in one process; `done` is called with the file of each answer.

    A task is `notebook`, `params`, `whole` and `out`; one that kills the process is answered by an error."""
    env = {**os.environ, **THREADS, "PYTHONPATH": str(root), "MPLBACKEND": "Agg"}
    while tasks := [t for t in tasks if not Path(t["out"]).exists()]:
        command = [sys.executable, "-P", __file__]
        with subprocess.Popen(command, env=env, stdin=-1, stdout=-1, stderr=errors, text=True) as process:
            process.stdin.write("".join(json.dumps(t) + "\n" for t in tasks))
            process.stdin.close()
            for line in process.stdout:
                done(Path(line.strip()))
        if process.returncode and (rest := [t for t in tasks if not Path(t["out"]).exists()]):
            Path(rest[0]["out"]).write_text(
                json.dumps({"error": f"its process ended with {process.returncode}"})
            )
            done(Path(rest[0]["out"]))


def setting(record: dict) -> str:
    """What a record's run was asked for, without its seed and the operational parameters."""
    aside = (*ALONE, "seed")
    return json.dumps(
        [record["notebook"], {k: v for k, v in record["parameters"].items() if k not in aside}],
        sort_keys=True,
    )


@cache
def present(asked: str) -> str:
    """Hash of the present code of a `setting`."""
    from papers_nb.core.code import code_hash, page_cells

    notebook, params = json.loads(asked)
    return code_hash(page_cells(runs.notebook(notebook)), params)


def rows(paper: str) -> list[dict[str, str]]:
    """What `make replay` found: the rows of `replays.csv`."""
    file = runs.NOTEBOOKS / paper / "replays.csv"
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines())) if file.exists() else []


def differences(paper: str) -> dict[str, list[float]]:
    """Instruction set → by how much a record's first metric came out different there, one number a record."""
    found = {}
    for row in rows(paper):
        if row["difference"]:
            found.setdefault(row["instructions"], []).append(float(row["difference"]))
    return found


@cache
def _outcomes(paper: str) -> dict[tuple[str, str], dict]:
    """Setting and present code → row; of several machines one where it differs, else one that replayed."""
    settings = {r["name"]: setting(r) for r in runs.records(paper, here=False)}
    found = sorted(rows(paper), key=lambda r: ("cannot be tried", "replayed", "differs").index(r["outcome"]))
    return {(settings[r["record"]], r["present"]): r for r in found if r["record"] in settings}


def status(record: dict) -> str:
    """Who stands behind a record: `this code`, `replayed`, `other`, or `cannot be tried here (why)`."""
    asked = setting(record)
    code = present(asked)
    if record["code"] == code:
        return "this code"
    row = _outcomes(record["notebook"].split("/")[0]).get((asked, code), {"outcome": "differs"})
    if row["outcome"] == "cannot be tried":
        return f"cannot be tried here ({row['why']})"
    return "other" if row["outcome"] == "differs" else "replayed"


def groups(records: list[dict]) -> Counter[str]:
    """How many records have which `status`."""
    return Counter(map(status, records))


def _named(name: str) -> tuple[dict, list[dict]]:
    """A record by a part of its name, and the others of its setting; raises `UserError` with near names."""
    found = {r["name"]: r for paper in runs.papers() for r in runs.records(paper)}
    fits = [n for n in found if n == name] or [n for n in found if name in n]
    if len(fits) != 1:
        near = ", ".join(fits[:5] or difflib.get_close_matches(name, found, 3, 0.0))
        many = f"{len(fits)} records are" if fits else "no record is"
        raise UserError(f"{many} called {name!r}; near: {near}")
    record = found[fits[0]]
    return record, [r for r in found.values() if setting(r) == setting(record) and r is not record]


def _near(ours: list[float], theirs: list[float]) -> bool:
    """Whether the first losses are those of the same training, on whatever processor."""
    return all(math.isclose(a, b, rel_tol=RTOL) for a, b in zip(ours, theirs, strict=True))


def _verdict(record: dict, others: list[dict], got: dict) -> tuple[bool, str]:
    """Whether a run is that of a record, as far as seeds can tell, and in words."""
    from papers_nb.core.records import six

    ours, theirs = (
        {**r, "series": {k: six(v) for k, v in r["series"].items()}} for r in (got["record"], record)
    )
    wrong = [p for p in ("first_losses", "series", "metrics") if ours[p] != theirs[p]]
    wrong += [n for n, a in record.get("artifacts", {}).items() if got["files"].get(n) != a["sha256"]]
    if not wrong:
        return True, "the same bits"
    changed = [k for k, m in theirs["metrics"].items() if m != ours["metrics"].get(k)]
    name = changed[0] if wrong == ["metrics"] else next(iter(theirs["metrics"]))
    now, was = (r["metrics"].get(name, {"value": math.nan})["value"] for r in (ours, theirs))
    text = f"{name} {now:.6g}, recorded {was:.6g}"
    if len(wrong) == 1 and theirs["first_losses"]:
        return False, f"different: only its {wrong[0]}, so the record does not fit itself; {text}"
    if not _near(ours["first_losses"], theirs["first_losses"]):
        return False, f"different from the first steps on; {text}"
    values = [r["metrics"][name]["value"] for r in others]
    if len(values) < 2:
        return False, f"different, and too few seeds to tell how much that is; {text}"
    quantile = need("scipy.stats", "run").t.ppf(0.975, len(values) - 1)
    half = quantile * statistics.stdev(values) * math.sqrt(2)
    where = "within" if (good := abs(now - was) <= half) else "different: outside"
    return good, f"{where} the interval over seeds (± {half:.3g}); {text}"


def _again(record: dict, others: list[dict]) -> tuple[bool, str]:
    """Run a record by the present code, and judge what comes out."""
    task = {"notebook": record["notebook"], "params": record["parameters"], "whole": True}
    try:
        data = runs.checksum(record["notebook"], record["parameters"])
    except UserError as e:
        return False, f"cannot be tried ({e})"
    if data not in record["data"].values():
        return False, f"other data: {data}, recorded {', '.join(record['data'].values())}"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answer.json"
        play(ROOT, [{**task, "out": str(out)}], lambda file: None, errors=None)
        got = json.loads(out.read_text(encoding="utf-8"))
    return (False, f"cannot be tried ({got['error']})") if "error" in got else _verdict(record, others, got)


def reproduce(name: str) -> bool:
    """Run a record again with the present code, say what came out, and return whether it is good."""
    record, others = _named(name)
    print(f"{record['name']}: {status(record)}; it took {record['cost']['wall_s']:.0f} s", flush=True)
    good, text = _again(record, others)
    print(text)
    return good


if __name__ == "__main__":
    _work()
