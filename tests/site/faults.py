"""Tiny pages with one planted fault each, and what the rule for it must say."""

import json
import shutil
import tempfile
from pathlib import Path

import rules
from build import ROOT, build
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SAYS = "The one dot of this picture is as green as grass."
SLIDER = """<div><svg role="img" aria-label="{a}" width="9" height="9"></svg>
<label>size <input type="range" max="3" {on}></label></div>"""
BLINK = "this.parentElement.previousElementSibling.style.display = this.value % 2 ? 'none' : ''"


def shown(data, source="1"):
    """A code cell with one stored output."""
    return new_code_cell(source, outputs=[new_output("display_data", data)])


def markdown(text):
    """A code cell that showed Markdown."""
    return shown({"text/markdown": text})


# name → (cells after the title, the rule, what it must say)
PLANTED = {
    "formula": (["$x_{1$"], "tex", "KaTeX refuses"),
    "macro": ([markdown(r"$\nonsense$")], "tex", "KaTeX refuses"),
    "target": (["[gone](nowhere.ipynb)"], "links", "nowhere.ipynb does not exist"),
    "file": (["[gone](numbers.csv)"], "links", "numbers.csv does not exist"),
    "anchor": (["[here](#no-such-part)"], "links", "has no #no-such-part"),
    "anchor_elsewhere": (["[there](sound.ipynb#no-such-part)"], "links", "sound.html has no #no-such-part"),
    "image": ([f"![{SAYS}](gone.png)"], "links", "gone.png does not exist"),
    "label": (["See @eq-nowhere."], "references", "@eq-nowhere has no label"),
    "figure_label": (["See @fig-nowhere."], "references", "@fig-nowhere has no label"),
    "alt": ([shown({"image/png": PIXEL})], "alts", "of 0 words"),
    "short_alt": ([shown({"image/png": PIXEL}, '#| fig-alt: "A dot."\n1')], "alts", "of 2 words"),
    "bare_alt": ([shown({"image/png": PIXEL}, f"#| fig-alt: {SAYS}\n1")], "alts", "in quotes"),
    "stock_alt": ([shown({"image/png": PIXEL}, f'#| fig-alt: "{rules.STOCK}"\n1')], "alts", "stock sentence"),
    "slider_alt": ([markdown(f'<div><img src="data:image/png;base64,{PIXEL}"></div>')], "alts", "of 0 words"),
    "markdown_alt": (["![A dot.](dot.png)"], "images", "of 2 words"),
    "script": (
        ['<script src="https://cdn.example/x.js"></script>'],
        "outside",
        "loads https://cdn.example/x.js",
    ),
    "style": (
        ["<style>p { background: url(//cdn.example/x.png) }</style>"],
        "outside",
        "loads //cdn.example/x.png",
    ),
    "picture": (
        [f'<img src="https://cdn.example/x.png" alt="{SAYS}">'],
        "outside",
        "loads https://cdn.example/x.png",
    ),
    "html_output": (
        [shown({"text/html": "<b>1</b>", "text/plain": "1"})],
        "tables_as_html",
        "text/html output",
    ),
    "heavy": ([f"<!-- {'x' * 2_000_001} -->"], "weight", "more than 2 MB"),
}
TABLE = shown({"text/markdown": "| a | b |\n|---|---|\n| 10 | x |\n| 9.5 | y |"}, "#| classes: sortable\n1")
LONG = f"${'x+' * 5}\\text{{{'long' * 30}}}$"
DIM = "<style>@media ({}) {{ #dim {{ {} }} }}</style><p id='dim'>dim</p>"
DARK = "prefers-color-scheme: dark"
NONE = "addEventListener('load', () => document.querySelectorAll('th button').forEach(b => b.remove()))"
# for the browser, several faults on a page: name → [(cell, what must be said)]
CROWDED = {
    "noisy": [
        ('<div style="width: 60rem">wide</div>', "wider than the screen: 976 px because of <div>"),
        ("<script>console.error('broken')</script>", "console error: broken"),
        (
            "<script>fetch('https://' + 'cdn.example/x').catch(() => 0)</script>",
            "asks an outside host: https://cdn",
        ),
        ("<script>new Image().src = 'lost' + '.png'</script>", "failed request (404): lost.png"),
        (
            DIM.format(DARK, "color: #222"),
            'first <p id="dim">dim</p> (Element has insufficient color contrast of 1.1',
        ),
    ],
    "stiff": [
        (LONG, "wider than the screen"),
        ("<script>nonsense()</script>", "console error: nonsense"),
        ('<p style="color: #999; background: #aaa">faint</p>', "axe: color-contrast"),
        (markdown(SLIDER.format(a=SAYS, on="")), 'slider "size": an arrow key changes no picture'),
        (TABLE, "no column head that sorts"),
        (f"<script>{NONE}</script>", "no column head that sorts"),
    ],
    "changing": [
        ("<script>document.body.firstElementChild.append(new Image())</script>", "axe: image-alt"),
        (f"<script>if (matchMedia('({DARK})').matches) odd()</script>", "console error: odd"),
        (f"<style>@media ({DARK}) {{ #gone {{ display: none }} }}</style>", "axe: button-name"),
        ("<button><span id='gone'>words</span></button>", "axe: button-name"),
        (DIM.format("max-width: 500px", "color: #aaa; background: #bbb"), "axe: color-contrast"),
    ],
}
SOUND = [
    TABLE,
    r"Sums: $a+b$, `$not maths$`, and $$a=\textcolor{#0072b2}{b}$$ {#eq-sum} and @eq-sum.",
    r"See @fig-dot; it costs 5\$ or 6\$.",
    "## A part {#sec-part}\n\n## Another part, twice?",
    "[One](#sec-part), [other](#another-part-twice), [page](alt.ipynb), [file](dot.png)",
    "[outside](https://example.org)",
    f"![{SAYS}](dot.png){{#fig-dot}}",
    '::: {.callout-note title="Mind"}\nA block with $x$.\n:::',
    shown({"image/png": PIXEL}, f'#| fig-alt: "{SAYS}"\n#| fig-cap: "One dot: $x$."\n#| label: fig-other\n1'),
    markdown(SLIDER.format(a=SAYS, on=f'oninput="{BLINK}"')),
    new_code_cell("#| hide\nsecret"),
    new_code_cell("#| echo: false\nsecret"),
    new_code_cell("#| code-fold: true\nfolded"),
]


