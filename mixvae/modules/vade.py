"""VaDE: a VAE whose latent is a mixture of Gaussians, which gives the category by Bayes' rule."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from mixvae.contracts import Batch, MixturePosterior, MixtureStep
from mixvae.modules.base import Moment, plain_number, spread_samples
from mixvae.modules.gaussian_mixture import AbstractGaussianMixture
from mixvae.objectives.gaussian_components import (
    component_log_density,
    fit_components,
    kl_to_components,
)
from mixvae.objectives.relaxation import reparametrise
from mixvae.objectives.terms import Terms


class VaDE(AbstractGaussianMixture):
    """Variational deep embedding: q(c|x) is p(c|z) of the prior, at a z drawn from q(z|x).

    Minimises, in nats, summed over features and averaged over the batch,

        -log p(x|z) + beta [ sum_c q(c|x) KL(q(z|x) || p(z|c)) + KL(q(c|x) || p(c)) ]

    with p(z|c) and p(c) learned. The first epochs minimise only -log p(x|z) at the mean of z, as
    an autoencoder does. Then a mixture of Gaussians is fitted to the means of the training samples,
    without labels, and initialises the prior.

    Args:
        pretrain_epochs: Epochs as an autoencoder, at least 0; 0 skips the fit too.
        num_starts: Starts of the fit, of which the best counts, at least 1.
        **shared: See `AbstractGaussianMixture`.

    Source:
        Jiang et al. 2017, the closed form of its bound. It pretrains a stack of denoising
        autoencoders layer by layer, over more and wider layers; here all layers at once. In
        evaluation z is the mean of q(z|x), and q(c|x) is p(c|z) there.
    """

    state_sees_category = False

    def __init__(self, *, pretrain_epochs: int = 10, num_starts: int = 10, **shared: Any) -> None:
        super().__init__(**shared)
        plain_number("pretrain_epochs", pretrain_epochs, at_least=0)
        plain_number("num_starts", num_starts, at_least=1)
        self.pretrain_epochs, self.num_starts = pretrain_epochs, num_starts
        self.weight_logits = nn.Parameter(torch.zeros(self.num_categories))
        # The categories come from the prior: nothing trains the head.
        self.agents.category_head.requires_grad_(False)
        self._samples: Tensor | None = None

    def check_epochs(self, max_epochs: int) -> None:
        """Refuse a training that ends before the prior is in use."""
        if self.pretrain_epochs >= max_epochs:
            raise ValueError(
                f"model.pretrain_epochs is {self.pretrain_epochs}, which leaves none of"
                f" trainer.max_epochs={max_epochs} for the mixture; lower the first or raise the"
                " second"
            )

    def prepare(self, batches: Collection[Batch]) -> None:
        """Keep up to 5,000 training samples, whose codes the prior is fitted to."""
        super().prepare(batches)
        self._samples = spread_samples(batches)

    @property
    def pretraining(self) -> bool:
        """Whether this epoch is one of the autoencoder's."""
        return self._trainer is not None and self.current_epoch < self.pretrain_epochs

    def moment(self) -> Moment:
        """As `AbstractMixture.moment`, and whether this is one of the autoencoder's epochs."""
        return *(super().moment() or ()), self.pretraining

    def log_prior(self) -> Tensor:
        """Log p(c), shape (K,); -inf where masked."""
        return self.mask_log(self.weight_logits).log_softmax(dim=-1)

    def log_category(self, z: Tensor) -> Tensor:
        """Log p(c|z), shape (1, B, K), from z, shape (1, B, S)."""
        density = component_log_density(z, self.prior.mean, self.prior.logvar)
        return (self.log_prior() + density).log_softmax(dim=-1)

    def latent(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (1, B, S)."""
        return self.agents.state_of(x)

    def log_q(self, x: Tensor) -> Tensor:
        """Log q(c|x), shape (1, B, K), at the mean of q(z|x)."""
        return self.log_category(self.latent(x)[0])

    def infer(self, x: Tensor) -> MixturePosterior:
        """Category and state of x, shape (B, *shape), at the mean of q(z|x)."""
        mean, logvar = self.latent(x)
        return self.describe(self.log_category(mean), mean, logvar)

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class."""
        mean, logvar = self.latent(batch.x)
        target = self.target(batch, batch.x[None])
        if self.pretraining:
            # The prior gets a gradient of 0: every process waits for one of each parameter.
            resting = [*self.prior.parameters(), self.weight_logits]
            zero = torch.stack([0.0 * part.sum() for part in resting]).sum()
            terms = Terms(self.weights(self.epoch))
            nll = self.likelihood.nll(self.decode_latent(mean), target)
            terms.add("reconstruction", nll + zero)
            return terms
        z = reparametrise(mean, logvar)
        nll = self.likelihood.nll(self.decode_latent(z), target)
        log_q = self.log_category(z)
        divergence = kl_to_components(
            mean.unsqueeze(2), logvar.unsqueeze(2), self.prior.mean, self.prior.logvar
        )
        kl = (log_q.exp() * divergence).sum(dim=-1)
        return self.shared_terms(self.epoch, nll, kl, log_q)

    def on_train_epoch_start(self) -> None:
        """Fit the prior after the autoencoder's epochs; a run resumed there fits it again."""
        super().on_train_epoch_start()
        if 0 < self.pretrain_epochs == self.current_epoch:
            self.fit_prior()

    @torch.no_grad()
    def fit_prior(self) -> None:
        """Fit the prior to the training samples' codes; the same in every process."""
        if self._samples is None:
            raise ValueError(
                "the prior has no samples to fit to: call model.prepare with the training"
                " batches before training, as python -m mixvae.train does"
            )
        codes = self.state_means(self._samples)
        fitted = fit_components(codes, self.num_kept, num_starts=self.num_starts)
        kept = self.category_mask
        self.prior.mean[0, kept] = fitted.mean
        self.prior.logvar[0, kept] = fitted.logvar
        self.weight_logits[kept] = fitted.log_weight

    def settled_loss(self, step: MixtureStep) -> Tensor:
        """The negative bound of a measured batch, a scalar in nats; inf without a fitted prior.

        Thus an autoencoder is never the best model.
        """
        loss = super().settled_loss(step)
        return torch.full_like(loss, float("inf")) if self.pretraining else loss
