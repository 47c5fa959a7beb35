"""Random affine copies of images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixvae.contracts import LogQ


class Affine(nn.Module):
    """Copies that are rotated, scaled, sheared and shifted at random, bilinearly.

    Each amount is drawn uniformly from [-limit, limit], separately for each agent and sample.
    Pixels from outside the image are 0.

    Args:
        rotation: Largest rotation, degrees.
        scale: Largest relative change of size, below 1: 0.1 draws factors from 0.9 to 1.1.
        shear: Largest horizontal shear, as a slope.
        shift: Largest shift in each direction, as a fraction of the image's size.
        least_shift: A shift above 0 is at least so many pixels, in small images a larger fraction.
    """

    def __init__(
        self,
        rotation: float = 7.5,
        scale: float = 0.075,
        shear: float = 0.0,
        shift: float = 0.03,
        least_shift: float = 0.0,
    ) -> None:
        super().__init__()
        limits = {"rotation": rotation, "scale": scale, "shear": shear, "shift": shift}
        limits["least_shift"] = least_shift
        for name, limit in limits.items():
            if not limit >= 0:
                raise ValueError(f"augmenter.{name} must be at least 0, got {limit}")
        if scale >= 1:
            raise ValueError(f"augmenter.scale must be below 1, got {scale}")
        self.rotation, self.scale, self.shear, self.shift = rotation, scale, shear, shift
        self.least_shift = least_shift

    def forward(self, x: Tensor, num_agents: int, log_q: LogQ, strength: float = 1.0) -> Tensor:
        """Affine copies of images x, shape (B, C, H, W), as (A, B, C, H, W), limits x strength."""
        self.check_samples(x)
        maps = self.draw(num_agents * x.shape[0], x.device, x.dtype, strength)
        pixels = self.shift * min(x.shape[2:])
        if 0 < pixels < self.least_shift:
            maps[:, :, 2] *= self.least_shift / pixels
        images = x.expand(num_agents, *x.shape).flatten(0, 1)
        grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
        copies = functional.grid_sample(images, grid, align_corners=False)
        return copies.unflatten(0, (num_agents, x.shape[0]))

    def check_samples(self, x: Tensor) -> None:
        """Raise ValueError for samples (B, ...) that are not images (channels, height, width)."""
        if x.dim() != 4:
            raise ValueError(
                f"augmenter=affine needs images (channels, height, width), got samples of shape "
                f"{tuple(x.shape[1:])}; use augmenter=noise or augmenter=adversarial"
            )

    def draw(
        self, count: int, device: torch.device, dtype: torch.dtype, strength: float = 1.0
    ) -> Tensor:
        """Random maps from output to input coordinates (both in [-1, 1]), shape (count, 2, 3)."""

        def uniform(limit: float) -> Tensor:
            amount = torch.empty(count, device=device, dtype=dtype)
            return amount.uniform_(-limit, limit).mul_(strength)

        angle = uniform(math.radians(self.rotation))
        size = 1 + uniform(self.scale)
        slope = uniform(self.shear)
        cos, sin = angle.cos() * size, angle.sin() * size
        # Coordinates span 2 over the image, so a shift by a fraction f moves them by 2 f.
        rows = [
            torch.stack([cos, slope * cos - sin, uniform(2 * self.shift)], dim=-1),
            torch.stack([sin, slope * sin + cos, uniform(2 * self.shift)], dim=-1),
        ]
        return torch.stack(rows, dim=1)
