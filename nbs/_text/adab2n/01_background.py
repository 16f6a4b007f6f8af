# %% [markdown]
# # What a batch norm remembers, and why that hurts a network that learns in turns
#
# > Batch norm, running averages and replay, each on a handful of numbers.

# %% [markdown]
# Background for Lyu et al. 2023 (AdaB²N) · 8 minutes · what you need first: a neural network trained with batches

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import torch
from torch import nn
from papers_nb.core.plots import COLORS, theme
import matplotlib.pyplot as plt
theme()

# %% [markdown]
# ## Batch norm, on four numbers
#
# A layer of a network puts out one number per image. A **batch norm** subtracts the mean of the batch and divides by its standard deviation, so that the next layer always sees numbers of about the same size, whatever the layers before it are doing.

# %%
batch = torch.tensor([[2.], [4.], [4.], [6.]])
norm = nn.BatchNorm1d(1)
norm(batch).flatten()

# %% [markdown]
# By hand: the mean is 4, the standard deviation $\sqrt2$.

# %%
(batch - 4).flatten()/2**.5

# %% [markdown]
# Real layers do this for every channel; the mean runs over all images of the batch and all positions of the picture. Two learned numbers per channel then stretch and shift the result.
#
# ## Two modes
#
# In training the statistics come from the batch. At test time there may be a single image, and a mean of one image is the image itself. So the layer keeps a **running mean** and a **running variance**, updated whenever a batch passes through the network in training (a **forward**), and uses those when testing:

# %%
norm.running_mean, norm.running_var

# %% [markdown]
# After one batch of mean 4 the running mean is 0.4: it started at 0 and moved a tenth of the way. The tenth is the **momentum** (of a batch norm: the part that is *new*; an optimiser calls the part that is *kept* so). The running variance started at 1.

# %%
for _ in range(50): norm(batch)
norm.running_mean, norm.running_var

# %% [markdown]
# After fifty more it has arrived. (The running variance goes to 2.67, not 2: torch stores the variance divided by $n-1$, the normalisation in training divides by $n$.)
#
# Note what the running statistics are **not**: they have no gradient. No loss, however clever, teaches them anything. They are whatever the recent batches were.
#
# ## Learning in turns
#
# In **continual learning** tasks arrive one after the other: first zeros and ones, then twos and threes. The data of the first task is gone when the second arrives. Its images may be darker, its activations larger. Let the batches of task one have mean 4, those of task two mean 10:

# %%
later, seen = batch + 6, []
for b in [batch]*10 + [later]*30:
    norm(b)
    seen.append(norm.running_mean.item())
round(seen[9], 2), round(seen[-1], 2)

# %%
#| label: fig-forget
#| fig-cap: "Running mean over ten more batches of the first task, then thirty of the second."
#| fig-alt: "The running mean leaves the mean of the first task within a few batches and settles at the mean of the second: nothing of the first is left."
#| classes: figcard
fig, ax = plt.subplots(figsize=(6.4, 2.6))
ax.plot(seen, color=COLORS['blue'])
for mean, name in ((4, 'task 1'), (10, 'task 2')):
    ax.axhline(mean, color=COLORS['grey'], lw=.8)
    ax.text(39.5, mean, name, va='bottom', ha='right')
ax.axvline(9.5, color=COLORS['grey'], lw=.8)
ax.set(xlabel='batch', ylabel='running mean', ylim=(3, 11));

# %% [markdown]
# Test an image of task one now, an average one with activation 4. In training it was normalised to 0. At test time the layer subtracts its running mean, nearly 10, and divides by its running deviation:

# %%
norm.eval()(torch.tensor([[4.]])).item()

# %% [markdown]
# An average zero suddenly looks like an extreme outlier, and every later layer sees something it was never trained on. The weights may still know what a zero is; the **statistics** have forgotten. That is the recency bias of batch norm.
#
# ## Replay
#
# The usual remedy against forgetting is a small **buffer** of old images, a few of which join every batch. Now batches are mixtures. With six new images around 10 and two old ones around 4, the mean of the batch is

# %%
(6*10 + 2*4)/8

# %% [markdown]
# nearer to the new task than a fair 7, because there are more new images. Or the two groups pass one after the other, as the usual code for replay does, and then each is normalised by its own mean, and each moves the running statistics:

# %%
new, old = torch.tensor([[9.], [10.], [11.]]), torch.tensor([[3.], [4.], [5.]])
layer = nn.BatchNorm1d(1)
layer(new).flatten(), layer(old).flatten()

# %% [markdown]
# Both come out the same (up to rounding). What told old from new, their level, is gone. In one batch it stays:

# %%
layer(torch.cat([new, old])).flatten()

# %% [markdown]
# So there are two things to choose: **which samples share a normalisation, and with what weight**; and **how fast the running statistics follow**. AdaB²N, *adaptive balance* of batch normalization, proposes an answer to both. The pages that follow show that a running statistic remembers almost only the last task ([Running statistics forget the first task](10_momentum.ipynb)), that no way of averaging history is both fair to all tasks and up to date ([No momentum solves the dilemma](11_dilemma.ipynb)), and what [the layer](21_layer.ipynb) does instead.
#
# ## Words
#
# | word | meaning |
# |---|---|
# | task | a group of classes that arrives together |
# | buffer | the few old samples that are kept |
# | replay | drawing from the buffer at every step |
# | forward | one pass of a batch through the network |
# | joint, separate forwards | new and replayed samples in one batch, or one batch after the other |
# | online | every training image is seen once |
# | ER | experience replay: old samples are trained on like new ones |
# | DER++ | the network is also asked to keep the outputs it once gave for old samples; see [Learning with a few old samples](24_hosts.ipynb) |
# | ER-ACE | ER in which new samples compete (nearly) only with classes of their own task |
# | Class-IL | tested on all classes seen, without being told the task |
# | Task-IL | told the task, only its classes are in question |
# | forgetting | how much accuracy on old tasks has dropped |
