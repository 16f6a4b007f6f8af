# %% [markdown]
# # What is distilled, and what the distilling is made of
#
# > Features, transfer, learning without labels, a ridge, a kernel and a problem within a problem, each on a handful of numbers.

# %% [markdown]
# Background for Lee et al. 2024 (KRR-ST) · 8 minutes · what you need first: a neural network trained by gradient descent

# %%
#| hide
# !test -z "$COLAB_RELEASE_TAG" || pip install -q "papers_nb[run] @ git+https://github.com/OWNER/papers_nb"

# %%
#| hide
import torch
from papers_nb.core.plots import COLORS, theme
import matplotlib.pyplot as plt
theme()

# %% [markdown]
# ## A few pairs instead of many
#
# The smallest network there is has one weight and says $wx$. Three pairs of an image (here one number) and what should be said of it:

# %%
x, y = torch.tensor([1., 2., 3.]), torch.tensor([2., 5., 5.])
(x @ y/(x @ x)).item()

# %% [markdown]
# That is the best weight by least squares: $(1\cdot2+2\cdot5+3\cdot5)/(1+4+9)=\frac{27}{14}$. A single pair that was never seen teaches the same: the image 14 with the target 27. That is **dataset distillation**: a small *synthetic* set, made so that training on it has the effect of training on the large one. Both images and targets may be made up, and they need not look like anything real.
#
# KRR-ST makes a thousand such pairs from fifty thousand images that have *no labels*, so that a network trained on them for minutes is a good start for tasks nobody has named yet. That sentence needs a few more ideas.
#
# ## Extractor and head
#
# A network for images is two things one after the other. The **extractor** turns an image into a few hundred or thousand numbers, its **features**. The **head** is one linear map from features to what is wanted. Three pixels, two features, one output:

# %%
layer = torch.tensor([[1., 0., -1.], [0., 1., 0.]])
extractor = lambda images: (images @ layer.T).relu()
head = torch.tensor([[2.], [1.]])

images = torch.tensor([[3., 1., 1.], [0., 2., 1.]])
extractor(images), extractor(images) @ head


# %% [markdown]
# ## Transfer
#
# Features can serve where the head cannot. For another task the head is thrown away, a fresh one put in its place, and both are trained a little on the few labelled images at hand: **fine-tuning**. Training the extractor before, elsewhere, is **pre-training**, and that it helps is **transfer**.
#
# A task with one labelled image: say the difference of two pixels. We train twice, with an extractor that has met differences before and with one that has not, and ask about an image that is not among the labelled ones. Right would be -2.

# %%
def finetuned(start, steps=50):
    "What a network says of (2, 1) and (1, 3), trained on (2, 1) → 1."
    extract = torch.tensor(start, requires_grad=True)
    head = torch.ones(1, requires_grad=True)
    opt = torch.optim.SGD([extract, head], .05)
    for _ in range(steps):
        loss = (head*(extract @ torch.tensor([2., 1.])) - 1).square().sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
    said = head*(torch.tensor([[2., 1.], [1., 3.]]) @ extract)
    return [round(v, 2) for v in said.tolist()]

finetuned([.8, -.8]), finetuned([.1, .2])

# %% [markdown]
# Both learnt the one example. Elsewhere only the first is near what is right: a single label fits many rules (a third of the sum is one of them), and the pre-training had chosen among them.
#
# ## Learning without labels
#
# Where does a good extractor come from if nobody labelled the images? From tasks that an image sets itself: **self-supervision**. Hide some pixels and ask for them. Or change an image twice at random, by cutting, shifting, colouring, which gives two **views** of it, and ask for the same features. Asked for that alone a network says the same of all images; something has to forbid it.
#
# Barlow Twins, by which the paper's target model is trained, looks at how features *correlate*. Four images, two features, from one view and from the other (all of mean 0 and deviation 1):

# %%
one = torch.tensor([[1., 1.], [1., -1.], [-1., 1.], [-1., -1.]])
other = torch.tensor([[1., 1.], [1., 1.], [-1., -1.], [-1., -1.]])
one.T @ other/4


# %% [markdown]
# Row: a feature in one view; column: a feature in the other. The loss wants 1 on the diagonal, each feature the same in both views, and 0 beside it, no feature said twice. Here the first feature is as wanted, and the second is not: in the other view it repeats the first.
#
# A network trained so, once and for long, then held still, is the **target model** of KRR-ST. What it says of an image is that image's target vector, and takes the place of a label.
#
# ## A ridge
#
# Back to one weight, and one pair, 1 with target 1. Least squares gives $w=1$. A **ridge regression** also asks for a small weight: it minimises $\frac12(y-wx)^2+\frac\lambda2w^2$, and the best weight is $xy/(x^2+\lambda)$. With $\lambda=1$ that is a half:

# %%
def ridge(x, y, lam):
    "The best weight for these pairs."
    return x @ y/(x @ x + lam)

pair = torch.ones(1), torch.ones(1)
[ridge(*pair, lam).item() for lam in (0., 1., 3.)]

# %% [markdown]
# Why want that? With more features than pairs there are usually many exact fits, and a tiny ridge comes near the one with the smallest weights. And there is a formula: no training is needed to know where training the head would end.
#
# ## A kernel
#
# Two features, and two synthetic images with features (1, 0) and (1, 1). The products of their features say how alike they are; a function that gives such products is called a **kernel**:

