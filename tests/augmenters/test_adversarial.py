"""Adversarial copies: the radius, a change larger than chance's, refusals."""

from __future__ import annotations

import torch

from mixvae.augmenters.adversarial import Adversarial
from mixvae.objectives.divergences import categorical_kl


def make_log_q(num_agents: int = 2) -> torch.nn.Module:
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))
    return lambda copies: net(copies).log_softmax(-1)


def test_copies_lie_at_the_share_of_the_neighbour_distance_asked_for() -> None:
    x = torch.randn(12, 8)
    copies = Adversarial(radius=0.3, neighbour=2)(x, 2, make_log_q())
    distance = torch.cdist(x, x).sort(dim=1).values[:, 2]
    torch.testing.assert_close((copies - x).norm(dim=-1), (0.3 * distance).expand(2, 12))
    near = Adversarial(radius=0.3, neighbour=2)(x, 2, make_log_q(), 0.5)
    torch.testing.assert_close((near - x).norm(dim=-1), (0.15 * distance).expand(2, 12))


def test_copies_change_the_categories_more_than_random_steps_of_the_same_length() -> None:
    x, log_q = torch.randn(64, 8), make_log_q()
    clean = log_q(x.expand(2, 64, 8))
    copies = Adversarial(radius=0.3, xi=0.1, num_power_steps=2)(x, 2, log_q, log_q_x=clean)
    found = categorical_kl(clean, log_q(copies)).mean()
    length = (copies - x).norm(dim=-1, keepdim=True)
    step = torch.randn(2, 64, 8)
    at_random = categorical_kl(clean, log_q(x + length * step / step.norm(dim=-1, keepdim=True)))
    assert found > 2 * at_random.mean()


def test_standardised_copies_are_those_of_standardised_samples() -> None:
    unit = torch.randn(24, 8)
    unit = unit / unit.std(dim=0, correction=0)
    scale = torch.tensor([0.1, 1.0, 3.0, 0.5, 2.0, 1.5, 0.3, 4.0])
    log_q = make_log_q()
    options = {"radius": 0.3, "neighbour": 2}
    torch.manual_seed(0)
    expected = Adversarial(**options)(unit, 2, log_q) * scale
    torch.manual_seed(0)
    copies = Adversarial(**options, standardise=True)(unit * scale, 2, lambda x: log_q(x / scale))
    torch.testing.assert_close(copies, expected, rtol=1e-4, atol=1e-5)


def test_a_feature_that_never_varies_is_no_obstacle() -> None:
    x = torch.randn(12, 8)
    for samples in (x.index_fill(1, torch.tensor([3]), 2.0), torch.ones(12, 8)):
        copies = Adversarial(standardise=True)(samples, 2, make_log_q())
        assert torch.isfinite(copies).all()
