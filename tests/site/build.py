"""Pages as HTML: notebooks rendered by nbconvert with the template beside it, formulas left for KaTeX."""

import html
import json
import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

import nbformat
import yaml
from jinja2 import pass_environment
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html_mistune
from traitlets.config import Config

sys.path.insert(0, str(Path(__file__).parents[1]))
from contents import target, title
from page_links import links
from pages import ROOT, sources

HERE = Path(__file__).parent
KINDS = {
    "fig": "Figure",
    "tbl": "Table",
    "eq": "Equation",
    "sec": "Section",
    "thm": "Theorem",
    "lem": "Lemma",
    "cor": "Corollary",
    "prp": "Proposition",
    "def": "Definition",
    "exm": "Example",
    "exr": "Exercise",
}
LABEL = rf"(?:{'|'.join(KINDS)})-[\w-]+"
TOKEN = re.compile(
    rf"""
    (?P<code>^[ \t]*(?P<fence>`{{3,}}|~{{3,}})[^\n]*\n.*?^[ \t]*(?P=fence)[ \t]*$
        | (?<!`)(?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`))
  | (?P<raw><!--.*?--> | <(?P<tag>script|style|svg)\b.*?</(?P=tag)>)
  | (?<!\\)\$\$(?P<display>.+?)\$\$(?:[ \t]*\{{\#(?P<label>{LABEL})\}})?
  | (?<![\\$])\$(?=[^\s$])(?P<inline>(?:\\.|[^\\$\n]|\n(?!\s*\n))+?)(?<!\s)\$(?!\d)""",
    re.S | re.M | re.X,
)


def text_of(source):
    """A notebook's text, which may be stored as a list of lines."""
    return source if isinstance(source, str) else "".join(source)


def tokens(text):
    """What the Markdown parser must not touch: code, raw HTML and formulas."""
    return TOKEN.finditer(text)


def texts(cell):
    """Every piece of Markdown of a cell: its source, or what its outputs say as Markdown or text."""
    if cell.cell_type == "markdown":
        return [cell.source]
    return [
        text_of(o.data["text/markdown"])
        for o in cell.get("outputs", [])
        if "text/markdown" in o.get("data", {})
    ]


def formulas(nb):
    """Every formula of a notebook as (TeX, is it displayed)."""
    found = (m for cell in nb.cells for text in texts(cell) for m in tokens(text))
    return [(m["display"] or m["inline"], bool(m["display"])) for m in found if m["display"] or m["inline"]]


def directives(source):
    """The `#| key: value` lines of a cell as a dictionary; a key alone is true."""
    found = {}
    for line in re.findall(r"^#\|[ \t]*(.*)$", source, re.M):
        key, colon, value = line.partition(":")
        found[key.split()[0] if key.split() else ""] = value.strip().strip("\"'") if colon else "true"
    return found


def hidden(options):
    """True for a cell that no reader sees."""
    return (
        any(
            options.get(k) == "true" or (k == "default_exp" and k in options)
            for k in ("hide", "export", "default_exp")
        )
        or options.get("include") == "false"
    )


def slug(text):
    """The identifier that Pandoc gives a heading."""
    text = re.sub(r"<[^>]*>", "", html.unescape(text)).lower()
    text = re.sub(r"\s+", "-", re.sub(r"[^\w\s.-]", "", text).strip())
    return re.sub(r"^[^a-z]+", "", text) or "section"


def labels(nb):
    """Label → what a reference to it reads, numbered by kind in the order of the page."""
    found, count = {}, {}
    for cell in nb.cells:
        own = (
            re.findall(rf"^#\|[ \t]*label:[ \t]*[\"']?({LABEL})", cell.source, re.M)
            if cell.cell_type == "code"
            else []
        )
        for text in [] if cell.cell_type == "raw" else texts(cell):
            own += re.findall(
                rf"\{{[^}}\n]*#({LABEL})[^}}\n]*\}}",
                TOKEN.sub(lambda m: "" if m["code"] or m["raw"] else m[0], text),
            )
        for label in own:
            kind = label.split("-")[0]
            count[kind] = count.get(kind, 0) + 1
            found[label] = f"{KINDS[kind]} {count[kind]}"
    return found


