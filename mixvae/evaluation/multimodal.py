"""Reconstruction, imputation and regulariser of a multimodal model, summed over a split."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from mixvae.contracts import MultimodalStep


class MultimodalEvaluation(Metric):
    """Means over events; those of a modality are over the events that have it.

    Every state is a sum: memory does not grow with the events, and ranks add up.
    """

    full_state_update = False

    reconstruction: Tensor
    present: Tensor
    imputation: Tensor
    both_present: Tensor
    kl: Tensor
    num_events: Tensor

    def __init__(self, modalities: Sequence[str]) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        count = len(self.modalities)
        nats = {"reconstruction": (count,), "imputation": (count, count), "kl": ()}
        for name, shape in nats.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        counts = {"present": (count,), "both_present": (count, count), "num_events": ()}
        for name, shape in counts.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, step: MultimodalStep, present: Tensor) -> None:
        """Add a batch.

        Args:
            present: Modalities present in each event, shape (B, M), bool.
        """
        there = present.T
        both = there[:, None] & there[None, :]
        assert step.imputation.shape == both.shape, "imputation must have shape (M, M, B)"
        if step.pairs is not None:
            both = both & step.pairs.unsqueeze(-1)
        # `where`, not a product: the placeholder of a missing value may be NaN.
        self.reconstruction += torch.where(there, step.reconstruction.double(), 0.0).sum(-1)
        self.imputation += torch.where(both, step.imputation.double(), 0.0).sum(-1)
        self.kl += step.kl.double().sum()
        self.present += there.sum(-1)
        self.both_present += both.sum(-1)
        self.num_events += len(present)

    def compute(self) -> dict[str, Tensor]:
        """Compute the measures over all events so far.

        Returns:
            Scalars by name, float64, nats. `reconstruction/<m>` is the mean over the events that
            have m, `reconstruction` the sum of these over modalities; `imputation/<m>_to_<n>` is
            the mean over the events that have both, `imputation` the mean of these over the pairs
            of different modalities that were measured; `kl` is the mean over events. Others are
            left out.
        """
        if int(self.num_events) == 0:
            raise ValueError("nothing to evaluate: the data split holds no events")
        values: dict[str, Tensor] = {}
        means = self.reconstruction / self.present.clamp(min=1)
        for m, name in enumerate(self.modalities):
            if self.present[m] > 0:
                values[f"reconstruction/{name}"] = means[m]
        values["reconstruction"] = means.sum()
        imputed = []
        for m, source in enumerate(self.modalities):
            for n, target in enumerate(self.modalities):
                if m != n and self.both_present[m, n] > 0:
                    mean = self.imputation[m, n] / self.both_present[m, n]
                    values[f"imputation/{source}_to_{target}"] = mean
                    imputed.append(mean)
        if imputed:
            values["imputation"] = torch.stack(imputed).mean()
        values["kl"] = self.kl / self.num_events
        return values
