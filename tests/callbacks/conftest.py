"""A tiny mixture model and data module, so that callbacks are tested without the real ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixvae.contracts import Batch, DataSpec, MixturePosterior, MixtureStep


class TinyMixture(lightning.LightningModule):
    """Linear agents over images of shape (1, 4, 4)."""

    def __init__(self, num_agents: int = 2, num_categories: int = 4, state_dim: int = 3) -> None:
        super().__init__()
        self.num_agents = num_agents
        self.num_categories = num_categories
        self.state_dim = state_dim
        self.category_mask = torch.ones(num_categories, dtype=torch.bool)
        self.head = nn.ModuleList(
            nn.Linear(16, num_categories + 2 * state_dim) for _ in range(num_agents)
        )
        self.decoder = nn.ModuleList(
            nn.Linear(num_categories + state_dim, 16) for _ in range(num_agents)
        )

    def infer(self, x: Tensor) -> MixturePosterior:
        """Infer with each agent."""
        out = torch.stack([head(x.flatten(1)) for head in self.head])
        sizes = [self.num_categories, self.state_dim, self.state_dim]
        logits, mean, logvar = out.split(sizes, dim=-1)
        return MixturePosterior((8 * logits).softmax(-1), mean, logvar)

    def decode(self, category: Tensor, state: Tensor) -> Tensor:
        """Decode with each agent."""
        code = torch.cat([category, state], dim=-1)
        out = [decoder(c) for decoder, c in zip(self.decoder, code, strict=True)]
        return torch.stack(out).sigmoid().unflatten(-1, (1, 4, 4))

    def step(self, batch: Batch) -> MixtureStep:
        """Infer, decode and measure."""
        posterior = self.infer(batch.x)
        error = (self.decode(posterior.probs, posterior.state_mean) - batch.x).square()
        mean, logvar = posterior.state_mean, posterior.state_logvar
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(-1)
        return MixtureStep(posterior, error.flatten(2).sum(-1), kl)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Fit the reconstruction and the KL."""
        step = self.step(batch)
        loss = (step.reconstruction + step.kl).mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.x))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> MixtureStep:
        """Return the step."""
        return self.step(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> MixtureStep:
        """Return the step."""
        return self.step(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=1e-2)


def collate(rows: list[tuple[Tensor, Tensor, Tensor]]) -> Batch:
    """Stack samples into a batch."""
    return Batch(*(torch.stack(column) for column in zip(*rows, strict=True)))


class TinyData(lightning.LightningDataModule):
    """Noise around one pattern per class; the test set comes in a shuffled order."""

    def __init__(self, num_classes: int = 4, num_samples: int = 37) -> None:
        super().__init__()
        self.spec = DataSpec(
            name="tiny",
            shape=(1, 4, 4),
            num_classes=num_classes,
            class_names=tuple(f"class {c}" for c in range(num_classes)),
            value_range=(0.0, 1.0),
        )
        generator = torch.Generator().manual_seed(1)
        kind = torch.randint(0, 4, (num_samples,), generator=generator)
        pattern = torch.rand(4, 1, 4, 4, generator=generator)
        noise = torch.rand(num_samples, 1, 4, 4, generator=generator)
        label = kind if num_classes else torch.full_like(kind, -1)
        index = torch.randperm(num_samples, generator=generator)
        self.rows = list(zip(0.8 * pattern[kind] + 0.2 * noise, label, index, strict=True))

    def loader(self) -> DataLoader[Batch]:
        """Return all rows in batches of 8, the last one short."""
        return DataLoader(self.rows, batch_size=8, collate_fn=collate)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return all rows."""
        return self.loader()

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return all rows."""
        return self.loader()

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return all rows."""
        return self.loader()


@pytest.fixture
def make_model() -> Callable[..., TinyMixture]:
    """Build a model with fixed weights."""

    def build(**sizes: int) -> TinyMixture:
        torch.manual_seed(0)
        return TinyMixture(**sizes)

    return build


@pytest.fixture
def make_data() -> Callable[..., TinyData]:
    """Build a data module."""
    return TinyData


@pytest.fixture
def tiny_model(make_model: Callable[..., TinyMixture]) -> TinyMixture:
    """Two agents, four categories, three state dimensions."""
    return make_model()


@pytest.fixture
def tiny_data() -> TinyData:
    """37 images of four classes."""
    return TinyData()


@pytest.fixture
def quiet_trainer() -> Callable[..., lightning.Trainer]:
    """Build a trainer on the CPU that prints and writes nothing of its own."""
    # Resident toy data need no worker processes; the other one is Lightning's own, about torch.
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)

    def build(**options: Any) -> lightning.Trainer:
        quiet = {
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
        }
        return lightning.Trainer(**{**quiet, **options})

    return build