def house(root):
    """A house of one sound page and one page a fault."""
    import base64

    (root / "nbs/assets").mkdir(parents=True)
    rules.katex_is_the_pinned_one(root, update=True)
    (root / "nbs/dot.png").write_bytes(base64.b64decode(PIXEL))
    (root / "nbs/assets/icon.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    shutil.copy(ROOT / "nbs/assets/after.html", root / "nbs/assets")
    (root / "nbs/assets/far.scss").write_text('@import url("https://fonts.example/x.css");')
    (root / "pyproject.toml").write_text(
        '[project]\nname = "faults"\ndescription = "Faults"\n[project.urls]\n'
        'Documentation = "https://OWNER.github.io/papers_nb/"\n'
        'Repository = "https://github.com/OWNER/papers_nb"\n'
    )
    pages = {"index": [], "sound": SOUND, **{name: cells for name, (cells, _, _) in PLANTED.items()}}
    pages |= {name: [cell for cell, _ in faults] for name, faults in CROWDED.items()}
    for name, cells in pages.items():
        cells = [new_markdown_cell(c) if isinstance(c, str) else c for c in (f"# The page {name}", *cells)]
        (root / f"nbs/{name}.ipynb").write_text(json.dumps(new_notebook(cells=cells)))
    (root / "nbs/untitled.ipynb").write_text(
        json.dumps(new_notebook(cells=[new_markdown_cell("No heading.")]))
    )
    names = [f"{n}.ipynb" for n in pages if n != "heavy"]
    listed = {"website": {"sidebar": {"contents": [*names, "ghost.ipynb", "sound.ipynb"]}}}
    (root / "nbs/sidebar.yml").write_text(json.dumps(listed))
    config = {
        "project": {"resources": ["assets"]},
        "website": {"title": "Faults", "favicon": "assets/icon.svg"},
        "metadata-files": ["sidebar.yml", "gone.yml"],
    }
    (root / "_quarto.yml").write_text(json.dumps(config))


def processed(folder):
    """Two processed pages: one without a title, one whose front matter is no YAML."""
    folder.mkdir()
    (folder / "a.ipynb").write_text(json.dumps({"cells": [{"source": "---\ntoc: true\n---"}]}))
    (folder / "b.ipynb").write_text(json.dumps({"cells": [{"source": "---\ntitle: a: b\n---"}]}))
    return rules.processed(folder)


def unnoticed():
    """Every planted fault that its rule passes over, and everything that is said of the sound page."""
    with tempfile.TemporaryDirectory() as tmp:
        root, out = Path(tmp), Path(tmp, "out")
        house(root)
        build(out, root)
        said = {
            name: getattr(rules, name)(root)
            for name in ("tex", "alts", "tables_as_html", "titles", "sidebar", "llms")
        }
        said |= {name: getattr(rules, name)(out) for name in ("links", "references", "images", "weight")}
        said["outside"] = rules.outside(out, root)
        said["processed"] = processed(root / "proc")
        said["browse"] = rules.browse(out, [f"{name}.html" for name in ("sound", *CROWDED)])
        (root / "nbs/assets/katex/katex.min.js").write_text("")
        said["katex_is_the_pinned_one"] = rules.katex_is_the_pinned_one(root)
        secret = (
            "secret" in (out / "sound.html").read_text()
            or '<details class="fold">' not in (out / "sound.html").read_text()
        )
    expected = [(rule, f"{name}.", words) for name, (_, rule, words) in PLANTED.items()]
    expected += [("browse", f"{name}.", words) for name, faults in CROWDED.items() for _, words in faults]
    expected += [
        ("titles", "untitled.", "no title"),
        ("sidebar", "sidebar.yml", "names ghost.ipynb"),
        ("sidebar", "sidebar.yml", "lacks heavy.ipynb"),
        ("sidebar", "sidebar.yml", "sound.ipynb twice"),
        ("sidebar", "_quarto.yml", "gone.yml is not below"),
        ("llms", "llms.txt", "out of date"),
        ("outside", "far.scss", "fonts.example"),
        ("processed", "a.", "no title"),
        ("processed", "b.", "does not parse"),
        ("katex_is_the_pinned_one", "katex.min.js", "not the pinned one"),
    ]
    lost = [
        f"{rule} passes over the fault of {where}: {said[rule]}"
        for rule, where, words in expected
        if not any(where in line and words in line for line in said[rule])
    ]
    return (
        lost
        + [
            f"{rule} accuses a sound page: {line}"
            for rule, lines in said.items()
            for line in lines
            if line.startswith("sound.")
        ]
        + ["a hidden cell is shown"] * secret
    )
