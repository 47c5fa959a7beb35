"""The terms between agents and between modalities alone, against their loops over pairs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from experiments.bench.measuring import Case, Run
from experiments.modality_loop import gaussian_kl
from mixvae.objectives.coupling import batch_deviation, coupling
from mixvae.objectives.mixture_prior import mixture_kl, pairwise_kl
from mixvae.objectives.relaxation import reparametrise

LARGEST_LOOP = 20


def cases() -> Iterator[Case]:
    """The coupling of cpl-mixVAE at K=120, and the divergences of MMVM at L=2."""
    for count in (2, 5, 10, 20):
        build = partial(_coupling_sides, count, 512, 120)
        yield Case("distances", f"coupling, A {count}", {"A": count}, 512, build, trains=False)
    for count in (2, 5, 10, 20, 50, 100):
        build = partial(_divergence_sides, count, 128, 2)
        yield Case("distances", f"divergence, M {count}", {"M": count}, 128, build, trains=False)


def _coupling_sides(count: int, size: int, categories: int, device: torch.device) -> dict[str, Run]:
    logits = torch.randn(count, size, categories, device=device)
    return {
        "loop": _backward(pairs_of_agents, logits),
        "mixvae": _backward(partial(coupling, kind="perturbed"), logits),
    }


def pairs_of_agents(log_q: Tensor) -> Tensor:
    """The perturbed coupling, a pair of agents at a time: shape (B,)."""
    deviation = batch_deviation(log_q.exp())
    u = [log / own for log, own in zip(log_q, deviation, strict=True)]
    pairs = itertools.combinations(u, 2)
    return torch.stack([(a - b).pow(2).sum(dim=1) for a, b in pairs]).sum(dim=0)


def _divergence_sides(count: int, size: int, latent: int, device: torch.device) -> dict[str, Run]:
    parameters = torch.randn(2, count, size, latent, device=device)
    loops = {"loop": _backward(pairs_of_modalities, parameters)} if count <= LARGEST_LOOP else {}
    return {
        **loops,
        "mixvae": _backward(lambda both: pairwise_kl(*both), parameters),
        "mixvae, kl: mixture": _backward(
            lambda both: mixture_kl(*both, reparametrise(*both)), parameters
        ),
    }


def pairs_of_modalities(parameters: Tensor) -> Tensor:
    """(1/M) sum of KL(q_m || q_n), a pair at a time: shape (B,), nats."""
    posteriors = list(zip(*parameters, strict=True))
    pairs = itertools.product(posteriors, repeat=2)
    return torch.stack([gaussian_kl(*p, *q) for p, q in pairs]).sum(dim=0) / len(posteriors)


def _backward(term: Callable[[Tensor], Tensor], inputs: Tensor) -> Run:
    """A call of the term and of its gradient."""

    def run() -> None:
        leaf = inputs.clone().requires_grad_()
        log_q = leaf.log_softmax(dim=-1) if leaf.dim() == 3 else leaf
        term(log_q).mean().backward()

    return run
