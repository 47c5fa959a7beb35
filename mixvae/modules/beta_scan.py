"""Chooses beta from the data: a short training of all candidates on principal components."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mixvae.contracts import ModalitySpec, MultimodalBatch
from mixvae.modules.base import SETTLED
from mixvae.networks.candidates import CandidateNetworks
from mixvae.objectives.likelihoods import Likelihood, SquaredError
from mixvae.objectives.schedules import Constant

RELATIVE = tuple(2.0**power for power in range(-7, 3))
"""The candidates, as multiples of the variance of the strongest principal component, in nats."""
COMPONENTS = 20
STEPS = 300
BATCH_SIZE = 128
MAX_EVENTS = 3000
MAX_VALUES = 20_000_000
MAX_MODALITIES = 12
# Gains are small beside the noise of one start, so that several are averaged.
STARTS = 3
# The smallest beta that reaches this share of the best one's gain is taken.
ENOUGH = 0.6
# Where linear latents tell nothing, as of images whose digits move, networks may: a small beta lets
# them find it, and a large one holds the latents at their mean.
BLIND = 1 / 64
# Standard errors, 1 / (number of events) for a pair, above which a gain is not chance.
CHANCE = 3.0


class Choice(NamedTuple):
    """A beta and its reason.

    Attributes:
        gains: What the latents of each tell about other modalities, see `choose_beta`.
    """

    beta: float
    reason: str
    candidates: tuple[float, ...]
    gains: tuple[float, ...]


class Events(NamedTuple):
    """Events in principal components: M tensors (N, F), and the modalities present, (N, M)."""

    x: list[Tensor]
    present: Tensor

    def rows(self, index: Tensor) -> Events:
        """Some of them."""
        return Events([one[index] for one in self.x], self.present[index])

    def batch(self, num_candidates: int) -> MultimodalBatch:
        """Each event once for each candidate."""
        count = len(self.present) * num_candidates
        zeros = torch.zeros(count, dtype=torch.int64)
        x = tuple(one.repeat(num_candidates, 1) for one in self.x)
        return MultimodalBatch(x, self.present.repeat(num_candidates, 1), zeros, zeros, zeros)


def choose_beta(
    model: Any,
    train: Collection[MultimodalBatch],
    val: Collection[MultimodalBatch],
    max_steps: int = STEPS,
) -> Choice:
    """Choose the weight of a model's regulariser without labels.

    Too small a beta leaves the latents to what is private to a modality, too large a one leaves
    them empty; both limits are proportional to the variance, in nats, that a direction of a
    modality explains. So every modality is reduced to its first principal components in units of
    its likelihood, small networks are trained on the model's own objective with betas relative to
    the largest variance, all at once, and each is judged on validation events: by the share of a
    modality's variance that its decoder explains from another one's posterior mean, up to a factor,
    averaged over pairs, three starts, and neighbouring betas. Private directions lower it, as empty
    latents do. Of betas that explain most of what the best one does, the smallest is taken: it
    leaves each modality most of itself, and is farthest from the beta at which a further shared
    direction is given up.

    Args:
        model: The model, whose objective is copied with other networks; it is not changed.
        max_steps: The small networks are trained for at most so many steps, and 300.

    Source:
        Ours. A direction of variance v that modalities disagree on by a share r is given up for
        beta > v / (4 r): with sampled latents of signal-to-noise ratio s, it costs v / s nats of
        reconstruction and beta r s of the divergence.
    """
    weights = [float(weight) for weight in model.modality_weights.flatten()]
    taken = _spread(range(model.num_modalities), MAX_MODALITIES)
    seen, held_out = _gather(train), _gather(val)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = [_components(seen, held_out, model.likelihoods[m], weights[m], m) for m in taken]
    here = torch.tensor(taken)
    fitted = Events([part[0] for part in parts], seen.present[:, here])
    judged = Events([part[1] for part in parts], held_out.present[:, here])
    scales = torch.stack([part[2] for part in parts])
    unit = float(scales.square().mean())
    if not 0 < unit < math.inf:
        return Choice(1.0, "1, as the modalities do not vary", (), ())
    scale = unit**0.5
    fitted, judged = (Events([x / scale for x in one.x], one.present) for one in (fitted, judged))
    steps = max(1, min(max_steps, STEPS))
    starts = []
    with torch.random.fork_rng(devices=[]):
        for seed in range(STARTS):
            torch.manual_seed(seed)
            starts.append(_gains(_train(model, fitted, scales / scale, steps, seed), judged))
    gains = _smoothed([statistics.fmean(parts) for parts in zip(*starts, strict=True)])
    pairs = max(1, len(taken) * (len(taken) - 1))
    chance = CHANCE / (max(1, len(judged.present)) * pairs**0.5)
    return _pick([unit * relative for relative in RELATIVE], gains, chance, unit)


def _pick(
    candidates: Sequence[float], gains: Sequence[float], chance: float, unit: float
) -> Choice:
    """The smallest candidate whose gain is nearly the best one's; without a gain, `BLIND`."""
    best = max(range(len(gains)), key=gains.__getitem__)
    tried = f"{candidates[0]:.3g} to {candidates[-1]:.3g}"
    found = tuple(candidates), tuple(gains)
    if not gains[best] > chance:
        beta = unit * BLIND
        reason = (
            f"1/{1 / BLIND:g} of the largest variance of a principal component, {unit:.3g}: none of"
            f" {tried} made one modality's latents tell of another on validation events"
        )
        return Choice(beta, reason, *found)
    enough = next(k for k, gain in enumerate(gains) if gain >= ENOUGH * gains[best])
    reason = (
        f"of {tried}, the smallest that imputes other modalities nearly as well as the best,"
        f" {candidates[best]:.3g} ({gains[enough]:.1%} and {gains[best]:.1%} of their leading"
        " variance on validation events)"
    )
    return Choice(candidates[enough], reason, *found)


