"""Single missing values, counts of any size, and modalities by their kind."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from toys import events as batch

from mixvae.contracts import ModalitySpec
from mixvae.modules.mmvm import MMVM
from mixvae.networks.modality import ModalityDecoder, ModalityEncoder, ModalityNetworks
from mixvae.objectives.likelihoods import (
    Bernoulli,
    Gaussian,
    Likelihood,
    SquaredError,
    masked_nll,
)
from mixvae.objectives.modality_likelihoods import (
    Categorical,
    Laplace,
    LibraryNegativeBinomial,
    Poisson,
)

FAMILIES: list[Likelihood] = [
    *(Bernoulli(), Gaussian(0.3), SquaredError(), Laplace(), Poisson(), Categorical()),
    LibraryNegativeBinomial(),
]
EVENTS = 12


def model(*modalities: ModalitySpec, **options: Any) -> MMVM:
    torch.manual_seed(0)
    small = [partial(part, hidden=[8]) for part in (ModalityEncoder, ModalityDecoder)]
    return MMVM(
        modalities=modalities,
        networks=partial(ModalityNetworks, encoder=small[0], decoder=small[1]),
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        **{"likelihood": SquaredError(), **options},
    )


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: type(family).__name__)
def test_elements_sum_to_the_whole_and_masked_ones_add_nothing(family: Likelihood) -> None:
    generator = torch.Generator().manual_seed(0)
    width = 4 * family.params_per_feature
    params = torch.randn(2, 5, width, generator=generator, dtype=torch.float64, requires_grad=True)
    x = torch.randint(2, (5, 4), generator=generator).double()
    everything = torch.ones(5, 4, dtype=torch.bool)
    torch.testing.assert_close(masked_nll(family, params, x, everything), family.nll(params, x))
    observed = torch.rand(5, 4, generator=generator) > 0.5
    elements = family.elementwise(params, x)  # type: ignore[attr-defined]
    by_hand = (elements * observed).sum(-1)
    torch.testing.assert_close(masked_nll(family, params, x, observed), by_hand)


def test_a_missing_value_has_a_gradient_of_exactly_zero() -> None:
    specs = (ModalitySpec("a", (3,), has_gaps=True), ModalitySpec("b", (2,)))
    one = model(*specs)
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(EVENTS, 3, generator=generator), torch.randn(EVENTS, 2, generator=generator)
    a[:, 1] = float("nan")  # nobody observes feature 1
    one.prepare([batch(a, b)])
    loss = one.terms(batch(a, b)).total()
    loss.backward()
    assert torch.isfinite(loss)
    last = one.networks.decoders[0].layers[-1]
    assert (last.weight.grad[1] == 0).all()
    assert last.bias.grad[1] == 0
    assert (last.weight.grad[0] != 0).any()


def test_a_gap_reads_as_the_training_mean() -> None:
    one = model(ModalitySpec("a", (3,), has_gaps=True), ModalitySpec("b", (2,)))
    a = torch.arange(9.0).reshape(3, 3)
    a[0, 0] = float("nan")
    one.prepare([batch(a, torch.zeros(3, 2))])
    assert one.centre_0.tolist() == [4.5, 4.0, 5.0]
    filled = a.clone()
    filled[0, 0] = 4.5
    everything = torch.ones(3, 2, dtype=torch.bool)
    found, expected = (one.infer([x, torch.zeros(3, 2)], everything).mean for x in (a, filled))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("family", [Poisson(), LibraryNegativeBinomial()], ids=repr)
@pytest.mark.parametrize("scale", [1.0, 1e4, 1e7])
def test_counts_of_any_size_start_at_a_finite_loss_near_their_entropy(
    family: Likelihood, scale: float
) -> None:
    torch.manual_seed(0)
    counts = torch.poisson(torch.rand(EVENTS, 6) * scale + 1)
    one = model(
        ModalitySpec("a", (6,)), ModalitySpec("b", (2,)), likelihoods={"a": family}, beta=0.1
    )
    data = batch(counts, torch.zeros(EVENTS, 2))
    one.prepare([data])
    nll = one.reconstruction(torch.zeros(2, EVENTS, 2), data)[0]
    assert torch.isfinite(nll).all()
    assert torch.isfinite(one.terms(data).total())
    decoded = one.decode(torch.zeros(EVENTS, 2), 0).detach()
    assert 0.3 < float(decoded.mean() / counts.mean()) < 3.0
    state = one.state_dict()
    torch.testing.assert_close(state["centre_0"], counts.mean(dim=0))


def test_kinds_choose_the_likelihood_and_names_another_one() -> None:
    specs = (
        ModalitySpec("text", (4, 5), "tokens"),
        ModalitySpec("genes", (6,), "counts"),
        ModalitySpec("picture", (1, 8, 8), "image"),
    )
    families = model(*specs, likelihood=Laplace(), likelihoods={"genes": Poisson()}).likelihoods
    assert families == (Categorical(), Poisson(), Laplace())
    assert isinstance(model(*specs).likelihoods[1], LibraryNegativeBinomial)


def test_whole_numbers_under_a_squared_error_are_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = model(ModalitySpec("genes", (6,)), ModalitySpec("b", (2,)))
    data = batch(torch.randint(0, 300, (EVENTS, 6)).float(), torch.randint(0, 9, (EVENTS, 2)))
    one.check(data)
    one.check(data)
    assert caplog.text.count("modality 'genes' holds whole numbers from 0 to") == 1
    assert "data.kinds={genes: counts}" in caplog.text
    assert "'b'" not in caplog.text
