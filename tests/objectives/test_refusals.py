"""Arguments that cannot be are refused by name and value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, nan

import pytest
import torch

from mixvae.objectives.adversarial import neighbour_radius, virtual_adversarial_copy
from mixvae.objectives.assignment import align_agents, assign_balanced, match_categories
from mixvae.objectives.count_likelihoods import NegativeBinomial, ZeroInflatedNegativeBinomial
from mixvae.objectives.coupling import coupling
from mixvae.objectives.divergences import capacity_penalty
from mixvae.objectives.gaussian_components import fit_components
from mixvae.objectives.information import information
from mixvae.objectives.kmeans import k_means
from mixvae.objectives.likelihoods import Bernoulli, Gaussian, Likelihood, SquaredError
from mixvae.objectives.modality_likelihoods import Categorical, Laplace, Poisson
from mixvae.objectives.posteriors import aggregate, subsets
from mixvae.objectives.relaxation import gumbel_softmax
from mixvae.objectives.schedules import Constant, Cosine, Geometric, Linear, Rounds, as_schedule

X, LOG_Q = torch.rand(5, 3), torch.full((2, 5, 4), 0.25).log()
COPY = partial(virtual_adversarial_copy, X[None], lambda x: x.log_softmax(-1), 1.0)
EVERYTHING = torch.ones(5, 2, dtype=torch.bool)
POSTERIORS = (torch.zeros(2, 5, 3), torch.zeros(2, 5, 3))

# Each with the key and the value that its message names.
REFUSED: list[tuple[Callable[[], object], str]] = [
    (partial(COPY, xi=0.0), "xi .* got 0"),
    (partial(COPY, num_power_steps=0), "num_power_steps .* got 0"),
    (partial(neighbour_radius, X, -1.0, 1), "ratio .* got -1"),
    (partial(neighbour_radius, X, 1.0, 0), "k .* got 0"),
    (partial(match_categories, torch.zeros(2, 3)), "square table"),
    (partial(match_categories, torch.zeros(2, 2, 2)), "square table"),
    (partial(match_categories, [[1.0, -1.0], [0.0, 1.0]]), "at least 0"),
    (partial(match_categories, [[1.0, nan], [0.0, 1.0]]), "at least 0"),
    (partial(align_agents, torch.zeros(2, 3, 4, 4).numpy()), r"shape \(A, A, K, K\)"),
    (partial(align_agents, torch.zeros(2, 2, 3, 3).numpy(), reference=2), r"\[0, 2\), got 2"),
    (partial(assign_balanced, torch.zeros(3).numpy(), 0.1), "finite table"),
    (partial(assign_balanced, torch.full((2, 2), nan).numpy(), 0.1), "finite table"),
    (partial(assign_balanced, torch.zeros(2, 2).numpy(), -0.1), "got -0.1"),
    (partial(assign_balanced, torch.zeros(2, 2).numpy(), nan), "got nan"),
    (partial(capacity_penalty, torch.zeros(1, 2), -0.1), r"got -0\.1"),
    (partial(coupling, LOG_Q, "cosine"), "aitchison, euclidean, jeffreys, got 'cosine'"),
    (partial(fit_components, torch.zeros(2, 2), 3), "3 components .* got 2"),
    (partial(fit_components, torch.full((5, 2), nan), 3), "finite"),
    (partial(information, LOG_Q, -1.0), "marginal_weight .* got -1"),
    (partial(k_means, X[:3], 4), "4 centres .* got 3"),
    *((partial(Gaussian, bad), "variance") for bad in (0.0, -1.0, nan, inf)),
    *((partial(Laplace, bad), "scale") for bad in (0.0, -1.0, nan, inf)),
    *((partial(subsets, bad), f"1 to 12 .* got {bad}") for bad in (0, 13)),
    (partial(aggregate, *POSTERIORS, EVERYTHING, "mean"), "avg, poe, moe, mopoe, got 'mean'"),
    *((partial(gumbel_softmax, LOG_Q, bad), "temperature") for bad in (0.0, -1.0, nan)),
    *((partial(ramp, nan, 1, length=1), "start") for ramp in (Linear, Cosine, Geometric)),
    *((partial(Linear, 1, bad, length=1), "end") for bad in (inf, "1", None, True)),
    (partial(Linear, 0, 1, begin=inf, length=1), "begin"),
    (partial(Linear, 0, 1, length=-1), "length .* got -1"),
    *((partial(Geometric, *ends, length=1), "above 0") for ends in ((0, 1), (1, 0), (-1, -2))),
    (partial(Constant, nan), "value"),
    *((partial(as_schedule, bad, name="beta"), "beta") for bad in ("0.1", None, True, nan, [1.0])),
    (partial(as_schedule, -1, name="beta", at_least=0), "beta .* got -1"),
    (partial(as_schedule, Linear(1, 0, length=3), name="tau", above=0), "tau .* got 0"),
    (partial(Rounds, 1.0, 1.0, begin=-1, length=2), "begin .* got -1"),
    (partial(Rounds, 1.0, 1.0, begin=0, length=0), "got 0"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_bad_arguments(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


ONE_HOT = torch.eye(4)[[0, 1, 3]]
# Data that a likelihood describes, and values that it does not.
CHECKED: list[tuple[Likelihood, torch.Tensor, tuple[float, ...], str]] = [
    (Bernoulli(), torch.full((3, 4), 0.5), (-0.1, 1.5, nan, inf), r"\[0, 1\]"),
    (Gaussian(), torch.full((3, 4), -7.0), (nan, inf), "finite values, got 1"),
    (SquaredError(), torch.full((3, 4), -7.0), (nan,), "finite values, got 1"),
    (Laplace(), torch.full((3, 4), -7.0), (nan, -inf), "got 1"),
    (Poisson(), torch.zeros(3, 4), (-1.0, 0.5, nan, inf), "got {bad:g}"),
    (NegativeBinomial(), torch.ones(3, 4), (-1.0, 0.5, nan, inf), "got {bad:g} .1 of 12"),
    (ZeroInflatedNegativeBinomial(), torch.ones(3, 4), (-1.0, nan), "got {bad:g} .1 of 12"),
    (Categorical(), ONE_HOT, (-1.0, 4.0, nan), "one-hot .* token numbers"),
    (Categorical(), ONE_HOT, (0.9,), "standardise"),
    (Categorical(), ONE_HOT, (1.0,), "sum of 2"),
]


@pytest.mark.parametrize(("family", "good", "values", "message"), CHECKED)
def test_data_of_another_likelihood(
    family: Likelihood, good: torch.Tensor, values: tuple[float, ...], message: str
) -> None:
    family.check(good)
    for bad in values:
        x = good.clone()
        x[1, 2] = bad
        with pytest.raises(ValueError, match=message.format(bad=bad)):
            family.check(x)
