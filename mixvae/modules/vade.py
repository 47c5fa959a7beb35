"""VaDE: a VAE whose latent is a mixture of Gaussians, which gives the category by Bayes' rule."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from mixvae.contracts import Batch, MixturePosterior, MixtureStep
from mixvae.modules.base import Moment, plain_number, spread_samples
from mixvae.modules.gaussian_mixture import AbstractGaussianMixture
from mixvae.networks.batched import ByteDropout
from mixvae.networks.stacked import layer_pairs
from mixvae.objectives.gaussian_components import (
    component_log_density,
    fit_components,
    kl_to_components,
)
from mixvae.objectives.relaxation import reparametrise
from mixvae.objectives.terms import Terms

# DEC's share of units dropped while a layer is trained alone, see `VaDE`.
DROPPED = 0.2


class VaDE(AbstractGaussianMixture):
    """Variational deep embedding: q(c|x) is p(c|z) of the prior, at a z drawn from q(z|x).

    Minimises, in nats, summed over features and averaged over the batch,

        -log p(x|z) + beta [ sum_c q(c|x) KL(q(z|x) || p(z|c)) + KL(q(c|x) || p(c)) ]

    with p(z|c) and p(c) learned. Before, all layers minimise only -log p(x|z) at the mean of z, as
    an autoencoder does. Then a mixture of Gaussians is fitted to the means of the training samples,
    without labels, and initialises the prior.

    With `layerwise_epochs`, each layer of the encoder is trained alone before that, together with
    the layer of the decoder that mirrors it, the outermost first. The layers below are frozen. The
    pair gives back its input, of which a fifth is dropped, as is a fifth of its output: the
    outermost minimises -log p(x|h), the others the sum of squares over units. Layers start the
    optimiser's moments afresh, and so do the whole autoencoder and the mixture.

    Args:
        pretrain_epochs: Epochs as an autoencoder, at least 0.
        layerwise_epochs: Epochs of each layer alone, at least 0; above 0 see `layer_pairs` for the
            networks that it needs. Without any pretraining the fit is skipped too.
        num_starts: Starts of the fit, of which the best counts, at least 1.

    Source:
        Jiang et al. 2017, the closed form of its bound. Its code loads a stack of layers without
        saying how they were trained; they are trained here as in DEC (Xie et al. 2016), which drops
        neither pixels nor z, and whose outermost layer minimises a sum of squares too. In
        evaluation z is the mean of q(z|x), and q(c|x) is p(c|z) there.
    """

    state_sees_category = False

    def __init__(
        self,
        *,
        pretrain_epochs: int = 10,
        layerwise_epochs: int = 0,
        num_starts: int = 10,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        plain_number("pretrain_epochs", pretrain_epochs, at_least=0)
        plain_number("layerwise_epochs", layerwise_epochs, at_least=0)
        plain_number("num_starts", num_starts, at_least=1)
        self.layerwise_epochs, self.num_starts = layerwise_epochs, num_starts
        self.num_layers = len(layer_pairs(self.agents)) if layerwise_epochs > 0 else 0
        self.pretrain_epochs = pretrain_epochs
        self.dropout = ByteDropout(DROPPED)
        self.weight_logits = nn.Parameter(torch.zeros(self.num_categories))
        # The categories come from the prior: nothing trains the head.
        self.agents.category_head.requires_grad_(False)
        self._samples: Tensor | None = None

    def check_epochs(self, max_epochs: int) -> None:
        """Refuse a training that ends before the prior is in use."""
        if self.fit_epoch >= max_epochs:
            layers = f"{self.num_layers} layers of model.layerwise_epochs={self.layerwise_epochs}"
            raise ValueError(
                f"model.pretrain_epochs is {self.pretrain_epochs}"
                f"{f', after {layers}' if self.num_layers > 0 else ''}, which leaves none of"
                f" trainer.max_epochs={max_epochs} for the mixture; lower the first or raise the"
                " second"
            )

    def prepare(self, batches: Collection[Batch]) -> None:
        """Keep up to 5,000 training samples, whose codes the prior is fitted to."""
        super().prepare(batches)
        self._samples = spread_samples(batches)

    @property
    def fit_epoch(self) -> int:
        """The epoch at whose start the prior is fitted; 0 means never."""
        return self.num_layers * self.layerwise_epochs + self.pretrain_epochs

    @property
    def settled_epoch(self) -> float:
        """As `AbstractModule.settled_epoch`, and not before the fit of the categories."""
        return max(super().settled_epoch, float(self.fit_epoch))

    @property
    def pretraining(self) -> bool:
        """Whether this epoch is one of the autoencoder's, or of one of its layers."""
        return self._trainer is not None and self.current_epoch < self.fit_epoch

    @property
    def layer(self) -> int:
        """The layer that this epoch trains alone, 0 the outermost; `num_layers` if none."""
        if not self.pretraining or self.num_layers == 0:
            return self.num_layers
        return min(self.current_epoch // self.layerwise_epochs, self.num_layers)

    def moment(self) -> Moment:
        """As `AbstractMixture.moment`, whether the autoencoder is trained, and which layer."""
        return *(super().moment() or ()), self.pretraining, self.layer

    def weights(self, epoch: float) -> dict[str, float]:
        """As `AbstractGaussianMixture.weights`, and 1 for a layer alone."""
        return {**super().weights(epoch), "layer_reconstruction": 1.0}

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
        if self.pretraining:
            return self._pretraining_terms(batch)
        mean, logvar = self.latent(batch.x)
        target = self.target(batch, batch.x[None])
        z = reparametrise(mean, logvar)
        nll = self.likelihood.nll(self.decode_latent(z), target)
        log_q = self.log_category(z)
        divergence = kl_to_components(
            mean.unsqueeze(2), logvar.unsqueeze(2), self.prior.mean, self.prior.logvar
        )
        kl = (log_q.exp() * divergence).sum(dim=-1)
        return self.shared_terms(self.epoch, nll, kl, log_q)

    def _pretraining_terms(self, batch: Batch) -> Terms:
        """The reconstruction by the whole autoencoder, or by the layer that is trained alone."""
        if self.layer < self.num_layers:
            name, nll = "layer_reconstruction", self._layer_nll(batch)
            resting = list(self.parameters())
        else:
            decoded = self.decode_latent(self.latent(batch.x)[0])
            nll = self.likelihood.nll(decoded, self.target(batch, batch.x[None]))
            name, resting = "reconstruction", [*self.prior.parameters(), self.weight_logits]
        # A gradient of 0 beside their own, if any: every process waits for one of each parameter.
        zero = torch.stack([0.0 * part.sum() for part in resting]).sum()
        terms = Terms(self.weights(self.epoch))
        terms.add(name, nll + zero)
        return terms

    def _layer_nll(self, batch: Batch) -> Tensor:
        """The error with which the present layer gives back its input, see the class, (1, B)."""
        *below, (encode, decode) = layer_pairs(self.agents)[: self.layer + 1]
        units = batch.x[None].flatten(2)
        with torch.no_grad():
            for pair in below:
                units = pair.encode(units)
        above = encode(self.dropout(units) if below else units)
        innermost = self.layer == self.num_layers - 1
        again = decode(above if innermost else self.dropout(above))
        if below:
            return (again - units).square().sum(dim=-1)
        return self.likelihood.nll(again, self.target(batch, batch.x[None]))

    def on_train_epoch_start(self) -> None:
        """Fit the prior after the autoencoder's epochs; a run resumed there fits it again."""
        super().on_train_epoch_start()
        epoch, every = self.current_epoch, self.layerwise_epochs
        if every > 0 and (
            epoch == self.fit_epoch or (epoch <= every * self.num_layers and epoch % every == 0)
        ):
            for optimizer in self.trainer.optimizers:
                _start_afresh(optimizer)
        if 0 < self.fit_epoch == epoch:
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


def _start_afresh(optimizer: torch.optim.Optimizer) -> None:
    """Set moments and counts of steps to 0: those of an earlier layer would move it further.

    They keep their places in memory, which recorded CUDA graphs write to.
    """
    for state in optimizer.state.values():
        for value in state.values():
            if torch.is_tensor(value):
                value.zero_()
