"""Likelihoods of raw counts, such as transcripts per gene, given a cell's library size.

Everything is computed in log space, from the counts themselves: the public code (MMIDAS) feeds
its ZINB expm1 of log-CPM as counts, and averages it over features; ours is nats, summed over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mixvae.objectives.precision import at_least_single

PER_MILLION = 1e6
# Stirling's series takes over here: below, lgamma loses nothing; above, the series is exact.
STIRLING_FROM = 32.0
# Beyond these a negative binomial is a Poisson, or all its counts are 0, in any precision.
MAX_LOG_DISPERSION = 30.0


@dataclass(frozen=True)
class NegativeBinomial:
    """Negative binomial counts; the decoder gives mean logits and log-dispersions.

    The mean of gene g is library * softmax(logits)_g, where the library size is the sum of the
    cell's counts over the genes of the model, so depth is no part of a cell's state. The dispersion
    r is the inverse one, the variance is mean + mean^2 / r: a Poisson for large r. Each cell and
    gene has its own, from the decoder, so it can differ between categories. A cell without counts
    is taken to have had one.

    Attributes:
        target_sum: The sum of decoded profiles over the genes of the model, see `log_profile`.

    Source:
        Lopez et al. 2018 (scVI), supplementary note 1, with the observed library size in place of
        an inferred one and `gene-cell` dispersion.
    """

    params_per_feature: ClassVar[int] = 2
    counts: ClassVar[bool] = True
    target_sum: float = PER_MILLION

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x | library of x), shape (A, B), nats, summed over genes.

        Args:
            params: Mean logits and log-dispersions, shape (A, B, 2*D).
            x: Raw counts, shape (A, B, D) or (B, D).
        """
        logits, log_dispersion = _blocks(params, self.params_per_feature)
        return -negative_binomial_log_prob(log_mean(logits, x), log_dispersion, x).sum(dim=-1)

    def mean(self, params: Tensor) -> Tensor:
        """Log1p of the mean profile, shape (A, B, D): the log of the mean, not its mean."""
        return log_profile(_blocks(params, self.params_per_feature)[0], self.target_sum)

    def check(self, x: Tensor) -> None:
        """Raise ValueError if a value is not a count."""
        check_counts(x)

    def nearest(self, x: Tensor) -> Tensor:
        """Return x itself: raw counts are never altered."""
        return x


