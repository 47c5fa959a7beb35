"""The training of the learned augmenter: a VAE-GAN whose copies keep the type of their samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mixvae.contracts import Batch, DataSpec
from mixvae.modules.base import SETTLED, AbstractModule, plain_number, weight_schedule
from mixvae.networks.gan import CopyNetwork, Discriminator, apply_network
from mixvae.objectives.adversarial import neighbour_radius
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.relaxation import reparametrise
from mixvae.objectives.schedules import Schedule
from mixvae.objectives.terms import Terms
from mixvae.objectives.vae_gan import (
    deception_loss,
    discriminator_loss,
    distance_loss,
    fitted_gaussian_nll,
    triplet_loss,
)

CHECKPOINT_KEY = "augmenter"


class AugmenterVAEGAN(AbstractModule[Batch]):
    """Learns to move samples within their type, without labels.

    Minimises, averaged over the batch, with z the mean of q(z|x) and n normal noise,

        -log p(x|z') + beta KL(q(z'|x) || N(0, I))                    trains encoder and decoder
        + adversarial_weight * (log-loss of "copy" being believed)    trains the shift by noise
        + triplet_weight * (copy nearer than the reconstruction)      trains the shift by noise
        + distance_weight * (|shift| / radius - 1)^2                  trains the shift by noise
        + (log-loss of telling samples and copies apart)              trains the discriminator

    Each term reaches only the parameters that it trains, so one backward pass and one Adam, whose
    steps are per parameter, replace alternating optimisers.

    The radius is a share of the distance to a neighbour's latent in the batch: where types lie
    close together copies stay close. The discriminator has the shift follow the data.

    Args:
        beta: Weight of the KL divergence, a number or a schedule over epochs.
        margin: Share of the reconstruction's squared distance by which copies are to be nearer.
        radius: Length of a shift as a share of the distance to the neighbour.
        neighbour: Which neighbour of the batch: 1 is the nearest.

    Source:
        MMIDAS (Marghi et al. 2024), whose augmenter has the same parts. Ours departs: normal noise,
        smooth terms instead of thresholds without gradient, a shift that is 0 without noise, the
        sample's own residual kept, separate parameters for separate terms.
    """

    def __init__(
        self,
        *,
        spec: DataSpec,
        network: Callable[..., CopyNetwork],
        discriminator: Callable[..., Discriminator],
        beta: float | Schedule = 0.5,
        adversarial_weight: float = 10.0,
        triplet_weight: float = 1.0,
        margin: float = 0.2,
        distance_weight: float = 1.0,
        radius: float = 0.4,
        neighbour: int = 1,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.beta = weight_schedule("beta", beta)
        self.adversarial_weight = plain_number("adversarial_weight", adversarial_weight, at_least=0)
        self.triplet_weight = plain_number("triplet_weight", triplet_weight, at_least=0)
        self.margin = plain_number("margin", margin, above=0)
        self.distance_weight = plain_number("distance_weight", distance_weight, at_least=0)
        self.radius = plain_number("radius", radius, above=0)
        plain_number("neighbour", neighbour, at_least=1)
        self.neighbour = neighbour
        self.spec = spec
        self.network = network(shape=spec.shape, value_range=spec.value_range)
        self.discriminator = discriminator(shape=spec.shape)

    def weights(self, epoch: float) -> dict[str, float]:
        """Weights of the terms, each of which trains parameters of its own."""
        return {
            "reconstruction": 1.0,
            "kl": self.beta(epoch),
            "adversarial": self.adversarial_weight,
            "triplet": self.triplet_weight,
            "distance": self.distance_weight,
            "discriminator": 1.0,
        }

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class."""
        x, network = batch.x, self.network
        network.standardise.observe(x.flatten(start_dim=1))
        terms = Terms(self.weights(self.epoch))
        mean, logvar = network.encode(x)
        plain = network.decode(reparametrise(mean, logvar))
        terms.add("reconstruction", fitted_gaussian_nll(x, plain), axes="B")
        terms.add("kl", kl_to_standard_normal(mean, logvar), axes="B")
        self._add_copies(terms, x, mean.detach())
        return terms

    def _add_copies(self, terms: Terms, x: Tensor, latent: Tensor) -> None:
        """Terms of the copies and of the discriminator; latent has no gradient."""
        network = self.network
        noise = torch.randn(len(x), network.noise_dim, device=x.device, dtype=x.dtype)
        shift = network.shift(latent, noise)
        with torch.no_grad():
            plain = network.decode(latent)
        copy = network.assemble(x, plain, network.decode(latent + shift, trained=False))
        verdict = self._judge(copy, trained=False)
        terms.add("adversarial", deception_loss(verdict), axes="B")
        terms.add("triplet", triplet_loss(x, copy, plain, self.margin), axes="B")
        radius = neighbour_radius(latent, self.radius, self.neighbour)
        terms.add("distance", distance_loss(shift, radius), axes="B")
        judged = discriminator_loss(self._judge(x), self._judge(copy.detach()))
        terms.add("discriminator", judged, axes="B")

    def _judge(self, x: Tensor, trained: bool = True) -> Tensor:
        """The discriminator's logits of "a sample", shape (B,); untrained it gets no gradient."""
        flat = self.network.standardise(x.flatten(start_dim=1))
        return apply_network(self.discriminator, flat, trained=trained)

    def copies(self, x: Tensor, num_copies: int, strength: float = 1.0, seed: int = 0) -> Tensor:
        """Copies of x, shape (B, *shape), as (num_copies, B, *shape), the same at each call."""
        with torch.no_grad():
            copied: Tensor = self.network(x, self._fixed_noise(num_copies, x, seed), strength)
        return copied

    def _fixed_noise(self, num_copies: int, x: Tensor, seed: int = 0) -> Tensor:
        """Normal noise of its own generator, so that measuring does not change training."""
        generator = torch.Generator().manual_seed(seed)
        shape = (num_copies, len(x), self.network.noise_dim)
        return torch.randn(shape, generator=generator).to(x)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the values of `measure` as `val/...`."""
        self._log_measures("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the values of `measure` as `test/...`."""
        self._log_measures("test", batch)

    def _log_measures(self, split: str, batch: Batch) -> None:
        values = {f"{split}/{name}": value for name, value in self.measure(batch.x).items()}
        self.log_dict(values, batch_size=len(batch.x), sync_dist=True)

    @torch.no_grad()
    def measure(self, x: Tensor) -> dict[str, Tensor]:
        """Quality of reconstructions and copies of x, shape (B, *shape), with fixed noise.

        Returns:
            Means over the batch. `loss` (nats; of encoder and decoder, since the losses of a
            contest do not measure quality), `reconstruction`, `kl`; in units of the data
            `copy_distance` from sample to copy, `copy_spread` between two copies of a sample,
            `reconstruction_distance` from sample to plain reconstruction, `neighbour_distance` to
            the nearest other sample of the batch; `shift_ratio`, the length of a shift over its
            radius; `discriminator_accuracy` on samples and copies, 0.5 at chance.
        """
        mean, logvar = self.network.encode(x)
        plain = self.network.decode(mean)
        reconstruction = fitted_gaussian_nll(x, plain).mean()
        kl = kl_to_standard_normal(mean, logvar).mean()
        noise = self._fixed_noise(2, x)
        shift = self.network.shift(mean.expand(2, -1, -1), noise)
        copies = self.network.assemble(x, plain, self.network.decode(mean + shift))
        right = (self._judge(x) > 0).float() + (self._judge(copies[0]) <= 0).float()
        radius = neighbour_radius(mean, self.radius, self.neighbour)
        return {
            "loss": reconstruction + self.weights(SETTLED)["kl"] * kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "copy_distance": _distance(copies[0], x),
            "copy_spread": _distance(copies[0], copies[1]),
            "reconstruction_distance": _distance(plain, x),
            "neighbour_distance": neighbour_radius(x, 1.0, 1).mean(),
            "shift_ratio": (shift.norm(dim=-1) / radius.clamp_min(1e-12)).mean(),
            "discriminator_accuracy": right.mean() / 2,
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add to the checkpoint the sizes of the copying network and the data's names."""
        checkpoint[CHECKPOINT_KEY] = {
            **self.network.sizes(),
            "feature_names": list(self.spec.feature_names),
            "data": self.spec.name,
        }


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """Mean Euclidean distance of pairs of samples."""
    return (one - other).flatten(start_dim=1).norm(dim=-1).mean()
