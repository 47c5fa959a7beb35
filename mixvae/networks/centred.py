"""An encoder that is invariant to the position and size of the object in an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixvae.networks.mlp import BatchNorm, MLPEncoder

NUM_POSE_FEATURES = 3
SMALLEST_MASS = 1.0  # of an image, in pixels of value 1; an empty image is taken as it is


class CentredEncoder(nn.Module):
    """Image to features: cut out at its centre of mass in proportion to its mass, then an MLP.

    As MNIST's digits were prepared. The centre and amount of the mass are
    returned beside the MLP's features, so only sharpness is lost. For images of one object
    on a background of 0.

    Args:
        shape: (channels, height, width).
        size: Height and width of the cut image, pixels.
        share: Square root of the mass as a share of that size.
    """

    def __init__(
        self,
        num_agents: int,
        shape: Sequence[int],
        hidden: Sequence[int] = (256, 256, 64),
        batch_norm: BatchNorm = "before",
        size: int = 32,
        share: float = 0.45,
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(
                "a centred network needs images (channels, height, width), got shape"
                f" {tuple(shape)}; use an MLP for this data"
            )
        if size < 1:
            raise ValueError(f"size must be at least 1 pixel, got {size}")
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {share}")
        self.size, self.share = size, share
        self.mlp = MLPEncoder(num_agents, (shape[0], size, size), hidden, batch_norm)
        self.out_features = self.mlp.out_features + NUM_POSE_FEATURES
        self.num_agents = num_agents

    def forward(self, x: Tensor) -> Tensor:
        """Features of x, shape (A, B, C, H, W) or (B, C, H, W), as (A, B, hidden[-1] + 3)."""
        images = x.flatten(0, -4)
        pose = self.pose(images)
        cut = self.cut(images, pose).unflatten(0, x.shape[:-3])
        seen = pose.unflatten(0, x.shape[:-3])
        features = self.mlp(cut)
        return torch.cat([features, seen.expand(self.num_agents, *seen.shape[-2:])], dim=-1)

    def pose(self, images: Tensor) -> Tensor:
        """Where the mass of images (N, C, H, W) lies and how much there is, shape (N, 3).

        Returns:
            x and y of the centre of mass in half-widths and half-heights from the middle, times 2,
            and half the natural logarithm of the mass as a share of the image.
        """
        height, width = images.shape[-2:]
        mass = images.mean(dim=1).clamp_min(0)
        total = mass.sum(dim=(1, 2)).clamp_min(SMALLEST_MASS)
        across, down = _middles(width, images), _middles(height, images)
        x = (mass.sum(dim=1) * across).sum(dim=1) / total
        y = (mass.sum(dim=2) * down).sum(dim=1) / total
        return torch.stack([2 * x, 2 * y, 0.5 * (total / (height * width)).log()], dim=-1)

    def cut(self, images: Tensor, pose: Tensor) -> Tensor:
        """Images (N, C, H, W) by their pose (N, 3), centred and resized, (N, C, size, size)."""
        factor = pose[:, 2].exp() / self.share
        none = torch.zeros_like(factor)
        rows = [
            torch.stack([factor, none, pose[:, 0] / 2], dim=-1),
            torch.stack([none, factor, pose[:, 1] / 2], dim=-1),
        ]
        shape = [*images.shape[:2], self.size, self.size]
        grid = functional.affine_grid(torch.stack(rows, dim=1), shape, align_corners=False)
        return functional.grid_sample(images, grid, align_corners=False)


def _middles(count: int, like: Tensor) -> Tensor:
    """Middles of pixels in [-1, 1], shape (count,)."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) * (2 / count) - 1
