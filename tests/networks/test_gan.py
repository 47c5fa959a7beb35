"""The copying network: what noise does and does not do, standardising, freezing, sizes."""

from __future__ import annotations

import pytest
import torch

from mixvae.networks.gan import CopyNetwork, Discriminator, Standardise, freeze

D = 6
SMALL = {"latent_dim": 3, "noise_dim": 4, "hidden": (8, 7)}


def network(shape: tuple[int, ...] = (D,), **options: object) -> CopyNetwork:
    torch.manual_seed(0)
    return CopyNetwork(shape, **{**SMALL, **options}).eval()


def test_statistics_are_those_of_all_samples_seen() -> None:
    x = torch.randn(50, D) * torch.arange(1.0, D + 1) + 3
    standardise = Standardise(D)
    for part in x.split([7, 23, 20]):
        standardise.observe(part)
    torch.testing.assert_close(standardise.mean, x.mean(0))
    torch.testing.assert_close(standardise.variance, x.var(0, correction=0))
    torch.testing.assert_close(standardise.inverse(standardise(x)), x)
    assert standardise(x).std(0).max() < 1.1


def test_a_feature_that_hardly_varies_is_not_blown_up() -> None:
    x = torch.randn(50, D)
    x[:, 0] = 0.0
    standardise = Standardise(D)
    standardise.observe(x)
    assert standardise(torch.ones(1, D))[0, 0] < 4


@pytest.mark.parametrize(("shape", "value_range"), [((D,), None), ((1, 4, 4), (0.0, 1.0))])
def test_without_noise_a_copy_is_the_sample_itself(
    shape: tuple[int, ...], value_range: tuple[float, float] | None
) -> None:
    x = torch.rand(5, *shape)
    copies = network(shape, value_range=value_range)(x, torch.zeros(2, 5, 4))
    torch.testing.assert_close(copies, x.expand(2, *x.shape))


def test_without_residual_a_copy_without_noise_is_the_plain_reconstruction() -> None:
    model, x = network(residual=0.0), torch.randn(5, D)
    plain = model.decode(model.encode(x)[0])
    torch.testing.assert_close(model(x, torch.zeros(2, 5, 4)), plain.expand(2, 5, D))


def test_each_noise_makes_its_own_copy_and_the_opposite_noise_the_opposite_shift() -> None:
    model, x, noise = network(), torch.randn(5, D), torch.randn(2, 5, 4)
    copies = model(x, noise)
    assert copies.shape == (2, 5, D)
    assert (copies[0] - copies[1]).norm(dim=-1).min() > 0
    latent = torch.randn(5, 3)
    torch.testing.assert_close(model.shift(latent, noise[0]), -model.shift(latent, -noise[0]))


def test_copies_of_images_stay_in_their_range() -> None:
    model = network((1, 4, 4), value_range=(0.0, 1.0))
    x = torch.rand(20, 1, 4, 4).round()
    copies = model(x, 100 * torch.randn(3, 20, 4))
    assert copies.min() >= 0
    assert copies.max() <= 1
    plain = model.decode(model.encode(x)[0])
    assert plain.min() > 0
    assert plain.max() < 1


def test_an_untrained_decoder_gets_no_gradient_but_its_latent_does() -> None:
    model, latent = network(), torch.randn(5, 3, requires_grad=True)
    torch.testing.assert_close(model.decode(latent, trained=False), model.decode(latent))
    model.decode(latent, trained=False).square().sum().backward()
    assert latent.grad is not None
    assert all(parameter.grad is None for parameter in model.parameters())


def test_sizes_build_the_same_network_again() -> None:
    model = network((1, 4, 4), value_range=(0.0, 1.0), residual=0.5)
    again = CopyNetwork(**model.sizes()).eval()
    again.load_state_dict(model.state_dict())
    x, noise = torch.rand(5, 1, 4, 4), torch.randn(2, 5, 4)
    assert torch.equal(again(x, noise), model(x, noise))


def test_a_frozen_network_computes_the_same_without_parameters_or_state() -> None:
    model, x, noise = network(), torch.randn(5, D), torch.randn(2, 5, 4)
    before = model(x, noise)
    freeze(model)
    assert torch.equal(model(x, noise), before)
    assert list(model.parameters()) == []
    assert model.state_dict() == {}
    assert model.double()(x.double(), noise.double()).dtype == torch.float64  # it moves along


def test_the_discriminator_sees_noise_in_training_only() -> None:
    judge, x = Discriminator((D,), hidden=(8,), dropout=0.0, input_noise=1.0), torch.randn(5, D)
    assert judge(x).shape == (5,)
    assert not torch.equal(judge(x), judge(x))
    judge.eval()
    assert torch.equal(judge(x), judge(x))
