"""InfoGAN: a generator whose category and state can be inferred from its samples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixvae.contracts import Batch, MixtureStep
from mixvae.modules.base import plain_number, weight_schedule
from mixvae.modules.mixture import AbstractMixture, Tau
from mixvae.networks.batched import BatchedLinear, frozen_statistics
from mixvae.networks.gan import HeadedEncoder, apply_network
from mixvae.objectives.information import category_information, state_information
from mixvae.objectives.schedules import Schedule
from mixvae.objectives.terms import Terms
from mixvae.objectives.vae_gan import deception_loss, discriminator_loss

# Draws of the noise that evaluation averages over.
NUM_FIXED = 16


class InfoGAN(AbstractMixture):
    """A generator G(c, s, noise), a discriminator D, and Q(c|x) Q(s|x) on the trunk of D.

    Minimises, in nats, averaged over the batch, with x~ = G(c, s, n) for random c, s and n,

        (log-loss of telling samples and x~ apart)                    trains D and the trunk
        + (log-loss of "x~" being believed)                           trains G
        - category_weight (log Q(c|x~) + log K)                       trains G, Q and the trunk
        - state_weight (log Q(s|x~) + H(s))                           trains G, Q and the trunk

    Each term reaches only the parameters that it trains, so one backward pass and one Adam, whose
    steps are per parameter, replace alternating optimisers.

    The encoder of `agents` is the trunk, its heads are Q, its decoder is G; the last layer of a
    `HeadedEncoder` is Q's too. Evaluation infers by Q and decodes by parameters of p(x) averaged
    over a few fixed draws of the noise. `reconstruction` is -log p(x) there, at the c and s that Q
    finds, although nothing was trained to reconstruct. Averaged logits of a Bernoulli are more
    certain than averaged probabilities, the mean of G's output: on a short run of MNIST 344.7 nats,
    against 331.8.

    Args:
        state_dim: Number of state dimensions S, at least 0.
        noise_dim: Length of the noise, at least 0.
        tau: q(c|x) = softmax(logits / tau); `auto` is 1.
        input_noise: Standard deviation of the noise added to all that D and Q see while training,
            in units of the data, a number or a schedule over epochs.
        generator_rate: Learning rate of G as a multiple of the others', above 0.
        **shared: See `AbstractMixture`; the likelihood's mean of the decoder's output is what G
            makes, and the likelihood measures reconstructions.

    Source:
        Chen et al. 2016, eq. (6), with its weights and rates by default. States are normal and not
        uniform, the networks are those of the other models, and D and G step at the same time.
    """

    # A merged category would be drawn as one and made as another: not `contracts.Mergeable`.
    merge = None  # type: ignore[assignment]
    state_sees_category = False
    fixed_noise: Tensor

    def __init__(
        self,
        *,
        state_dim: int = 2,
        noise_dim: int = 62,
        tau: Tau = "auto",
        category_weight: float = 1.0,
        state_weight: float = 0.1,
        input_noise: float | Schedule = 0.0,
        generator_rate: float = 5.0,
        **shared: Any,
    ) -> None:
        super().__init__(state_dim=state_dim, **shared)
        self.set_tau(tau)
        plain_number("noise_dim", noise_dim, at_least=0)
        self.noise_dim = noise_dim
        self.category_weight = plain_number("category_weight", category_weight, at_least=0)
        self.state_weight = plain_number("state_weight", state_weight, at_least=0)
        self.input_noise = weight_schedule("input_noise", input_noise)
        self.generator_rate = plain_number("generator_rate", generator_rate, above=0)
        features, code = self.trunk.out_features, self.agents.decoder.in_features
        assert isinstance(features, int)
        assert isinstance(code, int)
        self.verdict = BatchedLinear(1, features, 1)
        fan_in = self.num_categories + state_dim + noise_dim
        self.code_from_noise = BatchedLinear(1, noise_dim, code, bias=False, fan_in=fan_in)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(NUM_FIXED if noise_dim > 0 else 1, noise_dim, generator=generator)
        self.register_buffer("fixed_noise", noise)

    @property
    def trunk(self) -> nn.Module:
        """What D and Q share."""
        encoder = self.agents.encoder
        return encoder.trunk if isinstance(encoder, HeadedEncoder) else encoder

    def parameters_of(self, category: Tensor, state: Tensor, noise: Tensor) -> Tensor:
        """Parameters of p(x), (1, B, *decoded_shape), of (1, B, K), (1, B, S) and (1, B, N)."""
        agents = self.agents
        code = agents.code_from_category(category) + agents.code_from_state(state)
        return agents.decoder(code + self.code_from_noise(noise))

    def decoded(self, category: Tensor, state: Tensor) -> Tensor:
        """Parameters of p(x), (1, B, *decoded_shape), averaged over the fixed noise.

        For a Gaussian the mean of the samples that G makes; for a Bernoulli a mean of logits.
        """
        count, size = len(self.fixed_noise), category.shape[1]
        categories = category.repeat_interleave(count, dim=1)
        states = state.repeat_interleave(count, dim=1)
        noise = self.fixed_noise.repeat(size, 1)[None]
        parameters = self.parameters_of(categories, states, noise)
        return parameters.unflatten(1, (size, count)).mean(dim=2)

    def weights(self, epoch: float) -> dict[str, float]:
        """1 for the contest of D and G; information is a reward."""
        return {
            "discriminator": 1.0,
            "adversarial": 1.0,
            "category_information": -self.category_weight,
            "state_information": -self.state_weight,
        }

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class."""
        x, size = batch.x, len(batch.x)
        kept = self.category_mask.to(x)
        category = torch.multinomial(kept, size, replacement=True)
        one_hot = functional.one_hot(category, self.num_categories)[None].to(x)
        state = torch.randn(1, size, self.state_dim, device=x.device, dtype=x.dtype)
        noise = torch.randn(1, size, self.noise_dim, device=x.device, dtype=x.dtype)
        made = self.likelihood.mean(self.parameters_of(one_hot, state, noise))
        terms = Terms(self.weights(self.epoch))
        # Together in one batch: normalised apart, samples and x~ could differ in scale unnoticed.
        both = torch.cat([self._disturb(x[None]), self._disturb(made)], dim=1)
        real, copied = self._judge(both.detach()).split(size, dim=1)
        terms.add("discriminator", discriminator_loss(real, copied))
        # Running statistics of the trunk follow the pass above; Q's own layer has but this one.
        with frozen_statistics(self.trunk):
            _, copied = self._judge(both, trained=False).split(size, dim=1)
            terms.add("adversarial", deception_loss(copied))
            features = self.agents.features(both)[:, size:]
        log_q = self.log_categories(features)
        gain = category_information(one_hot, log_q, self.num_kept)
        terms.add("category_information", gain)
        gain = state_information(state, *self.agents.state(features, one_hot))
        terms.add("state_information", gain)
        return terms

    def _disturb(self, x: Tensor) -> Tensor:
        """Samples with normal noise, so that D cannot separate them by tiny differences."""
        scale = self.input_noise(self.epoch)
        return x + scale * torch.randn_like(x) if scale > 0 else x

    def _judge(self, x: Tensor, trained: bool = True) -> Tensor:
        """Logits of "a sample" for x, (1, B, *shape), as (1, B); untrained D gets no gradient."""
        features = apply_network(self.trunk, x, trained=trained)
        return apply_network(self.verdict, features, trained=trained).squeeze(-1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser, with a rate of its own for the generator."""
        agents = self.agents
        makers = agents.decoder, agents.code_from_category, agents.code_from_state
        generator = list(nn.ModuleList([*makers, self.code_from_noise]).parameters())
        known = {id(parameter) for parameter in generator}
        others = [parameter for parameter in self.parameters() if id(parameter) not in known]
        optimizer = self.optimizer_factory([{"params": others}, {"params": generator}])
        optimizer.param_groups[1]["lr"] *= self.generator_rate
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        return optimizer

    def settled_terms(self, step: MixtureStep) -> Terms:
        """Reconstruction and KL of a measured batch through Q and G, although neither is trained.

        They measure without labels how much of a sample its code holds; losses of a contest do not.
        """
        assert step.reconstruction is not None
        assert step.kl is not None
        terms = Terms({"reconstruction": 1.0, "kl": 1.0})
        terms.add("reconstruction", step.reconstruction)
        terms.add("kl", step.kl)
        return terms
