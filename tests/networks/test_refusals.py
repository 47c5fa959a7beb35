"""Sizes that cannot be are refused by name and value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, nan

import pytest
import torch

from mixvae.networks.batched import ByteDropout
from mixvae.networks.centred import CentredEncoder
from mixvae.networks.components import PrincipalComponents
from mixvae.networks.conv import ConvDecoder, ConvEncoder
from mixvae.networks.gan import CopyNetwork, Discriminator
from mixvae.networks.mlp import MLPDecoder, MLPEncoder
from mixvae.networks.modality import ModalityDecoder, ModalityEncoder

IMAGE = (1, 32, 32)
FLAT = torch.randn(300, 3) @ torch.ones(3, 20).tril()

REFUSED: list[tuple[Callable[[], object], str]] = [
    (partial(ConvEncoder, 2, (7,)), "needs images"),
    (partial(ConvEncoder, 2, (1, 8, 8), channels=(4, 4, 4, 4)), "16x16, got 8x8"),
    (partial(ConvDecoder, 2, (1, 3, 8), channels=(4, 4)), "4x4, got 3x8"),
    (partial(MLPEncoder, 2, (7,), hidden=()), "hidden"),
    (partial(MLPEncoder, 2, (7,), batch_norm="both"), "none, before or after, got 'both'"),
    (partial(MLPDecoder, 2, (7,), hidden=(4, 0)), r"got \[4, 0\]"),
    *((partial(ByteDropout, p), str(p)) for p in (-0.1, 1.0, 2)),
    (partial(CentredEncoder, 2, (7,)), r"needs images .* got shape \(7,\)"),
    (partial(CentredEncoder, 2, IMAGE, size=0), "size .* got 0"),
    *((partial(CentredEncoder, 2, IMAGE, share=bad), f"share .* got {bad}") for bad in (0.0, 1.5)),
    (partial(PrincipalComponents, [20], 21), r"\[1, 20\].* got 21"),
    (partial(PrincipalComponents, [20], 0), "got 0"),
    (
        partial(PrincipalComponents([20], 8).fit, torch.ones(9, 20)),
        "9 .* are all the same",
    ),
    (partial(CopyNetwork, (6,), latent_dim=0), "latent_dim .* got 0"),
    (partial(CopyNetwork, (6,), noise_dim=0), "noise_dim .* got 0"),
    (partial(CopyNetwork, (6,), hidden=[]), "hidden"),
    (partial(CopyNetwork, (6,), dropout=1.0), "dropout .* got 1.0"),
    (partial(CopyNetwork, (6,), residual=1.5), "residual .* got 1.5"),
    *((partial(Discriminator, (6,), input_noise=bad), "input_noise") for bad in (-1.0, nan, inf)),
    *(
        (partial(network, (3,), 2, hidden=hidden), "hidden")
        for network in (ModalityEncoder, ModalityDecoder)
        for hidden in ([], [0], [4, -1])
    ),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_bad_sizes(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
