"""What all models of several modalities share: networks, likelihoods, measured steps, refusals."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from mixvae.contracts import ModalitySpec, MultimodalBatch, MultimodalPosterior, MultimodalStep
from mixvae.modules.base import AbstractModule, OptimizerFactory
from mixvae.networks.modality import ModalityNetworks
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.mixture_prior import present_or_zero
from mixvae.objectives.schedules import Constant, Schedule, as_schedule

NetworksFactory = Callable[..., ModalityNetworks]
SETTLED = float("inf")
"""The epoch at which every schedule has reached its last value."""


class AbstractMultimodalModule(AbstractModule[MultimodalBatch]):
    """A latent variable model of M modalities, each with an encoder and a decoder of its own.

    Subclasses say what they infer, what they train on, and from which latents a modality is
    reconstructed. A modality that is missing from an event adds nothing to any term, whatever
    stands in its place, and gets a gradient of exactly 0.

    Args:
        modalities: Name and shape of each modality.
        networks: Builds the networks from shapes and latent_dim.
        likelihood: p(x_m|z) of every modality without one of its own.
        optimizer: Builds the optimiser from the parameters.
        latent_dim: Number of latent dimensions L, at least 1.
        private_dim: Number of further dimensions that each modality has for itself, at least 0.
        beta: Weight of the regulariser, at least 0.
        likelihoods: p(x_m|z) of some modalities, by name.
        weights: Weight of the reconstruction of some modalities, by name, at least 0; 1 for others.
        learning_rate: Factor on the optimiser's learning rate, a number or a schedule over epochs.

    Raises:
        ValueError: If a size or a weight is out of its range, a name is that of no modality, or a
            likelihood cannot describe one modality's array.
    """

    modality_weights: Tensor

    def __init__(
        self,
        *,
        modalities: Sequence[ModalitySpec],
        networks: NetworksFactory,
        likelihood: Likelihood,
        optimizer: OptimizerFactory,
        latent_dim: int,
        private_dim: int = 0,
        beta: float | Schedule = 1.0,
        likelihoods: Mapping[str, Likelihood] | None = None,
        weights: Mapping[str, float] | None = None,
        learning_rate: float | Schedule = 1.0,
    ) -> None:
        super().__init__(optimizer, learning_rate)
        if len(modalities) == 0:
            raise ValueError("a multimodal model needs at least 1 modality, got none")
        if latent_dim < 1:
            raise ValueError(f"model.latent_dim must be at least 1, got {latent_dim}")
        if private_dim < 0:
            raise ValueError(f"model.private_dim must be at least 0, got {private_dim}")
        self.modalities = tuple(modalities)
        self.names = tuple(modality.name for modality in modalities)
        self.num_modalities = len(modalities)
        self.latent_dim, self.private_dim = latent_dim, private_dim
        self.beta = as_schedule(beta, name="model.beta", at_least=0)
        own = _by_name("likelihoods", likelihoods, self.names)
        self.likelihoods = tuple(own.get(name, likelihood) for name in self.names)
        for name, family in zip(self.names, self.likelihoods, strict=True):
            _check_family(name, family)
        factors = _by_name("weights", weights, self.names)
        for name, factor in factors.items():
            as_schedule(factor, name=f"model.weights.{name}", at_least=0)
        values = torch.tensor([float(factors.get(name, 1.0)) for name in self.names])
        self.register_buffer("modality_weights", values.unsqueeze(1), persistent=False)
        shapes = [modality.shape for modality in modalities]
        self.networks = networks(shapes=shapes, latent_dim=latent_dim + private_dim)

    @abstractmethod
    def infer(self, x: Sequence[Tensor], present: Tensor) -> MultimodalPosterior:
        """Infer the latents of x, M tensors (B, *shape_m), where `present`, (B, M), says so."""

    @abstractmethod
    def predict_step(self, batch: MultimodalBatch, batch_idx: int = 0) -> MultimodalStep:
        """Infer, reconstruct and impute a batch without sampling."""

    def settled_reconstruction(self, step: MultimodalStep, present: Tensor) -> Tensor:
        """The reconstruction of a measured batch that the objective holds, shape (M, B), nats."""
        return step.reconstruction

    def settled_loss(self, step: MultimodalStep, present: Tensor) -> Tensor:
        """The objective of a measured batch at the schedules' last values, a scalar in nats.

        Comparable over epochs, so that the best checkpoint can be chosen without labels.
        """
        reconstruction = self.weighted(self.settled_reconstruction(step, present))
        return (reconstruction + self.beta(SETTLED) * step.kl).mean()

    def validation_step(self, batch: MultimodalBatch, batch_idx: int) -> MultimodalStep:  # type: ignore[override]
        """Measure a batch without sampling, and log the objective at its final weights.

        `val/objective_reconstruction` is what `train/reconstruction` is of a training batch, at the
        means: weighted, and averaged over all events. `val/reconstruction` is neither.
        """
        step = self.predict_step(batch)
        held = self.weighted(self.settled_reconstruction(step, batch.present)).mean()
        values = {
            "val/loss": self.settled_loss(step, batch.present),
            "val/objective_reconstruction": held,
        }
        self.log_dict(values, batch_size=len(batch.present), sync_dist=True)
        return step

    def test_step(self, batch: MultimodalBatch, batch_idx: int) -> MultimodalStep:  # type: ignore[override]
        """Measure a batch without sampling."""
        return self.predict_step(batch)

    def decode(self, latent: Tensor, modality: int) -> Tensor:
        """The mean of p(x_m|z), shape (B, *shape_m), from latents (B, L), nothing private."""
        params = self.networks.decode(self.code_of(latent, modality), modality)
        return self.likelihoods[modality].mean(params.unsqueeze(0))[0]

    def impute(self, x: Sequence[Tensor], present: Tensor) -> list[Tensor]:
        """The mean of p(x_n|what is present) for every modality n: M tensors (B, *shape_n).

        Here each modality that is present has an equal say: the mean over them of what their
        posterior means decode to, as the prior of MMVM mixes them. A model with a joint posterior
        may know better.
        """
        mean = self.infer(x, present).mean
        share = (present / present.sum(dim=1, keepdim=True).clamp(min=1)).t()
        imputed = []
        for n in range(self.num_modalities):
            decoded = self.decode(mean.flatten(0, 1), n).unflatten(0, mean.shape[:2])
            imputed.append((decoded * share.view(*share.shape, *[1] * (decoded.dim() - 2))).sum(0))
        return imputed

    def code_of(self, latent: Tensor, modality: int) -> Tensor:
        """What the decoder of a modality takes in for latents (..., L) that another one gave."""
        return latent

    def encode(self, x: Sequence[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances of the encoders, each (M, B, L); 0 where missing."""
        shown = [_shown(sample[None], present[:, m : m + 1])[0] for m, sample in enumerate(x)]
        mean, logvar = self.networks.encode(shown)
        return present_or_zero(mean, present), present_or_zero(logvar, present)

    def reconstruction(self, codes: Iterable[Tensor], batch: MultimodalBatch) -> Tensor:
        """-log p(x_m|code_m) of M codes, each (B, L): shape (M, B), nats; 0 where missing."""
        values = [self._nll(code[None], batch, m)[0] for m, code in enumerate(codes)]
        return torch.stack(values)

    def imputation(self, mean: Tensor, batch: MultimodalBatch) -> Tensor:
        """-log p(x_n|z_m) at the means (M, B, L), as [m, n]: shape (M, M, B), nats; else 0."""
        codes = (self.code_of(mean, n) for n in range(self.num_modalities))
        values = torch.stack([self._nll(code, batch, n) for n, code in enumerate(codes)], dim=1)
        return present_or_zero(values.transpose(1, 2), batch.present).transpose(1, 2)

    def _nll(self, codes: Tensor, batch: MultimodalBatch, modality: int) -> Tensor:
        """-log p(x_m|z) of one modality from codes (N, B, L): shape (N, B), nats; 0 where missing.

        The sample is hidden where it is missing, since 0 times NaN would be NaN in the gradient.
        """
        here = batch.present[:, modality : modality + 1]
        params = self.networks.decode(codes.flatten(0, 1), modality)
        x = _shown(batch.x[modality][None], here)
        nll = self.likelihoods[modality].nll(params.unflatten(0, codes.shape[:2]), x)
        return torch.where(here[:, 0], nll, torch.zeros_like(nll))

    def weighted(self, reconstruction: Tensor) -> Tensor:
        """Sum over modalities of weight times (M, B): shape (B,)."""
        return (self.modality_weights * reconstruction).sum(dim=0)

    def check(self, batch: MultimodalBatch) -> None:
        """Refuse a batch that does not belong to the modalities, or to their likelihoods.

        Raises:
            ValueError: Naming the modality, and the value that its likelihood cannot describe.
        """
        if len(batch.x) != self.num_modalities:
            raise ValueError(f"the model has {self.num_modalities} modalities, got {len(batch.x)}")
        for m, (modality, family) in enumerate(zip(self.modalities, self.likelihoods, strict=True)):
            shape = tuple(batch.x[m].shape[1:])
            if shape != tuple(modality.shape):
                raise ValueError(
                    f"modality {modality.name!r} has shape {tuple(modality.shape)}, got {shape}"
                )
            rows = batch.x[m][batch.present[:, m]]
            if len(rows) == 0:
                continue
            try:
                family.check(rows)
            except ValueError as error:
                raise ValueError(f"modality {modality.name!r}: {error}") from error


