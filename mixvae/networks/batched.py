"""Layers with a leading agent axis: A separate layers computed as one tensor operation.

Agent a's slice of every parameter sees only agent a's slice of the input, so the result equals a
loop over A ordinary layers. An input without the agent axis, shape (B, D), is seen by all agents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixvae.processes import mean_over_processes, num_processes

# A GPU takes a batch in parts: at most so many parts, of a batch of at least so many
# samples, for weights of at most so many entries an agent, since each part has a copy of them.
_MOST_PARTS, _LEAST_BATCH, _MOST_WEIGHTS = 32, 1024, 2**16


class BatchedLinear(nn.Module):
    """One linear layer per agent.

    Args:
        fan_in: Number of inputs that the initial scale is computed for; `in_features` if None. Set
            where a layer is one block of a wider one, such as the category part of [c, s].
    """

    def __init__(
        self,
        num_agents: int,
        in_features: int,
        out_features: int,
        bias: bool = True,
        fan_in: int | None = None,
    ) -> None:
        super().__init__()
        self.num_agents = num_agents
        self.weight = nn.Parameter(torch.empty(num_agents, in_features, out_features))
        self.bias = nn.Parameter(torch.empty(num_agents, 1, out_features)) if bias else None
        # The scale of torch.nn.Linear, so that one agent starts as an ordinary network would.
        bound = 1.0 / math.sqrt(max(in_features if fan_in is None else fan_in, 1))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Apply each agent's layer to (A, B, in), or to (B, in) that all share: (A, B, out)."""
        if x.dim() == 3 and x.stride(0) == 0:
            x = x[0]  # expanded, not copied: the same input for all
        if x.dim() == 2:
            # One wide product reads the shared input once instead of once per agent.
            wide = self.weight.permute(1, 0, 2).flatten(1)
            y = (x @ wide).unflatten(1, (self.num_agents, -1)).transpose(0, 1)
            return y if self.bias is None else y + self.bias
        parts = num_parts(x.shape[1]) if x.device.type == "cuda" else 1
        if parts > 1 and self.weight[0].numel() <= _MOST_WEIGHTS:
            return self.in_parts(x, parts)
        if self.bias is None:
            return torch.bmm(x, self.weight)
        return torch.baddbmm(self.bias, x, self.weight)

    def in_parts(self, x: Tensor, parts: int) -> Tensor:
        """`forward` on (A, B, in) in equal parts of the batch, as if each part were an agent.

        The gradient of the weights is a sum over the batch. A GPU sums that of a small layer on
        few processors, one sample after the other; here each part is a separate product.
        """
        weight: Tensor = self.weight
        if self.bias is not None:
            # The bias is the weight of inputs of 1, padded so that rows are 16-byte aligned.
            extra = 8 - x.shape[2] % 8
            x = functional.pad(x, (0, extra), value=1.0)
            weight = functional.pad(torch.cat([weight, self.bias], dim=1), (0, 0, 0, extra - 1))
        rows = x.unflatten(1, (parts, -1)).flatten(0, 1)
        of_parts = weight.unsqueeze(1).expand(-1, parts, -1, -1).flatten(0, 1)
        y = torch.bmm(rows, of_parts)
        return y.unflatten(0, (self.num_agents, parts)).flatten(1, 2)