@dataclass(frozen=True)
class ZeroInflatedNegativeBinomial(NegativeBinomial):
    """Negative binomial counts of which some are lost; the decoder also gives dropout logits.

    A count is 0 with probability sigmoid(dropout logit), whatever it would have been; otherwise it
    is `NegativeBinomial`. The mean profile is that before dropout.

    Source:
        Lopez et al. 2018 (scVI), supplementary note 1, as for `NegativeBinomial`.
    """

    params_per_feature: ClassVar[int] = 3

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x | library of x), shape (A, B), nats, summed over genes.

        Args:
            params: Mean logits, log-dispersions and dropout logits, shape (A, B, 3*D).
            x: Raw counts, shape (A, B, D) or (B, D).
        """
        logits, log_dispersion, dropout = _blocks(params, self.params_per_feature)
        kept = F.logsigmoid(-dropout) + negative_binomial_log_prob(
            log_mean(logits, x), log_dispersion, x
        )
        log_prob = torch.where(x == 0, torch.logaddexp(F.logsigmoid(dropout), kept), kept)
        return -log_prob.sum(dim=-1)


def log_mean(logits: Tensor, x: Tensor) -> Tensor:
    """Log of the mean count of each gene, shape (A, B, D).

    Args:
        logits: Mean logits, shape (A, B, D).
        x: Raw counts, shape (A, B, D) or (B, D), whose sum per cell is its library size.

    Source:
        Lopez et al. 2018 (scVI), rho and l_n of supplementary note 1.
    """
    library = x.sum(dim=-1, keepdim=True).clamp_min(1)
    return logits.log_softmax(dim=-1) + library.log()


def log_profile(logits: Tensor, target_sum: float) -> Tensor:
    """Log1p of a cell's mean profile that sums to `target_sum`, shape of logits.

    Where the model has all genes of a file, this is the unit that cells are normalised to, and
    decoded genes compare with data. Of chosen genes, cells are normalised by all of a library and
    this is not: decoded genes are then higher, by 1 / (share of the counts that they hold), and
    where that share differs between cells, a small change may have the other sign.

    Args:
        logits: Mean logits, shape (A, B, D).
        target_sum: 1e6 for counts per million.

    Source:
        Lopez et al. 2018 (scVI), rho of supplementary note 1, which also sums to 1 over the genes
        chosen; the sum and the logarithm are ours.
    """
    return (target_sum * logits.softmax(dim=-1)).log1p()


def negative_binomial_log_prob(log_mean: Tensor, log_dispersion: Tensor, x: Tensor) -> Tensor:
    """Log p(x) of each count, nats, not summed, shape as the arguments broadcast.

    The dispersion r enters through lgamma(x + r) - lgamma(r) - x log r, which is small where r is
    large, and through softplus(log mean - log r): the Poisson is reached exactly.

    In float32 large counts lose nats all the same, where x log mean and lgamma(x + 1) cancel: cells
    of 50 genes of up to 300 counts at most 0.004, of up to 3e4 0.5, of up to 3e6 60 nats; gradients
    lose at most 1e-4, 0.01 and 0.6 times 1 + their size. Stirling's series for x as well would end
    that (1e-4 times for gradients, r up to e^3), but takes 1.8 times as long, whatever the counts.

    Args:
        log_mean: Natural log of the mean, in counts.
        log_dispersion: Natural log of r; the variance is mean + mean^2 / r.

    Source:
        Hilbe 2011, Negative Binomial Regression, eq. (8.1) (NB2), with alpha = 1 / r.
    """
    log_r = log_dispersion.clamp(-MAX_LOG_DISPERSION, MAX_LOG_DISPERSION)
    r = log_r.exp()
    excess = F.softplus(log_mean - log_r)
    poisson_like = x * (log_mean - excess) - r * excess - torch.lgamma(x + 1)
    return poisson_like + _log_rising(x, r, log_r)


def check_counts(x: Tensor) -> None:
    """Reject values that are not raw counts.

    Raises:
        ValueError: Naming the first value that is not finite, negative or not whole.

    Source:
        Ours.
    """
    bad = ~torch.isfinite(x) | (x < 0) | (x != x.round())
    if bad.any():
        raise ValueError(
            f"a likelihood of counts needs whole numbers of at least 0, got {float(x[bad][0]):g}"
            f" ({int(bad.sum())} of {x.numel()} values are not counts); give it raw counts, or"
            " choose likelihood=gaussian (and the kind vector) for normalised data"
        )


def _log_rising(x: Tensor, r: Tensor, log_r: Tensor) -> Tensor:
    """lgamma(x + r) - lgamma(r) - x log r, at least 0."""
    small = r.clamp_max(STIRLING_FROM)
    exact = torch.lgamma(x + small) - torch.lgamma(small) - x * log_r
    large = r.clamp_min(STIRLING_FROM)
    series = (x + large - 0.5) * (x / large).log1p() - x + _tail(x + large) - _tail(large)
    return torch.where(r < STIRLING_FROM, exact, series)


def _tail(z: Tensor) -> Tensor:
    """The correction by Stirling's series to (z - 1/2) log z - z + log(2 pi) / 2."""
    return (1 / 12 - 1 / (360 * z * z)) / z


def _blocks(params: Tensor, count: int) -> tuple[Tensor, ...]:
    """The decoder's blocks of one parameter each, `count` tensors (A, B, D), float32 or wider."""
    assert params.shape[-1] % count == 0, f"{params.shape[-1]} is no multiple of {count}"
    return at_least_single(params).chunk(count, dim=-1)
