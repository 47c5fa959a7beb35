"""A tiny mixture model and data module, so that callbacks are tested without the real ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixvae.contracts import (
    Batch,
    DataSpec,
    MixturePosterior,
    MixtureStep,
    ModalitySpec,
    MultimodalBatch,
    MultimodalPosterior,
    MultimodalSpec,
    MultimodalStep,
)
from mixvae.modules import MMVM
from mixvae.networks.modality import ModalityDecoder, ModalityEncoder, ModalityNetworks
from mixvae.objectives.likelihoods import Gaussian
from tests.callbacks.interrupting import Interrupted, interrupt_and_resume

Drawn = dict[str, list[tuple[Any, ...]]]


class TinyMixture(lightning.LightningModule):
    """Linear agents over images of shape (1, 4, 4)."""

    def __init__(self, num_agents: int = 2, num_categories: int = 4, state_dim: int = 3) -> None:
        super().__init__()
        self.num_agents = num_agents
        self.num_categories = num_categories
        self.can_decode = True
        self.state_dim = state_dim
        self.category_mask = torch.ones(num_categories, dtype=torch.bool)
        self.head = nn.ModuleList(
            nn.Linear(16, num_categories + 2 * state_dim) for _ in range(num_agents)
        )
        self.decoder = nn.ModuleList(
            nn.Linear(num_categories + state_dim, 16) for _ in range(num_agents)
        )

    def infer(self, x: Tensor) -> MixturePosterior:
        out = torch.stack([head(x.flatten(1)) for head in self.head])
        sizes = [self.num_categories, self.state_dim, self.state_dim]
        logits, mean, logvar = out.split(sizes, dim=-1)
        return MixturePosterior((8 * logits).softmax(-1), mean, logvar)

    def decode(self, category: Tensor, state: Tensor) -> Tensor:
        code = torch.cat([category, state], dim=-1)
        out = [decoder(c) for decoder, c in zip(self.decoder, code, strict=True)]
        return torch.stack(out).sigmoid().unflatten(-1, (1, 4, 4))

    def step(self, batch: Batch) -> MixtureStep:
        posterior = self.infer(batch.x)
        error = (self.decode(posterior.probs, posterior.state_mean) - batch.x).square()
        mean, logvar = posterior.state_mean, posterior.state_logvar
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(-1)
        return MixtureStep(posterior, error.flatten(2).sum(-1), kl)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        step = self.step(batch)
        loss = (step.reconstruction + step.kl).mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.x))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> MixtureStep:
        return self.step(batch)

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-2)


def collate(rows: list[tuple[Tensor, Tensor, Tensor]]) -> Batch:
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
        return self.loader()

    def val_dataloader(self) -> DataLoader[Batch]:
        return self.loader()

    def test_dataloader(self) -> DataLoader[Batch]:
        return self.loader()


@pytest.fixture
def make_model() -> Callable[..., TinyMixture]:
    def build(**sizes: int) -> TinyMixture:
        torch.manual_seed(0)
        return TinyMixture(**sizes)

    return build


@pytest.fixture
def make_data() -> Callable[..., TinyData]:
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


SHAPES = {"left": (6,), "right": (9,), "middle": (1, 4, 4)}


class TinyMultimodal(lightning.LightningModule):
    """Linear encoders and decoders of three modalities; a joint posterior on request."""

    def __init__(self, latent_dim: int = 2, has_joint: bool = False) -> None:
        super().__init__()
        self.num_modalities = len(SHAPES)
        self.latent_dim = latent_dim
        self.private_dim = 0
        self.has_joint = has_joint
        sizes = [int(np.prod(shape)) for shape in SHAPES.values()]
        self.encoder = nn.ModuleList(nn.Linear(size, 2 * latent_dim) for size in sizes)
        self.decoder = nn.ModuleList(nn.Linear(latent_dim, size) for size in sizes)

    def infer(self, x: Sequence[Tensor], present: Tensor) -> MultimodalPosterior:
        """Infer each modality; the joint posterior is the mean over those present."""
        out = [encoder(part.flatten(1)) for encoder, part in zip(self.encoder, x, strict=True)]
        there = present.T[..., None]
        mean, logvar = (there * torch.stack(out)).chunk(2, dim=-1)
        if not self.has_joint:
            return MultimodalPosterior(mean, logvar)
        count = there.sum(0)
        return MultimodalPosterior(mean, logvar, mean.sum(0) / count, logvar.sum(0) / count)

    def decode(self, latent: Tensor, modality: int) -> Tensor:
        return self.decoder[modality](latent).unflatten(-1, list(SHAPES.values())[modality])

    def impute(self, x: Sequence[Tensor], present: Tensor) -> list[Tensor]:
        """Decode the first modality's latents into each."""
        mean = self.infer(x, present).mean[0]
        return [self.decode(mean, n) for n in range(self.num_modalities)]

    def step(self, batch: MultimodalBatch) -> MultimodalStep:
        posterior = self.infer(batch.x, batch.present)
        there = batch.present.T
        count = self.num_modalities
        error = torch.stack(
            [
                (self.decode(mean, n) - batch.x[n]).square().flatten(1).sum(-1)
                for mean in posterior.mean
                for n in range(count)
            ]
        ).unflatten(0, (count, count))
        error = error * (there[:, None] & there[None])
        return MultimodalStep(
            posterior, error.diagonal().T, error, posterior.mean.square().sum((0, 2))
        )

    def training_step(self, batch: MultimodalBatch, batch_idx: int) -> Tensor:
        loss = self.step(batch).reconstruction.sum(0).mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.label))
        return loss

    def validation_step(self, batch: MultimodalBatch, batch_idx: int) -> MultimodalStep:
        return self.step(batch)

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=3e-2)