class Text:
    """Markdown to HTML for one page: labels get their numbers, headings their identifiers."""

    def __init__(self, nb):
        self.labels, self.seen = labels(nb), {}

    def __call__(self, text):
        """The HTML of one piece of Markdown."""
        self.kept, self.divs = [], []
        text = TOKEN.sub(self.keep, text)
        text = re.sub(r"^:::+[ \t]*(.*)$", self.div, text, flags=re.M)
        text = re.sub(r"!\[([^\]]*)\]\(([^)\s]+)\)\{([^}]*)\}", self.figure, text)
        text = re.sub(
            rf"^: *(.*?) *\{{#({LABEL})\}} *$",
            lambda m: f'<p class="caption" id="{m[2]}">{self.number(m[2])}: {m[1]}</p>\n',
            text,
            flags=re.M,
        )
        text = re.sub(rf"\[?(-?)(?<![\w.@])@({LABEL})\]?", self.reference, text)
        text = re.sub(r"HELD(\d+)CODE", lambda m: self.kept[int(m[1])], text)
        page = re.sub(r"HELD(\d+)HTML", lambda m: self.kept[int(m[1])], markdown2html_mistune(text))
        page = re.sub(
            r'<h([1-6])[^>]*>(.*?)(?:<a class="anchor-link".*?</a>)?</h\1>', self.heading, page, flags=re.S
        )
        return page.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")

    def keep(self, m):
        """Take one token out of the way of the Markdown parser."""
        tex = m["display"] or m["inline"]
        if tex is None:
            self.kept.append(m[0])
            return f"HELD{len(self.kept) - 1}{'CODE' if m['code'] else 'HTML'}"
        where = f' id="{m["label"]}"' if m["label"] else ""
        tag = rf"\tag{{{self.labels[m['label']].split()[1]}}}" if m["label"] else ""
        kind = "display" if m["display"] else "inline"
        self.kept.append(f'<span class="math {kind}"{where}>{html.escape(tex + tag)}</span>')
        return f"HELD{len(self.kept) - 1}HTML"

    def number(self, label):
        """`Figure 1` for a label of this page."""
        return self.labels.get(label, f"?@{label}")

    def reference(self, m):
        """A reference as a link; one without its label stays visible as Quarto leaves it."""
        text = self.number(m[2])
        return f'<a href="#{m[2]}">{text.split()[-1] if m[1] else text}</a>'

    def div(self, m):
        """A line of colons opens or closes a block."""
        if not m[1]:
            return f"\n\n{self.divs.pop()}\n\n" if self.divs else ""
        words = m[1].strip("{} ")
        where, kind = re.search(r"#([\w-]+)", words), re.search(r"callout-(\w+)", words)
        name = re.search(r'title="([^"]*)"', words)
        name = (
            name[1]
            if name
            else kind[1].capitalize()
            if kind
            else self.labels.get(where[1], "")
            if where
            else ""
        )
        fold = 'collapse="true"' in words
        self.divs.append("</details>" if fold else "</div>")
        style = f"callout {kind[1]}" if kind else " ".join(re.findall(r"\.([\w-]+)", words)) or words
        opening = (
            f'<{"details" if fold else "div"} class="block {style}"'
            + (f' id="{where[1]}"' if where else "")
            + ">"
        )
        head = f"<summary>{name}</summary>" if fold else f'<p class="block-title">{name}</p>' if name else ""
        return f"\n\n{opening}{head}\n\n"

    def figure(self, m):
        """An image with attributes as a figure with its caption."""
        where, alt = re.search(rf"#({LABEL})", m[3]), re.search(r'fig-alt="([^"]*)"', m[3])
        caption = f"{self.number(where[1])}: {m[1]}" if where else m[1]
        anchor = f' id="{where[1]}"' if where else ""
        return (
            f'<figure{anchor}><img src="{m[2]}" alt="{html.escape(alt[1] if alt else m[1])}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )

    def heading(self, m):
        """A heading with Pandoc's identifier, or its own, and a link to itself."""
        own = re.search(r"\s*\{#([\w-]+)[^}]*\}\s*$", m[2])
        text = m[2][: own.start()] if own else m[2]
        where = own[1] if own else slug(text)
        count = self.seen[where] = self.seen.get(where, -1) + 1
        where += f"-{count}" if count else ""
        anchor = (
            ""
            if m[1] == "1"
            else f' <a class="anchor" href="#{where}" aria-label="Link to this section">#</a>'
        )
        return f'<h{m[1]} id="{where}">{text}{anchor}</h{m[1]}>'

    def caption(self, options):
        """The caption of a code cell's figure or table, with its number."""
        label, text = options.get("label", ""), options.get("fig-cap", options.get("tbl-cap", ""))
        text = re.sub(r"^<p>|</p>\s*$", "", self(text).strip()) if text else ""
        return ": ".join(filter(None, (self.number(label) if re.fullmatch(LABEL, label) else "", text)))


def prepare(nb):
    """What readers see of a notebook: no raw and no hidden cells, no directive lines."""
    text = Text(nb)
    nb.cells = [
        c
        for c in nb.cells
        if c.cell_type == "markdown" or (c.cell_type == "code" and not hidden(directives(c.source)))
    ]
    for cell in (c for c in nb.cells if c.cell_type == "code"):
        options = directives(cell.source)
        cell.metadata.site = {
            "caption": text.caption(options),
            "alt": options.get("fig-alt", ""),
            "label": options.get("label", ""),
            "classes": options.get("classes", "").strip("[]").replace(",", " "),
            "fold": options.get("code-fold", "false"),
            "summary": options.get("code-summary", "Code"),
            "table": "tbl-cap" in options,
            "output": options.get("output", "true") != "false" and "hide_output" not in options,
        }
        cell.source = (
            ""
            if options.get("echo") == "false" or "hide_input" in options
            else re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M).strip("\n")
        )
        for out in cell.outputs:
            out.get("data", {}).pop("text/html", None)
    return text


