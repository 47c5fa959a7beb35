"""AugmenterVAEGAN: which term trains which parameters, what is logged, what is refused."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from toys import parts_reached

from mixvae.contracts import Batch, CopyModel, DataSpec
from mixvae.modules.learned_augmenter import AugmenterVAEGAN
from mixvae.networks.gan import CopyNetwork, Discriminator

B, D = 12, 6
PARTS = {
    "encoder": ("network.encoder",),
    "decoder": ("network.decoder",),
    "shifter": ("network.shifter",),
    "discriminator": ("discriminator",),
}
TRAINED_BY = {
    "reconstruction": {"encoder", "decoder"},
    "kl": {"encoder"},
    "adversarial": {"shifter"},
    "triplet": {"shifter"},
    "distance": {"shifter"},
    "discriminator": {"discriminator"},
}


def make(shape: tuple[int, ...] = (D,), **options: object) -> AugmenterVAEGAN:
    torch.manual_seed(0)
    arguments = {
        "spec": DataSpec("toy", shape, feature_names=tuple("abcdef")),
        "network": partial(CopyNetwork, latent_dim=3, noise_dim=4, hidden=(8,)),
        "discriminator": partial(Discriminator, hidden=(8,)),
        "optimizer": partial(torch.optim.Adam, lr=1e-2),
    }
    return AugmenterVAEGAN(**{**arguments, **options})


def batch(shape: tuple[int, ...] = (D,)) -> Batch:
    x = torch.rand(B, *shape, generator=torch.Generator().manual_seed(1))
    return Batch(x, torch.zeros(B, dtype=torch.int64), torch.arange(B))


@pytest.mark.parametrize("residual", [0.0, 1.0])
@pytest.mark.parametrize(("name", "parts"), TRAINED_BY.items())
def test_each_term_trains_its_own_parameters_and_no_others(
    name: str, parts: set[str], residual: float
) -> None:
    model = make(network=partial(CopyNetwork, latent_dim=3, hidden=(8,), residual=residual))
    assert parts_reached(model, PARTS, model.terms(batch())[name].loss()) == parts


@pytest.mark.parametrize("name", ["adversarial_weight", "triplet_weight", "distance_weight"])
def test_a_weight_of_0_switches_a_term_off(name: str) -> None:
    model = make(adversarial_weight=0.0, triplet_weight=0.0, distance_weight=0.0)
    model.terms(batch()).total().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.network.shifter.parameters())
    model = make(**{name: 0.0})
    terms = model.terms(batch())
    term = name.removesuffix("_weight")
    assert terms[term].weight == 0
    assert torch.isfinite(terms.total())


def test_noise_is_normal_and_not_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    # Fault 1, in the augmenter: the public code draws from [0, 1).
    model, drawn = make(), []
    shift = model.network.shift
    monkeypatch.setattr(model.network, "shift", lambda z, n: drawn.append(n) or shift(z, n))
    for _ in range(100):
        model.terms(batch())
    noise = torch.cat(drawn)
    assert noise.mean().abs() < 0.05
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert noise.min() < -2


def test_training_moves_copies_to_the_radius_and_improves_the_reconstruction() -> None:
    model = make()
    optimizer = model.configure_optimizers()
    before = model.measure(batch().x)
    for _ in range(150):
        optimizer.zero_grad()
        model.terms(batch()).total().backward()
        optimizer.step()
    model.eval()
    after = model.measure(batch().x)
    assert after["reconstruction"] < before["reconstruction"]
    assert abs(after["shift_ratio"] - 1) < abs(before["shift_ratio"] - 1)
    assert after["copy_distance"] > 0
    assert after["copy_spread"] > 0


@pytest.mark.parametrize("shape", [(D,), (1, 4, 4)])
def test_measuring_draws_nothing_from_the_generator_of_training(shape: tuple[int, ...]) -> None:
    model = make(shape).eval()
    assert isinstance(model, CopyModel)
    x = batch(shape).x
    state = torch.get_rng_state()
    first, second = model.measure(x), model.measure(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert first == second
    assert torch.equal(model.copies(x, 3), model.copies(x, 3))
    assert not torch.equal(model.copies(x, 3), model.copies(x, 3, seed=1))
    torch.testing.assert_close(model.copies(x, 1, strength=0.0)[0], x)


def test_the_checkpoint_says_how_to_build_the_network_and_for_what() -> None:
    checkpoint: dict = {}
    make().on_save_checkpoint(checkpoint)
    assert checkpoint["augmenter"] == {
        "shape": [D],
        "value_range": None,
        "latent_dim": 3,
        "noise_dim": 4,
        "hidden": [8],
        "residual": 1.0,
        "feature_names": list("abcdef"),
        "data": "toy",
    }
