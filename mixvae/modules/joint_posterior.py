"""VAEs with a joint posterior of all modalities: AVG, PoE, MoE and MoPoE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mixvae.contracts import ModalitySpec, MultimodalBatch, MultimodalPosterior, MultimodalStep
from mixvae.modules.base import OptimizerFactory
from mixvae.modules.multimodal import AbstractMultimodalModule, NetworksFactory
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.posteriors import (
    AGGREGATE_KINDS,
    AggregateKind,
    GaussianMixture,
    aggregate,
    draw,
    kl_bound,
    moments,
    product_of_experts,
    subsets,
)
from mixvae.objectives.schedules import Schedule
from mixvae.objectives.terms import Terms


class JointPosteriorVAE(AbstractMultimodalModule):
    """One latent z for all modalities, inferred from an aggregate of the unimodal posteriors.

    Minimises, in nats, summed over features and averaged over the batch,

        sum_m -weight_m E log p(x_m|z) + beta KL(q(z|X) || N(0, I)),   z ~ q(z|X)

    with q(z|X) as `objectives.posteriors.aggregate` makes it. For mixtures (MoE, MoPoE) the KL is
    the mean over components, an upper bound, and one component is drawn for each sample.

    Evaluation decodes the mean of q(z|X), and so `val/loss` is no estimate of the above. The mean
    of a mixture may lie where none of its draws do, and no decoder was trained there: for MoE on
    the rats it is better (433.3 nats) than draws (436.9), as it combines what all experts say.

    Args:
        modalities: Name and shape of each modality.
        networks: Builds the networks from shapes and latent_dim.
        likelihood: p(x_m|z) of every modality without one of its own.
        optimizer: Builds the optimiser from the parameters.
        aggregate: `avg`, `poe`, `moe` or `mopoe`.
        prior_expert: Whether N(0, I) is one more expert of every product (`poe`, `mopoe`).
        latent_dim: Number of latent dimensions L, at least 1.
        beta: Weight of the KL divergence, a number or a schedule over epochs, at least 0.
        likelihoods: p(x_m|z) of some modalities, by name.
        weights: Weight of the reconstruction of some modalities, by name; 1 for others.
        learning_rate: Factor on the learning rate, a number or a schedule over epochs.

    Raises:
        ValueError: If a value is out of its range, a name is that of no modality, or `mopoe` is
            asked to enumerate the sets of too many modalities.

    Source:
        The baselines of MMVM (Sutter et al. 2024); see `objectives.posteriors` for each. In
        mmvmvae the joint KL is counted once for each modality: here once. Its MoE and MoPoE give
        contiguous slices of the batch to the experts: here each sample draws its own. Wu & Goodman
        2018 train the PoE on subsets of modalities as well; mmvmvae does not, and neither do we.
        Imputation from m alone uses q(z|x_m), with the prior expert where there is one.
    """

    def __init__(
        self,
        *,
        modalities: Sequence[ModalitySpec],
        networks: NetworksFactory,
        likelihood: Likelihood,
        optimizer: OptimizerFactory,
        aggregate: AggregateKind,
        prior_expert: bool = False,
        latent_dim: int = 2,
        beta: float | Schedule = 1.0,
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
            beta=beta,
            likelihoods=likelihoods,
            weights=weights,
            learning_rate=learning_rate,
        )
        if aggregate not in AGGREGATE_KINDS:
            raise ValueError(
                f"model.aggregate must be one of {', '.join(AGGREGATE_KINDS)}, got {aggregate!r}"
            )
        if prior_expert and aggregate not in ("poe", "mopoe"):
            raise ValueError(f"model.prior_expert is for poe and mopoe, not for {aggregate}")
        if aggregate == "mopoe":
            subsets(self.num_modalities)
        self.aggregate: AggregateKind = aggregate
        self.prior_expert = prior_expert

    def _joint(self, mean: Tensor, logvar: Tensor, present: Tensor) -> GaussianMixture:
        return aggregate(mean, logvar, present, self.aggregate, self.prior_expert)

    def terms(self, batch: MultimodalBatch) -> Terms:
        """The objective on a batch, see the class; the reconstruction is summed over modalities."""
        joint = self._joint(*self.encode(batch.x, batch.present), batch.present)
        sample = draw(joint)
        terms = Terms()
        codes = [sample] * self.num_modalities
        terms.add("reconstruction", self.weighted(self.reconstruction(codes, batch)), axes="B")
        terms.add("kl", kl_bound(joint), self.beta(self.epoch), axes="B")
        return terms

    def infer(self, x: Sequence[Tensor], present: Tensor) -> MultimodalPosterior:
        """The posterior from each modality alone, and the mean and variance of the joint one."""
        mean, logvar = self.encode(x, present)
        return self._posterior(mean, logvar, present, self._joint(mean, logvar, present))

    def _posterior(
        self, mean: Tensor, logvar: Tensor, present: Tensor, joint: GaussianMixture
    ) -> MultimodalPosterior:
        if self.prior_expert:
            alone = torch.eye(self.num_modalities, dtype=torch.bool, device=mean.device)
            mean, logvar = product_of_experts(mean, logvar, present, alone, prior_expert=True)
        return MultimodalPosterior(mean, logvar, *moments(joint))

    def impute(self, x: Sequence[Tensor], present: Tensor) -> list[Tensor]:
        """What the mean of the joint posterior decodes to: M tensors (B, *shape_n)."""
        joint_mean = self.infer(x, present).joint_mean
        assert joint_mean is not None
        return [self.decode(joint_mean, n) for n in range(self.num_modalities)]

    def predict_step(self, batch: MultimodalBatch, batch_idx: int = 0) -> MultimodalStep:
        """Reconstruct a batch from the joint mean, and impute it from the unimodal ones.

        For MoE and MoPoE that is the mean of the mixture, and not a draw of it as in training.
        """
        mean, logvar = self.encode(batch.x, batch.present)
        joint = self._joint(mean, logvar, batch.present)
        posterior = self._posterior(mean, logvar, batch.present, joint)
        assert posterior.joint_mean is not None
        codes = [posterior.joint_mean] * self.num_modalities
        return MultimodalStep(
            posterior=posterior,
            reconstruction=self.reconstruction(codes, batch),
            imputation=self.imputation(posterior.mean, batch),
            kl=kl_bound(joint),
        )
