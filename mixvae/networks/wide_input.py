"""The first layer of agents that each drop input features of their own, for wide samples.

The literal form is limited by memory: it writes the copies of all agents with
their features dropped, several times. Here one agent follows the other. On a CPU one buffer holds
their copies in turn, and one byte per feature is kept for the backward pass, which makes the copies
again. On a GPU each copy is one pass over contiguous memory and is kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from mixvae.networks.batched import BatchedLinear, ByteDropout, random_bytes

# Batch size times features from which a loop over agents costs little beside their products.
LEAST_SIZE = 2**17
_WORDS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def drop_and_apply(dropout: ByteDropout, layer: BatchedLinear, x: Tensor) -> Tensor:
    """Drop input features of each agent, then apply each agent's layer.

    Args:
        x: Shape (A, B, D), or (B, D) if the agents share the input and its dropout mask.

    Returns:
        Shape (A, B, H): `layer(dropout(x))`, on a CPU with the same random numbers.
    """
    drops = dropout.training and dropout.threshold > 0
    if not drops or x.dim() == 2 or not is_wide(x):
        return layer(dropout(x))
    if x.device.type == "cpu":
        y: Tensor = _DroppedLinear.apply(x, layer.weight, layer.bias, dropout.threshold)  # type: ignore[no-untyped-call]
        return y
    return _one_by_one(dropout, layer, x)


def is_wide(x: Tensor) -> bool:
    """Whether (A, B, D) or (B, D) is large enough to process agents one by one."""
    return x.device.type in ("cpu", "cuda") and x.shape[-2:].numel() >= LEAST_SIZE


def _one_by_one(dropout: ByteDropout, layer: BatchedLinear, x: Tensor) -> Tensor:
    """Shape (A, B, H) from x (A, B, D), one agent at a time."""
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x = x[0].to(dtype).expand_as(x) if x.stride(0) == 0 else x.to(dtype)
    # Rows of weights and of gradients begin at 16 bytes.
    width = layer.weight.shape[2]
    weights = functional.pad(layer.weight, (0, -width % 8))
    y = torch.stack([dropout(one) @ weight for one, weight in zip(x, weights, strict=True)])
    y = y[..., :width]
    return y if layer.bias is None else y + layer.bias


class _DroppedLinear(torch.autograd.Function):
    """Shape (A, B, H) from x (A, B, D), weight (A, D, H), bias (A, 1, H) and a threshold."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, threshold: int) -> Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        with torch.autocast("cpu", enabled=False):
            masks = _masks(x.shape, threshold)
            scale = 256 / (256 - threshold)
            y = x.new_empty(*x.shape[:2], weight.shape[2], dtype=dtype)
            buffer, weights = x.new_empty(x.shape[1:], dtype=dtype), weight.to(dtype)
            samples: dict[int, Tensor] = {}
            for agent, mask in enumerate(masks):
                _drop(_sample(x, agent, samples, dtype), mask, buffer)
                torch.mm(buffer, weights[agent], out=y[agent])
            y.mul_(scale)
            if bias is not None:
                y.add_(bias.to(dtype))
        ctx.save_for_backward(x, weight, masks)
        ctx.scale, ctx.has_bias = scale, bias is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, masks = ctx.saved_tensors
        scaled = dy * ctx.scale
        buffer = x.new_empty(x.shape[1:], dtype=dy.dtype)
        samples: dict[int, Tensor] = {}
        dx = torch.empty(x.shape, dtype=x.dtype) if ctx.needs_input_grad[0] else None
        dw = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        for agent, mask in enumerate(masks):
            _drop(_sample(x, agent, samples, dy.dtype), mask, buffer)
            if dw is not None:
                dw[agent] = buffer.t() @ scaled[agent]
            if dx is not None:
                # From here on the buffer holds a gradient; the next agent fills it again.
                torch.mm(scaled[agent], weight[agent].t().to(dy.dtype), out=buffer)
                dx[agent] = _drop(buffer, mask, buffer)
        db = dy.sum(dim=1, keepdim=True).to(weight.dtype) if ctx.has_bias else None
        gradients = dx, dw, db
        return *gradients, None  # none of the threshold


def _sample(x: Tensor, agent: int, kept: dict[int, Tensor], dtype: torch.dtype) -> Tensor:
    """The input of one agent as `dtype`; converted once where the agents share it."""
    agent = 0 if x.stride(0) == 0 else agent
    if agent not in kept:
        kept.clear()
        kept[agent] = x[agent].to(dtype).contiguous()
    return kept[agent]


def _masks(shape: torch.Size, threshold: int) -> Tensor:
    """Bytes with all bits set where a random byte reaches the threshold, and none elsewhere.

    Arithmetic on bytes, which is several times faster than a comparison.
    """
    masks = random_bytes(shape, torch.device("cpu"))
    for mask in masks:
        mask.clamp_(threshold - 1, threshold).neg_().add_(threshold - 1)
    return masks.view(torch.int8)


def _drop(x: Tensor, mask: Tensor, out: Tensor) -> Tensor:
    """Set `out` to x where all bits of the mask are set, and to 0 elsewhere."""
    word = _WORDS[x.element_size()]
    bits = out.view(word)
    if out.data_ptr() == x.data_ptr():
        bits.bitwise_and_(mask)
    else:
        torch.bitwise_and(bits.copy_(mask), x.view(word), out=bits)
    return out
