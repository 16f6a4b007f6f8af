"""The command line: papers_nb list, grid, results, claims, fetch."""
import argparse
import json
import os
import re
import shlex
import sys

from papers_nb import __version__, runs
from papers_nb.errors import UserError, need

__all__ = ["main"]

PAPERS = {"adab2n": "Balance and adaptation of batch norm in continual learning (AdaB²N)", "lirdrec": "Recommendation from multimodal features, and BPR's gradient bias (LIRDRec)"}
EXAMPLES = """examples:
  papers_nb list
  papers_nb grid adab2n/train --grid 'norm=bn-separate,bn-joint,adab2n;seed=0,1'
  papers_nb grid adab2n/train --grid 'seed=0..9' -p host er --workers 2
  papers_nb results adab2n
  papers_nb fetch cifar10
"""


def do_list(args):
    """Papers, notebooks, presets and grids."""
    for paper, title in PAPERS.items():
        lines = [f"  notebook  papers://{n}.ipynb" + (f"  takes {', '.join(takes)}" if (takes := runs.parameters(n)) else "") for n in runs.notebooks() if n.startswith(f"{paper}/")]
        lines += [f"  preset    papers://{paper}/{name}.yaml" for name in runs.presets(paper)]
        lines += [f"  grid      papers_nb grid {paper}/train --grid {name}" for name in runs.presets(paper, "grid:")]
        print(f"{paper}: {title}", *lines, sep="\n")


def do_grid(args):
    """Run a grid, or list, show or pick its commands."""
    from papers_nb import grid
    from papers_nb.core.stats import summary
    given = {**(runs.preset(f"{args.notebook.split('/')[0]}/{args.preset}") if args.preset else {}), **dict(args.p)}
    tasks = grid.tasks(args.notebook, args.grid, given)
    if args.list:
        return print("\n".join(f"mkdir -p {shlex.quote(str(t.folder))} && {shlex.join(t.command(args.fresh))}" for t in tasks))
    if args.dry_run:
        return print("\n".join(f"{t.status():<10}  {t.name}" for t in tasks))
    if args.task is not None:
        if not 0 <= args.task < len(tasks):
            raise UserError(f"--task {args.task}: the grid has runs 0 to {len(tasks) - 1}")
        tasks = [tasks[args.task]]
    gpus = _gpus(args.gpus)
    failed = grid.run(tasks, max(1, args.workers or len(gpus)), gpus, args.fresh)
    records = [r for t in tasks if t not in failed and (r := runs.read_record(t.folder / "record.json"))]
    print(f"\n{summary(records, list(records[0]['metrics'])[:3] if records else None)}\n\nexecuted notebooks and records: run.ipynb and record.json in each folder of {tasks[0].folder.parent}")
    if args.html and records and (source := tasks[0].folder / "run.ipynb").exists():
        source.with_suffix(".html").write_text(need("nbconvert", "dev").HTMLExporter(exclude_raw=True).from_filename(str(source))[0], encoding="utf-8")
        print(f"one of them as HTML: {source.with_suffix('.html')}")
    if failed:
        print(f"{len(failed)} of {len(tasks)} runs failed; to retry them: {shlex.join(['papers_nb', *sys.argv[1:]])}", file=sys.stderr)
    return int(bool(failed))


def _gpus(text):
    """`0-3` or `0,2` as a list of device numbers."""
    if text and not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise UserError(f"--gpus {text!r}: device numbers such as 0-3 or 0,2")
    spans = [part.split("-") for part in text.split(",")] if text else []
    return [str(i) for span in spans for i in range(int(span[0]), int(span[-1]) + 1)]


def do_results(args):
    """Tables over the records of a paper."""
    from papers_nb.core.stats import summary
    records = runs.records(args.paper)
    for name in sorted({r["notebook"] for r in records}):
        print(f"{name}\n\n{summary([r for r in records if r['notebook'] == name])}\n")
    print("" if records else f"no records of {args.paper}; start with: papers_nb list")


def do_claims(args):
    """The ledger of claims; with --run its pages are executed and compared."""
    from papers_nb.core.checks import ledger, rerun
    pages = {n: p for n, p in runs.notebooks().items() if not args.paper or n.startswith(f"{args.paper}/")}
    found, problems = ledger(pages), rerun(pages) if args.run else []
    text = "\n".join(f"{c['id']}  ({c['page']}, {len(c['checks'])} checks, {len(c['mutants'])} mutants): {c['statement']}" for c in found)
    print(json.dumps(found, indent=1, ensure_ascii=False) if args.json else text or "no claims are stored in the packaged notebooks")
    print("\n".join(problems), end="\n" if problems else "", file=sys.stderr)
    return int(bool(problems))


def do_fetch(args):
    """Fill the cache with a data set."""
    from papers_nb.core import images
    card, files = images.card(args.dataset), images.fetch(args.dataset)
    print("\n".join(map(str, files)) or f"{card.title} comes with scikit-learn; nothing to fetch")


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    top = argparse.ArgumentParser("papers_nb", description="Five papers as notebooks: list them, run them in grids, read their results.",
                                  epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--version", action="version", version=__version__)
    sub = top.add_subparsers(required=True, metavar="command")

    def command(name, do, **kw):
        """A subcommand that calls `do`, with its docstring as help."""
        p = sub.add_parser(name, help=do.__doc__, description=do.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, **kw)
        p.set_defaults(do=do)
        return p
    command("list", do_list)
    g = command("grid", do_grid, epilog=EXAMPLES)
    g.add_argument("notebook", help="numberless name, such as adab2n/train")
    g.add_argument("--grid", default="", help="'norm=bn-joint,adab2n;seed=0..9', or the name of a grid in settings.ini")
    g.add_argument("--preset", help="a preset of the paper, for all runs")
    g.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter for all runs")
    g.add_argument("--workers", type=int, help="runs at once (default: one, or one a GPU)")
    g.add_argument("--gpus", help="device numbers, 0-3 or 0,2; each run sees one")
    g.add_argument("--fresh", action="store_true", help="what the present code has not finished is kept aside and started anew")
    g.add_argument("--html", action="store_true", help="also write one executed notebook as HTML")
    only = g.add_mutually_exclusive_group()
    only.add_argument("--list", action="store_true", help="print one command a line, for xargs, parallel or make")
    only.add_argument("--task", type=int, help="run only the N-th, from 0, as a Slurm array does")
    only.add_argument("--dry-run", action="store_true", help="say what would run and what is done")
    command("results", do_results).add_argument("paper", choices=PAPERS)
    c = command("claims", do_claims)
    c.add_argument("paper", nargs="?", choices=PAPERS)
    c.add_argument("--json", action="store_true")
    c.add_argument("--run", action="store_true", help="execute the pages; exit code 1 if a claim no longer holds")
    command("fetch", do_fetch).add_argument("dataset")
    return top


def main(argv: list[str] | None = None) -> int:
    """Entry point; 0: done, 1: something failed, 2: a mistake in the call."""
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
