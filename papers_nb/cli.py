"""The command line: papers_nb list, grid, results, claims, fetch, reproduce."""

import argparse
import json
import os
import re
import shlex
import sys

from papers_nb import __version__, parameters, runs
from papers_nb.errors import UserError, need

__all__ = ["main"]

EXAMPLES = """examples:
  papers_nb list
  papers_nb grid adab2n/train --grid 'norm=bn-separate,bn-joint,adab2n;seed=0,1'
  papers_nb grid adab2n/train --grid 'seed=0..9' -p host er --workers 2
  papers_nb results adab2n
  papers_nb fetch cifar10

exit codes: 0 done, 1 failed, 2 a mistake in the call, 75 held by a live run, 128 + n stopped by signal n
"""


def do_list(args):
    """Papers, notebooks, presets and grids."""
    for paper, about in runs.papers().items():
        print(f"{paper}: {about['title']}")
        for name in (n for n in runs.notebooks() if n.startswith(f"{paper}/")):
            takes = ", ".join(runs.parameters(name))
            print(f"  notebook  papers://{name}.ipynb{f'  takes {takes}' if takes else ''}")
        for name in runs.presets(paper):
            print(f"  preset    papers://{paper}/{name}.yaml")
        for name in runs.presets(paper, "grid:"):
            print(f"  grid      papers_nb grid {paper}/train --grid {name}")


def do_grid(args):
    """Run a grid, or list, show or pick its commands."""
    from papers_nb import grid

    paper = args.notebook.split("/")[0]
    given = {**(parameters.preset(f"{paper}/{args.preset}") if args.preset else {}), **dict(args.p)}
    tasks = grid.tasks(args.notebook, args.grid, given)
    if args.list:
        for t in tasks:
            print(f"mkdir -p {shlex.quote(str(t.folder))} && {shlex.join(t.command(args.fresh))}")
        return 0
    if args.dry_run:
        print("\n".join(f"{t.status():<10}  {t.name}" for t in tasks))
        return 0
    if args.task is not None:
        if not 0 <= args.task < len(tasks):
            raise UserError(f"--task {args.task}: the grid has runs 0 to {len(tasks) - 1}")
        tasks = [tasks[args.task]]
    gpus = _gpus(args.gpus)
    codes = grid.run(tasks, grid.Local(max(1, args.workers or len(gpus)), gpus), args.fresh)
    _tell(args, tasks, codes)
    return grid.exit_code(codes)


def _tell(args, tasks, codes):
    """What a grid leaves: a table, where things lie, and how to go on."""
    from papers_nb.core.results import against_records, summary

    done = [t for t in tasks if codes.get(t.name) == 0]
    asked = [t for t in done if t.asked["notebook"] == args.notebook]  # not what these follow
    records = [runs.read_record(t.folder / "record.json") for t in asked]
    print(f"\n{against_records(records) or summary(records)}" if records else "\nno run is done")
    print(f"\nexecuted notebooks, logs and records lie in the folders of {tasks[0].folder.parent}")
    if args.html and done and (source := done[0].folder / "run.ipynb").exists():
        page = need("nbconvert", "run").HTMLExporter(exclude_raw=True).from_filename(str(source))[0]
        source.with_suffix(".html").write_text(page, encoding="utf-8")
        print(f"one of them as HTML: {source.with_suffix('.html')}")
    if left := len(tasks) - len(done):
        again = shlex.join(["papers_nb", *sys.argv[1:]])
        print(f"{left} of {len(tasks)} runs are not done; to go on with them: {again}", file=sys.stderr)


def _gpus(text):
    """`0-3` or `0,2` as a list of device numbers."""
    if text and not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise UserError(f"--gpus {text!r}: device numbers such as 0-3 or 0,2")
    spans = [part.split("-") for part in text.split(",")] if text else []
    return [str(i) for span in spans for i in range(int(span[0]), int(span[-1]) + 1)]


def _paper(name):
    """The name of a paper; raises `UserError` listing them."""
    if name not in (known := runs.papers()):
        raise UserError(f"no paper {name!r}; there are {', '.join(known)}")
    return name


