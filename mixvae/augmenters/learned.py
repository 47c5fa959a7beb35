"""Copies by a learned augmenter: a frozen, pretrained network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mixvae.contracts import DataSpec, LogQ
from mixvae.networks.gan import CopyNetwork, freeze

CHECKPOINT_KEY = "augmenter"
PREFIX = "network."
# Mean over features of how far a batch's mean is from the training samples', in their standard
# deviations: .06 for 250 of the same samples, 3 for log-CPM instead of log counts per 10,000.
LARGEST_SHIFT = 1.0


class Learned(nn.Module):
    """Copies by a trained `AugmenterVAEGAN`, with separate noise for each agent.

    The network is frozen: always in evaluation mode, its weights are buffers that no
    optimiser sees and no gradient reaches, and copies carry no gradient. The weights are not in
    the agents' checkpoints; a run keeps a copy of the augmenter's file in its folder instead.

    Args:
        checkpoint: Folder of a run of `cells_augmenter`, `digits_augmenter` or the like, of which
            `best.ckpt` is loaded (`last.ckpt` if it is missing), or a checkpoint of one.
        scale: Factor on the length of shifts, at least 0; 1 is the trained length.
    """

    def __init__(self, checkpoint: str | None, scale: float = 1.0) -> None:
        super().__init__()
        if not 0 <= scale < float("inf"):
            raise ValueError(f"augmenter.scale must be at least 0 and finite, got {scale}")
        if not checkpoint:
            raise ValueError(
                "augmenter=learned needs a trained augmenter: augmenter.checkpoint=runs/...;"
                " train one with +experiment=cells_augmenter"
            )
        self.scale = scale
        self.path = find_checkpoint(Path(checkpoint).expanduser())
        description, weights = _read(self.path)
        self.feature_names = tuple(description.pop("feature_names"))
        self.data = str(description.pop("data"))
        self.network = CopyNetwork(dropout=0.0, **description)
        self.network.load_state_dict(weights)
        freeze(self.network)
        self.train(False)

    def check_data(self, spec: DataSpec) -> None:
        """Raise ValueError for another shape, range or features than it was trained on."""
        where = f"the augmenter {self.path} was trained on {self.data}"
        if tuple(spec.shape) != self.network.shape:
            raise ValueError(
                f"{where} with samples of shape {self.network.shape}, but those of {spec.name}"
                f" have {tuple(spec.shape)}; train one on these data"
            )
        if spec.value_range != self.network.value_range:
            raise ValueError(
                f"{where} with values in {self.network.value_range}, but those of {spec.name} are"
                f" in {spec.value_range}"
            )
        names = zip(self.feature_names, spec.feature_names, strict=False)
        differing = [(own, other) for own, other in names if own != other]
        if differing:
            own, other = differing[0]
            raise ValueError(
                f"{where} with other features: {len(differing)} of {len(self.feature_names)}"
                f" differ, such as {own} where {spec.name} has {other}; train one on these data"
            )

    @torch.no_grad()
    def check_samples(self, x: Tensor) -> None:
        """Raise ValueError for samples, (B, *shape), in another unit: their means are far off."""
        away = self.network.standardise(x.flatten(start_dim=1).float()).mean(dim=0).abs().mean()
        if not away <= LARGEST_SHIFT:
            own = float(self.network.standardise.mean.mean())
            raise ValueError(
                f"the augmenter {self.path} was trained on samples whose mean is {own:.3g}, but"
                f" that of these is {float(x.mean()):.3g}: they are in another unit; train one on"
                " these data, or prepare them likewise (data.target_sum, data.normalize)"
            )

    def train(self, mode: bool = True) -> Learned:
        """Stay in evaluation mode, also when the surrounding model trains."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, x: Tensor, num_agents: int, log_q: LogQ, strength: float = 1.0) -> Tensor:
        """Copies of x, shape (B, *shape), as (A, B, *shape), without gradient."""
        shape = (num_agents, len(x), self.network.noise_dim)
        noise = torch.randn(shape, device=x.device, dtype=x.dtype)
        copies: Tensor = self.network(x, noise, self.scale * strength)
        return copies


def find_checkpoint(path: Path) -> Path:
    """The checkpoint of a path: itself, or the best or else the last of a run folder."""
    if path.is_file():
        return path
    candidates = [path / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if path.is_dir():
        raise FileNotFoundError(f"augmenter.checkpoint: {path} holds no checkpoints/best.ckpt")
    raise FileNotFoundError(f"augmenter.checkpoint: there is no file or folder {path}")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The network's description and weights, read without running any code in the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    # PyTorch's reader may raise anything on a file that is not a checkpoint.
    except Exception as error:
        raise ValueError(f"augmenter.checkpoint: {path} is damaged or no checkpoint") from error
    if not isinstance(content, dict) or CHECKPOINT_KEY not in content:
        raise ValueError(
            f"augmenter.checkpoint: {path} is no checkpoint of a learned augmenter; train one with"
            " +experiment=cells_augmenter"
        )
    weights = {
        name.removeprefix(PREFIX): value
        for name, value in content["state_dict"].items()
        if name.startswith(PREFIX)
    }
    return dict(content[CHECKPOINT_KEY]), weights
