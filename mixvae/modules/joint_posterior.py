"""VAEs with a joint posterior of all modalities: AVG, PoE, MoE and MoPoE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from mixvae.contracts import MultimodalBatch, MultimodalPosterior, MultimodalStep
from mixvae.modules.base import plain_number
from mixvae.modules.multimodal import AbstractMultimodalModule, Beta
from mixvae.objectives.importance import (
    component_draws,
    density_of,
    log_standard_normal,
    shares_of,
)
from mixvae.objectives.posteriors import (
    AGGREGATE_KINDS,
    AggregateKind,
    GaussianMixture,
    PriorExpert,
    aggregate,
    draw,
    kl_bound,
    moments,
    product_of_experts,
    subsets,
)
from mixvae.objectives.terms import Terms


class JointPosteriorVAE(AbstractMultimodalModule):
    """One latent z for all modalities, inferred from an aggregate of the unimodal posteriors.

    Minimises, in nats, summed over features and averaged over the batch,

        sum_m -weight_m E log p(x_m|z) + beta KL(q(z|X) || N(0, I)),   z ~ q(z|X)

    with q(z|X) as `objectives.posteriors.aggregate` makes it. For mixtures (MoE, MoPoE) the KL is
    the mean over components, an upper bound, and one component is drawn for each sample.

    Evaluation decodes the mean of q(z|X), so `val/loss` does not estimate the above. The mean of a
    mixture may lie where no draws do and no decoder was trained. For MoE on the rats it is better
    (433.3 nats) than draws (436.9), as it combines all experts.

    Args:
        aggregate: `avg`, `poe`, `moe` or `mopoe`.
        prior_expert: Whether N(0, I) is one more expert of every product (`poe`, `mopoe`); `full`:
            of that of all modalities alone, as MoPoE's authors have it.
        subset_bounds: None trains on the bound of all modalities alone. A number adds the bounds of
            each modality alone and of so many random subsets, drawn anew for each batch; the
            validation measures that of all modalities.
        num_draws: 1 trains on the bound above. More, K, train on the importance-weighted bound of K
            draws from each component, (1/N) sum_n E log (1/K) sum_k w_nk with log w =
            sum_m weight_m log p(x_m|z) + beta [log p(z) - log q(z|X)], by DReG gradients; the
            logged terms are then means over draws by their weights. Costs K N decodings.
        beta: Weight of the KL divergence, a number, a schedule over epochs, or `auto`.

    Source:
        The baselines of MMVM (Sutter et al. 2024); see `objectives.posteriors` for each. In
        mmvmvae the joint KL is counted once for each modality: here once. Its MoE and MoPoE give
        contiguous slices of the batch to the experts: here each sample draws its own. Wu & Goodman
        2018 (MVAE) train on `subset_bounds` as well, eq. (4); mmvmvae does not.
        Imputation from m alone uses q(z|x_m), with the prior expert if any. `num_draws`: Burda et
        al. 2016, and Shi et al. 2019 (MMVAE), eq. (4), with a beta.
    """

    has_prior = True

    def __init__(
        self,
        *,
        aggregate: AggregateKind,
        prior_expert: PriorExpert = False,
        subset_bounds: int | None = None,
        num_draws: int = 1,
        beta: Beta = 1.0,
        **shared: Any,
    ) -> None:
        if aggregate == "mopoe":
            subsets(len(shared["modalities"]))
        super().__init__(**shared)
        self._set_beta(beta)
        if aggregate not in AGGREGATE_KINDS:
            raise ValueError(
                f"model.aggregate must be one of {', '.join(AGGREGATE_KINDS)}, got {aggregate!r}"
            )
        if prior_expert and aggregate not in ("poe", "mopoe"):
            raise ValueError(f"model.prior_expert is for poe and mopoe, not for {aggregate}")
        if prior_expert not in (True, False, "full"):
            raise ValueError(
                f"model.prior_expert must be true, false or full, got {prior_expert!r}"
            )
        if subset_bounds is not None:
            plain_number("subset_bounds", subset_bounds, at_least=0)
        plain_number("num_draws", num_draws, at_least=1)
        self.subset_bounds, self.num_draws = subset_bounds, num_draws
        self.aggregate: AggregateKind = aggregate
        self.prior_expert = prior_expert

    def posterior_of(self, mean: Tensor, logvar: Tensor, present: Tensor) -> GaussianMixture:
        """The aggregate of the experts that are present."""
        return aggregate(mean, logvar, present, self.aggregate, self.prior_expert)

    def weights(self, epoch: float) -> dict[str, float]:
        """Beta for the KL divergence."""
        return {"reconstruction": 1.0, "kl": self.beta(epoch)}

    def terms(self, batch: MultimodalBatch) -> Terms:
        """The objective on a batch, see the class; the reconstruction is summed over modalities."""
        experts = self.encode(batch.x, batch.present)
        reconstruction, kl = self._bound(experts, batch)
        for subset in self._subsets(batch.present.device):
            part = batch._replace(present=batch.present & subset)
            nll, divergence = self._bound(experts, part)
            reconstruction, kl = reconstruction + nll, kl + divergence
        return self.shared_terms(self.weights(self.epoch), reconstruction, kl)

    def _bound(
        self, experts: tuple[Tensor, Tensor], batch: MultimodalBatch
    ) -> tuple[Tensor, Tensor]:
        """Reconstruction, (M, B), and KL, (B,), of what is present."""
        joint = self.posterior_of(*experts, batch.present)
        if self.num_draws > 1:
            return self._weighted_bound(joint, batch)
        sample = draw(joint)
        reconstruction = self.reconstruction([sample] * self.num_modalities, batch)
        return reconstruction, kl_bound(joint)

    def _weighted_bound(
        self, joint: GaussianMixture, batch: MultimodalBatch
    ) -> tuple[Tensor, Tensor]:
        """Those of `num_draws` draws from each component, averaged by their weights."""
        z = component_draws(joint, self.num_draws)
        flat = z.flatten(0, 1)
        kl = density_of(flat, joint, fixed=True) - log_standard_normal(flat)
        nll = torch.stack(
            [self._nll(self.code_of(flat, m), batch, m) for m in range(self.num_modalities)]
        )
        log_weights = -self.weighted(nll) - self.beta(self.epoch) * kl
        share = shares_of(log_weights.unflatten(0, z.shape[:2]), joint.used, z).flatten(0, 1)
        return (share * nll).sum(dim=1), (share * kl).sum(dim=0)

    def _subsets(self, device: torch.device) -> Iterator[Tensor]:
        """The subsets beside all modalities that have a bound, each of shape (M,), bool."""
        if self.subset_bounds is None:
            return
        yield from torch.eye(self.num_modalities, dtype=torch.bool, device=device)
        for _ in range(self.subset_bounds):
            yield torch.rand(self.num_modalities, device=device) < 0.5

    def infer(self, x: Sequence[Tensor], present: Tensor) -> MultimodalPosterior:
        """The posterior from each modality alone, and the mean and variance of the joint one."""
        mean, logvar = self.encode(x, present)
        return self._posterior(mean, logvar, present, self.posterior_of(mean, logvar, present))

    def _posterior(
        self, mean: Tensor, logvar: Tensor, present: Tensor, joint: GaussianMixture
    ) -> MultimodalPosterior:
        if self.prior_expert is True:
            alone = torch.eye(self.num_modalities, dtype=torch.bool, device=mean.device)
            mean, logvar = product_of_experts(mean, logvar, present, alone, prior_expert=True)
        return MultimodalPosterior(mean, logvar, *moments(joint))

    def impute(self, x: Sequence[Tensor], present: Tensor) -> list[Tensor]:
        """The decoded mean of the joint posterior: M tensors (B, *shape_n)."""
        joint_mean = self.infer(x, present).joint_mean
        assert joint_mean is not None
        return [self.decode(joint_mean, n) for n in range(self.num_modalities)]

    def measure(self, batch: MultimodalBatch, pairs: Tensor | None = None) -> MultimodalStep:
        """Reconstruct a batch from the joint mean, and impute it from the unimodal ones.

        For MoE and MoPoE that is the mean of the mixture, and not a draw of it as in training.
        """
        mean, logvar = self.encode(batch.x, batch.present)
        joint = self.posterior_of(mean, logvar, batch.present)
        posterior = self._posterior(mean, logvar, batch.present, joint)
        assert posterior.joint_mean is not None
        codes = [posterior.joint_mean] * self.num_modalities
        return MultimodalStep(
            posterior=posterior,
            reconstruction=self.reconstruction(codes, batch),
            imputation=self.imputation(posterior.mean, batch, pairs),
            kl=kl_bound(joint),
            pairs=pairs,
        )