def _gather(batches: Collection[MultimodalBatch]) -> Events:
    """At most about `MAX_EVENTS` events, an equal share of each batch."""
    share = max(1, MAX_EVENTS // len(batches))
    x: list[list[Tensor]] = []
    present = []
    for batch in batches:
        step = max(1, len(batch.present) // share)
        size = sum(sample[0].numel() for sample in batch.x)
        step = max(step, math.ceil(size * share * len(batches) / MAX_VALUES))
        x.append([sample[::step].flatten(1).float().cpu() for sample in batch.x])
        present.append(batch.present[::step].cpu())
    return Events([torch.cat(parts) for parts in zip(*x, strict=True)], torch.cat(present))


def _components(
    seen: Events, held_out: Events, family: Likelihood, weight: float, modality: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of training and validation events, (N, F), 0 where missing; the largest deviation."""
    here = seen.present[:, modality]
    mean = seen.x[modality][here].nanmean(dim=0).nan_to_num(0.0)
    # A gap is filled with the mean of its feature, and adds nothing.
    x, other = (
        torch.where(part.x[modality].isnan(), mean, part.x[modality]) for part in (seen, held_out)
    )
    rows = x[here]
    unit = torch.sqrt(weight / (2 * _variance(family, rows)))
    centred = (rows - mean) * unit
    width = min(COMPONENTS, *centred.shape)
    _, size, axes = torch.svd_lowrank(centred, min(width + 10, *centred.shape), niter=4)
    axes = axes[:, :width]
    scores = []
    for events, values in ((seen, x), (held_out, other)):
        score = ((values - mean) * unit) @ axes
        score[~events.present[:, modality]] = 0.0
        scores.append(nn.functional.pad(score, (0, COMPONENTS - width)))
    return scores[0], scores[1], size[0] / max(1, len(rows)) ** 0.5


def _variance(family: Likelihood, x: Tensor) -> Tensor:
    """Variance of each feature about its mean, by the family, else as measured."""
    known = getattr(family, "noise_variance", None)
    values = x.var(dim=0, correction=0) if known is None else known(x)
    floor = 1e-12 * values.max().clamp_min(1e-30)
    return torch.where(values > floor, values, torch.full_like(values, math.inf))


def _smoothed(gains: Sequence[float]) -> list[float]:
    """Each gain averaged with its neighbours', at half their weight."""
    padded = [gains[0], *gains, gains[-1]]
    return [(a + 2 * b + c) / 4 for a, b, c in zip(padded, gains, padded[2:], strict=False)]


def _train(model: Any, events: Events, scales: Tensor, steps: int, seed: int) -> Any:
    """A copy of the model with small networks, trained at all candidates at once."""
    generator = torch.Generator().manual_seed(seed)
    small = _copy(model, scales, generator)
    count = len(RELATIVE)
    betas = torch.tensor(RELATIVE).unsqueeze(1)
    optimizer = torch.optim.Adam(small.parameters(), lr=0.01)
    factors = small.weights(SETTLED)
    for _ in range(steps):
        size = min(BATCH_SIZE, len(events.present))
        index = torch.randperm(len(events.present), generator=generator)[:size]
        terms = small.terms(events.rows(index).batch(count))
        loss = terms["reconstruction"].value
        for name, factor in factors.items():
            if name != "reconstruction" and name in terms and factor:
                term = terms[name].value.unflatten(0, (count, -1))
                loss = loss + (factor * betas * term).flatten()
        optimizer.zero_grad()
        (loss.sum() / size).backward()
        optimizer.step()
    return small


def _copy(model: Any, scales: Tensor, generator: torch.Generator) -> Any:
    small = copy.copy(model)
    small._modules, small._buffers = {}, {}
    small._parameters = {
        name: nn.Parameter(torch.zeros_like(value[: len(scales)], device="cpu"))
        for name, value in model._parameters.items()
    }
    small.num_modalities = len(scales)
    small.modalities = tuple(ModalitySpec(str(m), (COMPONENTS,)) for m in range(len(scales)))
    small.names = tuple(item.name for item in small.modalities)
    small.likelihoods = (SquaredError(),) * len(scales)
    small.modality_weights = torch.ones(len(scales), 1)
    size = model.latent_dim + model.private_dim
    small.networks = CandidateNetworks(len(RELATIVE), COMPONENTS, size, scales, generator)
    small.beta = Constant(1.0)
    return small


@torch.no_grad()
def _gains(small: Any, events: Events) -> list[float]:
    """For each candidate, the share of a modality's variance that imputation can explain.

    It is the squared cosine of imputed and real components, below 0 where they are opposed, so that
    chance gives 0 on average. This is the share explained after the best factor, since small
    networks and large ones are overconfident by unlike factors.
    """
    count = len(RELATIVE)
    batch = events.batch(count)
    mean = small.infer(batch.x, batch.present).mean
    total = torch.zeros(count, dtype=torch.float64)
    pairs = 0
    for n in range(small.num_modalities):
        wanted = events.x[n].double()
        decoded = small.decode(mean.flatten(0, 1), n).double()
        decoded = decoded.unflatten(0, (-1, count, len(wanted)))
        alike, size = (decoded * wanted).sum(dim=-1), decoded.square().sum(dim=-1)
        for m in range(small.num_modalities):
            both = events.present[:, m] & events.present[:, n]
            whole = wanted[both].square().sum()
            if m != n and whole > 0:
                product = alike[m][:, both].sum(dim=1)
                share = product * product.abs() / size[m][:, both].sum(dim=1).clamp_min(1e-30)
                total += share / whole
                pairs += 1
    return (total / max(pairs, 1)).tolist()


def _spread(items: Sequence[int], most: int) -> list[int]:
    step = max(1, math.ceil(len(items) / most))
    return list(items)[::step]
