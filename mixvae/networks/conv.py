"""Convolutional networks with a leading agent axis, as grouped convolutions.

The layout follows joint-vae's nets (4x4 kernels, stride 2, one fully connected layer), written
for any image size: each layer halves it, rounding down, and the decoder mirrors the sizes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mixvae.networks.batched import BatchedBatchNorm, BatchedLinear
from mixvae.networks.mlp import check_widths


def _check_image(shape: Sequence[int], num_layers: int) -> None:
    if len(shape) != 3:
        raise ValueError(
            f"a convolutional network needs images (channels, height, width), got shape "
            f"{tuple(shape)}; use an MLP for this data"
        )
    smallest = 2**num_layers
    if min(shape[1:]) < smallest:
        raise ValueError(
            f"{num_layers} layers of stride 2 need images of at least {smallest}x{smallest}, "
            f"got {shape[1]}x{shape[2]}; give fewer channels"
        )


def _merge_agents(x: Tensor) -> Tensor:
    """(A, B, C, H, W) as (B, A*C, H, W): the layout in which agents are groups."""
    return x.transpose(0, 1).flatten(1, 2)


class _ImageNorm(BatchedBatchNorm):
    """Batch norm of each channel over images and pixels, for the layout of `_merge_agents`."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, shape (B, A*C, H, W)."""
        images = x.unflatten(1, self.running_mean.shape).permute(1, 0, 3, 4, 2)
        y = super().forward(images.flatten(1, 3)).view(images.shape)
        return _merge_agents(y.permute(0, 1, 4, 2, 3))


def activation(slope: float, norm: nn.Module | None = None) -> list[nn.Module]:
    """A ReLU, leaky by `slope` where that is above 0, after batch norm if any."""
    rectifier = nn.LeakyReLU(slope) if slope > 0 else nn.ReLU()
    return [rectifier] if norm is None else [norm, rectifier]


class ConvEncoder(nn.Module):
    """Image to features, by strided convolutions and one fully connected layer.

    Args:
        shape: (channels, height, width).
        channels: Output channels of each convolution.
        features: Width of the fully connected layer, the number of output features.
        batch_norm: Batch norm before each activation but the first, as in InfoGAN.
        slope: Slope of the activations below 0.
    """

    def __init__(
        self,
        num_agents: int,
        shape: Sequence[int],
        channels: Sequence[int] = (32, 64),
        features: int = 256,
        batch_norm: bool = False,
        slope: float = 0.0,
    ) -> None:
        super().__init__()
        check_widths("channels", channels)
        _check_image(shape, len(channels))
        self.num_agents = num_agents
        self.out_features = features
        layers: list[nn.Module] = []
        previous = shape[0]
        for width in channels:
            layers += [
                nn.Conv2d(
                    num_agents * previous, num_agents * width, 4, 2, padding=1, groups=num_agents
                ),
                *activation(
                    slope, _ImageNorm(num_agents, width) if batch_norm and layers else None
                ),
            ]
            previous = width
        self.layers = nn.Sequential(*layers)
        height, width = (size >> len(channels) for size in shape[1:])
        self.output = nn.Sequential(
            BatchedLinear(num_agents, previous * height * width, features),
            *activation(slope, BatchedBatchNorm(num_agents, features) if batch_norm else None),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features of x, shape (A, B, C, H, W) or (B, C, H, W), as (A, B, features)."""
        if x.dim() == 4:
            x = x.expand(self.num_agents, *x.shape)
        y = self.layers(_merge_agents(x)).unflatten(1, (self.num_agents, -1))
        return self.output(y.transpose(0, 1).flatten(2))


class ConvDecoder(nn.Module):
    """Code to the parameters of p(x|s, c), mirroring `ConvEncoder`.

    Args:
        shape: (channels, height, width).
        channels: Channels of each layer, from the smallest image to the largest.
        features: Width of the input code.
        batch_norm: Batch norm before each activation, as in InfoGAN.
    """

    def __init__(
        self,
        num_agents: int,
        shape: Sequence[int],
        channels: Sequence[int] = (64, 32),
        features: int = 256,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        check_widths("channels", channels)
        _check_image(shape, len(channels))
        self.num_agents = num_agents
        self.in_features = features
        self.shape = tuple(shape)
        # The sizes that the encoder passes through, smallest first: odd ones lose a row there.
        sizes = [[size >> step for size in shape[1:]] for step in range(len(channels), -1, -1)]
        self.start = (channels[0], *sizes[0])
        self.input = BatchedLinear(num_agents, features, channels[0] * sizes[0][0] * sizes[0][1])
        layers: list[nn.Module] = []
        outputs = [*channels[1:], shape[0]]
        for inputs, width, small, large in zip(
            channels, outputs, sizes[:-1], sizes[1:], strict=True
        ):
            norm = _ImageNorm(num_agents, inputs) if batch_norm else None
            layers += activation(0.0, norm)
            layers.append(
                nn.ConvTranspose2d(
                    num_agents * inputs,
                    num_agents * width,
                    4,
                    2,
                    padding=1,
                    output_padding=(large[0] - 2 * small[0], large[1] - 2 * small[1]),
                    groups=num_agents,
                )
            )
        first = BatchedBatchNorm(num_agents, features) if batch_norm else None
        self.activation = nn.Sequential(*activation(0.0, first))
        self.layers = nn.Sequential(*layers)

    def forward(self, code: Tensor) -> Tensor:
        """Parameters of p(x|s, c) for code, shape (A, B, features), as (A, B, C, H, W)."""
        y = self.input(self.activation(code)).unflatten(-1, self.start)
        return self.layers(_merge_agents(y)).unflatten(1, (self.num_agents, -1)).transpose(0, 1)