# %%
phi = torch.tensor([[1., 0.], [1., 1.]])
kernel = phi @ phi.T
kernel

# %% [markdown]
# The ridge can be solved in these terms alone. Each synthetic image gets a number $\alpha$, from $(K+\lambda I)\alpha=y$, and what is said of a new image is the sum of these numbers, each times how alike the two images are. That gives the same answer as the weights do:

# %%
y, lam, new = torch.tensor([1., 3.]), 1., torch.tensor([2., 1.])
alpha = torch.linalg.solve(kernel + lam*torch.eye(2), y)
weights = torch.linalg.solve(phi.T @ phi + lam*torch.eye(2), phi.T @ y)
(phi @ new) @ alpha, weights @ new


# %% [markdown]
# This is **kernel ridge regression**, the KRR of the name. With a thousand images and eight thousand features it is a system of a thousand equations rather than of eight thousand.
#
# ## A problem within a problem
#
# Now the pair itself is to be improved. Its image is 1, the ridge $\lambda=1$, and its target $y_s$ may move. Training on the pair gives the weight $w^*=y_s/2$; that is the **inner** problem. How good the pair is shows on a real image, say 1 with target 1; the **outer** loss is
#
# $$\tfrac12\bigl(w^*(y_s)-1\bigr)^2=\tfrac12\bigl(\tfrac{y_s}2-1\bigr)^2.$$
#
# A problem whose loss contains the solution of another is **bilevel**. Its gradient has to go *through* the inner solution: here it is $\frac12(\frac{y_s}2-1)$, at $y_s=1$ it is $-\frac14$. Autograd agrees, as it can follow the formula of the ridge:

# %%
def outer(y_s):
    "How wrong a network is that was trained on the pair (1, y_s)."
    weight = ridge(torch.ones(1), y_s, 1.)
    return .5*(weight - 1)**2

y_s, seen = torch.ones(1, requires_grad=True), []
for _ in range(12):
    slope, = torch.autograd.grad(outer(y_s), y_s)
    seen.append((y_s.item(), outer(y_s).item(), slope.item()))
    y_s = (y_s - 1.5*slope).detach().requires_grad_()
seen[0], seen[-1]

# %%
#| label: fig-bilevel
#| fig-cap: "Outer loss by the target of the synthetic pair, and where gradient descent takes it from a target of 1."
#| fig-alt: "The steps go down the curve to a target of 2, where the loss is zero: the best synthetic target is not the true one, 1, but the one that makes up for the ridge."
#| classes: figcard
fig, ax = plt.subplots(figsize=(6.4, 2.6))
line = torch.linspace(.6, 3., 60)
ax.plot(line, [outer(v[None]).item() for v in line], color=COLORS['blue'])
ax.plot([s[0] for s in seen], [s[1] for s in seen], 'o', color=COLORS['orange'])
ax.set(xlabel='target of the pair', ylabel='outer loss');

# %% [markdown]
# The best target is 2, not the true 1: what counts is what a network *learns* from a pair, not whether the pair is right.
#
# With a deep network inside, there is no formula for $w^*$. One can train for a while and differentiate through all steps, which costs memory, or through the last ones only. And where the inner loss is random, as with hidden pixels, each answer is that of a different problem. KRR-ST takes a third way: inside it holds the extractor still and solves for the head, by a ridge on the features, with target vectors instead of anything random. The extractors come from a **pool** of networks, each trained a little further whenever it was used.
#
# ## What the pages ask
#
# | page | question |
# |---|---|
# | [bias](10_bias.ipynb) | does randomness in the inner loss spoil the gradient, and when? |
# | [ridge](11_ridge.ipynb) | what are head, loss and gradient, and what do they cost? |
# | [optimum](12_optimum.ipynb) | which targets are best for given images? |
# | [truncation](13_truncation.ipynb) | what is lost by not differentiating through the training? |
# | [transfer](14_transfer.ipynb) | what does a small outer loss promise for another task? |
# | [conditioning](15_conditioning.ipynb) | which digits survive so small a ridge? |
# | [occupancy](16_occupancy.ipynb) | how trained are the extractors of the pool? |
#
# ## Words
#
# | word | meaning |
# |---|---|
# | source | the real images without labels that are distilled |
# | synthetic, distilled set | the few images and target vectors that are made |
# | extractor, features | all layers but the last; the numbers that they give for an image |
# | head | the last, linear layer |
# | backbone, projector | extractor of the target model; layers behind it that only its training needs |
# | target model | network trained without labels and held still; its features are the targets |
# | view, augmentation | an image changed at random; the changing |
# | self-supervision | training on tasks that need no labels |
# | pre-training | training on the distilled set, before the task is known |
# | fine-tuning | training on from there, with a fresh head and labels |
# | transfer | what is learnt on one task helps on another |
# | ridge, $\lambda$ | penalty on the size of the head; its strength |
# | kernel, Gram matrix | products of features of two images; the table of them |
# | inner, outer, bilevel | training on the distilled set; judging the result; the two together |
# | pool | networks of different age from which the extractor is picked |
