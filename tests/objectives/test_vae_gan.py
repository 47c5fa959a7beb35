"""The augmenter's terms against torch.distributions, their optima and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mixvae.objectives.vae_gan import (
    deception_loss,
    discriminator_loss,
    distance_loss,
    fitted_gaussian_nll,
    triplet_loss,
)

B, D = 6, 4


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_nll_is_a_normal_s_at_the_batch_s_mean_squared_error() -> None:
    x, mean = draw(B, 1, 2, 2), draw(B, 1, 2, 2, seed=1)
    scale = (x - mean).square().mean().sqrt()
    expected = -torch.distributions.Normal(mean, scale).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(fitted_gaussian_nll(x, mean), expected)
    # No other variance gives less.
    for factor in (0.9, 1.1):
        other = -torch.distributions.Normal(mean, factor * scale).log_prob(x).sum((1, 2, 3))
        assert other.mean() > expected.mean()


def test_other_units_change_the_nll_by_a_constant_and_its_gradient_not_at_all() -> None:
    x, mean = draw(B, D), draw(B, D, seed=1).requires_grad_()
    one, ten = fitted_gaussian_nll(x, mean), fitted_gaussian_nll(10 * x, 10 * mean)
    torch.testing.assert_close(ten, one + D * math.log(10))
    first, second = (torch.autograd.grad(v.sum(), mean, retain_graph=True)[0] for v in (one, ten))
    torch.testing.assert_close(first, second)


def test_a_perfect_reconstruction_stays_finite() -> None:
    x = draw(B, D).requires_grad_()
    value = fitted_gaussian_nll(x.detach(), x)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert torch.isfinite(value).all()
    assert not gradient.any()


def test_verdicts_are_cross_entropies() -> None:
    real, copied = 3 * draw(B), 3 * draw(B, seed=1)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(B).double(), torch.zeros(B).double()
    expected = bce(real, ones, reduction="none") + bce(copied, zeros, reduction="none")
    torch.testing.assert_close(discriminator_loss(real, copied), expected)
    torch.testing.assert_close(deception_loss(copied), bce(copied, ones, reduction="none"))
    undecided = discriminator_loss(zeros, zeros)
    torch.testing.assert_close(undecided, torch.full_like(undecided, 2 * math.log(2)))


def test_the_deceiver_s_gradient_is_largest_where_copies_are_found_out() -> None:
    logits = torch.tensor([-1e4, -20.0, 0.0, 20.0]).requires_grad_()
    deception_loss(logits).sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([-1.0, -1.0, -0.5, 0.0]))


def test_the_triplet_counts_what_lies_beyond_the_margin() -> None:
    x, plain = torch.zeros(4, 1).double(), torch.full((4, 1), 2.0).double()
    # Squared distances of 0, 1, 4 and 40 where the reconstruction has 4: relative 0 to 10.
    copy = torch.tensor([0.0, 1.0, 2.0, math.sqrt(40)]).double()[:, None]
    value = triplet_loss(x, copy, plain, margin=0.2)
    torch.testing.assert_close(value[3].item(), 9.2)
    assert value[0] < value[1] < 0.02 < value[2]
    torch.testing.assert_close(value[2].item(), 0.2 * math.log1p(math.e))


def test_the_triplet_pulls_copies_alone_and_everywhere() -> None:
    x, copy, plain = (draw(B, D, seed=s).requires_grad_() for s in range(3))
    triplet_loss(x.detach(), copy, plain, 0.2).sum().backward()
    assert plain.grad is None
    assert copy.grad is not None
    assert (copy.grad.norm(dim=-1) > 0).all()


def test_the_distance_is_0_at_the_radius_and_pulls_from_both_sides() -> None:
    direction = torch.nn.functional.normalize(draw(3, D), dim=-1)
    radius = torch.tensor([1.0, 2.0, 3.0]).double()
    shift = (direction * torch.tensor([0.5, 2.0, 6.0])[:, None]).requires_grad_()
    value = distance_loss(shift, radius)
    torch.testing.assert_close(value, torch.tensor([0.25, 0.0, 1.0]).double())
    (gradient,) = torch.autograd.grad(value.sum(), shift)
    along = (gradient * direction).sum(-1)
    assert along[0] < 0 < along[2]
    assert along[1].item() == pytest.approx(0, abs=1e-9)


def test_the_distance_stays_finite_at_0() -> None:
    shift = torch.zeros(B, D).requires_grad_()
    value = distance_loss(shift, torch.zeros(B))
    value.sum().backward()
    assert shift.grad is not None
    assert torch.isfinite(value).all()
    assert torch.isfinite(shift.grad).all()


def test_gradcheck() -> None:
    x, copy, plain = draw(B, D), draw(B, D, seed=1).requires_grad_(), draw(B, D, seed=2)
    radius = draw(B, seed=3).abs() + 0.1
    assert torch.autograd.gradcheck(lambda c: triplet_loss(x, c, plain, 0.2), (copy,))
    assert torch.autograd.gradcheck(lambda c: distance_loss(c, radius), (copy,))
