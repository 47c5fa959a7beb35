"""Adversarial copies: the radius, a change larger than chance's, refusals."""

from __future__ import annotations

import pytest
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": 0.0}, "radius must be above 0, got 0"),
        ({"xi": -1.0}, "xi must be above 0, got -1"),
        ({"neighbour": 0}, "neighbour must be at least 1, got 0"),
        ({"num_power_steps": 0}, "num_power_steps must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adversarial(**options)
