"""Closed forms against torch.distributions, Monte Carlo and finite differences."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from mixvae.objectives.divergences import (
    categorical_entropy,
    categorical_kl,
    kl_to_standard_normal,
)


def normals(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean, logvar = torch.randn(2, 2, 6, 3, generator=generator, dtype=torch.float64).unbind(0)
    return mean, logvar


def log_probs(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 6, 4, generator=generator, dtype=torch.float64).log_softmax(-1)


def test_normal_kl_equals_torch() -> None:
    mean, logvar = normals()
    q = Normal(mean, (0.5 * logvar).exp())
    expected = kl_divergence(q, Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl_to_standard_normal(mean, logvar), expected)


def test_normal_kl_within_five_percent_of_monte_carlo() -> None:
    mean, logvar = torch.tensor([1.0, -0.5, 0.2]), torch.tensor([-1.0, 0.4, 0.1])
    torch.manual_seed(0)
    q = Independent(Normal(mean, (0.5 * logvar).exp()), 1)
    p = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
    draws = q.sample((10_000,))
    estimate = (q.log_prob(draws) - p.log_prob(draws)).mean()
    assert kl_to_standard_normal(mean, logvar).item() == pytest.approx(estimate.item(), rel=0.05)


def test_normal_kl_is_zero_at_the_prior_and_accurate_near_it() -> None:
    zero = torch.zeros(3)
    assert kl_to_standard_normal(zero, zero) == 0
    assert kl_to_standard_normal(zero[:0], zero[:0]) == 0
    near = kl_to_standard_normal(torch.zeros(1), torch.full((1,), 1e-3))
    assert near.item() == pytest.approx(1e-6 / 4, rel=1e-3)
    mean, logvar = normals()
    assert kl_to_standard_normal(mean, logvar).gt(0).all()


def test_categorical_equals_torch() -> None:
    p, q = log_probs(1), log_probs(2)
    expected = kl_divergence(Categorical(logits=p), Categorical(logits=q))
    torch.testing.assert_close(categorical_kl(p, q), expected)
    torch.testing.assert_close(categorical_entropy(p), Categorical(logits=p).entropy())


def test_categorical_kl_within_five_percent_of_monte_carlo() -> None:
    p, q = log_probs(1)[0, 0], log_probs(2)[0, 0]
    torch.manual_seed(0)
    draws = Categorical(logits=p).sample((10_000,))
    assert categorical_kl(p, q).item() == pytest.approx((p - q)[draws].mean().item(), rel=0.05)


def test_categorical_ends() -> None:
    p = log_probs(1)
    assert categorical_kl(p, p).eq(0).all()
    assert categorical_kl(p, log_probs(2)).gt(0).all()
    flat = torch.zeros(5).log_softmax(-1)
    assert categorical_entropy(flat).item() == pytest.approx(math.log(5))
    assert categorical_entropy(torch.tensor([0.0, -torch.inf, -torch.inf])) == 0
    # Ruled out by q alone is infinite.
    p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([1.0, 0.0]).log()
    assert categorical_kl(p, q) == torch.inf
    assert categorical_kl(q, p).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("low", [-torch.inf, -1e4, -200.0])
def test_zero_probability_gives_finite_value_and_gradient(low: float) -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    other = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    masked = torch.tensor([False, True, False, False])
    p = logits.masked_fill(masked, low).log_softmax(-1)
    q = other.masked_fill(masked, low).log_softmax(-1)
    assert p.exp()[:, 1].eq(0).all()
    for value in (categorical_kl(p, q), categorical_entropy(p)):
        kept = torch.autograd.grad(
            value.sum(), [logits, other], retain_graph=True, allow_unused=True
        )
        assert value.isfinite().all()
        assert all(gradient is None or gradient.isfinite().all() for gradient in kept)
    keep = ~masked
    torch.testing.assert_close(
        categorical_kl(p, q),
        categorical_kl(logits[:, keep].log_softmax(-1), other[:, keep].log_softmax(-1)),
    )


def test_gradcheck() -> None:
    mean, logvar = (tensor.requires_grad_() for tensor in normals())
    p, q = log_probs(1).requires_grad_(), log_probs(2).requires_grad_()
    assert torch.autograd.gradcheck(kl_to_standard_normal, (mean, logvar))
    assert torch.autograd.gradcheck(categorical_kl, (p, q))
    assert torch.autograd.gradcheck(categorical_entropy, (p,))
