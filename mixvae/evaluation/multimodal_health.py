"""Early diagnosis of latents of several modalities that serve no one, each with its remedy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from mixvae.contracts import MultimodalStep

LINE = 1.1
OVERCONFIDENT = 10.0
DOMINANT = 0.999
FEW_ROWS = 20


class MultimodalEvaluation(Metric):
    """Means over events; those of a modality are over the events that have it.

    Every state is a sum: memory does not grow with the events, and ranks add up.
    """

    full_state_update = False

    reconstruction: Tensor
    present: Tensor
    imputation: Tensor
    both_present: Tensor
    kl: Tensor
    num_events: Tensor

    def __init__(self, modalities: Sequence[str]) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        count = len(self.modalities)
        nats = {"reconstruction": (count,), "imputation": (count, count), "kl": ()}
        for name, shape in nats.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        counts = {"present": (count,), "both_present": (count, count), "num_events": ()}
        for name, shape in counts.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, step: MultimodalStep, present: Tensor) -> None:
        """Add a batch.

        Args:
            present: Modalities present in each event, shape (B, M), bool.
        """
        there = present.T
        both = there[:, None] & there[None, :]
        assert step.imputation.shape == both.shape, "imputation must have shape (M, M, B)"
        if step.pairs is not None:
            both = both & step.pairs.unsqueeze(-1)
        # `where`, not a product: the placeholder of a missing value may be NaN.
        self.reconstruction += torch.where(there, step.reconstruction.double(), 0.0).sum(-1)
        self.imputation += torch.where(both, step.imputation.double(), 0.0).sum(-1)
        self.kl += step.kl.double().sum()
        self.present += there.sum(-1)
        self.both_present += both.sum(-1)
        self.num_events += len(present)

    def compute(self) -> dict[str, Tensor]:
        """Compute the measures over all events so far.

        Returns:
            Scalars by name, float64, nats. `reconstruction/<m>` is the mean over the events that
            have m, `reconstruction` the sum of these over modalities; `imputation/<m>_to_<n>` is
            the mean over the events that have both, `imputation` the mean of these over the pairs
            of different modalities that were measured; `kl` is the mean over events. Others are
            left out.
        """
        if int(self.num_events) == 0:
            raise ValueError("nothing to evaluate: the data split holds no events")
        values: dict[str, Tensor] = {}
        means = self.reconstruction / self.present.clamp(min=1)
        for m, name in enumerate(self.modalities):
            if self.present[m] > 0:
                values[f"reconstruction/{name}"] = means[m]
        values["reconstruction"] = means.sum()
        imputed = []
        for m, source in enumerate(self.modalities):
            for n, target in enumerate(self.modalities):
                if m != n and self.both_present[m, n] > 0:
                    mean = self.imputation[m, n] / self.both_present[m, n]
                    values[f"imputation/{source}_to_{target}"] = mean
                    imputed.append(mean)
        if imputed:
            values["imputation"] = torch.stack(imputed).mean()
        values["kl"] = self.kl / self.num_events
        return values


class LatentHealth(Metric):
    """Effective dimensions of latents and explained shares of modalities, summed over a split."""

    full_state_update = False

    count: Tensor
    total: Tensor
    outer: Tensor
    error: Tensor
    variance: Tensor

    def __init__(self, num_modalities: int, latent_dim: int) -> None:
        super().__init__()
        sizes = {"count": (), "total": (latent_dim,), "outer": (latent_dim, latent_dim)}
        for name, shape in {**sizes, "error": (), "variance": ()}.items():
            zeros = torch.zeros((num_modalities, *shape), dtype=torch.float64)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    def update(self, mean: Tensor, present: Tensor) -> None:
        """Add the posterior means of a batch, (M, B, L), where present, (B, M)."""
        known = torch.where(present.T.unsqueeze(-1), mean.double(), 0.0)
        self.count += present.sum(dim=0)
        self.total += known.sum(dim=1)
        self.outer += known.mT @ known

    def update_decoded(self, modality: int, decoded: Tensor, x: Tensor) -> None:
        """Add samples of a modality, (B, *shape), and the means decoded from their own latents.

        NaN in the samples is left out.
        """
        if len(x) < 2:
            return
        x, decoded = x.flatten(1).double(), decoded.flatten(1).double()
        unbiased = len(x) / (len(x) - 1)
        self.error[modality] += (x - decoded).square().nansum()
        self.variance[modality] += (x - x.nanmean(dim=0)).square().nansum() * unbiased

    def compute(self) -> dict[str, Tensor]:
        """Compute the measures of each modality, shape (M,), float64.

        Returns:
            `dimensions`: the participation ratio of the posterior means' covariance, of 1 to L, NaN
            where they do not vary; `explained`: the share of a modality's variance that is
            reconstructed, at most 1, NaN where nothing was decoded.
        """
        count = self.count.clamp_min(1)
        mean = self.total / count[:, None]
        covariance = self.outer / count[:, None, None] - mean.unsqueeze(2) * mean.unsqueeze(1)
        trace = covariance.diagonal(dim1=1, dim2=2).sum(dim=1)
        return {
            "dimensions": trace.square() / covariance.square().sum(dim=(1, 2)),
            "explained": 1 - self.error / self.variance,
        }


class Losses(NamedTuple):
    """Parts of the objective, nats, weighted as in it.

    Attributes:
        regulariser: Of training and of validation; None before they are known.
        reconstruction: Of each modality on validation events, by name.
    """

    regulariser: tuple[float, float] | None
    reconstruction: Mapping[str, float]


def diagnose_latents(
    names: Sequence[str],
    dimensions: Sequence[float],
    explained: Sequence[float],
    latent_dim: int,
    losses: Losses,
    unscaled: Collection[str] = (),
) -> dict[str, str]:
    """Describe what is wrong with a model of several modalities, by a key for each fault.

    Args:
        names: Names of the modalities, length M.
        dimensions: See `LatentHealth.compute`, length M.
        explained: See `LatentHealth.compute`, length M.
        unscaled: Names of modalities that are not to be standardised, such as counts and texts.

    Source:
        Ours.
    """
    found = {}
    known = [value for value in dimensions if value == value]
    if latent_dim > 1 and known and max(known) < LINE:
        found["line"] = (
            f"all latents lie on one line ({max(known):.2f} effective dimensions of {latent_dim});"
            " lower model.beta, or leave it to model.beta=auto"
        )
    for name, share in zip(names, explained, strict=True):
        if share <= 0:
            unit = f"set data.standardise=[{name}] if its unit is far from 1, "
            found[f"mean {name}"] = (
                f"modality {name!r} is reconstructed no better than by its mean (explained share"
                f" {share:.3g}); {'' if name in unscaled else unit}raise model.weights.{name},"
                " lower model.beta, or leave it out"
            )
    found |= _overconfident(losses) | _dominant(losses, unscaled)
    return found


def _overconfident(losses: Losses) -> dict[str, str]:
    if losses.regulariser is None:
        return {}
    trained, validated = losses.regulariser
    size = sum(abs(value) for value in losses.reconstruction.values())
    if not (validated > OVERCONFIDENT * max(trained, 0.0) and validated > 0.5 * size):
        return {}
    return {
        "overconfident": (
            f"the encoders are overconfident: the weighted regulariser is {validated:.3g} nats on"
            f" validation events and {trained:.3g} on training events; raise"
            " model.networks.encoder.input_dropout, narrow model.networks.encoder.hidden, lower"
            " trainer.max_epochs, or leave model.beta to auto"
        )
    }


def _dominant(losses: Losses, unscaled: Collection[str]) -> dict[str, str]:
    sizes = {name: abs(value) for name, value in losses.reconstruction.items()}
    total = sum(sizes.values())
    name = max(sizes, key=sizes.__getitem__, default="")
    if len(sizes) < 2 or not sizes[name] > DOMINANT * total:
        return {}
    unit = "" if name in unscaled else "set data.standardise=true or "
    return {
        "dominant": (
            f"modality {name!r} is {sizes[name] / total:.2%} of the reconstruction loss, so the"
            f" others hardly train; {unit}lower model.weights.{name}"
        )
    }


def diagnose_events(names: Sequence[str], rows: Sequence[int], shared: int) -> dict[str, str]:
    """Describe training events that tie no modalities, and modalities with few rows.

    Args:
        names: Names of the modalities, length M.
        rows: Training rows of each modality, length M.
        shared: Number of training events with at least two modalities.

    Source:
        Ours.
    """
    found = {}
    if len(names) > 1 and shared == 0:
        found["apart"] = (
            "no training event has two modalities, so nothing ties their latents; align the rows"
            " of data.modalities"
        )
    for name, count in zip(names, rows, strict=True):
        if count < FEW_ROWS:
            found[f"few {name}"] = (
                f"modality {name!r} has {count} training row{'s'[: count != 1]}, too few for"
                " networks of its own; add rows, lower data.missing_fraction, or leave it out of"
                " data.modalities"
            )
    return found
