"""Plain autoencoders, one for each modality: what the objective of the VAEs is bounded by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from mixvae.contracts import ModalitySpec, MultimodalBatch, MultimodalPosterior, MultimodalStep
from mixvae.modules.base import OptimizerFactory
from mixvae.modules.multimodal import AbstractMultimodalModule, NetworksFactory
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.schedules import Schedule
from mixvae.objectives.terms import Terms


class Autoencoder(AbstractMultimodalModule):
    """An autoencoder for each modality, with the networks of the VAEs.

    Minimises, in nats, summed over features and averaged over the batch,

        sum_m -weight_m log p(x_m|z_m),   z_m the mean that the encoder gives

    It has neither sampling nor regulariser, so it has no beta; the encoders' log-variances are
    there, are not trained and mean nothing.

    Args:
        modalities: Name and shape of each modality.
        networks: Builds the networks from shapes and latent_dim.
        likelihood: p(x_m|z) of every modality without one of its own.
        optimizer: Builds the optimiser from the parameters.
        latent_dim: Number of latent dimensions L, at least 1.
        likelihoods: p(x_m|z) of some modalities, by name.
        weights: Weight of the reconstruction of some modalities, by name; 1 for others.
        learning_rate: Factor on the learning rate, a number or a schedule over epochs.

    Raises:
        ValueError: If a value is out of its range, or a name is that of no modality.

    Source:
        MMVM (Sutter et al. 2024), figure 5: the autoencoder's negative squared error, which their
        objective reaches from below as beta goes to 0.
    """

    def __init__(
        self,
        *,
        modalities: Sequence[ModalitySpec],
        networks: NetworksFactory,
        likelihood: Likelihood,
        optimizer: OptimizerFactory,
        latent_dim: int = 2,
        likelihoods: Mapping[str, Likelihood] | None = None,
        weights: Mapping[str, float] | None = None,
        learning_rate: float | Schedule = 1.0,
    ) -> None:
        super().__init__(
            modalities=modalities,
            networks=networks,
            likelihood=likelihood,
            optimizer=optimizer,
            latent_dim=latent_dim,
            beta=0.0,
            likelihoods=likelihoods,
            weights=weights,
            learning_rate=learning_rate,
        )

    def terms(self, batch: MultimodalBatch) -> Terms:
        """The reconstruction of a batch, summed over modalities."""
        mean, _ = self.encode(batch.x, batch.present)
        terms = Terms()
        terms.add("reconstruction", self.weighted(self.reconstruction(mean, batch)), axes="B")
        return terms

    def infer(self, x: Sequence[Tensor], present: Tensor) -> MultimodalPosterior:
        """The codes of x, M tensors (B, *shape_m), as means."""
        return MultimodalPosterior(*self.encode(x, present))

    def predict_step(self, batch: MultimodalBatch, batch_idx: int = 0) -> MultimodalStep:
        """Encode, reconstruct and impute a batch."""
        posterior = self.infer(batch.x, batch.present)
        reconstruction = self.reconstruction(posterior.mean, batch)
        return MultimodalStep(
            posterior=posterior,
            reconstruction=reconstruction,
            imputation=self.imputation(posterior.mean, batch),
            kl=reconstruction.new_zeros(reconstruction.shape[1]),
        )