def start_normal(parts: Sequence[nn.Module], scales: Sequence[float]) -> None:
    """Draw the weights of the linear layers among `parts` anew, see `Agents.initial_scales`."""
    layers = [part for part in parts if isinstance(part, BatchedLinear)]
    if len(scales) != len(layers) or not all(scale > 0 for scale in scales):
        raise ValueError(
            f"model.agents.initial_scales must hold {len(layers)} numbers above 0, one for each"
            f" linear layer of the encoder and one for the categories, got {list(scales)}"
        )
    for layer, scale in zip(layers, scales, strict=True):
        nn.init.normal_(layer.weight, std=scale * math.sqrt(2 / layer.weight.shape[1]))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class BatchedBatchNorm(nn.Module):
    """Batch normalisation with separate statistics per agent.

    Args:
        momentum: Weight of the new batch in the running statistics (MMIDAS: 0.01).
        affine: Whether a learned scale and offset follow (MMIDAS: False).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        num_agents: int,
        num_features: int,
        momentum: float = 0.1,
        affine: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.update_statistics = True
        shape = (num_agents, num_features)
        self.weight = nn.Parameter(torch.ones(shape)) if affine else None
        self.bias = nn.Parameter(torch.zeros(shape)) if affine else None
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, shape (A, B, F), over the batch (training) or by the running statistics.

        In distributed training the statistics are those of the global batch.
        """
        if self.training and num_processes() > 1:
            return self._normalise_over_processes(x)
        use_running = not self.training or self.update_statistics
        # Agents and features side by side are the channels of one ordinary batch norm.
        y = functional.batch_norm(
            x.transpose(0, 1).flatten(1),
            self.running_mean.flatten() if use_running else None,
            self.running_var.flatten() if use_running else None,
            None if self.weight is None else self.weight.flatten(),
            None if self.bias is None else self.bias.flatten(),
            self.training,
            self.momentum,
            self.eps,
        )
        return y.unflatten(1, (x.shape[0], x.shape[2])).transpose(0, 1)

    def _normalise_over_processes(self, x: Tensor) -> Tensor:
        """Normalise over the batches of all processes, which have the same size."""
        mean = mean_over_processes(x.mean(dim=1))
        centred = x - mean.unsqueeze(1)
        var = mean_over_processes(centred.square().mean(dim=1))
        if self.update_statistics:
            size = x.shape[1] * num_processes()
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * (size / (size - 1)), self.momentum)
        y = centred * (var + self.eps).rsqrt().unsqueeze(1)
        if self.weight is None or self.bias is None:
            return y
        return y * self.weight.unsqueeze(1) + self.bias.unsqueeze(1)


class ByteDropout(nn.Module):
    """Dropout whose mask is drawn from random bytes on a CPU, about 20 times cheaper there.

    The probability is rounded to a multiple of 1/256; the scale uses the rounded value, so the
    expectation stays exact.

    Args:
        p: Probability of dropping an entry, in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {p}")
        self.threshold = min(round(p * 256), 255)

    def forward(self, x: Tensor) -> Tensor:
        """Drop entries of x, any shape, in training mode; return x itself in evaluation mode."""
        if not self.training or self.threshold == 0:
            return x
        if x.device.type == "cuda":
            return functional.dropout(x, self.threshold / 256)  # one kernel
        keep = random_bytes(x.shape, x.device) >= self.threshold
        return x * keep.to(x.dtype).mul_(256 / (256 - self.threshold))


def num_parts(batch_size: int) -> int:
    """Number of equal parts that a GPU processes fastest; 1 if the batch is small or prime."""
    if batch_size < _LEAST_BATCH:
        return 1
    return next(parts for parts in range(_MOST_PARTS, 0, -1) if batch_size % parts == 0)


def in_full_precision(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a layer in float32, also under mixed precision."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(torch.promote_types(x.dtype, torch.float32)))


def random_bytes(shape: torch.Size, device: torch.device) -> Tensor:
    """Uniform random bytes, uint8, drawn eight at a time."""
    count = math.prod(shape)
    words = torch.empty((count + 7) // 8, dtype=torch.int64, device=device)
    # random_() alone leaves the sign bit unused, and so half of every eighth byte.
    words.random_(-(2**63), None)
    return words.view(torch.uint8)[:count].view(shape)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode."""
    was = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was)


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norms unchanged, for perturbed passes."""
    norms = [layer for layer in network.modules() if isinstance(layer, BatchedBatchNorm)]
    before = [norm.update_statistics for norm in norms]
    for norm in norms:
        norm.update_statistics = False
    try:
        yield
    finally:
        for norm, value in zip(norms, before, strict=True):
            norm.update_statistics = value
