"""What must hold for every page: each rule returns one line a fault, naming the page and the reason."""

import filecmp
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import yaml
from build import HERE, ROOT, directives, formulas, menu, text_of, texts
from contents import llms as listing
from contents import title
from pages import sources

STOCK = "No description has been provided for this image"
LIMIT = 2_000_000
VIEWS = [[1280, ["light", "dark"]], [390, ["dark", "light"]]]
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def notebooks(root=ROOT):
    """(name, notebook) of every page."""
    return [(p.relative_to(root / "nbs").as_posix(), nbformat.read(p, 4)) for p in sources(root)]


def sidebar(root=ROOT):
    """The sidebar names every notebook once and nothing else, and the files that _quarto.yml names exist."""
    try:
        config = yaml.safe_load((root / "_quarto.yml").read_text())
        named = [name for _, names in menu(root) for name in names]
        website, project = config["website"], config["project"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        return [f"_quarto.yml: does not parse: {str(error).splitlines()[0]}"]
    exist = [name for name, _ in notebooks(root)]
    files = [website.get("favicon"), *project.get("resources", []), *config.get("metadata-files", [])]
    twice = sorted({n for n in named if named.count(n) > 1})
    return [
        *(f"nbs/sidebar.yml: names {n}, which is no page" for n in named if n not in exist),
        *(f"nbs/sidebar.yml: lacks {n}" for n in exist if n not in named),
        *(f"nbs/sidebar.yml: names {n} twice" for n in twice),
        *(f"_quarto.yml: {f} is not below nbs/" for f in files if f and not (root / "nbs" / f).exists()),
    ]


def processed(folder):
    """Every page that nbdev processed for Quarto has front matter that parses and holds a title."""
    found = []
    for page in sorted(folder.rglob("*.ipynb")):
        cells = json.loads(page.read_text())["cells"]
        first = text_of(cells[0]["source"]).strip() if cells else ""
        try:
            matter = yaml.safe_load(first.strip("-\n")) if first.startswith("---") else {}
            if not (isinstance(matter, dict) and matter.get("title")):
                found.append(f"{page.relative_to(folder)}: no title after nbdev's processing")
        except yaml.YAMLError as error:
            found.append(
                f"{page.relative_to(folder)}: front matter does not parse: {str(error).splitlines()[0]}"
            )
    return found


def titles(root=ROOT):
    """Every page has a title."""
    return [f"{p.relative_to(root / 'nbs')}: no title" for p in sources(root) if not title(p)]


def tex(root=ROOT):
    """Strict KaTeX takes every formula."""
    asked = [{"page": name, "tex": t, "display": d} for name, nb in notebooks(root) for t, d in formulas(nb)]
    return node("katex.mjs", asked)


def node(script, data):
    """Run one of the scripts beside this file; JSON in, JSON out."""
    done = subprocess.run(
        ["node", str(HERE / script)], input=json.dumps(data), capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{script} failed: {done.stderr.strip()[-800:]}")
    return json.loads(done.stdout)


def poor(alt):
    """Why an alternative text says nothing, or ''."""
    if STOCK.lower() in alt.lower():
        return "the renderer's stock sentence as alternative text"
    return (
        ""
        if len(alt.split()) >= 8
        else f"an alternative text of {len(alt.split())} words ({alt!r}); say in at least 8 what it shows"
    )


def pictures(cell):
    """True for a code cell whose stored outputs hold a picture or a slider figure."""
    data = [o.get("data", {}) for o in cell.get("outputs", [])]
    return any(k.startswith("image/") for d in data for k in d) or any("<img" in t for t in texts(cell))


def alts(root=ROOT):
    """Every figure that code made says what it shows, in a quoted `fig-alt` or in its own `alt`."""
    found = []
    for name, nb in notebooks(root):
        for number, cell in enumerate(nb.cells):
            if cell.cell_type == "code" and pictures(cell):
                line = re.search(r"^#\|[ \t]*fig-alt:[ \t]*(.*)$", cell.source, re.M)
                own = re.search(r'<img\b[^>]*\balt="([^"]*)"', "".join(texts(cell)))
                if line and not re.fullmatch(r"(\"[^\"]*\"|'[^']*')\s*", line[1]):
                    found.append(f"{name}: cell {number}: put the fig-alt in quotes, it is YAML")
                elif why := poor(directives(cell.source).get("fig-alt", own[1] if own else "")):
                    found.append(f"{name}: cell {number}: {why}")
    return found


def tables_as_html(root=ROOT):
    """No stored HTML output that brings scripts from outside into Quarto's page."""
    return [
        f"{name}: a text/html output makes Quarto load scripts from an outside host; show Markdown instead"
        for name, nb in notebooks(root)
        for c in nb.cells
        for o in c.get("outputs", [])
        if "text/html" in o.get("data", {})
    ]


class Page(HTMLParser):
    """What one HTML page offers and asks for."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.files, self.images, self.code, self.inside = set(), [], [], [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        a = {k: v or "" for k, v in attrs}
        self.inside = tag if tag in ("script", "style") else ""
        self.ids |= {a[k] for k in ("id", "name") if k in a and tag != "meta"}
        if tag == "a" and "href" in a:
            self.links.append(a["href"])
        if tag == "img":
            self.images.append(a.get("alt", ""))
        self.files += [a[k] for k in ("src", "data", "poster") if k in a] + (
            [a["href"]] if tag in ("link", "image", "use") and "href" in a else []
        )
        self.files += re.findall(r"(\S+)(?: [\d.]+[xw])?(?:,|$)", a.get("srcset", ""))
        self.code += f"{a.get('style', '')};"

    def handle_data(self, data):
        if self.inside:
            self.code += data

    def handle_endtag(self, tag):
        self.inside = ""


FAR = re.compile(r"""(?:url\(|@import|import\(?|from|fetch\(|\bsrc\s*=)\s*["']?((?:https?:)?//[^\s"')]+)""")


@functools.cache
def read(out):
    """Every built page, parsed."""
    return {
        p.relative_to(out).as_posix(): Page(p.read_text())
        for p in sorted(out.rglob("*.html"))
        if "assets" not in p.relative_to(out).parts[:1]
    }


def links(out):
    """Relative links lead to pages and files that exist, and to anchors that the target has."""
    parsed, found = read(out), []
    for name, page in parsed.items():
        for link in dict.fromkeys(page.links + page.files):
            if re.match(r"[a-z]+:|//", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            to = os.path.normpath(Path(name).parent / path) if path else name
            if not (out / to).is_file():
                found.append(f"{name}: {link} does not exist")
            elif anchor and to in parsed and anchor not in parsed[to].ids:
                found.append(f"{name}: {to} has no #{anchor}")
    return found


def references(out):
    """Every @fig-, @tbl- and @eq- reference has its label on the same page."""
    return [
        f"{p.relative_to(out)}: @{label} has no label on this page"
        for p in sorted(out.rglob("*.html"))
        for label in dict.fromkeys(re.findall(r"\?@([\w-]+)", p.read_text()))
    ]


def images(out):
    """Images have an alternative text that says something."""
    return [
        f"{name}: {why}"
        for name, page in read(out).items()
        for why in dict.fromkeys(poor(alt) for alt in page.images)
        if why
    ]


def outside(out, root=ROOT):
    """Nothing that a page or its styles load comes from another host."""
    asks = {
        name: [f for f in page.files if re.match(r"(https?:)?//", f)] + FAR.findall(page.code)
        for name, page in read(out).items()
    }
    styles = [
        p
        for p in (root / "nbs/assets").rglob("*")
        if p.suffix in (".css", ".scss", ".js", ".html") and "katex" not in p.parts
    ]
    asks.update({p.relative_to(root).as_posix(): FAR.findall(p.read_text()) for p in styles})
    return [
        f"{name}: loads {address} from an outside host"
        for name, found in asks.items()
        for address in dict.fromkeys(found)
    ]


def weight(out):
    """A page and its own pictures stay under 2 MB."""
    found = []
    for name, page in read(out).items():
        files = {out / name} | {
            (out / name).parent / unquote(f) for f in page.files if not re.match(r"[a-z]+:|//", f)
        }
        own = [f for f in files if f.is_file() and f.suffix not in (".css", ".js")]
        if (size := sum(f.stat().st_size for f in own)) > LIMIT:
            found.append(f"{name}: {size / 1e6:.1f} MB, more than {LIMIT / 1e6:.0f} MB")
    return found


def llms(root=ROOT):
    """nbs/llms.txt lists every page in the order of the sidebar."""
    file = root / "nbs/llms.txt"
    same = file.exists() and file.read_text() == listing(menu(root), root)
    return [] if same else ["nbs/llms.txt: out of date; make sync"]


def katex_is_the_pinned_one(root=ROOT, update=False):
    """The KaTeX of the site is the one that package.json pins; `update` copies it."""
    package, here = HERE / "node_modules/katex", root / "nbs/assets/katex"
    files = {
        "LICENSE": package / "LICENSE",
        **{n: package / "dist" / n for n in ("katex.min.js", "katex.min.css")},
        **{f"fonts/{f.name}": f for f in (package / "dist/fonts").glob("*.woff2")},
    }
    for name, file in files.items() if update else ():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, here / name)
    return [
        f"nbs/assets/katex/{n}: not the pinned one; python tests/site/check.py --write"
        for n, f in files.items()
        if not (here / n).is_file() or not filecmp.cmp(f, here / n, shallow=False)
    ]


def find_browser():
    """A Chromium to drive: $CHROMIUM, or one that is installed."""
    return next(
        (found for b in (os.environ.get("CHROMIUM"), *BROWSERS) if b and (found := shutil.which(b))), None
    )


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files, without a line for each."""

    def log_message(self, *args):
        pass


def browse(out, pages, views=VIEWS, shots=None):
    """Open the pages in Chromium; equal findings of several views are one line."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(out)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = f"http://127.0.0.1:{server.server_port}/"
    asked = {"browser": find_browser(), "site": site, "pages": pages, "views": views, "shots": shots}
    said, where = node("browser.mjs", asked), {}
    server.shutdown()
    for why, view in said:
        where.setdefault(why, {})[view] = True
    count = sum(len(schemes) for _, schemes in views)
    return [
        f"{why} [{'all views' if len(seen) == count else ', '.join(seen)}]" for why, seen in where.items()
    ]
