"""Models of several modalities: beta from the data, draws, importance-weighted likelihoods."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Literal

import torch
from torch import Tensor

from mixvae.contracts import ModalitySpec, MultimodalBatch
from mixvae.messages import inform
from mixvae.modules.base import AbstractModule, weight_schedule
from mixvae.modules.beta_scan import choose_beta
from mixvae.objectives.importance import (
    density_of,
    draws_of,
    halves,
    log_mean_weight,
    log_standard_normal,
)
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.modality_likelihoods import Counts
from mixvae.objectives.posteriors import GaussianMixture, draw
from mixvae.objectives.schedules import Constant, Schedule

Beta = float | Schedule | Literal["auto"]
"""The weight of a regulariser; `auto` chooses it from the data, see `beta_scan.choose_beta`."""


class AbstractGenerative(AbstractModule[MultimodalBatch]):
    """A model that can be drawn from, and whose likelihood of held-out events can be estimated.

    It may choose its beta from the data, and measures the training means that gaps and counts need.
    Likelihoods are those of the families, without weights and beta. A family without its
    normalising constant, such as the squared error, is measured without it.
    """

    has_prior = False
    """Whether N(0, I) is the prior of the latents, so that samples can be drawn."""
    has_likelihood = True
    """Whether the log-variances of the encoders mean something."""
    num_modalities: int
    modalities: tuple[ModalitySpec, ...]
    likelihoods: tuple[Likelihood, ...]
    chosen_beta: Tensor
    beta: Schedule

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

    @abstractmethod
    def encode(self, x: Sequence[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances of the encoders, each (M, B, L); 0 where missing."""

    @abstractmethod
    def _nll(self, codes: Tensor, batch: MultimodalBatch, modality: int) -> Tensor:
        """-log p(x_m|z) of one modality from codes (N, B, L): shape (N, B), nats; 0 if missing."""

    @abstractmethod
    def code_of(self, latent: Tensor, modality: int) -> Tensor:
        """The decoder's input of a modality for latents (..., L) of another one."""

    def experts(self, x: Sequence[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances of the encoders for what modalities share, each (M, B, L)."""
        return self.encode(x, present)

    def posterior_of(self, mean: Tensor, logvar: Tensor, present: Tensor) -> GaussianMixture:
        """The posterior q(z|what is present) from experts (M, B, L), and `present`, (B, M).

        Here the mixture of the unimodal posteriors; N(0, I) where nothing is present.
        """
        return GaussianMixture(mean, logvar, present | ~present.any(dim=1, keepdim=True))

    def draw(
        self, x: Sequence[Tensor], present: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """One draw of q(z|what is present) for each event, shape (B, L)."""
        return draw(self.posterior_of(*self.experts(x, present), present), generator)

    def code_drawn(self, z: Tensor, modality: int, generator: torch.Generator | None) -> Tensor:
        """The decoder's input for draws (K, B, L), with draws of what is private."""
        return self.code_of(z, modality)

    def joint_log_likelihood(
        self, batch: MultimodalBatch, num_draws: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Importance-weighted bound on log p(all that is present), shape (B,), nats.

        log (1/K) sum_k p(z_k) prod_m p(x_m|z_k) / q(z_k|X), z_k ~ q(z|X), the prior being N(0, I).
        """
        posterior = self.posterior_of(*self.experts(batch.x, batch.present), batch.present)
        z = draws_of(posterior, num_draws, generator)
        weights = log_standard_normal(z) - density_of(z, posterior)
        for m in range(self.num_modalities):
            weights = weights - self._nll(self.code_of(z, m), batch, m)
        return log_mean_weight(weights)

    def conditional_log_likelihood(
        self,
        batch: MultimodalBatch,
        given: Tensor,
        target: int,
        num_draws: int,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Importance-weighted bound on log p(x_n|x_S), the integral of p(x_n|z) q(z|x_S).

        Half of the draws come from q(z|x_n), since few of q(z|x_S) explain a sharp x_n.

        Args:
            given: The modalities S, shape (M,), bool, without n.
            num_draws: Number of draws K, even.

        Returns:
            Shape (B,), nats; meaningless where n, or all of S, is missing.
        """
        experts = self.experts(batch.x, batch.present)
        alone = torch.zeros_like(given).index_fill(0, torch.tensor(target, device=given.device), 1)
        source = self.posterior_of(*experts, batch.present & given)
        own = self.posterior_of(*experts, batch.present & alone)
        z, weights = halves(source, own, num_draws, generator)
        codes = self.code_drawn(z, target, generator)
        return log_mean_weight(weights - self._nll(codes, batch, target))
