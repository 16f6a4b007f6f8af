"""Training notebooks played as plain scripts, several in one process.

As a script it plays runs with the package of any commit, so its top imports what all of them have."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path

from papers_nb import runs
from papers_nb.errors import UserError

__all__ = ["ALONE", "MORE", "ROOT", "play"]

ROOT = Path(__file__).resolve().parents[1]  # where the package lies
ALONE = {"device": "cpu", "threads": 1, "save_every": 3600.0, "fresh": False}  # how a run is played again
THREADS = {f"{lib}_NUM_THREADS": "1" for lib in ("OMP", "OPENBLAS", "MKL")}
ASIDE = re.compile(r"^(#\| (label:|code-fold|echo: false)|[!%])", re.M)  # what only shows, and shell lines
MORE = 5  # steps that a run is played on after its first evaluation, if not to its end


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
    own = ("record.json", "asked.json")
    made = [f for f in run.folder.iterdir() if f.suffix in (".safetensors", ".npy", ".json")]
    left = [f for f in made if f.name not in own]
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
        print(answer(out, result), file=answers, flush=True)


def answer(out: Path, result: dict) -> Path:
    """Write an answer, so that nobody finds half of it."""
    (part := out.with_suffix(".part")).write_text(json.dumps(result), encoding="utf-8")
    return part.rename(out)


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
            done(answer(Path(rest[0]["out"]), {"error": f"its process ended with {process.returncode}"}))


if __name__ == "__main__":
    _work()
