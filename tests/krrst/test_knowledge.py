"""A student asked what a teacher says: what it is shown, and that it learns to say it."""

import pytest
import torch
from torch import nn

from papers_nb.core.train import Stepper
from papers_nb.krrst.data import Views
from papers_nb.krrst.knowledge import Imitation, fit
from papers_nb.krrst.krrst import DistilledSet
from papers_nb.krrst.nets import Headed, convnet
from papers_nb.krrst.tuning import Pretraining

SHOWN = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def linear():
    """A teacher that looks at pixels."""
    torch.manual_seed(7)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).requires_grad_(False)


def asked(**options):
    """A student of it, and the same one that learns targets."""
    torch.manual_seed(0)
    body = convnet(1, 8, (8,))
    student = Headed(body, 128, 3)
    second = Imitation(student, linear(), SHOWN, 300, batch=32, lr=1e-2, views=Views(1, False), **options)
    return Pretraining(Headed(body, 128, 2), DistilledSet(SHOWN, torch.randn(6, 2)), 5), second


def test_what_is_shown_are_views_of_the_images_or_fresh_noise_of_their_shape():
    _, second = asked()
    views = {
        v.numpy().tobytes() for x in SHOWN for v in second.views.cut(x.expand(9, 1, 8, 8), torch.arange(9))
    }
    assert all(x.numpy().tobytes() in views for x in second.draw(3))
    assert second.draw(3).equal(second.draw(3)) and not second.draw(3).equal(second.draw(4))
    _, second = asked(noise=True)
    assert second.draw(0).shape == (32, 1, 8, 8) and not second.draw(0).equal(second.draw(1))
    assert second.draw(0).std().item() == pytest.approx(1, abs=0.1)


def test_a_student_ends_near_the_entropy_of_its_teacher_and_says_what_it_says():
    first, second = asked()
    run = Stepper(0)
    fit(run, first, second)
    said = second.teacher(SHOWN)
    shown = second.draw(0)
    likely = second.teacher(shown).softmax(1)
    entropy = -(likely * likely.log()).sum(1).mean().item()
    losses = [row["loss"] for row in run.metrics]
    assert len(losses) == 305 and losses[5] > losses[-1] >= entropy - 0.3
    assert second.net.eval()(SHOWN).argmax(1).equal(said.argmax(1))


def test_the_teacher_stays_as_it_is_and_the_rate_falls_by_a_cosine():
    first, second = asked()
    before = second.teacher[1].weight.clone()
    rates = []
    second.opt.register_step_pre_hook(lambda opt, *_: rates.append(opt.param_groups[0]["lr"]))
    fit(Stepper(0), first, second)
    assert second.teacher[1].weight.equal(before)
    assert rates[0] == 1e-2 and rates[150] == pytest.approx(5e-3) and rates[-1] < 1e-6