def svg_named(svg, alt):
    """An inline picture that a screen reader can name."""
    return re.sub(
        r"^.*?<svg",
        lambda _: f'<svg role="img" aria-label="{html.escape(alt)}"',
        text_of(svg),
        count=1,
        flags=re.S,
    )


def exporter():
    """nbconvert's HTML exporter with our template; it prefers Markdown and asks for nothing from outside."""
    order = ["text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain"]
    config = Config(
        {
            "NbConvertBase": {"display_data_priority": order},
            "TemplateExporter": {"extra_template_basedirs": [str(HERE)], "template_name": "template"},
        }
    )
    found = HTMLExporter(config=config)
    found.register_filter(
        "as_text", pass_environment(lambda env, text: env.globals["page_text"](text_of(text)))
    )
    found.register_filter("svg_named", svg_named)
    return found


def menu(root=ROOT):
    """The pages in the order of the sidebar, as (section, names)."""
    contents = yaml.safe_load((root / "nbs/sidebar.yml").read_text())["website"]["sidebar"]["contents"]
    first = [item for item in contents if isinstance(item, str)]
    return [("", first), *((item["section"], item["contents"]) for item in contents if item not in first)]


def site(root=ROOT):
    """What all pages say about their site, from _quarto.yml: title, favicon, and what follows the text."""
    website = yaml.safe_load((root / "_quarto.yml").read_text())["website"]
    after = root / "nbs/assets/after.html"
    return {
        "after": after.read_text() if after.exists() else "",
        "site": website["title"],
        "favicon": website.get("favicon", ""),
    }


def addresses(root=ROOT):
    """`owner/repository`, from pyproject.toml."""
    return "/".join(
        tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]["Repository"].split("/")[-2:]
    )


def relink(page, folder, out, root):
    """Point links at the pages made from notebooks, and copy the other files that a page links to."""

    def one(m):
        address, hash, anchor = m[2].partition("#")
        file = Path(os.path.normpath(folder / address))
        if re.match(r"[a-z]+:|//", m[2]) or not address:
            return m[0]
        if address.endswith(".ipynb") and file.is_file():
            return f'{m[1]}="{target(address)}{hash}{anchor}"'
        if file.is_file() and (root / "nbs") in file.parents:
            copy = out / file.relative_to(root / "nbs")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        return m[0]

    return re.sub(r'\b(href|src)="([^"]*)"', one, page)


def linked(pages, here, names):
    """The menu of one page, and what comes before and after it."""
    up = "../" * here.count("/")
    listed = [
        (group, [(names[p], up + target(p), p == here) for p in found if p in names])
        for group, found in pages
    ]
    flat = [item for _, items in listed for item in items]
    at = next((i for i, item in enumerate(flat) if item[2]), None)
    around = [] if at is None else [*zip(["Previous"], flat[at - 1 : at])]
    return listed, around + ([] if at is None else [*zip(["Next"], flat[at + 1 :])])


def build(out, root=ROOT):
    """Write every page into `out`, with styles, script and KaTeX beside them; returns their names."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if (root / "nbs/assets").is_dir():
        shutil.copytree(
            root / "nbs/assets", out / "assets", ignore=shutil.ignore_patterns("*.scss", "after.html")
        )
    for name in ("page.css", "page.js"):
        shutil.copy(HERE / "template" / name, out / name)
    make, about, repository, pages = exporter(), site(root), addresses(root), menu(root)
    names = {p.relative_to(root / "nbs").as_posix(): title(p) for p in sources(root)}
    for name in names:
        page, nb = root / "nbs" / name, nbformat.read(root / "nbs" / name, 4)
        make.environment.globals.update(page_text=prepare(nb))
        listed, around = linked(pages, name, names)
        about |= {"title": names[name], "up": "../" * name.count("/"), "menu": listed, "around": around}
        about["links"] = links(page.relative_to(root).as_posix(), repository)
        body, _ = make.from_notebook_node(nb, about)
        to = out / target(name)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(relink(body, page.parent, out, root))
    return [target(name) for name in names]


if __name__ == "__main__":
    print(json.dumps(build(ROOT / "_docs")))
