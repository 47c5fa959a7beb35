"""MMVM's regulariser: linear form against double sum, bounds, Monte Carlo, what is missing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from mixvae.objectives.mixture_prior import log_mixture, mixture_kl, pairwise_kl, present_or_zero
from mixvae.objectives.relaxation import reparametrise

M, B, L = 5, 4, 3


def posteriors(
    num_modalities: int = M, size: int = B, offset: float = 0.0, spread: float = 1.0
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(num_modalities)
    shape = (2, num_modalities, size, L)
    mean, logvar = spread * torch.randn(shape, generator=generator, dtype=torch.float64)
    return mean + offset, logvar


def some_missing(num_modalities: int = M, size: int = B) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    present = torch.rand(size, num_modalities, generator=generator) < 0.6
    present[:, 0] = True
    return present


def double_sum(mean: Tensor, logvar: Tensor, present: Tensor | None = None) -> Tensor:
    """(1/M) sum_{m,n} KL(q_m || q_n), pair by pair, event by event."""
    num_modalities, size, _ = mean.shape
    if present is None:
        present = torch.ones(size, num_modalities, dtype=torch.bool)
    totals = []
    for b in range(size):
        there = [m for m in range(num_modalities) if present[b, m]]
        parts = [
            td.kl_divergence(
                td.Normal(mean[m, b], (0.5 * logvar[m, b]).exp()),
                td.Normal(mean[n, b], (0.5 * logvar[n, b]).exp()),
            ).sum()
            for m in there
            for n in there
        ]
        totals.append(torch.stack(parts).sum() / len(there))
    return torch.stack(totals)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("spread", [0.01, 1.0])
@pytest.mark.parametrize("num_modalities", [2, 5])
def test_linear_form_equals_the_double_sum_with_its_gradient(
    num_modalities: int, spread: float, offset: float, masked: bool
) -> None:
    values = posteriors(num_modalities, offset=offset, spread=spread)
    present = some_missing(num_modalities) if masked else None
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        # Exactly representable in float32, so that only the computation differs.
        mean, logvar = (value.float().to(dtype).requires_grad_() for value in values)
        exact = [value.detach().double().requires_grad_() for value in (mean, logvar)]
        got, want = pairwise_kl(mean, logvar, present), double_sum(*exact, present)
        torch.testing.assert_close(got.double(), want, rtol=tolerance, atol=1e-12)
        gradients = torch.autograd.grad(got.sum(), (mean, logvar))
        expected = torch.autograd.grad(want.sum(), exact)
        for gradient, known in zip(gradients, expected, strict=True):
            error = (gradient.double() - known).norm() / known.norm()
            assert error < tolerance, (dtype, float(error))


def test_the_cost_is_linear_in_the_number_of_modalities() -> None:
    # By what is held for the gradient, which a busy machine does not change.
    def held(num_modalities: int) -> int:
        sizes: list[int] = []

        def note(saved: Tensor) -> Tensor:
            sizes.append(saved.numel())
            return saved

        mean, logvar = (value.requires_grad_() for value in posteriors(num_modalities))
        with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
            pairwise_kl(mean, logvar)
        return sum(sizes)

    assert held(100) < 11 * held(10)


def test_mixture_is_at_most_the_pairwise_mean_and_log_m() -> None:
    mean, logvar = posteriors(size=4)
    draws = 4000
    wide = [value.repeat(1, draws, 1) for value in (mean, logvar)]
    each = mixture_kl(*wide, reparametrise(*wide)).view(draws, 4)
    assert each.max() <= M * math.log(M) + 1e-9  # every draw, so the mean over modalities too
    exact, error = each.mean(0), each.std(0) / draws**0.5
    assert (exact > 0).all()
    assert (exact - 3 * error <= pairwise_kl(mean, logvar)).all()
    # Posteriors that have nothing in common reach the bound; the pairwise form has none.
    apart = mean + 1e3 * torch.arange(M)[:, None, None]
    value = mixture_kl(apart, logvar, reparametrise(apart, logvar))
    torch.testing.assert_close(value, torch.full_like(value, M * math.log(M)))
    assert (pairwise_kl(apart, logvar) > 1e5).all()


def test_mixture_kl_agrees_with_numerical_integration() -> None:
    mean = torch.tensor([0.0, 1.5, -0.5]).double().view(3, 1, 1)
    logvar = torch.tensor([0.0, -1.0, 0.7]).double().view(3, 1, 1)
    grid = torch.linspace(-15, 15, 20001, dtype=torch.float64).view(-1, 1, 1)
    log_h = log_mixture(grid, mean, logvar)[:, 0]
    exact = 0.0
    for m in range(3):
        log_q = td.Normal(mean[m, 0, 0], (0.5 * logvar[m, 0, 0]).exp()).log_prob(grid[:, 0, 0])
        exact += float(torch.trapezoid(log_q.exp() * (log_q - log_h), grid[:, 0, 0]))
    draws = 200_000
    wide = [value.expand(3, draws, 1) for value in (mean, logvar)]
    each = mixture_kl(*wide, reparametrise(*wide))
    assert abs(float(each.mean()) - exact) < 4 * float(each.std()) / draws**0.5


def test_log_mixture_equals_torch() -> None:
    mean, logvar = posteriors()
    location, scale = mean.transpose(0, 1), (0.5 * logvar).exp().transpose(0, 1)
    component = td.Independent(td.Normal(location, scale), 1)
    mixture = td.MixtureSameFamily(td.Categorical(torch.ones(B, M).double()), component)
    z = torch.randn(4, B, L, dtype=torch.float64)
    torch.testing.assert_close(log_mixture(z, mean, logvar), mixture.log_prob(z))


@pytest.mark.parametrize("regulariser", ["pairwise", "mixture"])
class TestBoth:
    def value(
        self, regulariser: str, mean: Tensor, logvar: Tensor, present: Tensor | None = None
    ) -> Tensor:
        if regulariser == "pairwise":
            return pairwise_kl(mean, logvar, present)
        shown = [present_or_zero(value, present) for value in (mean, logvar)]
        sample = reparametrise(*shown, torch.Generator().manual_seed(5))
        return mixture_kl(mean, logvar, sample, present)

    def test_one_modality_gives_zero(self, regulariser: str) -> None:
        mean, logvar = posteriors(1)
        assert torch.equal(self.value(regulariser, mean, logvar), torch.zeros(B).double())

    def test_identical_posteriors_give_zero(self, regulariser: str) -> None:
        mean, logvar = (value[:1].expand(M, B, L) for value in posteriors(1, offset=50.0))
        got = self.value(regulariser, mean, logvar)
        torch.testing.assert_close(got, torch.zeros(B).double(), rtol=0, atol=1e-12)

    def test_what_is_missing_is_as_if_it_did_not_exist(self, regulariser: str) -> None:
        mean, logvar = posteriors()
        present = torch.ones(B, M, dtype=torch.bool)
        present[:, 3:] = False
        if regulariser == "pairwise":
            got = pairwise_kl(mean, logvar, present)
            torch.testing.assert_close(got, pairwise_kl(mean[:3], logvar[:3]))
        else:
            sample = reparametrise(mean, logvar)
            got = mixture_kl(mean, logvar, sample, present)
            torch.testing.assert_close(got, mixture_kl(mean[:3], logvar[:3], sample[:3]))

    def test_a_missing_modality_gets_no_gradient_whatever_stands_there(
        self, regulariser: str
    ) -> None:
        mean, logvar = posteriors()
        present = some_missing()
        present[0] = False  # nothing at all
        present[1] = torch.arange(M) == 2  # one alone
        missing = ~present.t()
        mean[missing], logvar[missing] = torch.nan, torch.inf
        mean.requires_grad_(), logvar.requires_grad_()
        got = self.value(regulariser, mean, logvar, present)
        assert got.isfinite().all()
        assert got[:2].tolist() == [0, 0]
        for gradient in torch.autograd.grad(got.sum(), (mean, logvar)):
            assert gradient.isfinite().all()
            assert not gradient[missing].any()
            assert gradient[:, :2].abs().max() < 1e-12  # nothing to differ from
            assert gradient[~missing].any()
