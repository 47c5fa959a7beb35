"""What all models of several modalities share: networks, likelihoods, measured steps, refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from mixvae.contracts import ModalitySpec, MultimodalBatch, MultimodalPosterior, MultimodalStep
from mixvae.messages import warn
from mixvae.modules.base import SETTLED, plain_number
from mixvae.modules.generative import AbstractGenerative
from mixvae.modules.generative import Beta as Beta
from mixvae.modules.modality_checks import (
    advice_on_counts,
    by_name,
    check_family,
    check_rows,
    few_pairs,
    look_like_counts,
    weights_by_size,
)
from mixvae.networks.modality import ModalityNetworks
from mixvae.objectives.likelihoods import Likelihood, decoded_shape, masked_nll
from mixvae.objectives.mixture_prior import present_or_zero
from mixvae.objectives.modality_likelihoods import Categorical, Counts, LibraryNegativeBinomial
from mixvae.objectives.terms import Terms

NetworksFactory = Callable[..., ModalityNetworks]


class AbstractMultimodalModule(AbstractGenerative):
    """A latent variable model of M modalities, each with an encoder and a decoder of its own.

    Subclasses define inference, terms, and the latents that reconstruct a modality. A modality that
    is missing from an event adds 0 to each term, whatever stands in its place, and gets a gradient
    of exactly 0.

    Args:
        private_dim: Number of further dimensions of each modality alone, at least 0. Positional:
            most subclasses have none.
        networks: Builds the networks from shapes and latent_dim.
        likelihood: p(x_m|z) of every modality without one of its own; modalities of the kind tokens
            are `Categorical`, those of the kind counts `LibraryNegativeBinomial`.
        latent_dim: Number of latent dimensions L, at least 1.
        likelihoods: p(x_m|z) of some modalities, by name.
        weights: Weight of the reconstruction of some modalities, by name, at least 0; 1 for others;
            `size`: the size of the largest modality over its own, see `weights_by_size`.
    """

    modality_weights: Tensor

    def __init__(
        self,
        private_dim: int = 0,
        /,
        *,
        modalities: Sequence[ModalitySpec],
        networks: NetworksFactory,
        likelihood: Likelihood,
        latent_dim: int = 2,
        likelihoods: Mapping[str, Likelihood] | None = None,
        weights: Mapping[str, float] | Literal["size"] | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if len(modalities) == 0:
            raise ValueError("a multimodal model needs at least 1 modality, got none")
        plain_number("latent_dim", latent_dim, at_least=1)
        self.modalities = tuple(modalities)
        self.names = tuple(modality.name for modality in modalities)
        self.num_modalities = len(modalities)
        self.latent_dim, self.private_dim = latent_dim, private_dim
        own = by_name("likelihoods", likelihoods, self.names)
        self.likelihoods = tuple(
            own.get(modality.name) or BY_KIND.get(modality.kind, likelihood)
            for modality in modalities
        )
        for name, family in zip(self.names, self.likelihoods, strict=True):
            check_family(name, family)
        weights = weights_by_size(modalities) if weights == "size" else weights
        factors = by_name("weights", weights, self.names)
        for name, factor in factors.items():
            plain_number(f"weights.{name}", factor, at_least=0)
        values = torch.tensor([float(factors.get(name, 1.0)) for name in self.names])
        self.register_buffer("modality_weights", values.unsqueeze(1), persistent=False)
        pairs = list(zip(modalities, self.likelihoods, strict=True))
        self._register_centres()
        self.networks = networks(
            shapes=[modality.shape for modality in modalities],
            latent_dim=latent_dim + private_dim,
            kinds={modality.name: modality.kind for modality in modalities},
            decoded_shapes=[decoded_shape(modality.shape, family) for modality, family in pairs],
        )
        self._warned_of: set[str] = set()

    def infer(self, x: Sequence[Tensor], present: Tensor) -> MultimodalPosterior:
        """The unimodal posteriors of x, M tensors (B, *shape_m), where `present`, (B, M)."""
        return MultimodalPosterior(*self.encode(x, present))

    def regulariser(self, posterior: MultimodalPosterior, present: Tensor) -> Tensor:
        """The regulariser of a measured batch, shape (B,), nats; none here."""
        return posterior.mean.new_zeros(len(present))

    def predict_step(self, batch: MultimodalBatch, batch_idx: int = 0) -> MultimodalStep:
        """Infer, reconstruct and impute a batch without sampling, over all pairs of modalities."""
        return self.measure(batch)

    def measure(self, batch: MultimodalBatch, pairs: Tensor | None = None) -> MultimodalStep:
        """Infer a batch, and reconstruct and impute it from the unimodal means.

        Args:
            pairs: The [m, n] to impute, shape (M, M), bool; None: all.
        """
        posterior = self.infer(batch.x, batch.present)
        return MultimodalStep(
            posterior=posterior,
            reconstruction=self.reconstruction(posterior.mean, batch),
            imputation=self.imputation(posterior.mean, batch, pairs),
            kl=self.regulariser(posterior, batch.present),
            pairs=pairs,
        )

    def validated_pairs(self) -> Tensor | None:
        """The pairs whose imputation a validation measures, (M, M), bool; None: all."""
        return few_pairs(self.num_modalities)

    def shared_terms(
        self, weights: Mapping[str, float], reconstruction: Tensor, kl: Tensor
    ) -> Terms:
        """The terms that training and validation share.

        Args:
            reconstruction: -log p(x_m|z) of each modality, shape (M, B), nats.
            kl: The regulariser, shape (B,), nats.
        """
        terms = Terms(weights)
        terms.add("reconstruction", self.weighted(reconstruction), axes="B")
        terms.add("kl", kl, axes="B")
        return terms

    def settled_terms(self, step: MultimodalStep, present: Tensor) -> Terms:
        """The terms that a measured batch has, at the schedules' last values."""
        return self.shared_terms(self.weights(SETTLED), step.reconstruction, step.kl)

    def settled_loss(self, step: MultimodalStep, present: Tensor) -> Tensor:
        """The objective of a measured batch at the schedules' last values, a scalar in nats.

        Comparable over epochs, so that the best checkpoint can be chosen without labels.
        """
        return self.settled_terms(step, present).total()

    def validation_step(self, batch: MultimodalBatch, batch_idx: int) -> MultimodalStep:  # type: ignore[override]
        """Measure a batch without sampling, and log the objective at its final weights.

        `val/objective_reconstruction` is the counterpart of `train/reconstruction` at the means:
        weighted, and averaged over all events. `val/reconstruction` is neither. Of more than 12
        modalities each is imputed from 12 others, so that the cost grows as M and not as M^2; a
        test measures all pairs.
        """
        pairs = self.validated_pairs()
        step = self.measure(batch, None if pairs is None else pairs.to(batch.present.device))
        terms = self.settled_terms(step, batch.present)
        values = {
            "val/loss": terms.total(),
            "val/objective_reconstruction": terms["reconstruction"].mean(),
        }
        self.log_dict(values, batch_size=len(batch.present), sync_dist=True)
        return step

    def test_step(self, batch: MultimodalBatch, batch_idx: int) -> MultimodalStep:  # type: ignore[override]
        """Measure a batch without sampling."""
        return self.predict_step(batch)

    def decode(self, latent: Tensor, modality: int) -> Tensor:
        """The mean of p(x_m|z), shape (B, *shape_m), from latents (B, L), nothing private."""
        params = self._params(self.code_of(latent, modality), modality)
        return self.likelihoods[modality].mean(params.unsqueeze(0))[0]

    def _params(self, codes: Tensor, modality: int) -> Tensor:
        """The parameters of p(x_m|z) for codes (B, L)."""
        family, centre = self.likelihoods[modality], self._centre(modality)
        params = self.networks.decode(codes, modality)
        if isinstance(family, Counts) and centre is not None:
            return family.shifted(params, centre)
        return params

    def impute(self, x: Sequence[Tensor], present: Tensor) -> list[Tensor]:
        """The mean of p(x_n|what is present) for every modality n: M tensors (B, *shape_n).

        Here the mean over the modalities present of their decoded posterior means, with equal
        weights, as the prior of MMVM mixes them. Models with a joint posterior decode that instead.
        """
        mean = self.infer(x, present).mean
        share = (present / present.sum(dim=1, keepdim=True).clamp(min=1)).t()
        imputed = []
        for n in range(self.num_modalities):
            decoded = self.decode(mean.flatten(0, 1), n).unflatten(0, mean.shape[:2])
            imputed.append((decoded * share.view(*share.shape, *[1] * (decoded.dim() - 2))).sum(0))
        return imputed

    def code_of(self, latent: Tensor, modality: int) -> Tensor:
        """The decoder's input of a modality for latents (..., L) of another one."""
        return latent

    def encode(self, x: Sequence[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances of the encoders, each (M, B, L); 0 where missing."""
        shown = [
            self._seen(m, _shown(sample[None], present[:, m : m + 1])[0])
            for m, sample in enumerate(x)
        ]
        mean, logvar = self.networks.encode(shown)
        return present_or_zero(mean, present), present_or_zero(logvar, present)

    def reconstruction(self, codes: Iterable[Tensor], batch: MultimodalBatch) -> Tensor:
        """-log p(x_m|code_m) of M codes, each (B, L): shape (M, B), nats; 0 where missing."""
        values = [self._nll(code[None], batch, m)[0] for m, code in enumerate(codes)]
        return torch.stack(values)

    def imputation(
        self, mean: Tensor, batch: MultimodalBatch, pairs: Tensor | None = None
    ) -> Tensor:
        """-log p(x_n|z_m) at the means (M, B, L), as [m, n]: shape (M, M, B), nats; else 0."""
        columns = []
        for n in range(self.num_modalities):
            chosen = mean if pairs is None else mean[pairs[:, n]]
            nll = self._nll(self.code_of(chosen, n), batch, n)
            if pairs is not None:
                nll = nll.new_zeros(mean.shape[:2]).masked_scatter(pairs[:, n : n + 1], nll)
            columns.append(nll)
        values = torch.stack(columns, dim=1)
        return present_or_zero(values.transpose(1, 2), batch.present).transpose(1, 2)

    def _nll(self, codes: Tensor, batch: MultimodalBatch, modality: int) -> Tensor:
        """-log p(x_m|z) of one modality from codes (N, B, L): shape (N, B), nats; 0 where missing.

        A missing sample is replaced by 0, since 0 times NaN would be NaN in the gradient; so is a
        single missing value, by its training mean, and it adds nothing.
        """
        here = batch.present[:, modality : modality + 1]
        family = self.likelihoods[modality]
        params = self._params(codes.flatten(0, 1), modality).unflatten(0, codes.shape[:2])
        x = _shown(batch.x[modality][None], here)
        if self.modalities[modality].has_gaps:
            observed = ~x.isnan()
            x = torch.where(observed, x, getattr(self, f"centre_{modality}"))
            nll = masked_nll(family, params, x, observed)
        else:
            nll = family.nll(params, x)
        return torch.where(here[:, 0], nll, torch.zeros_like(nll))

    def weighted(self, reconstruction: Tensor) -> Tensor:
        """Sum over modalities of weight times (M, ..., B): shape (..., B)."""
        weights = self.modality_weights.view(-1, *[1] * (reconstruction.dim() - 1))
        return (weights * reconstruction).sum(dim=0)

    def check(self, batch: MultimodalBatch) -> None:
        """Refuse other shapes, and values that a modality's likelihood cannot describe."""
        if len(batch.x) != self.num_modalities:
            raise ValueError(f"the model has {self.num_modalities} modalities, got {len(batch.x)}")
        for m, (modality, family) in enumerate(zip(self.modalities, self.likelihoods, strict=True)):
            check_rows(modality, family, batch.x[m], batch.present[:, m])
            rows = batch.x[m][batch.present[:, m]]
            if modality.name not in self._warned_of and look_like_counts(modality, family, rows):
                self._warned_of.add(modality.name)
                warn(advice_on_counts(modality, family, rows))


BY_KIND: dict[str, Likelihood] = {"tokens": Categorical(), "counts": LibraryNegativeBinomial()}


def _shown(x: Tensor, here: Tensor) -> Tensor:
    """Samples (1, B, *shape), 0 where missing; not copied if none is.

    On a GPU the check would take longer than the copy.
    """
    if here.device.type == "cpu" and bool(here.all()):
        return x
    return present_or_zero(x, here)
