"""Pages as files: run them, clean them, export them, write their twins, and hold stored outputs against fresh ones.

`python tests/pages.py page adab2n/layer` does it for one page, `refresh` for all, `sync` writes every generated file anew,
`gate` runs a copy of every page and compares, `bench` runs the benchmarks,
`records adab2n` keeps the finished runs below the run root as the records of a paper."""
import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(os.environ.get("PAPERS_NB_ROOT", Path(__file__).parents[1])).absolute()
BIN = Path(sys.executable).parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
INTEGER = re.compile(r"[-+]?[\d,]+")
NOISE = re.compile(r"0x[0-9a-f]{6,}")
CLAIM, FIGURE = "application/vnd.papers_nb.claim+json", "application/vnd.papers_nb.figure+json"


def sources(root=ROOT):
    """Every notebook that is a source, in order."""
    return [p for p in sorted((root / "nbs").rglob("*.ipynb")) if not any(x[0] in "._" or x == "runs" for x in p.relative_to(root).parts)]


def find(name, root=ROOT):
    """The page called `name`, with or without its number."""
    for page in sources(root):
        short = re.sub(r"(^|/)\d+_", r"\1", page.relative_to(root / "nbs").with_suffix("").as_posix())
        if name in (short, page.relative_to(root / "nbs").with_suffix("").as_posix()):
            return page
    sys.exit(f"no page {name!r}; there are {', '.join(p.relative_to(root / 'nbs').with_suffix('').as_posix() for p in sources(root))}")


def exports(root=ROOT):
    """Module → the notebooks that export to it, both as paths without suffix."""
    found = {}
    for page in sources(root):
        for cell in json.loads(page.read_text())["cells"]:
            for module in re.findall(r"^#\| default_exp (\S+)", "".join(cell["source"]), re.M):
                found.setdefault(module.replace(".", "/"), []).append(page.name)
    return found


def records(paper, root=ROOT):
    """Keep the finished runs at hand as the records that the site quotes."""
    from papers_nb import runs
    for file in runs.root().glob(f"{paper}-*/*/record.json"):
        if json.loads(file.read_text())["status"] == "done":
            to = root / "nbs" / paper / "records" / f"{file.parent.name}.json"
            to.parent.mkdir(exist_ok=True)
            shutil.copy(file, to)


def twin(page, root=ROOT):
    """The text twin of a page."""
    return (root / "nbs" / "_text" / page.relative_to(root / "nbs")).with_suffix(".py")


def call(*args, root=ROOT, check=True):
    """Run a tool of this environment in `root`."""
    with tempfile.TemporaryDirectory() as runs:
        env = {**os.environ, "PYTHONPATH": str(root), "PAPERS_NB_RUNS": runs, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([str(BIN / args[0]), *map(str, args[1:])], cwd=root, env=env, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"{args[0]} failed:\n{done.stdout}{done.stderr}")
    return done


def trains(page):
    """True for a training or benchmark page, which says so in its front matter and does not run in place."""
    first = json.loads(page.read_text())["cells"][0]
    return page.name[0] in "35" and first["cell_type"] == "raw" and "skip_exec: true" in "".join(first["source"])


def run(page, root=ROOT):
    """Run one page in place and keep its outputs: papermill for trainings, nbdev-test for all others."""
    if not trains(page):
        return call("nbdev-test", page, "--save", "--n-workers", 0, root=root)
    with tempfile.TemporaryDirectory() as tmp:
        call("papermill", "--engine", "papers", "--no-progress-bar", page, f"{tmp}/out.ipynb", root=root)
        fresh, nb = json.loads(Path(tmp, "out.ipynb").read_text()), json.loads(page.read_text())
        outputs = {"".join(c["source"]): c["outputs"] for c in fresh["cells"] if c["cell_type"] == "code"}
        for cell in nb["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"] = outputs["".join(cell["source"])]
        page.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + "\n")


