# %% [markdown]
# # Figures that can be compared
#
# > One theme, colours that everyone can tell apart, and the numbers behind every picture.

# %% [markdown]
# 4 minutes · what you need first: matplotlib

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp core.plots

# %%
#| export
import base64
import html
import io
import json
import re
import sys
from dataclasses import dataclass

import numpy as np

from papers_nb.errors import need

# %%
#| hide
import matplotlib.pyplot as plt

# %% [markdown]
# ## The theme
#
# Six colours that stay apart for every kind of colour vision (Okabe and Ito's, the orange darkened until it can be read as text). A figure is drawn on white, and the site puts it on a white card in its dark theme.

# %%
#| exports
COLORS = dict(
    blue='#0072b2', orange='#b35900', green='#009e73', purple='#aa4499', sky='#56b4e9',
    grey='#666666')
SETTINGS = {
    'figure.figsize': (6.4, 3.2), 'figure.dpi': 140, 'savefig.dpi': 140,
    'figure.facecolor': 'white', 'figure.constrained_layout.use': True,
    'axes.spines.top': False, 'axes.spines.right': False, 'axes.axisbelow': True,
    'axes.grid': True, 'grid.color': '#e5e5e5', 'font.size': 10,
    'legend.frameon': False, 'svg.hashsalt': 'papers_nb'}

def theme():
    "Set matplotlib's defaults, and keep the numbers behind every figure that is shown."
    plt = need('matplotlib.pyplot', 'run')
    cycle = plt.cycler(color=list(COLORS.values()))
    plt.rcParams.update({**SETTINGS, 'axes.prop_cycle': cycle})
    _keep_numbers()


# %% [markdown]
# ## The numbers behind a picture
#
# Two pictures of the same curve differ in their bytes with every version of the plotting library. What must not change is the curve. So a figure carries a short summary of what it draws, and that is what is compared when the page is run again.

# %%
#| exports
FIGURE = 'application/vnd.papers_nb.figure+json'

def _few(values):
    "Six numbers that stand for many."
    v = np.ma.masked_invalid(np.asarray(values, dtype=float)).compressed()
    if not len(v):
        return {'n': 0}
    ends = {'n': len(v), 'first': float(v[0]), 'last': float(v[-1])}
    mean, low, high = (float(x) for x in (v.mean(), v.min(), v.max()))
    return {**ends, 'mean': mean, 'low': low, 'high': high}

def _both(x, y):
    "Two coordinates of something drawn."
    return {'x': _few(x), 'y': _few(y)}

def _axes(a):
    "Labels of an axes, and what is drawn in it."
    points = [c.get_offsets() for c in a.collections if len(c.get_offsets())]
    meshes = [c for c in a.collections if c.get_array() is not None]
    return {
        'title': a.get_title(), 'x': a.get_xlabel(), 'y': a.get_ylabel(),
        'lines': [_both(line.get_xdata(), line.get_ydata()) for line in a.lines],
        'points': [_both(p[:, 0], p[:, 1]) for p in points],
        'bars': _few([p.get_height() for p in a.patches if hasattr(p, 'get_height')]),
        'images': [_few(i.get_array()) for i in [*a.images, *meshes]]}

def numbers(
    figure, # a matplotlib figure
)->dict: # for each axes: labels; a few numbers of every line, cloud, bar and image
    "What a figure draws, in few numbers that a later run must reproduce. Source: ours."
    return {'axes': [_axes(a) for a in figure.axes]}

def _keep_numbers():
    """Let IPython store `numbers` beside the picture of a figure, one png of one size
    in every kind of kernel."""
    shell = sys.modules['IPython'].get_ipython() if 'IPython' in sys.modules else None
    if shell is None:
        return
    from IPython.core.formatters import JSONFormatter
    from matplotlib.figure import FigureBase
    from matplotlib_inline.backend_inline import set_matplotlib_formats
    set_matplotlib_formats('png')
    class FigureNumbers(JSONFormatter):
        "Formatter of the numbers behind a figure."
        format_type = FIGURE
        print_method = '_no_such_method_'
    formatter = FigureNumbers(parent=shell.display_formatter)
    formatter.for_type(FigureBase, numbers)
    shell.display_formatter.formatters[formatter.format_type] = formatter


# %%
theme()

# %%
#| label: fig-colors
#| fig-cap: "The six colours, one line each."
#| fig-alt: "Six parallel lines in blue, orange, green, purple, sky blue and grey, each easy to tell from its neighbours."
#| classes: figcard
#| code-fold: true
fig, ax = plt.subplots(figsize=(6.4, 2.2))
for i, (name, color) in enumerate(COLORS.items()):
    ax.plot([0, 1], [i, i], color=color, lw=6)
    ax.text(1.03, i, name, va='center')
