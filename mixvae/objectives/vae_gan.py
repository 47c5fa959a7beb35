"""The terms that train a learned augmenter: a VAE, and copies that deceive a discriminator."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F


def fitted_gaussian_nll(x: Tensor, mean: Tensor) -> Tensor:
    """-log N(x; mean, v I) at the variance v that fits the batch best: the mean squared error.

    Nats that depend neither on the data's units nor on a chosen variance, up
    to a constant.

    Args:
        x: Samples, shape (B, *shape).
        mean: Their reconstructions, same shape.

    Returns:
        Shape (B,), nats, summed over features; the gradient takes v as given.

    Source:
        Rybkin et al. 2021 (sigma-VAE), section 4, with one variance for a batch.
    """
    square = (x - mean).square().flatten(start_dim=1).sum(dim=-1)
    num_features = math.prod(x.shape[1:])
    variance = (square.detach().mean() / num_features).clamp_min(1e-12)
    constant = 0.5 * num_features * (math.log(2 * math.pi) + variance.log())
    return 0.5 * square / variance + constant


def discriminator_loss(real: Tensor, copied: Tensor) -> Tensor:
    """Cross-entropy of the verdicts "a sample" on samples and "a copy" on copies.

    Args:
        real: Logits of "a sample" for samples, shape (B,).
        copied: The same for copies, shape (B,).

    Returns:
        Shape (B,), nats, the sum of both verdicts; 2 log 2 where nothing can be told apart.

    Source:
        Goodfellow et al. 2014, eq. (1).
    """
    return F.softplus(-real) + F.softplus(copied)


def deception_loss(copied: Tensor) -> Tensor:
    """Cross-entropy of the verdict "a sample" on copies, for the generator.

    Args:
        copied: Logits of "a sample" for copies, shape (B,).

    Returns:
        Shape (B,), nats. Its gradient is largest where copies are found out.

    Source:
        Goodfellow et al. 2014, section 3, the form that does not saturate.
    """
    return F.softplus(-copied)


def triplet_loss(x: Tensor, copy: Tensor, plain: Tensor, margin: float) -> Tensor:
    """Hinge loss of a copy that lies farther from its sample than the plain reconstruction.

    Squared distances, in units of the reconstruction's: the copy is to be nearer by the margin.
    The hinge is smooth, over a width of the margin, so the gradient never vanishes altogether.

    Args:
        x: Samples, shape (B, *shape).
        copy: Their copies, same shape.
        plain: Their reconstructions without noise, same shape; they get no gradient.
        margin: Share of the reconstruction's squared distance, above 0.

    Returns:
        Shape (B,), without unit.

    Source:
        MMIDAS (Marghi et al. 2024) has a triplet term of margin 0.2 between sample, noisy copy and
        plain reconstruction, thresholded, on the discriminator's features; ours is on the
        samples, relative, and smooth.
    """

    def square(other: Tensor) -> Tensor:
        return (x - other).square().flatten(start_dim=1).sum(dim=-1)

    allowed = square(plain).detach().clamp_min(1e-12)
    return margin * F.softplus((square(copy) / allowed - 1 + margin) / margin)


def distance_loss(shift: Tensor, radius: Tensor) -> Tensor:
    """Squared relative difference between the lengths of moves and their targets.

    It keeps copies near, and keeps them different: without it the best model would ignore the
    noise.

    Args:
        shift: Moves in the latent space, shape (B, L).
        radius: Target lengths, shape (B,), above 0.

    Returns:
        Shape (B,), without unit; 0 where the length is right.

    Source:
        MMIDAS (Marghi et al. 2024) has a term in the distance of latents; the length, taken from
        the neighbours of each sample as in Hu et al. 2017 (IMSAT), is ours.
    """
    length = shift.square().sum(dim=-1).clamp_min(1e-24).sqrt()
    return (length / radius.clamp_min(1e-12) - 1).square()
