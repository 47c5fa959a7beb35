"""The base of callbacks that need the inference of a whole test, and what else they read."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray

from mixvae.callbacks.lightning_parts import datamodule_of, place_of
from mixvae.callbacks.measuring import AbstractMeasuring
from mixvae.contracts import (
    DataSpec,
    MixtureModel,
    MixtureStep,
    MultimodalModel,
    MultimodalSpec,
    MultimodalStep,
)
from mixvae.evaluation.latents import LatentCollector, LatentTable
from mixvae.evaluation.predictions import PredictionCollector, PredictionTable
from mixvae.evaluation.representation import Decode
from mixvae.figures.curves import training_curves
from mixvae.files import read_metrics

DECODED_AT_ONCE = 2048

Spec = TypeVar("Spec", DataSpec, MultimodalSpec)
Table = TypeVar("Table", PredictionTable, LatentTable)


def spec_of(trainer: Trainer, kind: type[Spec]) -> Spec:
    """Return the specification of the trainer's data; raise ValueError for the other kind."""
    datamodule = getattr(trainer, "datamodule", None)
    if datamodule is None:
        raise ValueError(
            "the evaluation needs a data module with a `spec`, but the trainer has none;"
            " call trainer.fit or trainer.test with datamodule=..."
        )
    model = getattr(trainer, "lightning_module", None)
    spec = getattr(datamodule, "spec", None)
    modalities = getattr(model, "modalities", None)
    if spec is None and kind is MultimodalSpec and modalities is not None:
        # Of a data module that is not ours; its labels are unknown.
        return kind(type(datamodule).__name__, tuple(modalities))
    if spec is None:
        raise ValueError(
            f"the evaluation needs a `spec` of the data, which {type(datamodule).__name__} lacks;"
            " give it one, see docs/extend.md"
        )
    if not isinstance(spec, kind):
        asked = ("multimodal", "several modalities"), ("default", "one array of samples")
        (own, words), (other, _) = asked if kind is MultimodalSpec else asked[::-1]
        raise ValueError(
            f"callbacks={own} is for data of {words}, which {spec.name} is not;"
            f" use callbacks={other}"
        )
    return spec


def tested_split(datamodule: object) -> str:
    """Return the split that a test measures: the data module's `predict_split`, or `test`."""
    return str(getattr(datamodule, "predict_split", "test"))


def samples_tested(datamodule: object) -> str:
    """Describe the samples that a test measures, for the axes of figures."""
    split = tested_split(datamodule)
    if split == "train" or getattr(datamodule, "tests_on_training", False):
        return "samples trained on"
    return "validation samples" if split == "val" else "held-out samples"


def logged_rows(dirpath: Path) -> list[dict[str, str]]:
    """Read metrics.csv of a run folder, or of the run that `evaluations/<name>` lies in."""
    rows = read_metrics(dirpath / "metrics.csv")
    if not rows and dirpath.match("evaluations/*"):
        rows = read_metrics(dirpath.parents[1] / "metrics.csv")
    return rows


def logged_curves(dirpath: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Return the curves of metrics.csv; none if it is missing."""
    return training_curves(logged_rows(dirpath))


def find_samples(trainer: Trainer, wanted: set[int]) -> dict[int, list[NDArray[np.float32]]]:
    """Read the test samples that this rank has, by index: an array, or one of each modality."""
    found: dict[int, list[NDArray[np.float32]]] = {}
    for batch in datamodule_of(trainer).test_dataloader():
        arrays = [batch.x] if isinstance(batch.x, torch.Tensor) else batch.x
        for position, index in enumerate(batch.index.tolist()):
            if index in wanted:
                found[index] = [array[position].float().cpu().numpy() for array in arrays]
        if len(found) == len(wanted):
            break
    return found


def decode_mixture(
    model: MixtureModel, category: NDArray[np.float32], state: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Decode with all agents into samples, shape (A, B, *shape).

    Args:
        category: Category probabilities, shape (B, K) for all agents alike or (A, B, K).
        state: States, shape (B, S) or (A, B, S).
    """
    assert isinstance(model, LightningModule)
    device, dtype = place_of(model)
    shape = (model.num_agents, category.shape[-2], -1)
    with torch.inference_mode():
        code = [torch.tensor(part, device=device, dtype=dtype) for part in (category, state)]
        samples = model.decode(*(part.expand(shape) for part in code))
        decoded: NDArray[np.float32] = samples.float().cpu().numpy()
    return decoded


def decoder_of(model: LightningModule) -> Decode:
    """Return the decoders of a multimodal model as a function of arrays."""
    assert isinstance(model, MultimodalModel)

    def decode(latent: NDArray[np.floating[Any]], modality: int) -> NDArray[np.floating[Any]]:
        points = torch.from_numpy(np.asarray(latent)).to(model.dtype)
        with torch.inference_mode():
            parts = [
                model.decode(part.to(model.device), modality).float().cpu()
                for part in points.split(DECODED_AT_ONCE)
            ]
        decoded: NDArray[np.float32] = torch.cat(parts).numpy()
        return decoded

    return decode


class AbstractCollecting(AbstractMeasuring[Any], Generic[Table]):
    """Collects the inference of a test over batches and ranks, and hands it to a subclass."""

    validates = False
    step: ClassVar[type[MixtureStep] | type[MultimodalStep]]
    collector: ClassVar[type[PredictionCollector] | type[LatentCollector]]

    def __init__(self, dirpath: str) -> None:
        self.dirpath = Path(dirpath)
        self._table: Table | None = None

    @abstractmethod
    def finish(self, trainer: Trainer, model: Any, table: Table) -> None:
        """Write or draw the collected inference, on the first rank."""

    def new_metric(self, trainer: Trainer, model: Any) -> Any:
        """Return an empty collector."""
        return self.collector()

    def update(self, step: Any, batch: Any) -> None:
        """Add the posterior of a batch."""
        assert isinstance(step, self.step), f"the step must return a {self.step.__name__}"
        self.metric.update(step.posterior, batch)

    def conclude(self, trainer: Trainer, model: LightningModule, split: str) -> None:
        """Gather all ranks."""
        self._table = self.metric.compute()
        self.metric.reset()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish, on the first rank."""
        table, self._table = self._table, None
        if table is not None and trainer.is_global_zero:
            self.finish(trainer, pl_module, table)


class AbstractPredictionCallback(AbstractCollecting[PredictionTable]):
    """Collects the predictions of a `contracts.MixtureModel`."""

    step = MixtureStep
    collector = PredictionCollector


class AbstractLatentCallback(AbstractCollecting[LatentTable]):
    """Collects the latents of a `contracts.MultimodalModel`."""

    model_kind = MultimodalModel
    step = MultimodalStep
    collector = LatentCollector
