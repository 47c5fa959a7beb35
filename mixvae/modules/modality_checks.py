"""Checks of a multimodal model's settings, and of the samples that it is to describe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from mixvae.contracts import ModalitySpec
from mixvae.objectives.likelihoods import Likelihood, Unbounded
from mixvae.suggestions import suggestion

MAX_SOURCES = 12
"""Modalities up to which a validation imputes each from each other one."""

LARGEST_SMALL_COUNT = 20.0
"""Up to here whole numbers may as well be grades or classes, and their squares do little harm."""


def check_rows(modality: ModalitySpec, family: Likelihood, x: Tensor, here: Tensor) -> None:
    """Refuse another shape of x, (B, *shape), and values outside the support where `here`, (B,)."""
    shape = tuple(x.shape[1:])
    if shape != tuple(modality.shape):
        raise ValueError(
            f"modality {modality.name!r} has shape {tuple(modality.shape)}, got {shape}"
        )
    rows = x[here]
    if len(rows) == 0:
        return
    if modality.has_gaps:
        gap = rows.isnan()
        rows = torch.where(gap, rows[~gap].flatten()[:1].nan_to_num(0.0), rows)
        if gap.any() and modality.kind == "tokens":
            rows = rows[~gap.flatten(1).any(dim=1)]
            if len(rows) == 0:
                return
    try:
        family.check(rows)
    except ValueError as error:
        raise ValueError(f"modality {modality.name!r}: {error}") from error


def look_like_counts(modality: ModalitySpec, family: Likelihood, rows: Tensor) -> bool:
    """Whether samples (B, *shape) are large whole numbers under a likelihood of real values."""
    if len(rows) == 0 or modality.kind != "vector" or not isinstance(family, Unbounded):
        return False
    rows = rows.nan_to_num(0.0)
    is_large = float(rows.max()) > LARGEST_SMALL_COUNT and float(rows.min()) >= 0
    return is_large and bool((rows == rows.round()).all())


def advice_on_counts(modality: ModalitySpec, family: Likelihood, rows: Tensor) -> str:
    """The warning of samples that look like counts."""
    name, top = modality.name, float(rows.nan_to_num(0.0).max())
    return (
        f"modality {name!r} holds whole numbers from 0 to {top:g}, such as counts, and its"
        f" likelihood is {type(family).__name__}, in units of the data: the largest features rule."
        f" Use data.kinds={{{name}: counts}}, likelihood=poisson, or"
        f" data.standardise=[{name}]"
    )


def weights_by_size(modalities: Sequence[ModalitySpec]) -> dict[str, float]:
    """The size of the largest modality over each one's own, by name.

    Sizes are numbers of features; of images, pixels; of tokens, the length.

    Source:
        mmvmvae (MMVM's code): a text of 256 letters beside 64 x 64 pixels weighs 16.
    """
    sizes = {}
    for modality in modalities:
        shape = modality.shape
        counted = {"image": shape[1:], "tokens": shape[:-1]}.get(modality.kind, shape)
        sizes[modality.name] = math.prod(counted)
    return {name: max(sizes.values()) / size for name, size in sizes.items()}


Given = TypeVar("Given")


def by_name(key: str, values: Mapping[str, Given] | None, names: Sequence[str]) -> dict[str, Given]:
    """Values by the names of modalities; raise ValueError for any other name."""
    if isinstance(values, str):
        hint = suggestion(values, ("size",)) if key == "weights" else ""
        raise ValueError(f"model.{key} is {values!r}; it must name modalities{hint}")
    given = {str(name): value for name, value in (values or {}).items()}  # YAML reads 1 as a number
    for name in given:
        if name not in names:
            raise ValueError(f"model.{key}.{name} is not a modality{suggestion(name, names)}")
    return given


def check_family(name: str, family: Likelihood) -> None:
    """Refuse what is not a likelihood of one modality of several."""
    if not hasattr(family, "params_per_feature"):
        raise ValueError(
            f"model.likelihoods.{name} is {family!r}, which is not a likelihood; write one as in"
            f" the files of conf/likelihood, such as {name}:"
            " {_target_: mixvae.objectives.modality_likelihoods.Categorical}"
        )
    if family.counts:
        raise ValueError(
            f"the likelihood {type(family).__name__} of modality {name!r} is for raw counts beside"
            " the data of a single modality; for counts in the data themselves use Poisson or"
            f" data.kinds={{{name}: counts}}"
        )


def few_pairs(num_modalities: int) -> Tensor | None:
    """For each modality the same number of others to impute it from, fixed and spread out.

    As [source, target], shape (M, M), bool; None, all pairs, up to `MAX_SOURCES` modalities.
    """
    if num_modalities <= MAX_SOURCES:
        return None
    shifts = torch.linspace(1, num_modalities - 1, MAX_SOURCES).round().long()
    target = torch.arange(num_modalities).unsqueeze(1)
    pairs = torch.zeros(num_modalities, num_modalities, dtype=torch.bool)
    pairs[(target + shifts) % num_modalities, target] = True
    return pairs
