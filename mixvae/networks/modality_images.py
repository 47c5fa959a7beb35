"""Convolutional and residual encoders and decoders of images, of any size from 4 to 224 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixvae.networks.batched import in_full_precision
from mixvae.networks.modality import LOGVAR_BOUND

SLOPE = 0.2
SMALLEST_SIDE = 7  # images are halved down to about this
RESIDUAL_GAIN = 0.1


class ImageTrunk(nn.Module):
    """Image to the features that heads read, shape (B, features).

    A convolution to `width` channels, then at each halving twice the channels, at most
    `max_width`, until the longer side is at most 7.

    Args:
        shape: (channels, height, width), or (height, width) of grey values.
        residual: Whether each size has a residual block, and sizes are halved by average pooling,
            and not by convolutions of stride 2.
    """

    def __init__(
        self, shape: Sequence[int], width: int = 32, max_width: int = 256, residual: bool = False
    ) -> None:
        super().__init__()
        channels, height, side = _image_shape(shape)
        self.shape = (channels, height, side)
        sizes, widths = _sizes(height, side), _widths(width, max_width, height, side)
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1)]
        if residual:
            layers.append(ResidualBlock(widths[0], widths[0]))
        for inputs, outputs in pairwise(widths):
            if residual:
                layers += [nn.AvgPool2d(3, 2, 1), ResidualBlock(inputs, outputs)]
            else:
                layers += [nn.LeakyReLU(SLOPE), nn.Conv2d(inputs, outputs, 3, 2, 1)]
        self.layers = nn.Sequential(*layers, nn.LeakyReLU(SLOPE), nn.Flatten())
        self.num_features = widths[-1] * sizes[-1][0] * sizes[-1][1]
        # Weights with their channels last: a step of a CPU takes three quarters of the time.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Features of x, shape (B, *shape): shape (B, num_features)."""
        return self.layers(x.reshape(-1, *self.shape))


class ImageEncoder(nn.Module):
    """Image to mean and log-variance of q(z|x).

    Source:
        mmvmvae (MMVM's code): for PolyMNIST residual blocks of 64, 128 and 256 channels (residual,
        width 64), or convolutions of stride 2.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        width: int = 32,
        max_width: int = 256,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = ImageTrunk(shape, width, max_width, residual)
        self.head = nn.Linear(self.trunk.num_features, 2 * latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode x, shape (B, *shape), as mean and bounded log-variance, each (B, L)."""
        mean, raw = in_full_precision(self.head, self.trunk(x)).chunk(2, dim=-1)
        return mean, LOGVAR_BOUND * torch.tanh(raw / LOGVAR_BOUND)


class ImageDecoder(nn.Module):
    """Latent to the parameters of p(x|z) of an image: the trunk mirrored, by nearest neighbours.

    Args:
        residual: Whether each size has a residual block, and not one convolution.

    Source:
        mmvmvae (MMVM's code), its PolyMNIST decoder; sizes that are not powers of 2 are ours.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        width: int = 32,
        max_width: int = 256,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        channels, height, side = _image_shape(shape)
        self.sizes = _sizes(height, side)[::-1]
        widths = _widths(width, max_width, height, side)[::-1]
        self.first = (widths[0], *self.sizes[0])
        self.stem = nn.Linear(latent_dim, widths[0] * self.sizes[0][0] * self.sizes[0][1])
        make = ResidualBlock if residual else _convolution
        self.blocks = nn.ModuleList(
            make(*pair) for pair in zip(widths, [*widths[1:], widths[-1]], strict=True)
        )
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, latent: Tensor) -> Tensor:
        """Parameters of p(x|z) for latents (B, L), shape (B, *shape)."""
        x = self.stem(latent).unflatten(-1, self.first)
        for block, size in zip(self.blocks, [*self.sizes[1:], None], strict=True):
            x = block(x)
            if size is not None:
                x = F.interpolate(x, size=size)
        return self.last(F.leaky_relu(x, SLOPE)).reshape(-1, *self.shape)


class ResidualBlock(nn.Module):
    """Shortcut + 0.1 conv(lrelu(conv(lrelu(x)))), without normalisation.

    Source:
        mmvmvae; Mescheder et al. 2018, appendix.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        hidden = min(inputs, outputs)
        self.first = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.second = nn.Conv2d(hidden, outputs, 3, padding=1)
        equal = inputs == outputs
        self.shortcut = nn.Identity() if equal else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform x, shape (B, inputs, H, W), into (B, outputs, H, W)."""
        inner = self.second(F.leaky_relu(self.first(F.leaky_relu(x, SLOPE)), SLOPE))
        return self.shortcut(x) + RESIDUAL_GAIN * inner


def _convolution(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.LeakyReLU(SLOPE), nn.Conv2d(inputs, outputs, 3, padding=1))


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) == 2:
        return (1, shape[0], shape[1])
    if len(shape) != 3:
        raise ValueError(
            f"networks of images need samples of shape (channels, height, width) or (height,"
            f" width), got {tuple(shape)}; use the networks of vectors"
        )
    return (shape[0], shape[1], shape[2])


def _sizes(height: int, side: int) -> list[tuple[int, int]]:
    """Sizes from the image down to at most 7 pixels, each half of the one before, rounded up."""
    sizes = [(height, side)]
    while max(sizes[-1]) > SMALLEST_SIDE:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def _widths(width: int, max_width: int, height: int, side: int) -> list[int]:
    if not 1 <= width <= max_width:
        raise ValueError(f"width is {width}; it must be 1 to max_width, {max_width}")
    return [min(width * 2**n, max_width) for n in range(len(_sizes(height, side)))]
