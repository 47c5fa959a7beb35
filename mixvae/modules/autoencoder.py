"""Plain autoencoders, one for each modality: the bound of the VAEs' objective."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mixvae.contracts import MultimodalBatch
from mixvae.modules.multimodal import AbstractMultimodalModule
from mixvae.objectives.posteriors import GaussianMixture
from mixvae.objectives.terms import Terms


class Autoencoder(AbstractMultimodalModule):
    """An autoencoder for each modality, with the networks of the VAEs.

    Minimises, in nats, summed over features and averaged over the batch,

        sum_m -weight_m log p(x_m|z_m),   z_m the mean that the encoder gives

    It has neither sampling nor regulariser, so no beta. The encoders' log-variances are not trained
    and mean nothing.

    Source:
        MMVM (Sutter et al. 2024), figure 5: the autoencoder's negative squared error, which their
        objective reaches from below as beta goes to 0.
    """

    has_likelihood = False

    def posterior_of(self, mean: Tensor, logvar: Tensor, present: Tensor) -> GaussianMixture:
        """The means of the modalities present, in equal parts, without a spread."""
        return super().posterior_of(mean, torch.full_like(logvar, -math.inf), present)

    def weights(self, epoch: float) -> dict[str, float]:
        """The reconstruction alone."""
        return {"reconstruction": 1.0, "kl": 0.0}

    def terms(self, batch: MultimodalBatch) -> Terms:
        """The reconstruction of a batch, summed over modalities."""
        mean, _ = self.encode(batch.x, batch.present)
        terms = Terms(self.weights(self.epoch))
        terms.add("reconstruction", self.weighted(self.reconstruction(mean, batch)), axes="B")
        return terms
