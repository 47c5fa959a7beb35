"""What the callbacks of a multimodal model share: its data's words, inference, decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from mixvae.callbacks.lightning_parts import datamodule_of
from mixvae.contracts import MultimodalBatch, MultimodalModel, MultimodalSpec, MultimodalStep
from mixvae.evaluation.coherence import Decode
from mixvae.evaluation.latents import LatentCollector, LatentTable, SampleCollector
from mixvae.evaluation.representation import SplitInference

DECODED_AT_ONCE = 2048


def multimodal_spec(trainer: Trainer) -> MultimodalSpec:
    """Return the specification of the data module at work.

    Args:
        trainer: The trainer.

    Returns:
        The data module's `spec`.

    Raises:
        ValueError: If the trainer has no data module, or its data are not multimodal.
    """
    datamodule = getattr(trainer, "datamodule", None)
    if datamodule is None:
        raise ValueError(
            "the evaluation needs a data module with a `spec`, but the trainer has none;"
            " call trainer.fit or trainer.test with datamodule=..."
        )
    spec = datamodule.spec
    if not isinstance(spec, MultimodalSpec):
        raise ValueError(
            f"callbacks=multimodal is for data of several modalities, which {spec.name} is not;"
            " use callbacks=default"
        )
    return spec


def infer_split(
    trainer: Trainer, model: LightningModule, split: str, max_samples: int
) -> SplitInference:
    """Infer a whole split, in order and without sampling, over all ranks.

    Args:
        trainer: A trainer with a data module.
        model: A multimodal model, in evaluation mode.
        split: `train`, `val` or `test`.
        max_samples: Largest number of samples of a modality to keep, by process.
    """
    assert isinstance(model, MultimodalModel)
    assert not model.training, "dropout and batch statistics would blur what is measured"
    datamodule = datamodule_of(trainer)
    latents = LatentCollector().to(model.device)
    samples = SampleCollector(model.num_modalities, max_samples).to(model.device)
    with torch.inference_mode():
        for loaded in datamodule.eval_dataloader(split):
            moved = model.transfer_batch_to_device(loaded, model.device, 0)
            batch = trainer.precision_plugin.convert_input(moved)
            latents.update(model.infer(batch.x, batch.present), batch)
            samples.update(batch)
    return SplitInference(latents.compute(), samples.compute())


def decoder_of(model: LightningModule) -> Decode:
    """Return the model's decoder as a function of arrays.

    Args:
        model: A multimodal model.
    """
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


class AbstractLatentCallback(Callback):
    """Collects the inference of a test over batches and ranks; a subclass uses it at its end.

    Args:
        dirpath: Folder to write into, usually the run folder.
    """

    def __init__(self, dirpath: str) -> None:
        self.dirpath = Path(dirpath)
        self._collector = LatentCollector()
        self._table: LatentTable | None = None

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start afresh."""
        self._collector = LatentCollector().to(pl_module.device)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: MultimodalBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch."""
        assert isinstance(outputs, MultimodalStep), "the step must return a MultimodalStep"
        self._collector.update(outputs.posterior, batch)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather all ranks."""
        self._table = self._collector.compute()
        self._collector.reset()

    def take_table(self, trainer: Trainer) -> LatentTable | None:
        """Hand the table over, once, on the first rank; None on the others."""
        table, self._table = self._table, None
        return table if trainer.is_global_zero else None
