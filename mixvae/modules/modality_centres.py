"""Training means of modalities, from which counts are measured and with which gaps are filled."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from mixvae.contracts import ModalitySpec, MultimodalBatch
from mixvae.modules.chosen_beta import AbstractWithBeta
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.modality_likelihoods import Counts


class AbstractWithCentres(AbstractWithBeta):
    """A model of several modalities that knows the training means of some."""

    modalities: tuple[ModalitySpec, ...]
    likelihoods: tuple[Likelihood, ...]

    def _register_centres(self) -> None:
        for m, (modality, family) in enumerate(zip(self.modalities, self.likelihoods, strict=True)):
            if modality.has_gaps or isinstance(family, Counts):
                start = float(isinstance(family, Counts))  # a rate of 1, before `prepare`
                self.register_buffer(f"centre_{m}", torch.full(modality.shape, start))

    def prepare(self, batches: Collection[MultimodalBatch]) -> None:
        """Measure the training mean of each feature of counts and of modalities with gaps.

        Gaps are filled with it, as encoders see them, and counts are measured from it.
        """
        centres = {m: self._centre(m) for m in range(len(self.modalities))}
        wanted = [m for m, centre in centres.items() if centre is not None]
        sums = {m: torch.zeros(self.modalities[m].shape, dtype=torch.float64) for m in wanted}
        counts = {m: torch.zeros_like(total) for m, total in sums.items()}
        for batch in batches if wanted else ():
            for m in wanted:
                x = batch.x[m][batch.present[:, m]].cpu().double()
                sums[m] += x.nan_to_num(0.0).sum(dim=0)
                counts[m] += (~x.isnan()).sum(dim=0)
        for m in wanted:
            getattr(self, f"centre_{m}").copy_(sums[m] / counts[m].clamp(min=1))

    def _centre(self, modality: int) -> Tensor | None:
        """Training means of a modality, of its shape, where they are needed."""
        centre: Tensor | None = getattr(self, f"centre_{modality}", None)
        return centre

    def _seen(self, modality: int, x: Tensor) -> Tensor:
        """Samples (B, *shape) as an encoder sees them: gaps filled, counts as logarithms."""
        centre, family = self._centre(modality), self.likelihoods[modality]
        if centre is None:
            return x
        if self.modalities[modality].has_gaps:
            x = torch.where(x.isnan(), centre, x)
        return family.seen(x, centre) if isinstance(family, Counts) else x
