"""Virtual-adversarial copies: the nearby point at which q(c|x) changes most."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mixvae.contracts import LogQ
from mixvae.objectives.adversarial import neighbour_radius, virtual_adversarial_copy
from mixvae.processes import gather_over_processes, own_share

# Floors of a feature's deviation: a share of the largest one, and one for constant data.
SMALLEST_SHARE = 0.01
SMALLEST = 1e-6


class Adversarial(nn.Module):
    """Copies at the nearby point where the agent's own q(c|x) changes most.

    "Nearby" is a fraction of the distance to a neighbour in the batch, so it adapts to how dense
    the data are around each sample.

    Args:
        radius: Length of the step as a fraction of that distance.
        neighbour: Rank of the neighbour in the batch; 1 is the nearest.
        xi: Length of the probe for estimating the direction, in units of the data.
        num_power_steps: Power iterations for the direction.
        standardise: Measure steps and distances in standard deviations of each feature over the
            batch, for features whose ranges differ, such as genes.

    Source:
        Miyato et al. 2018 (virtual adversarial training), Hu et al. 2017 (IMSAT), whose radius is
        0.25 times the distance to the tenth neighbour in the whole data set; taken in the batch
        here, which needs no table over the data set and no state in the checkpoint.
    """

    def __init__(
        self,
        radius: float = 0.2,
        neighbour: int = 1,
        xi: float = 10.0,
        num_power_steps: int = 1,
        standardise: bool = False,
    ) -> None:
        super().__init__()
        for name, value in {"radius": radius, "xi": xi}.items():
            if not value > 0:
                raise ValueError(f"adversarial {name} must be above 0, got {value}")
        for name, count in {"neighbour": neighbour, "num_power_steps": num_power_steps}.items():
            if count < 1:
                raise ValueError(f"adversarial {name} must be at least 1, got {count}")
        self.radius, self.neighbour, self.xi = radius, neighbour, xi
        self.num_power_steps = num_power_steps
        self.standardise = standardise

    def forward(
        self,
        x: Tensor,
        num_agents: int,
        log_q: LogQ,
        strength: float = 1.0,
        log_q_x: Tensor | None = None,
    ) -> Tensor:
        """Adversarial copies of x, shape (B, *shape), as (A, B, *shape), detached.

        Where log q(c|x), shape (A, B, K), is known already, it saves a forward pass.
        """
        # Neighbours are searched in the global batch.
        batch = gather_over_processes(x.detach())
        scale = _deviation(batch) if self.standardise else 1.0
        radius = own_share(neighbour_radius(batch / scale, self.radius, self.neighbour), len(x))
        copies = virtual_adversarial_copy(
            (x / scale).expand(num_agents, *x.shape),
            lambda near: log_q(near * scale),
            radius * strength,
            xi=self.xi,
            num_power_steps=self.num_power_steps,
            log_q_clean=log_q_x,
        )
        return copies * scale


def _deviation(x: Tensor) -> Tensor:
    """Standard deviation of each feature over samples (B, *shape), floored, shape (*shape)."""
    deviation = (x - x.mean(dim=0)).square().mean(dim=0).sqrt()
    # A feature that hardly varies in the batch must not become the cheapest way to move.
    return torch.maximum(deviation, (SMALLEST_SHARE * deviation.max()).clamp_min(SMALLEST))
