"""Writes a run's categories and states into AnnData, from file to file or in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor

from mixvae import __version__
from mixvae.cli.run_requests import AnnotateOptions, AnnotateRequest
from mixvae.contracts import DataSpec, MixtureModel, MixturePosterior
from mixvae.data.cells.covariates import CellCovariates
from mixvae.data.cells.drafts import WRITTEN, Draft, check_output, outputs_of
from mixvae.data.cells.expression import MEANING
from mixvae.data.cells.formats import CellFile
from mixvae.data.cells.genes import check_unique
from mixvae.data.cells.joined import select
from mixvae.data.cells.matrices import CellMatrix, MatrixOnDisk
from mixvae.data.cells.preparation import Preparation
from mixvae.data.cells.source import RAW, AnnDataSource, CellSource, X
from mixvae.data.files.anndata_files import check_unchanged, short_names, state_of
from mixvae.evaluation.annotation import Annotation, denoised, describe, join
from mixvae.files import read_json, replacing
from mixvae.modules.cpl_mixvae import CplMixVAE
from mixvae.modules.mixture import AbstractMixture
from mixvae.objectives.relaxation import most_probable
from mixvae.runs.annotation_extras import DECODED, Extras, Rows
from mixvae.runs.opening import TrainedRun, open_trained
from mixvae.runs.recording import listening, shown
from mixvae.runs.reviewing import doubts

logger = logging.getLogger("mixvae")


def annotate_file(request: AnnotateRequest) -> None:
    """Annotate each file into another one, which is otherwise the same."""
    files = [CellFile(path, request.modality) for path in request.path]
    outs = outputs_of(files, request.out)
    for file, out in zip(files, outs, strict=True):
        check_output(file, out, request.overwrite)
    with listening([]):
        annotator = open_annotator(request)
        for file, out, short in zip(files, outs, short_names(request.path), strict=True):
            found = _annotate_file(annotator, file, out, request, short)
            print(f"annotated      {shown(out.absolute())}: {found}")


def _annotate_file(
    annotator: Annotator, file: CellFile, out: Path, options: AnnotateOptions, short: str
) -> str:
    """Annotate one file of this short name, and tell its cells and categories."""
    with file.open() as source, replacing(out) as temporary:
        source.file = short
        state = state_of(file.path)
        draft = Draft.begin(file, source, temporary)
        rows = None if draft.place is None else draft.rows
        annotator.annotate(draft.adata, options, source, rows)
        check_unchanged(file.path, state)
        draft.finish()
    number = len(draft.adata.obs["mixvae_category"].cat.categories)
    return f"{len(source.cells)} cells, {number} categories"


def annotated_copy(adata: Any, options: AnnotateOptions) -> Any:
    """Return an annotated copy of an AnnData object in memory."""
    annotator = open_annotator(options)
    if not hasattr(adata, "obsm"):
        raise ValueError(f"a run on cells takes an AnnData object, got {type(adata).__name__}")
    if adata.isbacked:
        raise ValueError("the AnnData object is backed by a file; read it first: .to_memory()")
    copy = adata.copy()
    annotator.annotate(copy, options)
    return copy


@dataclass
class Annotator:
    """A run trained on cells, ready to annotate others."""

    run: TrainedRun
    preparation: Preparation
    model: MixtureModel
    covariates: CellCovariates

    def _covariates(self, source: CellSource, batch: str | None) -> Tensor | None:
        """Covariates of all cells, (N, V), where the run has some."""
        if not self.covariates.columns or not isinstance(self.model, CplMixVAE):
            if batch is not None:
                raise ValueError(f"batch is {batch!r}, but the run corrects for no batches")
            return None
        return torch.from_numpy(self.covariates.encode(source, batch))

    def annotate(
        self,
        adata: Any,
        options: AnnotateOptions,
        source: CellSource | None = None,
        rows: Rows | None = None,
    ) -> None:
        """Annotate an AnnData object in place, by the expression of `source` if it has none.

        `rows` makes matrices of all cells in a file; None: they are in the object.
        """
        source = source or AnnDataSource(adata)
        matrix = _choose_matrix(source, self.preparation, options)
        if self.preparation.library:
            matrix = select(matrix, self.preparation.library)
        adapted = self.preparation.adapt(matrix, options.max_missing, options.target_sum)
        values = self._covariates(source, options.batch)
        shape = matrix.shape[0], len(self.preparation.genes)
        extras = Extras(self.model, options.add, shape, rows)
        batches = adapted.batches(matrix, options.batch_size)
        counts = extras.counts(adapted, matrix, options.batch_size)
        kept = np.flatnonzero(self.model.category_mask.cpu().numpy())
        if doubted := doubts(self.run.folder):
            told = "run %s is not to be relied on: %s"
            logger.warning(told, shown(self.run.folder.path), doubted)
        pairs = zip(batches, counts or repeat(None), strict=False)
        annotation, latent = _infer(self.model, pairs, options.agent, values, extras)
        _add(adata, annotation, latent, kept)
        adata.uns["mixvae"] = {
            **_describe_run(self.run),
            "num_categories": self.model.num_categories,
            "model_order": len(kept),
            "kept_categories": kept,
            "agent": options.agent,
            "genes": np.array(self.preparation.genes, dtype=object),
            "missing_genes": np.array(adapted.missing, dtype=object),
            "input_kind": adapted.kind,
            "unit": self.preparation.unit,
        }
        extras.write(adata, kept)


def open_annotator(options: AnnotateOptions) -> Annotator:
    """Open a run trained on cells; its training data are not needed."""
    run = open_trained(options)
    preparation = Preparation.find(run.content)
    if preparation is None:
        raise ValueError(
            f"run {shown(run.folder.path)} was trained on {run.data_name}, not on cells; annotate"
            " with a run of data=cells"
        )
    genes = preparation.genes
    covariates = CellCovariates.find(run.content)
    named: dict[str, Any] = {"feature_names": genes, "covariates": covariates.names}
    spec = DataSpec("cells", (len(genes),), target_sum=preparation.target_sum, **named)
    model = run.load_model(spec)
    if not isinstance(model, MixtureModel):
        raise ValueError(
            f"the run's model is {type(model).__name__}, which has no categories; annotate with a"
            " run of model=cpl_mixvae"
        )
    if options.agent not in range(model.num_agents):
        raise ValueError(f"agent is {options.agent}; it must be 0 to {model.num_agents - 1}")
    return Annotator(run, preparation, model, covariates)


def _choose_matrix(
    source: CellSource, preparation: Preparation, options: AnnotateOptions
) -> CellMatrix:
    """Return the matrix of this name or, without one, the run's; X where that is missing."""
    check_unique(source.cells, "cell")
    layer = options.layer
    if layer is None:
        layer = preparation.layer or X
        if source.find(layer) is None and source.find(X) is not None:
            # A file without raw keeps the same values in X; values of another kind are refused.
            if layer != RAW:
                logger.warning(
                    "matrix %s, which the run was trained on, is missing: using X", layer
                )
            layer = X
    found = source.find(layer)
    if options.gene_names is not None:
        source.gene_names = options.gene_names
    elif found is not None:
        source.name_genes_as(preparation.genes, found)
    matrix = source.matrix(layer)
    if isinstance(matrix, MatrixOnDisk) and matrix.kind == "csc_matrix":
        matrix = matrix.in_memory()  # which is read whole for any of its rows
    for note in source.notes:
        logger.info("%s: %s", source.name, note)
    better = "" if preparation.unit == "scaled" else source.better_than_scaled(matrix.layer)
    if better:
        raise ValueError(
            f"{matrix.name} holds {MEANING['scaled']}, but the run was trained on"
            f" {MEANING[preparation.unit]}; {better}"
        )
    return matrix