def do_results(args):
    """Tables over the records of a paper."""
    from papers_nb.core.results import summary

    records = runs.records(_paper(args.paper))
    for name in sorted({r["notebook"] for r in records}):
        print(f"{name}\n\n{summary([r for r in records if r['notebook'] == name])}\n")
    if not records:
        print(f"no records of {args.paper}; start with: papers_nb list")


def do_claims(args):
    """The ledger of claims; with --run its pages are executed and compared."""
    from papers_nb.core.checks import ledger, rerun, tally

    wanted = f"{_paper(args.paper)}/" if args.paper else ""
    pages = {n: p for n, p in runs.notebooks().items() if n.startswith(wanted)}
    found, (problems, fresh) = ledger(pages), rerun(pages, args.hunt) if args.run else ([], [])
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    for c in found if not args.json else ():
        t, by = tally([c]), ", ".join(c["runs"]) or "theory"
        counts = f"{t['checks']} checks, {t['points']} points, {t['edits']} edits, {by}"
        print(f"{c['id']}  ({c['page']}, {counts}): {c['statement']}")
    if not found and not args.json:
        print("no claims are stored in the packaged notebooks")
    for made, h in ((c, h) for c in fresh if args.hunt for h in c["hunts"]):
        counts = f"{h['points']} points, size {h['size']}, widest gap {h['closest']:.2g} of what is allowed"
        print(f"hunted {made['id']}: {counts}, at {h['at']}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


def do_fetch(args):
    """Fill the cache with a data set."""
    from papers_nb.core.files import find

    found = find("", args.dataset)
    print("\n".join(map(str, found.fetch())) or f"{found.card.title} {found.card.obtain}; nothing to fetch")


def do_reproduce(args):
    """Run a record again with the present code; exit code 1 if it comes out different."""
    from papers_nb.core.replay import reproduce

    return int(not reproduce(args.record))


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    about = "Five papers as notebooks: list them, run them in grids, read their results."
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("papers_nb", description=about, epilog=EXAMPLES, formatter_class=raw)
    top.add_argument("--version", action="version", version=__version__)
    sub = top.add_subparsers(required=True, metavar="command")

    def command(name, do, **kw):
        """A subcommand that calls `do`, with its docstring as help."""
        p = sub.add_parser(name, help=do.__doc__, description=do.__doc__, formatter_class=raw, **kw)
        p.set_defaults(do=do)
        return p

    command("list", do_list)
    g = command("grid", do_grid, epilog=EXAMPLES)
    g.add_argument("notebook", help="numberless name, such as adab2n/train")
    g.add_argument("--grid", default="", help="'norm=bn-joint,adab2n;seed=0..9', or a grid of settings.ini")
    g.add_argument("--preset", help="a preset of the paper, for all runs")
    g.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="for all runs")
    g.add_argument("--workers", type=int, help="runs at once (default: one, or one a GPU)")
    g.add_argument("--gpus", help="device numbers, 0-3 or 0,2; each run sees one")
    g.add_argument("--fresh", action="store_true", help="what other code finished is kept aside and run anew")
    g.add_argument("--html", action="store_true", help="also write one executed notebook as HTML")
    only = g.add_mutually_exclusive_group()
    only.add_argument("--list", action="store_true", help="print one command a line, for xargs or parallel")
    only.add_argument("--task", type=int, help="run only the N-th of the list, from 0, as a Slurm array does")
    only.add_argument("--dry-run", action="store_true", help="say what would run and what is done")
    command("results", do_results).add_argument("paper")
    c = command("claims", do_claims)
    c.add_argument("paper", nargs="?")
    c.add_argument("--json", action="store_true")
    c.add_argument("--run", action="store_true", help="execute the pages; exit code 1 if a claim fails")
    c.add_argument("--hunt", type=float, default=0.0, help="with --run: seconds more for each hunt")
    command("fetch", do_fetch).add_argument("dataset")
    command("reproduce", do_reproduce).add_argument("record", help="its name, or a part that no other has")
    return top


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parser().parse_args(argv)
    try:
        return args.do(args) or 0
    except UserError as e:
        print(f"papers_nb: {e}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
