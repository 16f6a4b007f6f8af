"""What the overview's table says of the official code, where no claim holds it."""

import pytest
import torch
from torch import nn

from papers_nb.krrst import DistilledSet, Distiller, ModelPool, Source, Targets, Views, initial_set
from papers_nb.krrst.baselines import noise
from papers_nb.krrst.nets import convnet
from papers_nb.krrst.ridge import krr_loss, ridge_strength


@pytest.fixture
def real():
    """Thirty bright images."""
    g = torch.Generator().manual_seed(0)
    return Source(torch.randint(100, 256, (30, 1, 8, 8), dtype=torch.uint8, generator=g), Views(1, False))


def test_pixels_that_were_not_normalised_lie_far_from_what_networks_see(real):
    ours, official = initial_set(real, nn.Flatten(), 30).x, real.x / 255
    assert abs(ours.mean()) < 0.05 and abs(ours.std() - 1) < 0.05
    assert official.mean() > 0.6 and official.std() < 0.25


def test_a_ridge_by_the_trace_is_m_times_that_by_the_mean_eigenvalue():
    phi = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    assert (ridge_strength(phi, 1e-6) / ridge_strength(phi, 1e-6, per_m=True)).item() == pytest.approx(50)


def test_a_constant_feature_is_a_column_of_ones():
    g = torch.Generator().manual_seed(0)
    phi_s, y_s, phi_t, y_t = (torch.randn(*s, generator=g) for s in ((5, 3), (5, 2), (6, 3), (6, 2)))
    ones = lambda f: torch.cat([f, torch.ones(len(f), 1)], 1)
    with_column = krr_loss(ones(phi_s), y_s, ones(phi_t), y_t, constant=0.0)
    assert krr_loss(phi_s, y_s, phi_t, y_t).item() == pytest.approx(with_column.item())


def test_the_mean_over_entries_is_a_small_share_of_half_the_sum():
    said, wanted = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    half_sum = (said - wanted).square().sum() / 2
    assert nn.functional.mse_loss(said, wanted).item() == pytest.approx(half_sum.item() * 2 / 12)


def test_a_step_of_the_outer_loss_uses_running_statistics_and_moves_no_extractor(real):
    start = initial_set(real, nn.Flatten(), 6)
    pool = ModelPool(lambda: convnet(1, 8, (4,)), start.x, 64, size=1, lifetime=0)
    member, made = pool.members[0], Distiller(start, Targets(nn.Flatten(), real), pool, 1, batch=8)
    norm = next(m for m in member.net.modules() if isinstance(m, nn.BatchNorm2d))
    before = {k: v.clone() for k, v in member.net.state_dict().items()}
    made.step(0)
    assert not norm.training and all(v.equal(before[k]) for k, v in member.net.state_dict().items())
    assert all(p.grad is None for p in member.net.parameters())


def test_a_member_learns_by_batch_statistics_on_all_pairs(real):
    data = initial_set(real, nn.Flatten(), 6)
    pool = ModelPool(lambda: convnet(1, 8, (4,)), data.x, 64, size=1, lifetime=3)
    seen = []
    pool.members[0].net.register_forward_pre_hook(lambda m, given: seen.append((len(given[0]), m.training)))
    pool.after(0, data.x, data.y)
    assert seen == [(6, True)] and pool.members[0].steps == pool.counters[0] == 1


def test_a_distillation_without_steps_is_random_images_with_target_features(real):
    start = initial_set(real, nn.Flatten(), 6, seed=2)
    pool = ModelPool(lambda: convnet(1, 8, (4,)), start.x, 64, size=1, lifetime=0)
    made = Distiller(start, Targets(nn.Flatten(), real), pool, 0).distilled()
    assert made.x.equal(start.x) and made.y.equal(start.x.flatten(1))
    assert isinstance(made, DistilledSet) and {tuple(x.flatten().tolist()) for x in made.x} <= {
        tuple(x.flatten().tolist()) for x in real.plain()
    }


def test_noise_has_the_mean_and_covariance_of_what_it_stands_for():
    y = (
        torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
        @ torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 2.0]])
        + 5
    )
    draws = torch.cat([noise(y, seed) for seed in range(500)])
    torch.testing.assert_close(draws.mean(0), y.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(torch.cov(draws.T), torch.cov(y.T), rtol=0.1, atol=0.05)
