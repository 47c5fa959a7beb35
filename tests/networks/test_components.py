"""Components are those of an exact decomposition; encoders see nothing else of a sample."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mixvae.networks.components import ComponentEncoder, PrincipalComponents


def samples(num: int = 300, rank: int = 4, features: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(num, rank, generator=generator)
    mixing = torch.randn(rank, features, generator=generator)
    noise = 0.01 * torch.randn(num, features, generator=generator)
    return factors @ mixing + noise + 5.0


def fitted(x: Tensor, count: int, standardise: bool = True) -> PrincipalComponents:
    layer = PrincipalComponents(x.shape[1:], count, standardise)
    layer.fit(x)
    return layer


@pytest.mark.parametrize("standardise", [False, True])
def test_components_span_what_an_exact_decomposition_finds(standardise: bool) -> None:
    x = samples()
    y = fitted(x, 4, standardise)(x)
    torch.testing.assert_close(y.mean(dim=0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.T @ y / len(x), torch.eye(4), atol=1e-3, rtol=0)
    centred = x - x.mean(dim=0)
    if standardise:
        centred = centred / centred.square().mean(dim=0).sqrt()
    exact = torch.linalg.svd(centred, full_matrices=False)[0][:, :4]
    # The same space: each set of directions explains the other wholly.
    cosines = torch.linalg.svdvals(exact.T @ y / len(x) ** 0.5)
    torch.testing.assert_close(cosines, torch.ones(4), atol=1e-3, rtol=0)


def test_fitting_depends_on_the_samples_alone_and_leaves_the_generator() -> None:
    x = samples()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = fitted(x, 3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(first.projection, fitted(x, 3).projection)


def test_what_is_not_above_the_noise_is_left_out() -> None:
    generator = torch.Generator().manual_seed(1)
    x = samples(1000, 4, 500) + 0.5 * torch.randn(1000, 500, generator=generator)
    y = fitted(x, 8, standardise=False)(x)
    torch.testing.assert_close(y[:, :4].var(dim=0), torch.ones(4), atol=1e-2, rtol=0)
    assert torch.equal(y[:, 4:], torch.zeros(1000, 4))


def test_without_whitening_the_unit_is_the_noise() -> None:
    generator = torch.Generator().manual_seed(1)
    x = samples(1000, 4, 500) + 0.5 * torch.randn(1000, 500, generator=generator)
    layer = PrincipalComponents(x.shape[1:], 4, standardise=False, whiten=False)
    layer.fit(x)
    y = layer(x)
    spread = torch.linalg.svdvals(x - x.mean(dim=0))[:4] / 1000**0.5
    torch.testing.assert_close(y.square().mean(dim=0).sqrt(), spread / 0.5, rtol=0.02, atol=0)
    # Other units of the data change nothing.
    other = PrincipalComponents(x.shape[1:], 4, standardise=False, whiten=False)
    other.fit(7 * x)
    torch.testing.assert_close(other(7 * x), y, rtol=1e-3, atol=1e-3)


def test_a_constant_feature_changes_nothing() -> None:
    x = samples()
    constant = torch.cat([x, torch.full((len(x), 1), 3.0)], dim=1)
    layer = fitted(constant, 4)
    assert torch.equal(layer.projection[-1], torch.zeros(4))
    assert torch.isfinite(layer(constant)).all()


def test_the_fit_is_in_the_state() -> None:
    x = samples()
    first, second = fitted(x, 3), PrincipalComponents(x.shape[1:], 3)
    with pytest.raises(ValueError, match="not fitted"):
        second(x)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))


def test_encoder_takes_shared_samples_and_copies() -> None:
    x = samples()
    encoder = ComponentEncoder(2, [20], num_components=4, hidden=(8, 5), batch_norm="none")
    encoder.components.fit(x)
    shared = encoder(x)
    assert shared.shape == (2, 300, 5)
    torch.testing.assert_close(encoder(x.expand(2, -1, -1).clone()), shared)
    assert encoder.out_features == 5


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize(("num", "rank"), [(6, 20), (300, 3)])
def test_components_that_few_samples_do_not_span_are_0(num: int, rank: int, whiten: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(num, rank) @ torch.randn(rank, 20)
    layer = PrincipalComponents([20], 8, standardise=False, whiten=whiten)
    layer.fit(x)
    spanned = min(num - 1, rank)
    deviation = layer(x).std(dim=0)
    assert (deviation[spanned:] == 0).all()
    assert deviation[:spanned].min() > 0.5
    assert deviation.max() < 50