ax.set(xlim=(0, 1.2), xticks=[], yticks=[])
ax.grid(False)

# %% [markdown]
# What is kept of one of its lines:

# %%
numbers(fig)['axes'][0]['lines'][0]

# %% [markdown]
# ## A figure that moves
#
# Some statements are about what happens **when a parameter moves**. A slider shows that without a live kernel: Python draws a frame for each value, the browser only chooses which one is seen. So every number stays Python's and is compared like any other; where no script runs, one frame stands still.

# %%
#| exports
SCRIPT = """(() => {
  const box = document.currentScript.parentElement
  const frames = box.querySelectorAll('.frame'), values = VALUES
  const range = Object.assign(document.createElement('input'),
    {type: 'range', min: 0, max: values.length - 1, value: FIRST})
  const label = document.createElement('label')
  const shown = document.createElement('output')
  const show = () => {
    frames.forEach((f, i) => { f.style.display = i == range.value ? 'block' : 'none' })
    range.setAttribute('aria-valuetext', values[range.value])
    shown.textContent = ' ' + values[range.value]
  }
  range.oninput = show
  label.append(NAME + ' ', range, shown)
  box.prepend(label)
  show()
})()"""
STYLE = (
    '.slider>img{display:none}'
    '.slider svg{width:100%;max-width:44rem;height:auto;background:#fff}'
    '.slider input{width:50%;vertical-align:middle}')

@dataclass
class Slider:
    "Frames of a figure, of which the reader chooses one; made by `slider`."
    text: str     # Markdown that holds the frames and the script
    numbers: dict # of every frame, for the gate

    def _repr_mimebundle_(self, include=None, exclude=None):
        plain = f'slider with {len(self.numbers["frames"])} frames'
        return {'text/markdown': self.text, FIGURE: self.numbers, 'text/plain': plain}

def _frame(fig, prefix, alt):
    "A figure as SVG to stand in a page: no date, ids of its own, a text instead."
    nothing = {'Date': None, 'Creator': None}
    fig.savefig(file := io.StringIO(), format='svg', metadata=nothing)
    svg = file.getvalue()[file.getvalue().index('<svg'):]
    svg = re.sub(r'(id="|url\(#|href="#)', rf'\1{prefix}-', svg)
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.S)
    svg = svg.replace('<svg', f'<svg role="img" aria-label="{html.escape(alt)}"', 1)
    return re.sub(r'>\s+<', '><', svg)

def slider(
    name: str,        # of the parameter, shown beside the slider
    values: list,     # one frame each
    draw,             # called with a value and the axes
    alt: str,         # what the figure shows and what to conclude
    start,            # the value that is seen first, and alone where no script runs
    size=(6.4, 3.2),  # inches
)->Slider:
    """One frame a value, drawn by `draw(value, ax)`; arrow keys and touch move it.
    Source: ours."""
    plt = need('matplotlib.pyplot', 'run')
    frames, kept, first = [], [], values.index(start)
    unit = re.sub(r'\W', '', name) + str(len(values))
    for i, value in enumerate(values):
        fig, ax = plt.subplots(figsize=size)
        draw(value, ax)
        svg = _frame(fig, f'{unit}-{i}', alt)
        if i == first:
            fig.savefig(png := io.BytesIO(), format='png', metadata={'Software': None})
        kept.append(numbers(fig))
        plt.close(fig)
        hidden = '' if i == first else ' style="display:none"'
        frames.append(f'<div class="frame"{hidden}>{svg}</div>')
    said = [str(v) for v in values]
    script = SCRIPT.replace('VALUES', json.dumps(said)).replace('FIRST', str(first))
    script = script.replace('NAME', json.dumps(name))
    data = base64.b64encode(png.getvalue()).decode()
    image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
    inside = f'<style>{STYLE}</style>{image}{"".join(frames)}<script>{script}</script>'
    text = f'<div class="slider">{inside}</div>'
    return Slider(text, {'name': name, 'values': said, 'frames': kept})


# %%
#| label: fig-slider
#| fig-cap: "A parabola; the slider moves its power."
def power(p, ax):
    "The curve x to the power p."
    x = np.linspace(-1, 1, 41)
    ax.plot(x, np.abs(x)**p, color=COLORS['blue'])
    ax.set(xlabel='x', ylabel='|x| to the power p')

alt = 'The higher the power of the parabola, the flatter its curve is near zero.'
slider('p', [1, 2, 4, 8], power, alt, start=2, size=(5, 2.4))

# %% [markdown]
# ## Where it lives
#
# `papers_nb.core.plots`. Every page that draws calls `theme()` once; the derivations use `slider` where moving a parameter is the insight.
