"""`make replay`: a record's own commit beside the present code, on this machine, bit by bit.

    python tests/replay.py [--all] [RECORD ...]

For one seed of each setting, or for the records named: whole where the run was short, else some steps past
its first evaluation. The outcome goes into nbs/PAPER/replays.csv as it comes; what a commit did is kept in
.replay/, so that a second time costs one side only."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from papers_nb import player, runs
from papers_nb.core import replay

KEPT = ROOT / ".replay"
WHOLE = 15.0  # seconds: longer runs are not played to their end
COLUMNS = ("record", "code", "present", "instructions", "steps", "outcome", "file", "difference", "why")


def instructions() -> str:
    """What this machine computes with: kernels of torch, of numpy's BLAS, and limits set for others."""
    import torch
    from threadpoolctl import threadpool_info

    cores = {i["architecture"] for i in threadpool_info() if i.get("internal_api") == "openblas"}
    told = [
        f"{k}={os.environ[k]}" for k in ("ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS") if k in os.environ
    ]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *sorted(cores), *told])


def checkout(commit: str, folder: Path) -> Path | None:
    """The files of a commit in a folder; None where the commit is not at hand."""
    got = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True)
    if got.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(got.stdout)) as archive:
        archive.extractall(folder / commit, filter="data")
    return folder / commit


def compare(old: dict, new: dict) -> tuple[str, str]:
    """Outcome and why, of what a commit did and what the present code did; an addition is no difference."""
    if "error" in old:
        return "cannot be tried", old["error"]
    if "error" in new:
        return "differs", new["error"]
    for a, b in zip(old["rows"], new["rows"], strict=False):
        if changed := [k for k in a if a[k] != b.get(k)]:
            return "differs", f"{changed[0]} at step {a['step']}"
    metrics = [
        {k: m["value"] for k, m in (side["record"] or {"metrics": {}})["metrics"].items()}
        for side in (old, new)
    ]
    files = [
        {k: h for k, h in side["files"].items() if not k.endswith(".safetensors")} for side in (old, new)
    ]
    wrong = (
        [f"{len(new['rows'])} steps instead of {len(old['rows'])}"]
        if len(old["rows"]) != len(new["rows"])
        else []
    )
    wrong += [k for (was, now) in (metrics, files) for k in was if was[k] != now.get(k)]
    wrong += ["final weights"] if old["net"] != new["net"] else []
    return ("differs", wrong[0]) if wrong else ("replayed", "")


def against(record: dict, got: dict) -> tuple[str, str]:
    """A run here beside its record: `same bits` or `other bits`, and the difference of the first metric."""
    rows = [r for r in got.get("rows", []) if "loss" in r]
    same = [r["loss"] for r in rows[:20]] == record["first_losses"][: len(rows)]
    if not got.get("record"):
        return ("same bits" if same else "other bits") if rows else "", ""
    same &= all(
        got["record"]["metrics"].get(k, {}).get("value") == m["value"] for k, m in record["metrics"].items()
    )
    first = next(iter(record["metrics"]))
    return (
        "same bits" if same else "other bits",
        f"{got['record']['metrics'][first]['value'] - record['metrics'][first]['value']:.6g}",
    )


def write(paper: str, row: dict) -> None:
    """Put a row into the paper's table, in place of what it said before of this record on this machine."""
    names = {r["name"] for r in runs.kept(paper)}
    key = lambda r: (r["record"], r["instructions"])
    found = [r for r in replay.rows(paper) if r["record"] in names and key(r) != key(row)]
    lines = [
        ",".join(COLUMNS),
        *(",".join(str(r[c]).replace(",", ";") for c in COLUMNS) for r in sorted([*found, row], key=key)),
    ]
    part = (file := runs.NOTEBOOKS / paper / "replays.csv").with_suffix(".part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.rename(file)


def chosen(names: list[str]) -> list[dict]:
    """The records named, or that of the smallest seed of each setting; short ones first."""
    found = [r for paper in runs.papers() for r in runs.records(paper, here=False)]
    if names:
        found = [r for r in found if any(n in r["name"] for n in names)]
    else:
        found = list({replay.setting(r): r for r in sorted(found, key=lambda r: -r["seed"])}.values())
    return sorted(
        found, key=lambda r: (r["cost"]["wall_s"] > WHOLE, r["parameters"]["data"], r["cost"]["wall_s"])
    )


def main(names: list[str], everything: bool = False) -> int:
    """Replay; the exit code says whether anything differs."""
    machine, differs, turn = instructions(), [], threading.Lock()
    todo = {}
    for record in chosen(names):
        paper, code = record["notebook"].split("/")[0], replay.present(replay.setting(record))
        key = (record["name"], code, machine)
        if everything or key not in {
            (r["record"], r["present"], r["instructions"]) for r in replay.rows(paper)
        }:
            todo[record["name"].replace("/", "_")] = (record, paper, code)
    print(f"{len(todo)} settings to replay on {machine}", flush=True)
    raw = {r["name"]: r for p in {p for _, p, _ in todo.values()} for r in runs.kept(p)}
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        old, new, sides = {}, {}, {ROOT: []}
        for name, (record, _, _) in todo.items():
            commit, whole = record["environment"]["commit"], record["cost"]["wall_s"] <= WHOLE
            own = {
                "notebook": record["notebook"],
                "params": raw[record["name"]]["parameters"],
                "whole": whole,
            }
            digest = hashlib.sha256(
                json.dumps([commit, own, machine, sys.version, player.MORE], sort_keys=True).encode()
            )
            old[name], new[name] = (
                KEPT / f"{name}-{digest.hexdigest()[:12]}.json",
                Path(folder) / f"{name}.json",
            )
            sides[ROOT].append({**own, "params": record["parameters"], "out": str(new[name])})
            if not old[name].exists():
                sides.setdefault(commit, []).append({**own, "out": str(old[name])})

        def done(file: Path) -> None:
            """When both sides are there, compare them and write the row."""
            name = file.stem if file.parent != KEPT else file.stem.rsplit("-", 1)[0]
            with turn:
                if not (old[name].exists() and new[name].exists()) or name not in todo:
                    return
                (record, paper, code), (was, now) = (
                    todo.pop(name),
                    (json.loads(f[name].read_text()) for f in (old, new)),
                )
                if "error" in was:
                    old[name].unlink()
                (outcome, why), (same, gap) = compare(was, now), against(record, was)
                row = dict(
                    zip(
                        COLUMNS,
                        (
                            record["name"],
                            record["code"],
                            code,
                            machine,
                            len(was.get("rows", [])),
                            outcome,
                            same,
                            gap,
                            why,
                        ),
                        strict=True,
                    )
                )
                write(paper, row)
                differs.extend([name] if outcome == "differs" else [])
                print(f"{len(todo):4} left  {record['name']}  {outcome}  {why}", flush=True)

        def side(root: Path | str, tasks: list[dict]) -> None:
            """Play one side; a commit that is not at hand answers by an error."""
            place = root if root == ROOT else checkout(root, Path(folder))
            for task in tasks if place is None else []:
                gone = {"error": f"commit {root[:7]} is not at hand"}
                done(player.answer(Path(task["out"]), gone))
            if place:
                player.play(place, tasks, done)

        mine = sides.pop(ROOT)
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(side, *s) for s in (*sides.items(), (ROOT, mine[::2]), (ROOT, mine[1::2]))]
        for job in jobs:
            job.result()
    print(f"{len(differs)} differ" + "".join(f"\n  {n}" for n in differs))
    return int(bool(differs))


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(main([g for g in given if g != "--all"], "--all" in given))