def _infer(
    model: MixtureModel,
    batches: Iterable[tuple[Tensor, Tensor | None]],
    agent: int,
    covariates: Tensor | None,
    extras: Extras,
) -> tuple[Annotation, NDArray[np.float32]]:
    """Annotate cells; and an embedding, by components where the encoders see those."""
    assert isinstance(model, LightningModule)
    parts: list[Annotation] = []
    places: list[list[NDArray[np.float32]]] = []
    start = 0
    with torch.inference_mode():
        for batch, counts in batches:
            rows = slice(start, start := start + len(batch))
            x = batch.to(model.device)
            beside = None if covariates is None else covariates[rows].to(model.device)
            with model.agents.given(beside) if isinstance(model, CplMixVAE) else nullcontext():
                found = model.infer(x)
                parts.append(describe(found, agent))
                target = x if counts is None else counts.to(model.device)
                extras.update(rows, target, found, parts[-1].consensus)
                if isinstance(model, AbstractMixture) and model.agents.in_noise_units:
                    places.append(_places(model, x, found))
    annotation = join(parts)
    if not places:
        return annotation, annotation.latent
    return annotation, denoised(*map(np.concatenate, zip(*places, strict=True)))


def _places(
    model: AbstractMixture, x: Tensor, found: MixturePosterior
) -> list[NDArray[np.float32]]:
    """Components of x, shape (B, G), and of its reconstruction, the agents' mean: both (B, C)."""
    decoded = model.decode(most_probable(found.probs), found.state_mean)
    places = model.agents.seen(x), model.agents.seen(decoded).mean(dim=0)
    return [place.float().cpu().numpy() for place in places]


