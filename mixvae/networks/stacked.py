"""The layers of an autoencoder in mirrored pairs, which layer-wise pretraining trains in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from mixvae.networks.agents import Agents
from mixvae.networks.batched import BatchedBatchNorm, BatchedLinear
from mixvae.networks.mlp import MLPDecoder, MLPEncoder

Layer = Callable[[Tensor], Tensor]


class LayerPair(NamedTuple):
    """One layer of the encoder and the layer of the decoder that mirrors it.

    Attributes:
        encode: Units above, (A, B, H), of units below, (A, B, G) or (B, G).
        decode: Units below of units above; of the outermost pair, parameters of p(x).
    """

    encode: Layer
    decode: Layer


def layer_pairs(agents: Agents) -> list[LayerPair]:
    """The pairs of layers, outermost first; the innermost gives the mean of z.

    Raises:
        ValueError: Unless the networks are fully connected, without batch norm, and the decoder's
            widths are those of the encoder in reverse.
    """
    encoder, decoder = agents.encoder, agents.decoder
    if not isinstance(encoder, MLPEncoder) or not isinstance(decoder, MLPDecoder):
        raise _refusal(f"{type(encoder).__name__} and {type(decoder).__name__}")
    if any(isinstance(part, BatchedBatchNorm) for part in agents.modules()):
        raise _refusal("batch norm; set batch_norm of model.agents.encoder and decoder to none")
    up, down = _widths(encoder.layers), [decoder.in_features, *_widths(decoder.layers)]
    if up != down[::-1]:
        raise _refusal(f"hidden {up} and {down}")

    def innermost(z: Tensor) -> Tensor:
        no_category = z.new_zeros(*z.shape[:2], agents.code_from_category.weight.shape[1])
        return decoder.activation(agents.code(no_category, z))

    def outermost(units: Tensor) -> Tensor:
        return decoder.output(units).unflatten(-1, decoder.shape)

    # Without batch norm every other layer is a ReLU.
    starts = range(0, len(encoder.layers), 2)
    encode: list[Layer] = [encoder.layers[at : at + 2] for at in starts]
    decode: list[Layer] = [decoder.layers[at : at + 2] for at in reversed(starts[:-1])]
    encode.append(lambda units: agents.state(units)[0])
    pairs = zip(encode, [outermost, *decode, innermost], strict=True)
    return [LayerPair(*pair) for pair in pairs]


def _widths(layers: nn.Sequential) -> list[int]:
    return [layer.weight.shape[2] for layer in layers if isinstance(layer, BatchedLinear)]


def _refusal(found: str) -> ValueError:
    return ValueError(
        "model.layerwise_epochs needs fully connected networks without batch norm, the decoder's"
        f" hidden being the encoder's in reverse, got {found}"
    )