def _shown(x: Tensor, here: Tensor) -> Tensor:
    """Samples (1, B, *shape) where they are there, and 0 elsewhere; not copied where none is amiss.

    On a GPU it would take longer to ask than to copy.
    """
    if here.device.type == "cpu" and bool(here.all()):
        return x
    return present_or_zero(x, here)


def check_alpha(alpha: float | Schedule) -> Schedule:
    """Take a weight between two regularisers as a schedule.

    Raises:
        ValueError: If it ever leaves [0, 1].
    """
    schedule = as_schedule(alpha, name="model.alpha")
    ends = (schedule.smallest, schedule(0.0), schedule(SETTLED))
    for value in (min(ends), max(ends)):
        if not 0 <= value <= 1:
            raise ValueError(f"model.alpha must lie in [0, 1], got {value:g}")
    return schedule


ZERO = Constant(0.0)
Given = TypeVar("Given")


def _by_name(
    key: str, values: Mapping[str, Given] | None, names: Sequence[str]
) -> dict[str, Given]:
    """What is given by name, refused where a name is that of no modality."""
    given = {str(name): value for name, value in (values or {}).items()}  # YAML: 1 is no text
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(
                f"model.{key} names {name!r}, which is no modality{hint}"
                f" The modalities are {', '.join(names)}"
            )
    return given


def _check_family(name: str, family: Likelihood) -> None:
    if not hasattr(family, "params_per_feature"):
        raise ValueError(
            f"model.likelihoods.{name} is {family!r}, which is no likelihood; write one as in the"
            f" files of conf/likelihood, such as {name}:"
            " {_target_: mixvae.objectives.modality_likelihoods.Categorical}"
        )
    if family.counts or family.params_per_feature != 1:
        raise ValueError(
            f"the likelihood {type(family).__name__} of modality {name!r} is for raw counts beside"
            " the data of a single modality; for counts in the data themselves use Poisson"
        )
