"""The squared error of a linear layer's output, for wide samples, without that output.

Written out, the layer, the error and their backward passes read and write arrays of the size of
the output of all agents about ten times. Here only the deviations are kept, agent by agent.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def linear_squared_error(hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """Squared distance of each sample from what each agent's linear layer gives.

    Args:
        hidden: Inputs of the layers, shape (A, B, H).
        weight: Shape (A, H, D).
        bias: Shape (A, 1, D).
        x: Samples, shape (A, B, D), or (B, D) where the agents share them; no gradient reaches
            them.

    Returns:
        Shape (A, B), in squared data units, summed over features.

    Source:
        Ours: `likelihoods.SquaredError` of `hidden @ weight + bias`.
    """
    assert not x.requires_grad
    inputs: tuple[Tensor, Tensor, Tensor | None, Tensor]
    if x.device.type == "cuda":
        # The bias is the weight of inputs of 1, as many as make rows begin at 16 bytes.
        extra = 8 - hidden.shape[2] % 8
        both = torch.cat([weight, bias], dim=1)
        hidden = functional.pad(hidden, (0, extra), value=1.0)
        inputs = hidden, functional.pad(both, (0, 0, 0, extra - 1)), None, x
    else:
        inputs = hidden, weight, bias, x
    error: Tensor = _LinearSquaredError.apply(*inputs)  # type: ignore[no-untyped-call]
    return error


class _LinearSquaredError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
        kind = x.device.type
        mixed = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if mixed else hidden.dtype
        # On a GPU in mixed precision, memory is the bottleneck; rounding equals the literal form's.
        finest = dtype if kind == "cuda" else x.dtype
        error = x.new_empty(hidden.shape[:2])
        deviations = []
        with torch.autocast(kind, enabled=False):
            samples = _distinct(x).to(finest)
            for agent, inputs in enumerate(hidden.to(dtype)):
                sample = samples[agent] if samples.dim() == 3 else samples
                if bias is None:
                    deviation = (inputs @ weight[agent].to(dtype)).to(finest).sub_(sample)
                elif dtype == finest:
                    deviation = (bias[agent] - sample).addmm_(inputs, weight[agent])
                else:
                    deviation = (bias[agent] - sample).add_(inputs @ weight[agent].to(dtype))
                torch.linalg.vector_norm(deviation, dim=1, dtype=x.dtype, out=error[agent])
                deviations.append(deviation.to(dtype))
        ctx.save_for_backward(hidden, weight, *deviations)
        ctx.has_bias = bias is not None
        return error.square_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, *deviations = ctx.saved_tensors
        dtype = deviations[0].dtype
        factor = 2 * gradient
        scaled = (hidden * factor.unsqueeze(2)).to(dtype)
        d_hidden, d_weight = torch.empty_like(hidden), torch.empty_like(weight)
        d_bias = weight.new_empty(len(weight), 1, weight.shape[2]) if ctx.has_bias else None
        for agent, deviation in enumerate(deviations):
            d_hidden[agent] = deviation @ weight[agent].to(dtype).t()
            d_weight[agent] = scaled[agent].t() @ deviation
            if d_bias is not None:
                d_bias[agent, 0] = factor[agent].to(dtype) @ deviation
        gradients = d_hidden.mul_(factor.unsqueeze(2)), d_weight, d_bias
        return *gradients, None  # none of the samples


def _distinct(x: Tensor) -> Tensor:
    """The samples without repetition: (B, D) where an (A, B, D) is an expanded one."""
    return x[0] if x.dim() == 3 and x.stride(0) == 0 else x
