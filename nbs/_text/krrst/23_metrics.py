# %% [markdown]
# # How good is a set?
#
# > The error of imitating the target model on images that nobody distilled, a linear probe, and accuracy after fine-tuning.

# %% [markdown]
# Lee et al. 2024 (KRR-ST), official code `test.py`; the error is ours · 3 minutes · what you need first: [the distiller](21_krrst.ipynb)

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| default_exp krrst.metrics

# %%
#| export
import torch
from torch import Tensor, nn

from papers_nb.errors import UserError, need
from papers_nb.krrst.data import features

# %%
#| hide
from papers_nb.core.checks import raises
from papers_nb.krrst.data import source


# %% [markdown]
# ## Imitation
#
# The share of the target model's variance that a pre-trained network misses on images held out: 0 is a copy, 1 is no better than always saying the mean.

# %%
#| exports
def target_error(
    said: Tensor,   # by the network, (n, k)
    wanted: Tensor, # by the target model, (n, k)
)->float: # 0: equal; 1: as the mean of what is wanted
    """Mean squared error, per unit of the variance of what is wanted.

    Raises `UserError` for shapes that differ and for targets that are all equal.
    Source: ours."""
    if said.shape != wanted.shape:
        raise UserError(f'said of shape {tuple(said.shape)} and wanted of '
                        f'{tuple(wanted.shape)}: equal shapes are expected')
    spread = (wanted - wanted.mean(0)).square().mean()
    if not spread > 0: raise UserError('wanted: all rows are equal, there is no spread')
    return ((said - wanted).square().mean()/spread).item()


# %%
wanted = torch.tensor([[0.], [2.]])
[target_error(said, wanted) for said in (wanted, 0*wanted + 1, 0*wanted)]

# %%
raises(target_error, wanted, wanted[:1]), raises(target_error, wanted[:1], wanted[:1])


# %% [markdown]
# ## Accuracy

# %%
#| exports
def accuracy(
    net: nn.Module, # images → logits
    x: Tensor,      # images (n, C, H, W), normalised
    y: Tensor,      # labels int64 (n,)
)->float: # %
    "Share of images whose largest logit is their label's; the first wins a tie."
    return 100*(features(net, x).argmax(1) == y).float().mean().item()

def linear_probe(
    train: Tensor,  # features of labelled images, (n, d)
    y: Tensor,      # their labels, int64 (n,)
    test: Tensor,   # features of others, (n', d)
    y_test: Tensor, # their labels
)->float: # %
    """Accuracy of a ridge classifier on standardised, frozen features, its penalty
    chosen by leaving one out.

    Source: ours, on scikit-learn."""
    lib = need('sklearn.linear_model', 'run'), need('sklearn.preprocessing', 'run')
    ridge = lib[0].RidgeClassifierCV(alphas=[10.**k for k in range(-2, 5)])
    scaler = lib[1].StandardScaler().fit(train.double().cpu())
    standard = lambda x: scaler.transform(x.double().cpu())
    found = ridge.fit(standard(train), y.cpu()).predict(standard(test))
    return 100*float((found == y_test.cpu().numpy()).mean())


# %% [markdown]
# Pixels of the digits as features:

# %%
(train, y), (test, y_test) = (source('digits', split) for split in ('train', 'test'))
linear_probe(train.plain().flatten(1), y, test.plain().flatten(1), y_test)

# %% [markdown]
# ## Where it lives
#
# `papers_nb.krrst.metrics`; all three stand in the record of [an evaluation](32_evaluate.ipynb).