def tidy(page, root=ROOT):
    """Clean a page, give it a kernel's name, and drop what a progress bar wrote."""
    call("nbdev-clean", "--fname", page, root=root)
    nb = json.loads(page.read_text())
    nb["metadata"]["kernelspec"] = KERNEL
    for cell in nb["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [o for o in cell["outputs"] if o.get("name") != "stderr"]
    page.write_text(json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def sync(root=ROOT):
    """Write every generated file anew: modules, twins, README; what has no source any more goes."""
    for module in (root / "papers_nb").rglob("*.py"):
        if module.read_text().startswith("# AUTOGENERATED"):
            module.unlink()
    call("nbdev-export", root=root)
    pages = sources(root)
    for page in pages:
        tidy(page, root)
    shutil.rmtree(root / "nbs" / "_text", ignore_errors=True)
    twins(pages, root)
    readme(root)


def readme(root=ROOT):
    """README.md from the stored outputs of the home page; its pictures go to nbs/assets."""
    import nbformat
    from nbconvert import MarkdownExporter
    nb = nbformat.read(root / "nbs" / "index.ipynb", as_version=4)
    nb.cells = [c for c in nb.cells if not c.source.startswith("#| hide")]
    nb.metadata.language_info = {"name": "python"}
    for cell in (c for c in nb.cells if c.cell_type == "code"):
        shown = "#| echo: false" not in cell.source
        cell.source = re.sub(r"^#\|.*\n", "", cell.source, flags=re.M) if shown else ""
    text, resources = MarkdownExporter().from_notebook_node(nb, {"unique_key": "readme", "output_files_dir": "nbs/assets"})
    for name, data in resources["outputs"].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    text = re.sub(r"```python\n+```|^[ ]+$", "", text, flags=re.M)
    text = re.sub(r"\]\((?!http|#|nbs/)([^)]+\.ipynb)", r"](nbs/\1", text)
    alt = iter(re.findall(r'^#\| fig-alt: "(.*)"', (root / "nbs/_text/index.py").read_text().replace("# #|", "#|"), re.M))
    text = re.sub(r"!\[png\]", lambda _: f"![{next(alt)}]", text)
    (root / "README.md").write_text("<!-- made from nbs/index.ipynb -->\n" + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n")


def twins(pages, root=ROOT):
    """Write the text twins of `pages`."""
    for page in pages:
        twin(page, root).parent.mkdir(parents=True, exist_ok=True)
    call("jupytext", "--quiet", "--sync", *pages, root=root)


def outputs(page):
    """What the gate compares: for every code cell its source, its tolerance and its outputs as text or data."""
    for cell in json.loads(page.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        source, kept = "".join(cell["source"]), []
        for out in cell["outputs"]:
            data = out.get("data", {})
            if out["output_type"] == "stream" and out["name"] == "stdout":
                kept.append("".join(out["text"]))
            elif CLAIM in data or FIGURE in data:
                kept.append({k: data[k] for k in (CLAIM, FIGURE) if k in data})
            elif text := data.get("text/markdown", data.get("text/plain")):
                kept.append(NOISE.sub("0x", "".join(text)))
        tol = re.search(r"^#\| tol: *(\S+)", source, re.M)
        if kept and re.search(r"^#\| *eval: *false", source, re.M):
            raise SystemExit(f"{page}: a cell with eval: false stores an output that no run made")
        yield source, min(float(tol[1]), .1) if tol else 1e-3, kept


def differs(old, new, tol):
    """Why `new` is not `old`, number by number, or ''."""
    if isinstance(old, dict) and CLAIM in old:
        from papers_nb.core.checks import differences
        return "; ".join(differences(old[CLAIM], new.get(CLAIM) if isinstance(new, dict) else None))
    old, new = (o if isinstance(o, str) else json.dumps(o) for o in (old, new))
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return f"text {old[:120]!r} became {new[:120]!r}"
    for a, b in zip(NUMBER.findall(old), NUMBER.findall(new)):
        x, y = float(a.replace(",", "")), float(b.replace(",", ""))
        if (INTEGER.fullmatch(a) and INTEGER.fullmatch(b) and x != y) or not math.isclose(x, y, rel_tol=tol, abs_tol=1e-12):
            return f"{a} became {b} (tolerance {tol:g}) in {old[:120]!r}"
    return ""


def compare(stored, fresh):
    """Every difference between a stored page and the same page run anew; a page on which nothing is compared is one too."""
    found, compared = [], 0
    for (_, tol, old), (_, _, new) in zip(outputs(stored), outputs(fresh)):
        compared += len(old)
        found += [f"{len(old)} outputs became {len(new)}"] if len(old) != len(new) else filter(None, (differs(o, n, tol) for o, n in zip(old, new)))
    return [f"{stored.name}: {why}" for why in (found if compared else ["no output is stored, so nothing was compared"])]


def copy(to, root=ROOT):
    """A copy of what running a page needs."""
    for name in ("nbs", "papers_nb"):
        shutil.copytree(root / name, to / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "runs", ".ipynb_checkpoints"))
    for name in ("pyproject.toml", "settings.ini", "_quarto.yml", "README.md"):
        if (root / name).exists():
            shutil.copy2(root / name, to / name)
    return to


def gate(pages=None, root=ROOT):
    """Run a copy of the pages that do not train and compare their outputs with the stored ones."""
    with tempfile.TemporaryDirectory() as tmp:
        there = copy(Path(tmp), root)
        pages = [p for p in pages or sources(root) if not trains(p)]
        fresh = {p: there / p.relative_to(root) for p in pages}
        path, workers = (there / "nbs", 2) if len(pages) > 1 else (fresh[pages[0]], 0)
        done = call("nbdev-test", path, "--save", "--n-workers", workers, root=there, check=False)
        if done.returncode:
            return [done.stdout + done.stderr]
        for p in fresh.values():
            tidy(p, there)
        return [why for page, new in fresh.items() for why in compare(page, new)]


def page(name, root=ROOT):
    """One page: run, clean, export, twin, gate."""
    p = find(name, root)
    run(p, root)
    tidy(p, root)
    call("nbdev-export", "--path", p, root=root)
    twins([p], root)
    found = [] if trains(p) else gate([p], root)
    print("\n".join(found) if found else f"{name}: page, module and twin agree")
    return bool(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["page", "refresh", "sync", "gate", "bench", "records"])
    parser.add_argument("name", nargs="?", help="the page, adab2n/layer")
    args = parser.parse_args()
    if args.what == "page":
        sys.exit(page(args.name))
    if args.what == "sync":
        sync()
    elif args.what == "records":
        records(args.name)
    elif args.what == "bench":
        for p in sources():
            if p.name.startswith("5"):
                print(p.stem, flush=True)
                run(p)
                tidy(p)
    elif args.what == "gate":
        found = gate()
        print("\n".join(found) or f"{len([p for p in sources() if not trains(p)])} pages: stored outputs equal fresh ones")
        sys.exit(bool(found))
    else:
        for p in sources():
            run(p)
        sync()


if __name__ == "__main__":
    main()
