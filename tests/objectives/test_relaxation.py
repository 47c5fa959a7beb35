"""Draws: their distribution, their gradient, their determinism."""

import math

import pytest
import torch
from torch import Tensor

from mixvae.objectives.relaxation import gumbel_softmax, most_probable, reparametrise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(n: int) -> Tensor:
    return torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(n, 4)


def test_low_temperature_is_one_hot() -> None:
    draw = gumbel_softmax(rows(1000), 1e-4, generator=generator())
    assert draw.amax(-1).gt(0.999).float().mean() > 0.995


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("hard", [True, False])
def test_argmax_has_the_frequencies_of_q(temperature: float, hard: bool) -> None:
    n = 40_000
    draw = gumbel_softmax(rows(n), temperature, hard, generator())
    observed = draw.argmax(-1).bincount(minlength=4).double()
    expected = n * torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    chi_square = ((observed - expected).square() / expected).sum()
    assert chi_square < 16.3  # the 0.1 % point at 3 degrees of freedom


def test_noise_is_gumbel() -> None:
    # With two categories the logit of the draw times T is the difference of two Gumbels: logistic.
    draw = gumbel_softmax(torch.zeros(100_000, 2, dtype=torch.float64), 1.0, generator=generator())
    logistic = (draw[:, 0] / draw[:, 1]).log()
    assert logistic.var().item() == pytest.approx(math.pi**2 / 3, rel=0.03)
    quantiles = torch.quantile(logistic, torch.tensor([0.1, 0.9, 0.99], dtype=torch.float64))
    torch.testing.assert_close(
        quantiles,
        torch.logit(torch.tensor([0.1, 0.9, 0.99], dtype=torch.float64)),
        rtol=0.05,
        atol=0,
    )


def test_noise_that_rounds_to_zero_stays_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "exponential_", lambda self, generator=None: self.zero_())
    assert gumbel_softmax(rows(3), 0.01).isfinite().all()


def test_hard_is_exactly_one_hot_with_the_gradient_of_the_soft_draw() -> None:
    logits = torch.randn(50, 6, generator=generator(1)).requires_grad_()
    weights = torch.randn(50, 6, generator=generator(2))
    soft = gumbel_softmax(logits.log_softmax(-1), 0.5, generator=generator(3))
    hard = gumbel_softmax(logits.log_softmax(-1), 0.5, hard=True, generator=generator(3))
    assert torch.equal(hard.unique(), torch.tensor([0.0, 1.0]))
    assert torch.equal(hard.sum(-1), torch.ones(50))
    assert torch.equal(hard.argmax(-1), soft.argmax(-1))
    (soft_gradient,) = torch.autograd.grad((weights * soft).sum(), logits)
    (hard_gradient,) = torch.autograd.grad((weights * hard).sum(), logits)
    assert torch.equal(soft_gradient, hard_gradient)


@pytest.mark.parametrize("hard", [True, False])
def test_masked_categories_are_zero_with_finite_gradient(hard: bool) -> None:
    masked = torch.tensor([False, True, False, True])
    logits = torch.randn(20, 4, generator=generator(1)).requires_grad_()
    log_q = logits.masked_fill(masked, -torch.inf).log_softmax(-1)
    draw = gumbel_softmax(log_q, 0.3, hard, generator())
    (draw * torch.arange(4.0)).sum().backward()
    assert draw[:, masked].eq(0).all()
    assert draw.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[:, masked].eq(0).all()


def test_fixed_generator_gives_a_fixed_draw() -> None:
    mean = torch.zeros(5, 3)
    for draw in (
        lambda seed: gumbel_softmax(rows(5), 0.5, generator=generator(seed)),
        lambda seed: reparametrise(mean, mean, generator(seed)),
    ):
        assert torch.equal(draw(4), draw(4))
        assert not torch.equal(draw(4), draw(5))


def test_state_noise_is_normal_not_uniform() -> None:
    # Fault 1: uniform noise has kurtosis 1.8, mean 1/2 and nothing beyond its ends.
    mean, logvar = torch.full((200_000,), 2.0), torch.full((200_000,), math.log(9.0))
    noise = (reparametrise(mean, logvar, generator()) - 2) / 3
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.var().item() == pytest.approx(1, rel=0.01)
    assert noise.pow(4).mean().item() == pytest.approx(3, rel=0.03)
    assert noise.pow(3).mean().item() == pytest.approx(0, abs=0.05)
    assert noise.abs().gt(2).double().mean().item() == pytest.approx(0.0455, rel=0.05)


def test_gradcheck() -> None:
    z = torch.randn(3, 4, generator=generator(1), dtype=torch.float64).requires_grad_()
    v = torch.randn(3, 4, generator=generator(2), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: reparametrise(a, b, generator()), (z, v))
    assert torch.autograd.gradcheck(
        lambda a: gumbel_softmax(a.log_softmax(-1), 0.7, generator=generator()), (z,)
    )


def test_most_probable_is_the_one_hot_vector_of_the_largest_entry() -> None:
    probs = torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], dtype=torch.float64)
    expected = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(most_probable(probs), expected)
