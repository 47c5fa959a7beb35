"""VaDE: a VAE whose latent is a mixture of Gaussians, which gives the category by Bayes' rule."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from mixvae.contracts import Batch, MixturePosterior, MixtureStep
from mixvae.modules.base import Moment, OptimizerFactory, spread_samples
from mixvae.modules.gaussian_mixture import AbstractGaussianMixture
from mixvae.modules.mixture import AgentsFactory
from mixvae.objectives.divergences import categorical_kl
from mixvae.objectives.gaussian_components import (
    component_log_density,
    fit_components,
    kl_to_components,
)
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.relaxation import reparametrise
from mixvae.objectives.schedules import Schedule
from mixvae.objectives.terms import Terms


class VaDE(AbstractGaussianMixture):
    """Variational deep embedding: q(c|x) is p(c|z) of the prior, at a z drawn from q(z|x).

    Minimises, in nats, summed over features and averaged over the batch,

        -log p(x|z) + beta [ sum_c q(c|x) KL(q(z|x) || p(z|c)) + KL(q(c|x) || p(c)) ]

    with p(z|c) and p(c) learned. For the first epochs only -log p(x|z) at the mean of z is
    minimised, as by an autoencoder; then a mixture of Gaussians is fitted to the means of the
    training samples, without labels, and is where the prior starts from.

    Args:
        shape: Shape of one sample.
        agents: Builds the networks, see `AbstractMixture`.
        likelihood: p(x|z).
        optimizer: Builds the optimiser from the parameters.
        num_categories: Number of categories K, at least 2.
        state_dim: Number of dimensions S of z, at least 1.
        pretrain_epochs: Epochs as an autoencoder, at least 0; 0 fits nothing either.
        num_starts: Starts of the fit, of which the best counts, at least 1.
        beta: Weight of both divergences, a number or a schedule over epochs.
        learning_rate: Factor on the learning rate, a number or a schedule over epochs.

    Raises:
        ValueError: If a size or a weight is out of its range.

    Source:
        Jiang et al. 2017, the closed form of its bound. It pretrains a stack of denoising
        autoencoders layer by layer, over more and wider layers; here all layers at once. In
        evaluation z is the mean of q(z|x), and q(c|x) is p(c|z) there.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        agents: AgentsFactory,
        likelihood: Likelihood,
        optimizer: OptimizerFactory,
        num_categories: int = 10,
        state_dim: int = 10,
        pretrain_epochs: int = 10,
        num_starts: int = 10,
        beta: float | Schedule = 1.0,
        learning_rate: float | Schedule = 1.0,
    ) -> None:
        super().__init__(
            shape=shape,
            agents=agents,
            likelihood=likelihood,
            optimizer=optimizer,
            num_categories=num_categories,
            state_dim=state_dim,
            tau=1.0,
            beta=beta,
            learning_rate=learning_rate,
            state_sees_category=False,
        )
        for name, value, least in (
            ("pretrain_epochs", pretrain_epochs, 0),
            ("num_starts", num_starts, 1),
        ):
            if value < least:
                raise ValueError(f"model.{name} must be at least {least}, got {value}")
        self.pretrain_epochs, self.num_starts = pretrain_epochs, num_starts
        self.weight_logits = nn.Parameter(torch.zeros(num_categories))
        # The categories come from the prior: there is no head for them.
        self.agents.category_head.requires_grad_(False)
        self._samples: Tensor | None = None

    def check_epochs(self, max_epochs: int) -> None:
        """Refuse a training that ends before the prior is in use.

        Raises:
            ValueError: If the autoencoder's epochs take all.
        """
        if self.pretrain_epochs >= max_epochs:
            raise ValueError(
                f"model.pretrain_epochs is {self.pretrain_epochs}, which leaves none of"
                f" trainer.max_epochs={max_epochs} for the mixture; lower the one or raise the"
                " other"
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
        """As `AbstractMixture.moment`, and whether this is the autoencoder's time."""
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
        terms = Terms()
        if self.pretraining:
            # What is not trained yet gets a gradient of 0: every process waits for one of each.
            resting = [*self.prior.parameters(), self.weight_logits]
            zero = torch.stack([0.0 * part.sum() for part in resting]).sum()
            nll = self.likelihood.nll(self.decode_latent(mean), target)
            terms.add("reconstruction", nll + zero)
            return terms
        z = reparametrise(mean, logvar)
        terms.add("reconstruction", self.likelihood.nll(self.decode_latent(z), target))
        log_q = self.log_category(z)
        divergence = kl_to_components(
            mean.unsqueeze(2), logvar.unsqueeze(2), self.prior.mean, self.prior.logvar
        )
        beta = self.beta(self.epoch)
        terms.add("kl", (log_q.exp() * divergence).sum(dim=-1), beta)
        terms.add("category_kl", categorical_kl(log_q, self.log_prior()), beta)
        return terms

    def on_train_epoch_start(self) -> None:
        """Fit the prior when the autoencoder's epochs are over; a resumed run does so again."""
        super().on_train_epoch_start()
        if 0 < self.pretrain_epochs == self.current_epoch:
            self.fit_prior()

    @torch.no_grad()
    def fit_prior(self) -> None:
        """Fit the prior to the training samples' codes; the same in every process.

        Raises:
            ValueError: If `prepare` was not called.
        """
        if self._samples is None:
            raise ValueError(
                "the prior has no samples to be fitted to: call model.prepare with the training"
                " batches before training, as python -m mixvae.train does"
            )
        training = self.training
        self.eval()
        parts = self._samples.to(self.prior.mean).split(1000)
        codes = torch.cat([self.latent(part)[0][0] for part in parts])
        self.train(training)
        fitted = fit_components(codes, self.num_kept, num_starts=self.num_starts)
        kept = self.category_mask
        self.prior.mean[0, kept] = fitted.mean
        self.prior.logvar[0, kept] = fitted.logvar
        self.weight_logits[kept] = fitted.log_weight

    def settled_loss(self, step: MixtureStep) -> Tensor:
        """The negative bound of a measured batch, a scalar in nats; inf without a fitted prior.

        So no autoencoder is ever taken for the best model.
        """
        loss = super().settled_loss(step)
        return torch.full_like(loss, float("inf")) if self.pretraining else loss
