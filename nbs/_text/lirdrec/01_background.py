# %% [markdown]
# # How a shop guesses what you want next
#
# > Rows, products, triples and graphs: a recommender on three users and four items.

# %% [markdown]
# Background for Zhou et al. 2025 (LIRDRec) · 8 minutes · what you need first: gradient descent

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import torch
from torch.nn.functional import logsigmoid
from papers_nb.lirdrec.graph import Propagation
from papers_nb.lirdrec.metrics import measures, top_k

# %% [markdown]
# ## What is known
#
# A shop knows who took what. Nobody said what they like; a click or a purchase is all there is. Three users, four items:

# %%
taken = torch.tensor([[1, 1, 0, 0],
                      [1, 0, 1, 0],
                      [0, 1, 1, 0]])
taken.sum(0), taken.sum(1)

# %% [markdown]
# Ids start at 0, so the last item, item 3, was taken by nobody. A zero does not mean "dislikes"; it means "has not met, or did not want". That is called **implicit feedback**.
#
# ## Rows and products
#
# Give every user and every item a **row** of a few numbers. The **score** of an item for a user is the dot product of their rows: large where the same numbers are large. A free row that belongs to one user or item and to nothing else is its **identity** (an *ID embedding*).

# %%
users = torch.tensor([[1., 0.], [.5, .5], [0., 1.]])
items = torch.tensor([[1., 0.], [.6, .6], [0., 1.], [.2, .2]])
users @ items.T

# %% [markdown]
# The **list** for a user is the items by score, without those already taken. For the first user:

# %%
scores = (users @ items.T)[:1].masked_fill(taken[:1].bool(), -torch.inf)
top_k(scores, 2)

# %% [markdown]
# ## Learning by triples
#
# Which rows are right? **BPR** (Bayesian personalised ranking) asks for one thing only: an item that was taken should score higher than one that was not. For a triple (user, taken, other) the loss is $-\log\sigma(s_{\text{taken}}-s_{\text{other}})$, which goes to zero as the difference grows. First a right order, then a wrong one:

# %%
score = users @ items.T
{(u, i, j): round(-logsigmoid(score[u, i] - score[u, j]).item(), 3)
 for u, i, j in ((0, 0, 2), (0, 2, 0))}

# %% [markdown]
# The *other* is drawn at random from what the user did not take: a **negative**.
#
# ## Neighbours
#
# Two users who took the same items are probably alike. Let rows flow along the pairs: to its own row a user adds those of the items taken, an item those of its users, each divided by the square roots of how many pairs both have (**propagation**, LightGCN). Identities then say something about their neighbours too:

# %%
u, i = taken.nonzero().T
graph = Propagation(u, i, users=3, items=4, layers=1)
graph(users, items)[1]

# %% [markdown]
# Item 3 has no neighbours, so only its own row is left.
#
# ## Pictures and texts
#
# Of an item there may be a picture and a text, each turned into a few hundred or thousand numbers by a network that was trained elsewhere: its **features**, fixed. They can be used beside an identity, added to it, or instead of it. An item without any pair, like item 3, has an identity that no training ever pulled up (the row here was set by hand), but features as good as any. That is **cold start**.
#
# The paper's claim: where identities and features are learnt together, BPR's gradients favour the features, and identities stay poor. Its answer: leave the identities of items out. [The first derivation](10_displacement.ipynb) asks what is true of the claim; [the recommender](21_lirdrec.ipynb) builds the answer.
#
# ## Is the list any good
#
# Some pairs are set aside before training. **Recall at k**: which part of them is in the first k of the list. **NDCG at k**: the same, but a hit at the top counts more. One user with two items set aside, of which the list has one, in second place:

# %%
found = measures(torch.tensor([[False, True, False]]), torch.tensor([2]), (3,))
{k: round(v, 3) for k, v in found.items()}

# %% [markdown]
# ## Words
#
# | word | meaning |
# |---|---|
# | interaction, pair | a user took an item |
# | identity | a free row of one item or user |
# | features | fixed numbers that describe an item |
# | modality | a kind of features: image, text |
# | negative | an item that the user did not take, drawn at random |
# | triple | user, item taken, negative |
# | BPR | the loss that wants the first before the second |
# | cold item | one without training pairs |
