"""Promises of all models, and the settings that none takes: a message names key and value.

Those that tests/test_bad_input.py tries at the command line are not repeated here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from toys import EVENTS, SHARED, SPECS, D, agents_of, batch, make, make_cpl

from mixvae.augmenters.adversarial import Adversarial
from mixvae.augmenters.noise import Identity
from mixvae.contracts import DataSpec, Mergeable, MixtureModel, Prunable
from mixvae.modules import (
    GMVAE,
    IMSAT,
    MMVM,
    AugmenterVAEGAN,
    Autoencoder,
    BetaVAE,
    CascadeVAE,
    InfoGAN,
    JointPosteriorVAE,
    JointVAE,
    MMVAEPlus,
    VaDE,
)
from mixvae.networks.gan import CopyNetwork, Discriminator
from mixvae.objectives.count_likelihoods import NegativeBinomial
from mixvae.objectives.modality_likelihoods import Poisson
from mixvae.objectives.schedules import Linear

COPIES = {
    "spec": DataSpec("toy", (D,)),
    "network": CopyNetwork,
    "discriminator": Discriminator,
    "optimizer": torch.optim.Adam,
}
MODELS: dict[str, Callable[..., Any]] = {
    "cpl": make_cpl,
    "beta": partial(make, BetaVAE),
    "cascade": partial(make, CascadeVAE, state_dim=4),
    "gmvae": partial(make, GMVAE),
    "vade": partial(make, VaDE),
    "joint": partial(make, JointVAE),
    "info_gan": partial(make, InfoGAN, agents=agents_of("before", "before")),
    "imsat": lambda **options: IMSAT(
        **{**SHARED, "augmenter": Identity(), "adversary": Adversarial(radius=0.5), **options}
    ),
    "augmenter": lambda **options: AugmenterVAEGAN(**COPIES, **options),
    "mmvm": lambda **options: MMVM(**{**EVENTS, **options}),
    "ae": lambda **options: Autoencoder(**{**EVENTS, **options}),
    "poe": lambda **options: JointPosteriorVAE(**{**EVENTS, "aggregate": "poe", **options}),
    "plus": lambda **options: MMVAEPlus(**{**EVENTS, **options}),
}
MIXTURES = ["cpl", "beta", "cascade", "gmvae", "vade", "joint", "info_gan", "imsat"]
BAD = [
    ("cpl", {"beta": Linear(1.0, -2.0, length=3)}, "model.beta", "got -2"),
    ("cpl", {"tau": "automatic"}, "model.tau", "got automatic"),
    ("cpl", {"adversarial_weight": 1.0}, "model.adversarial_weight", "model.adversary"),
    ("cpl", {"marginal_weight": -1.0}, "model.marginal_weight", "got -1"),
    ("cpl", {"weight_unit": 0}, "model.weight_unit", "got 0"),
    ("cpl", {"weight_unit": math.nan}, "model.weight_unit", "got nan"),
    (
        "cpl",
        {"likelihood": NegativeBinomial(), "shape": (1, 4, 4)},
        "2 parameters per feature",
        "(1, 4, 4)",
    ),
    ("beta", {"state_dim": 0}, "model.state_dim", "got 0"),
    ("beta", {"beta": -1.0}, "model.beta", "got -1"),
    ("cascade", {"beta_high": 0.05}, "model.beta_high", "at least 0.1, got 0.05"),
    ("cascade", {"beta_low": -1.0}, "model.beta_low", "got -1"),
    ("cascade", {"dimension_epochs": 0.0}, "model.dimension_epochs", "got 0"),
    ("cascade", {"pair_cost": -1.0}, "model.pair_cost", "got -1"),
    ("cascade", {"category_after": 5}, "model.category_after", "got 5"),
    ("cascade", {"likelihood": NegativeBinomial()}, "model.likelihood", "NegativeBinomial"),
    ("gmvae", {"state_dim": 0}, "model.state_dim", "got 0"),
    ("gmvae", {"tau": 0.0}, "model.tau", "got 0"),
    ("gmvae", {"beta": -0.5}, "model.beta", "got -0.5"),
    ("vade", {"pretrain_epochs": -1}, "model.pretrain_epochs", "got -1"),
    ("vade", {"layerwise_epochs": -1}, "model.layerwise_epochs", "got -1"),
    ("vade", {"num_starts": 0}, "model.num_starts", "got 0"),
    ("joint", {"category_capacity": 1.7}, "model.category_capacity", "got 1.7"),
    ("joint", {"category_capacity": -0.1}, "model.category_capacity", "got -0.1"),
    ("joint", {"category_capacity": math.nan}, "model.category_capacity", "got nan"),
    ("joint", {"state_capacity_epochs": -1.0}, "model.state_capacity_epochs", "got -1"),
    ("joint", {"category_gamma": -2.0}, "model.category_gamma", "got -2"),
    ("joint", {"temperature": 0.0}, "model.temperature", "got 0"),
    ("info_gan", {"noise_dim": -1}, "model.noise_dim", "got -1"),
    ("info_gan", {"category_weight": -1.0}, "model.category_weight", "got -1"),
    ("info_gan", {"state_weight": math.nan}, "model.state_weight", "got nan"),
    ("info_gan", {"generator_rate": 0.0}, "model.generator_rate", "got 0"),
    ("info_gan", {"input_noise": -0.1}, "model.input_noise", "got -0.1"),
    ("imsat", {"tau": -1.0}, "model.tau", "got -1"),
    ("imsat", {"information_weight": -1.0}, "model.information_weight", "got -1"),
    ("imsat", {"marginal_weight": Linear(1.0, 2.0, length=3)}, "model.marginal_weight", "schedule"),
    ("imsat", {"consistency_weight": -1.0}, "model.consistency_weight", "got -1"),
    ("augmenter", {"beta": -1.0}, "model.beta", "got -1"),
    ("augmenter", {"adversarial_weight": -1.0}, "model.adversarial_weight", "got -1"),
    ("augmenter", {"triplet_weight": math.nan}, "model.triplet_weight", "got nan"),
    ("augmenter", {"distance_weight": math.inf}, "model.distance_weight", "got inf"),
    ("augmenter", {"margin": 0.0}, "model.margin", "got 0"),
    ("augmenter", {"radius": 0.0}, "model.radius", "got 0"),
    ("augmenter", {"neighbour": 0}, "model.neighbour", "got 0"),
    ("ae", {"modalities": ()}, "at least 1 modality", "none"),
    ("ae", {"latent_dim": 0}, "model.latent_dim", "got 0"),
    ("ae", {"weights": {"cat": -1.0}}, "model.weights.cat", "got -1"),
    ("ae", {"likelihoods": {"cat": "categorical"}}, "model.likelihoods.cat", "'categorical'"),
    ("ae", {"likelihoods": {"cat": NegativeBinomial()}}, "'cat'", "NegativeBinomial"),
    ("mmvm", {"alpha": -0.5}, "model.alpha", "got -0.5"),
    ("mmvm", {"alpha": Linear(2.0, 0.0, length=3)}, "model.alpha", "got 2"),
    ("mmvm", {"weights": {"mous": 1.0}}, "model.weights.mous", "'mouse'"),
    ("mmvm", {"weights": "sise"}, "model.weights is 'sise'", "size"),
    ("mmvm", {"likelihoods": {"dog": Poisson()}}, "model.likelihoods.dog", "rat"),
    ("poe", {"beta": Linear(1.0, -1.0, length=3)}, "model.beta", "got -1"),
    ("poe", {"aggregate": "sum"}, "model.aggregate", "'sum'"),
    ("poe", {"aggregate": "moe", "prior_expert": True}, "model.prior_expert", "moe"),
    ("poe", {"aggregate": "mopoe", "modalities": SPECS * 5}, "1 to 12 modalities", "got 15"),
    ("poe", {"subset_bounds": -1}, "model.subset_bounds", "got -1"),
    ("poe", {"aggregate": "mopoe", "prior_expert": "all"}, "true, false or full", "'all'"),
    ("poe", {"aggregate": "moe", "num_draws": 0}, "model.num_draws", "got 0"),
    ("plus", {"num_draws": 0}, "model.num_draws", "got 0"),
    ("plus", {"private_dim": 0}, "model.private_dim", "got 0"),
]


@pytest.mark.parametrize(
    ("name", "options", "key", "value"), BAD, ids=[f"{name} {list(o)[-1]}" for name, o, *_ in BAD]
)
def test_a_bad_setting_is_refused_by_name(name: str, options: dict, key: str, value: str) -> None:
    with pytest.raises(ValueError, match=re.escape(key)) as error:
        MODELS[name](**options)
    assert value in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "enough", "key"),
    [
        ("cascade", {"dimension_epochs": 2.0}, 9, "model.dimension_epochs is 2"),
        ("vade", {"pretrain_epochs": 2}, 3, "model.pretrain_epochs is 2"),
        (
            "vade",
            {"pretrain_epochs": 2, "layerwise_epochs": 3},
            12,
            "model.pretrain_epochs is 2, after 3 layers of model.layerwise_epochs=3",
        ),
        ("joint", {"state_capacity_epochs": 8.0}, 8, "model.state_capacity_epochs is 8"),
        ("joint", {"category_capacity_epochs": 11.0}, 11, "model.category_capacity_epochs is 11"),
    ],
)
def test_a_training_shorter_than_a_schedule_is_refused(
    name: str, options: dict, enough: int, key: str
) -> None:
    model = MODELS[name](**options)
    model.check_epochs(enough)
    with pytest.raises(ValueError, match=rf"{key}.*max_epochs\D+{enough - 1}"):
        model.check_epochs(enough - 1)


@pytest.mark.parametrize("name", MIXTURES)
def test_mixtures_keep_the_contract_and_a_pruned_category_has_no_part(name: str) -> None:
    model = MODELS[name]()
    assert isinstance(model, MixtureModel)
    assert isinstance(model, Prunable)
    assert isinstance(model, Mergeable) == (name in ("cpl", "cascade", "joint", "imsat"))
    model.prune([1])
    total = model.terms(batch()).total()
    total.backward()
    assert total.isfinite()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    step = model.eval().predict_step(batch())
    assert not step.posterior.probs[..., 1].any()
    assert model.settled_loss(step).isfinite()


@pytest.mark.parametrize("name", ["gmvae", "imsat", "info_gan", "augmenter"])
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = MODELS[name]()
    model.terms(batch()).total().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        # The decoder of a Gaussian mixture sees category 0, so nothing trains that layer.
        untrained = name == "gmvae" and key == "agents.code_from_category.weight"
        assert bool(parameter.grad.any()) or untrained or name == "info_gan", key


@pytest.mark.parametrize("name", [*MIXTURES, "augmenter"])
def test_labels_have_no_part_in_training(name: str) -> None:
    totals = []
    for label in (batch().label, batch().label + 3):
        torch.manual_seed(0)
        model = MODELS[name]()
        torch.manual_seed(1)
        totals.append(model.terms(batch()._replace(label=label)).total())
    assert torch.equal(*totals)
