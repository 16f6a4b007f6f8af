"""What the site lists: its sidebar and llms.txt, from the folders below nbs/ and the papers of settings.ini.

`python tests/contents.py` writes both; `tests/pages.py sync` calls it."""

import json
import re
import sys
import tomllib

import yaml
from pages import ROOT, sources

FIRST = ["index.ipynb", "claims.ipynb", "results.ipynb"]
SHARED = {"core": "Shared parts"}


def cells(page):
    """The cells of a notebook as (kind, source)."""
    return [(c["cell_type"], "".join(c["source"])) for c in json.loads(page.read_text())["cells"]]


def front_matter(page):
    """The YAML at the top of a notebook as a dictionary, from a raw cell between `---` lines."""
    kind, source = next(iter(cells(page)), ("", ""))
    raw = kind == "raw" and source.strip().startswith("---")
    found = yaml.safe_load(source.strip().strip("-\n")) if raw else {}
    return found if isinstance(found, dict) else {}


def heading(page):
    """The first heading of a page and the sentence under it, each '' if there is none."""
    for kind, source in cells(page):
        if kind == "markdown" and (m := re.match(r"# +(.+)(?:\n+> *(.+))?", source)):
            return m[1].strip(), (m[2] or "").strip()
    return "", ""


def title(page):
    """The title of a page: from its front matter, else its first heading; '' if it has none."""
    return str(front_matter(page).get("title", heading(page)[0])).strip()


def target(name):
    """Where a notebook's page lies in the site: the same path without numbers."""
    return re.sub(r"(^|/)\d+_", r"\1", str(name)).removesuffix(".ipynb") + ".html"


def groups(papers, root=ROOT):
    """The pages of the site in order, as (section, names): the first pages, the papers, the shared parts."""
    names = [p.relative_to(root / "nbs").as_posix() for p in sources(root)]
    folders = {"": None, **{key: paper["name"] for key, paper in papers.items()}, **SHARED}
    if lost := sorted({n.rpartition("/")[0] for n in names} - folders.keys()):
        sys.exit(f"nbs/{lost[0]} holds pages, but settings.ini has no section [{lost[0]}]")
    names.sort(key=lambda n: FIRST.index(n) if n in FIRST else len(FIRST))
    return [
        (section, [n for n in names if n.rpartition("/")[0] == folder]) for folder, section in folders.items()
    ]


def sidebar(pages):
    """nbs/sidebar.yml, which _quarto.yml names, for `groups`."""
    lines = ["# made by tests/contents.py", "website:", "  sidebar:", "    contents:"]
    for section, names in pages:
        indent = "      "
        if section:
            lines += [f"      - section: {json.dumps(section, ensure_ascii=False)}", "        contents:"]
            indent = "          "
        lines += [f"{indent}- {name}" for name in names]
    return "\n".join(lines) + "\n"


def llms(pages, root=ROOT):
    """nbs/llms.txt: every page with its address as plain text and its sentence."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    home = project["urls"]["Documentation"]
    lines = [f"# {project['name']}", "", f"> {project['description']}.", ""]
    lines += ["Every page as plain text, formulas as TeX:", ""]
    for name in (n for _, names in pages for n in names):
        page = root / "nbs" / name
        says = heading(page)[1]
        lines.append(f"- [{title(page)}]({home}{target(name)}.md)" + (f": {says}" if says else ""))
    return "\n".join(lines) + "\n"


def write(papers, root=ROOT):
    """Both files, for the papers that `runs.papers()` knows."""
    pages = groups(papers, root)
    (root / "nbs/sidebar.yml").write_text(sidebar(pages))
    (root / "nbs/llms.txt").write_text(llms(pages, root))


if __name__ == "__main__":
    from papers_nb import runs

    write(runs.papers())
