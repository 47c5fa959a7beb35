"""InfoGAN's lower bound on the information that a generated sample holds about its code."""

from __future__ import annotations

import math

from torch import Tensor


def category_information(category: Tensor, log_q: Tensor, num_categories: int) -> Tensor:
    """One draw of a lower bound on I(c; x), for x made from c, which is uniform.

    log Q(c|x) + log K; its mean over c and x is at most the mutual information, and reaches it
    where Q(c|x) is the true posterior.

    Args:
        category: The drawn categories, one-hot, shape (A, B, K).
        log_q: log Q(c|x) at the samples made from them, nats, shape (A, B, K); -inf where masked.
        num_categories: Number of categories drawn from, K less the masked ones.

    Returns:
        Shape (A, B), nats, at most log K each.

    Source:
        Chen et al. 2016 (InfoGAN), eq. (5), for a uniform categorical code.
    """
    return log_q.masked_fill(category == 0, 0.0).sum(dim=-1) + math.log(num_categories)


def state_information(state: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """One draw of a lower bound on I(s; x), for x made from s, which is N(0, I).

    log Q(s|x) + H(s), with Q(s|x) = N(mean, diag exp(logvar)).

    Args:
        state: The drawn states, shape (A, B, S).
        mean: Means of Q(s|x) at the samples made from them, shape (A, B, S).
        logvar: Their log-variances, natural log, shape (A, B, S).

    Returns:
        Shape (A, B), nats, summed over S; 0 where S is 0.

    Source:
        Chen et al. 2016 (InfoGAN), eq. (5), whose continuous codes are uniform; normal here, as the
        states of the other models. The constants of log Q and H(s) cancel but for S/2.
    """
    square = (state - mean).square() * (-logvar).exp()
    return 0.5 * (1 - square - logvar).sum(dim=-1)