def _add(
    adata: Any,
    annotation: Annotation,
    latent: NDArray[np.float32],
    kept: NDArray[np.int64],
) -> None:
    """Write the columns in place of an earlier annotation's."""
    for name in [name for name in adata.obs if WRITTEN.fullmatch(str(name))]:
        del adata.obs[name]
    adata.obs["mixvae_category"] = _categorical(annotation.consensus)
    for agent, category in enumerate(annotation.category):
        adata.obs[f"mixvae_agent{agent}"] = _categorical(category)
    adata.obs["mixvae_probability"] = annotation.probability
    adata.obs["mixvae_agreement"] = annotation.agreement
    adata.obs["mixvae_entropy"] = annotation.entropy
    adata.obsm["X_mixvae_category"] = annotation.probs
    adata.obsm["X_mixvae_latent"] = latent
    # scanpy draws at least two columns; a single state has one.
    adata.obsm["X_mixvae_plane"] = annotation.plane(kept)
    for name in ("X_mixvae_state", DECODED):
        adata.obsm.pop(name, None)
    if annotation.state.shape[1] > 0:
        adata.obsm["X_mixvae_state"] = annotation.state
    # Colours that scanpy chose for other categories.
    for name in [name for name in adata.uns if WRITTEN.fullmatch(str(name))]:
        del adata.uns[name]


def _categorical(category: NDArray[np.int64]) -> Any:
    """Return the categories as text, ordered by number, so that scanpy colours them."""
    import pandas

    used = [str(number) for number in np.unique(category)]
    return pandas.Categorical(category.astype(str), categories=used)


def _describe_run(run: TrainedRun) -> dict[str, Any]:
    """Return where the annotation comes from, in types that an .h5ad holds."""
    provenance = run.folder.read_provenance()
    # Written by pruning; its table of rounds is left out.
    selection = {
        name: value
        for name, value in read_json(run.folder.path / "model_order.json").items()
        if isinstance(value, bool | int | float | str)
    }
    return {
        "run": str(run.folder.path),
        "checkpoint": run.checkpoint_name,
        "version": __version__,
        "run_version": str(provenance.get("mixvae") or ""),
        "review": str(read_json(run.folder.review).get("verdict") or ""),
        "git_commit": str(provenance.get("git_commit") or ""),
        **({"model_order_selection": selection} if selection else {}),
    }
