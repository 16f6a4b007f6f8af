"""`make docs`: every page as nbdev hands it to Quarto and as HTML, and the rules that each must keep;
first, that each rule notices its planted fault.

`--shots FOLDER` keeps a picture of every page in every view, `--write` copies the pinned KaTeX to nbs/assets,
`--quick` leaves the planted faults out."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import faults
import rules
from build import HERE, ROOT, build


def missing():
    """One line naming what this machine lacks, or ''."""
    if not shutil.which("node") or not shutil.which("npm"):
        return "make docs needs node 20 or newer and npm (https://nodejs.org)"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    if int(re.match(r"v(\d+)", version)[1]) < 20:
        return f"make docs needs node 20 or newer; this is {version}"
    return (
        ""
        if rules.find_browser()
        else "make docs needs Chromium: apt-get install chromium, or name one in $CHROMIUM"
    )


def install():
    """What package-lock.json pins, if it is not there yet."""
    lock, done = HERE / "package-lock.json", HERE / "node_modules/.package-lock.json"
    if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(["npm", "ci", "--silent"], cwd=HERE, check=True)
        done.touch()


def process():
    """The pages as nbdev hands them to Quarto, in _proc; the call that needs no Quarto."""
    code = """if True:
        import functools
        from nbdev import config
        config._load_toml = functools.cache(config._load_toml)  # else nbdev parses pyproject.toml 3,000 times
        from nbdev.quarto import refresh_quarto_yml
        from nbdev.serve import proc_nbs
        refresh_quarto_yml()
        proc_nbs(n_workers=0, force=True)"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    return (
        [f"nbdev: {done.stderr.strip().splitlines()[-1]}"]
        if done.returncode
        else rules.processed(ROOT / "_proc")
    )


def quarto():
    """The site as Quarto renders it, in place of our own pages, where Quarto is at hand."""
    done = subprocess.run(
        [Path(sys.executable).parent / "nbdev-docs"], cwd=ROOT, capture_output=True, text=True
    )
    pages = [p for p in (ROOT / "_docs").rglob("*.html") if "site_libs" not in p.parts]
    found = (
        []
        if done.returncode == 0 and len(pages) >= len(rules.notebooks())
        else [f"quarto: rendered {len(pages)} pages: {done.stderr.strip()[-300:]}"]
    )
    return found + rules.references(ROOT / "_docs")


def told(name, rule):
    """Run one rule, say how it went and how long it took, and return what it found."""
    start = time.time()
    found = rule()
    print(
        f"{'ok  ' if not found else 'FAIL'} {name} ({time.time() - start:.1f} s)",
        *found,
        sep="\n     ",
        flush=True,
    )
    return found


def main(shots=None, quick=False):
    """Every rule on every page; returns all findings."""
    out, found = ROOT / "_docs", []
    if not quick:
        found += told("each rule notices its planted fault", faults.unnoticed)
    found += told("the sidebar names every page", rules.sidebar)
    found += told("nbdev's processed pages have front matter and titles", process)
    for rule in (
        rules.titles,
        rules.tex,
        rules.alts,
        rules.tables_as_html,
        rules.llms,
        rules.katex_is_the_pinned_one,
    ):
        found += told(rule.__doc__.split(";")[0].rstrip("."), rule)
    pages = build(out)
    for rule in (rules.links, rules.references, rules.images, rules.outside, rules.weight):
        found += told(rule.__doc__.rstrip("."), lambda rule=rule: rule(out))
    found += told(
        f"{len(pages)} pages in Chromium, 1280 and 390 px, light and dark",
        lambda: rules.browse(out, pages, shots=shots),
    )
    if shutil.which("quarto"):
        found += told("Quarto's render", quarto)
    else:
        print(
            "not done here, and why:\n     Quarto's render of the site: quarto is not on PATH;"
            " _docs holds the same pages as our own template renders them"
        )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if lack := missing():
        sys.exit(lack)
    install()
    if asked.write:
        sys.exit("\n".join(rules.katex_is_the_pinned_one(update=True)))
    if asked.shots:
        asked.shots.mkdir(parents=True, exist_ok=True)
    findings = main(asked.shots and str(asked.shots.absolute()), asked.quick)
    sys.exit(f"{len(findings)} findings" if findings else 0)
