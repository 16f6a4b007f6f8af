# %% [markdown]
# # Figures that can be compared
#
# > One theme, colours that everyone can tell apart, and the numbers behind every picture.

# %% [markdown]
# 4 minutes · what you need first: matplotlib

# %%
#| default_exp core.plots

# %%
#| export
import sys

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
COLORS = dict(blue='#0072b2', orange='#b35900', green='#009e73', purple='#aa4499', sky='#56b4e9', grey='#666666')

def theme():
    "Set matplotlib's defaults for this project and keep the numbers behind every figure that is shown."
    plt = need('matplotlib.pyplot', 'run')
    plt.rcParams.update({
        'figure.figsize': (6.4, 3.2), 'figure.dpi': 140, 'savefig.dpi': 140, 'figure.facecolor': 'white', 'figure.constrained_layout.use': True,
        'axes.prop_cycle': plt.cycler(color=list(COLORS.values())), 'axes.spines.top': False, 'axes.spines.right': False,
        'axes.grid': True, 'grid.color': '#e5e5e5', 'axes.axisbelow': True, 'font.size': 10, 'legend.frameon': False, 'svg.hashsalt': 'papers_nb'})
    _keep_numbers()


# %% [markdown]
# ## The numbers behind a picture
#
# Two pictures of the same curve differ in their bytes with every version of the plotting library. What must not change is the curve. So a figure carries a short summary of what it draws, and that is what is compared when the page is run again.

# %%
#| exports
def numbers(
    figure, # a matplotlib figure
)->dict: # for each axes: its labels and a few numbers of every line, cloud of points, bar and image
    "Summarise what a figure draws in a few numbers that a later run must reproduce. Source: ours."
    def few(values):
        v = np.ma.masked_invalid(np.asarray(values, dtype=float)).compressed()
        if not len(v): return {'n': 0}
        return {'n': len(v), 'first': float(v[0]), 'last': float(v[-1]), 'mean': float(v.mean()), 'low': float(v.min()), 'high': float(v.max())}
    return {'axes': [{'title': a.get_title(), 'x': a.get_xlabel(), 'y': a.get_ylabel(),
        'lines': [{'x': few(line.get_xdata()), 'y': few(line.get_ydata())} for line in a.lines],
        'points': [few(c.get_offsets()[:, 1]) for c in a.collections if len(c.get_offsets())],
        'bars': few([p.get_height() for p in a.patches if hasattr(p, 'get_height')]),
        'images': [few(i.get_array()) for i in a.images]} for a in figure.axes]}

def _keep_numbers():
    "Let IPython store `numbers` beside the picture of every figure, one png of one size in every kind of kernel."
    shell = sys.modules['IPython'].get_ipython() if 'IPython' in sys.modules else None
    if shell is None: return
    from IPython.core.formatters import JSONFormatter
    from matplotlib.figure import FigureBase
    from matplotlib_inline.backend_inline import set_matplotlib_formats
    set_matplotlib_formats('png')
    class FigureNumbers(JSONFormatter):
        "Formatter of the numbers behind a figure."
        format_type = 'application/vnd.papers_nb.figure+json'
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
# ## Where it lives
#
# `papers_nb.core.plots`. Every page that draws calls `theme()` once.
