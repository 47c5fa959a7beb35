"""Uses of a trained model from Python: samples of its prior, inference of data in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray

from mixvae.callbacks.collecting import decode_mixture, decoder_of
from mixvae.cli.run_requests import AnnotateOptions, ImputeOptions, RunRequest
from mixvae.contracts import DataSpec, MixtureModel, MultimodalModel, MultimodalSpec
from mixvae.data.cells.preparation import Preparation
from mixvae.data.checks import check_count
from mixvae.data.files.given import as_array
from mixvae.data.images.image_arrays import (
    ImageState,
    channels_first,
    check_images,
    coloured,
    to_unit,
)
from mixvae.data.modalities.base import MultimodalState
from mixvae.data.modalities.given_modalities import modalities_of
from mixvae.evaluation.annotation import describe, join
from mixvae.evaluation.latent_mixture import FILE, LatentMixture
from mixvae.runs.annotating import annotated_copy
from mixvae.runs.imputing import open_imputer
from mixvae.runs.opening import TrainedRun, open_trained


@dataclass(frozen=True)
class Embedding:
    """The inference of N samples.

    Attributes:
        latent: What neighbours and plots may use, shape (N, L): of a mixture the category
            probabilities and the state, of several modalities the mean of the joint posterior or
            else of the posteriors of those present.
        category: The category that the agents vote for, shape (N,), int64; None without categories.
        probs: Mean over agents of q(c|x), shape (N, K); None likewise.
        modalities: Mean of q(z|x_m) by the name of the modality, shape (N, L); NaN where missing.
    """

    latent: NDArray[np.float32]
    category: NDArray[np.int64] | None = None
    probs: NDArray[np.float32] | None = None
    modalities: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def embed_data(folder: Path, data: Any, batch_size: int) -> Embedding:
    """Infer categories and latents of data in memory."""
    check_count("batch_size", batch_size)
    if isinstance(data, str | PathLike):
        raise ValueError(f"embed takes data in memory, got the path {str(data)!r}; read it first")
    run = open_trained(RunRequest(run=folder))
    if MultimodalState.find(run.content) is not None:
        return _embed_modalities(folder, data, batch_size)
    if Preparation.find(run.content) is not None:
        adata = annotated_copy(data, AnnotateOptions(run=folder, batch_size=batch_size))
        category = adata.obs["mixvae_category"].astype(int).to_numpy()
        probs, latent = adata.obsm["X_mixvae_category"], adata.obsm["X_mixvae_latent"]
        return Embedding(latent, category, probs)
    model = _mixture(run)
    x = torch.from_numpy(_prepared(run, as_array(data, "the samples")))
    assert isinstance(model, LightningModule)
    with torch.inference_mode():
        parts = [describe(model.infer(part.to(model.device))) for part in x.split(batch_size)]
    whole = join(parts)
    return Embedding(whole.latent, whole.consensus, whole.probs)


def draw_samples(
    folder: Path, num_samples: int, seed: int, category: int | None
) -> NDArray[np.float32] | dict[str, NDArray[np.float32]]:
    """Draw from the prior and decode: means of p(x|z), in the unit of the data."""
    check_count("n", num_samples)
    run = open_trained(RunRequest(run=folder))
    generator = np.random.default_rng(seed)
    if isinstance(run.spec, MultimodalSpec):
        return _sample_modalities(run, num_samples, generator)
    model = _mixture(run)
    if not model.can_decode:
        raise ValueError(f"the run's model is {type(model).__name__}, which has no decoder")
    kept = np.flatnonzero(model.category_mask.cpu().numpy())
    if category is not None and category not in kept:
        raise ValueError(f"category is {category}; it must be one of {', '.join(map(str, kept))}")
    drawn = np.full(num_samples, category) if category is not None else None
    drawn = generator.choice(kept, num_samples) if drawn is None else drawn
    state = generator.normal(size=(num_samples, model.state_dim)).astype(np.float32)
    one_hot = np.eye(model.num_categories, dtype=np.float32)[drawn]
    decoded = decode_mixture(model, one_hot, state)[0]
    images = ImageState.find(run.content)
    return decoded if images is None else decoded * (images.high - images.low) + images.low


def _mixture(run: TrainedRun) -> MixtureModel:
    model = run.load_model(run.spec)
    if not isinstance(model, MixtureModel):
        raise ValueError(f"the run's model is {type(model).__name__}, which has no categories")
    return model


def _prepared(run: TrainedRun, samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples as the run's model takes them, shape (N, *shape)."""
    images = ImageState.find(run.content)
    if images is not None:
        arrays = channels_first(samples, run.cfg.data.get("channels"), "the array")
        arrays = coloured(arrays, images.shape[0])
        check_images(arrays, "the array")
        images.check_shape(arrays.shape[1:], "the array")
        images.check_range(arrays, "the array")
        return to_unit(arrays, images.low, images.high)
    spec = run.spec
    assert isinstance(spec, DataSpec), "models of several modalities have no categories"
    shape = spec.shape
    if samples.shape[1:] != shape:
        raise ValueError(f"the samples have the shape {samples.shape}; the run's are (N, *{shape})")
    check_images(samples, "the array")
    return samples.astype(np.float32)


def _embed_modalities(folder: Path, data: Any, batch_size: int) -> Embedding:
    options = ImputeOptions(run=folder, batch_size=batch_size)
    imputer = open_imputer(options)
    arrays, _ = modalities_of(data, None)
    result = imputer.impute(arrays, options)
    means = {name: result[f"{name}/mean"] for name in imputer.names}
    joint = result.get("joint/mean")
    latent = np.nanmean(np.stack(list(means.values())), axis=0) if joint is None else joint
    return Embedding(latent, modalities=means)


def _sample_modalities(
    run: TrainedRun, num_samples: int, generator: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    model, spec = run.load_model(run.spec), run.spec
    assert isinstance(spec, MultimodalSpec)
    assert isinstance(model, MultimodalModel)
    mixture = LatentMixture.load(run.folder.path)
    if getattr(model, "has_prior", False):
        latent = generator.normal(size=(num_samples, model.latent_dim)).astype(np.float32)
    elif mixture is not None:
        latent = mixture.draw(num_samples, generator)
    else:
        raise ValueError(
            f"the run's model is {type(model).__name__}, which has no prior of its own to draw"
            f" from, and {run.folder.path} has no {FILE}; `python -m mixvae.evaluate"
            f" run={run.folder.path}` writes it"
        )
    state, decode = MultimodalState.find(run.content), decoder_of(model)
    samples = {}
    for m, modality in enumerate(spec.modalities):
        decoded = np.asarray(decode(latent, m), dtype=np.float32)
        scale = None if state is None else state.scales.get(modality.name)
        samples[modality.name] = decoded if scale is None else scale.undo(decoded)
    return samples