class TinyMultimodalData(lightning.LightningDataModule):
    """Three views of a class: a pattern and noise each; events share the samples of `right`."""

    def __init__(self, num_classes: int = 3, missing: bool = False) -> None:
        super().__init__()
        modalities = tuple(ModalitySpec(name, shape) for name, shape in SHAPES.items())
        names = tuple(f"class {c}" for c in range(num_classes))
        self.spec = MultimodalSpec("tiny", modalities, num_classes, names)
        self.missing = missing
        generator = torch.Generator().manual_seed(1)
        self.patterns = [
            2 * torch.rand(3, *shape, generator=generator) for shape in SHAPES.values()
        ]
        self.splits = {
            name: self.make(size, seed)
            for seed, (name, size) in enumerate({"train": 60, "val": 24, "test": 36}.items())
        }

    def make(self, size: int, seed: int) -> MultimodalBatch:
        generator = torch.Generator().manual_seed(seed)
        kind = torch.arange(size) % 3
        rows = torch.arange(size)[:, None].repeat(1, 3) + 1000 * seed
        rows[:, 1] = rows[:, 1] // 6 * 6 + kind  # each sample of `right` takes part in two events
        x = []
        for m, pattern in enumerate(self.patterns):
            noise = torch.rand(2 * size + 3000, *pattern.shape[1:], generator=generator)
            x.append(pattern[kind] + 0.3 * noise[rows[:, m]])
        present = torch.ones(size, 3, dtype=torch.bool)
        if self.missing:
            present[::4, 0] = False
            present[1::4, 2] = False
        x = [part * present[:, m].view(-1, *[1] * (part.ndim - 1)) for m, part in enumerate(x)]
        label = kind if self.spec.num_classes else torch.full_like(kind, -1)
        rows = torch.where(present, rows, -1)
        return MultimodalBatch(tuple(x), present, label, torch.arange(size), rows)

    def event_rows(self, split: str) -> np.ndarray:
        """Number the events as no other table does."""
        return 500 + np.arange(len(self.splits[split].label))

    def eval_dataloader(self, split: str) -> DataLoader[MultimodalBatch]:
        whole = self.splits[split]

        def cut(events: list[int]) -> MultimodalBatch:
            x = tuple(part[events] for part in whole.x)
            return MultimodalBatch(x, *(part[events] for part in whole[1:]))

        return DataLoader(range(len(whole.label)), batch_size=8, collate_fn=cut)

    def sample_table(self, split: str, modality_index: int) -> dict[str, np.ndarray]:
        """Return what is known of the samples of a modality, in a shuffled order."""
        whole = self.splits[split]
        rows, first = np.unique(whole.rows[:, modality_index].numpy(), return_index=True)
        rows, first = rows[rows >= 0][::-1], first[rows >= 0][::-1]
        label = whole.label.numpy()[first]
        return {"row": rows, "label": label, "trial": rows // 2, "window": rows % 2}

    def train_dataloader(self) -> DataLoader[MultimodalBatch]:
        return self.eval_dataloader("train")

    def val_dataloader(self) -> DataLoader[MultimodalBatch]:
        return self.eval_dataloader("val")

    def test_dataloader(self) -> DataLoader[MultimodalBatch]:
        return self.eval_dataloader("test")


@pytest.fixture
def make_multimodal() -> Callable[..., TinyMultimodal]:
    def build(**options: Any) -> TinyMultimodal:
        torch.manual_seed(0)
        return TinyMultimodal(**options)

    return build


def small_mmvm(data: TinyMultimodalData, kind: type = MMVM) -> Any:
    """A model that can be drawn from, with networks of one layer."""
    torch.manual_seed(0)
    hidden = {"hidden": (8,)}
    return kind(
        modalities=data.spec.modalities,
        networks=partial(
            ModalityNetworks,
            encoder=partial(ModalityEncoder, **hidden),
            decoder=partial(ModalityDecoder, **hidden),
        ),
        likelihood=Gaussian(0.05),
        optimizer=partial(torch.optim.Adam, lr=1e-2),
        latent_dim=2,
        **({"beta": 1.0} if kind is MMVM else {}),
    )


@pytest.fixture
def make_mmvm() -> Callable[..., Any]:
    return small_mmvm


@pytest.fixture
def make_multimodal_data() -> Callable[..., TinyMultimodalData]:
    return TinyMultimodalData


@pytest.fixture
def record_drawing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Drawn]:
    """Record the arguments of drawing functions of a module, and draw nothing."""

    def record(module: ModuleType, *names: str) -> Drawn:
        calls: Drawn = {name: [] for name in names}
        for name, drawn in calls.items():
            draw = lambda *args, drawn=drawn, **_: drawn.append(args) or Figure((1, 1))  # noqa: E731
            monkeypatch.setattr(module, name, draw)
        return calls

    return record


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    return partial(interrupt_and_resume, monkeypatch)
