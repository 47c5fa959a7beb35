"""Agents whose networks follow from the size of the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mixvae.networks.agents import Agents, NetworkFactory


class ImageAgents(Agents):
    """`Agents` whose networks follow from the size of the images.

    Args:
        encoder: Fully connected, for samples of at most `most_values` values; `decoder` likewise.
        conv_encoder: Convolutional, for larger ones; `conv_decoder` likewise.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        encoder: NetworkFactory,
        decoder: NetworkFactory,
        conv_encoder: NetworkFactory,
        conv_decoder: NetworkFactory,
        most_values: int = 1500,
        **shared: Any,
    ) -> None:
        if math.prod(shape) > most_values:
            encoder, decoder = conv_encoder, conv_decoder
        super().__init__(shape=shape, encoder=encoder, decoder=decoder, **shared)
