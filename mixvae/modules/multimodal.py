"""What all models of several modalities share: networks, likelihoods, measured steps, refusals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from mixvae.contracts import ModalitySpec, MultimodalBatch, MultimodalPosterior, MultimodalStep
from mixvae.messages import inform
from mixvae.modules.base import SETTLED, AbstractModule, plain_number, weight_schedule
from mixvae.modules.beta_scan import choose_beta
from mixvae.networks.modality import ModalityNetworks
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.mixture_prior import present_or_zero
from mixvae.objectives.schedules import Constant, Schedule
from mixvae.objectives.terms import Terms
from mixvae.suggestions import suggestion

NetworksFactory = Callable[..., ModalityNetworks]
Beta = float | Schedule | Literal["auto"]
"""The weight of a regulariser; `auto` chooses it from the data, see `beta_scan.choose_beta`."""


class AbstractMultimodalModule(AbstractModule[MultimodalBatch]):
    """A latent variable model of M modalities, each with an encoder and a decoder of its own.

    Subclasses define inference, terms, and the latents that reconstruct a modality. A modality that
    is missing from an event adds 0 to each term, whatever stands in its place, and gets a gradient
    of exactly 0.

    Args:
        private_dim: Number of further dimensions of each modality alone, at least 0. Positional:
            most subclasses have none.
        networks: Builds the networks from shapes and latent_dim.
        likelihood: p(x_m|z) of every modality without one of its own.
        latent_dim: Number of latent dimensions L, at least 1.
        likelihoods: p(x_m|z) of some modalities, by name.
        weights: Weight of the reconstruction of some modalities, by name, at least 0; 1 for others.
        **shared: See `AbstractModule`.
    """

    modality_weights: Tensor
    chosen_beta: Tensor
    beta: Schedule

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
        weights: Mapping[str, float] | None = None,
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
        own = _by_name("likelihoods", likelihoods, self.names)
        self.likelihoods = tuple(own.get(name, likelihood) for name in self.names)
        for name, family in zip(self.names, self.likelihoods, strict=True):
            _check_family(name, family)
        factors = _by_name("weights", weights, self.names)
        for name, factor in factors.items():
            plain_number(f"weights.{name}", factor, at_least=0)
        values = torch.tensor([float(factors.get(name, 1.0)) for name in self.names])
        self.register_buffer("modality_weights", values.unsqueeze(1), persistent=False)
        shapes = [modality.shape for modality in modalities]
        self.networks = networks(shapes=shapes, latent_dim=latent_dim + private_dim)

    def _set_beta(self, beta: Beta) -> None:
        """Take the weight of the regulariser, or prepare to choose it.

        What was chosen is part of the state: a resumed or opened run does not choose again. Whole
        numbers keep it exact in every precision.
        """
        if beta != "auto":
            self.beta = weight_schedule("beta", beta)
            return
        self.register_buffer("chosen_beta", torch.tensor([1, 0]))
        self._take_chosen_beta()
        take = lambda *_: self._take_chosen_beta()  # noqa: E731
        self.register_load_state_dict_post_hook(take)  # type: ignore[no-untyped-call]

    def _take_chosen_beta(self) -> None:
        digits, exponent = self.chosen_beta.tolist()
        self.beta = Constant(float(f"{digits}e{exponent}"))

    def choose(
        self, train: Collection[MultimodalBatch], val: Collection[MultimodalBatch], steps: int
    ) -> None:
        """Choose beta if it is `auto`."""
        if "chosen_beta" not in self._buffers:
            return
        choice = choose_beta(self, train, val, steps)
        digits, exponent = f"{choice.beta:.2e}".split("e")
        values = [int(digits.replace(".", "")), int(exponent) - 2]
        self.chosen_beta.copy_(torch.tensor(values))
        self._take_chosen_beta()
        self.choices["model.beta"] = {**choice._asdict(), "beta": self.beta(0.0)}
        inform(f"model.beta: auto is {self.beta(0.0):g}: {choice.reason}")

    def infer(self, x: Sequence[Tensor], present: Tensor) -> MultimodalPosterior:
        """The unimodal posteriors of x, M tensors (B, *shape_m), where `present`, (B, M)."""
        return MultimodalPosterior(*self.encode(x, present))

    def regulariser(self, posterior: MultimodalPosterior, present: Tensor) -> Tensor:
        """The regulariser of a measured batch, shape (B,), nats; none here."""
        return posterior.mean.new_zeros(len(present))

    def predict_step(self, batch: MultimodalBatch, batch_idx: int = 0) -> MultimodalStep:
        """Infer, reconstruct and impute a batch from the unimodal means, without sampling."""
        posterior = self.infer(batch.x, batch.present)
        return MultimodalStep(
            posterior=posterior,
            reconstruction=self.reconstruction(posterior.mean, batch),
            imputation=self.imputation(posterior.mean, batch),
            kl=self.regulariser(posterior, batch.present),
        )

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
        weighted, and averaged over all events. `val/reconstruction` is neither.
        """
        step = self.predict_step(batch)
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
        params = self.networks.decode(self.code_of(latent, modality), modality)
        return self.likelihoods[modality].mean(params.unsqueeze(0))[0]

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

        A missing sample is replaced by 0, since 0 times NaN would be NaN in the gradient.
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
        """Refuse other shapes, and values that a modality's likelihood cannot describe."""
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
    """Samples (1, B, *shape), 0 where missing; not copied if none is.

    On a GPU the check would take longer than the copy.
    """
    if here.device.type == "cpu" and bool(here.all()):
        return x
    return present_or_zero(x, here)


Given = TypeVar("Given")


def _by_name(
    key: str, values: Mapping[str, Given] | None, names: Sequence[str]
) -> dict[str, Given]:
    """Values by the names of modalities; raise ValueError for any other name."""
    given = {str(name): value for name, value in (values or {}).items()}  # YAML reads 1 as a number
    for name in given:
        if name not in names:
            raise ValueError(f"model.{key}.{name} is not a modality{suggestion(name, names)}")
    return given


def _check_family(name: str, family: Likelihood) -> None:
    if not hasattr(family, "params_per_feature"):
        raise ValueError(
            f"model.likelihoods.{name} is {family!r}, which is not a likelihood; write one as in"
            f" the files of conf/likelihood, such as {name}:"
            " {_target_: mixvae.objectives.modality_likelihoods.Categorical}"
        )
    if family.counts or family.params_per_feature != 1:
        raise ValueError(
            f"the likelihood {type(family).__name__} of modality {name!r} is for raw counts beside"
            " the data of a single modality; for counts in the data themselves use Poisson"
        )
