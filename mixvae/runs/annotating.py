"""Puts what a run says of cells into AnnData, from a file to a file or in memory."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor

from mixvae import __version__
from mixvae.cli.annotate_request import AnnotateRequest
from mixvae.contracts import DataSpec, MixtureModel
from mixvae.data.cell_files import check_free_path, read_cells
from mixvae.data.cell_matrices import CellMatrix
from mixvae.data.cell_source import RAW, AnnDataSource, X
from mixvae.data.preparation import Preparation
from mixvae.engine.checkpoint_io import load_checkpoint
from mixvae.evaluation.annotation import Annotation, describe, join
from mixvae.files import replacing
from mixvae.runs.build import quieten_lightning
from mixvae.runs.folder import RunFolder
from mixvae.runs.opening import choose_checkpoint, load_model
from mixvae.runs.recording import listening, shown
from mixvae.runs.resume import open_run

# Columns that an annotation writes, and the colours that scanpy keeps of them.
WRITTEN = re.compile(r"mixvae_(category|agent\d+|probability|agreement|entropy)(_colors)?")

logger = logging.getLogger("mixvae")


def annotate(request: AnnotateRequest) -> None:
    """Annotate a file into another one.

    Args:
        request: What to annotate with what, with both files.

    Raises:
        OSError: If a file or folder is missing or cannot be written.
        ValueError: If the run is not one of cells, the file is no AnnData, or they do not fit.
    """
    path, out = request.path, request.out
    assert path is not None
    assert out is not None
    if out.suffix != ".h5ad":
        raise ValueError(f"out={out} must be called .h5ad")
    if out.exists() and path.exists() and out.samefile(path):
        raise ValueError(f"out={out} is the input itself, which is never written; name another")
    check_free_path(out, request.overwrite)
    with listening([]):
        annotator = open_annotator(request)
        adata = read_cells(path)
        annotator.annotate(adata, request)
    with replacing(out) as temporary:
        adata.write_h5ad(temporary)
    names = adata.obs["mixvae_category"].cat.categories
    print(f"annotated      {shown(out.absolute())}: {adata.n_obs} cells, {len(names)} categories")


def annotated_copy(adata: Any, request: AnnotateRequest) -> Any:
    """Annotate a copy of an AnnData object.

    Args:
        adata: Cells, in memory; they are not changed.
        request: What to annotate them with.

    Returns:
        The copy.

    Raises:
        OSError: If there is no such run or checkpoint.
        ValueError: If the run is not one of cells, or the cells do not fit it.
    """
    if not hasattr(adata, "obsm"):
        raise ValueError(f"annotate takes an AnnData object, got {type(adata).__name__}")
    if adata.isbacked:
        raise ValueError("the AnnData object is backed by a file; read it first: .to_memory()")
    annotator, copy = open_annotator(request), adata.copy()
    annotator.annotate(copy, request)
    return copy


@dataclass
class Annotator:
    """A run of cells, ready to annotate others.

    Attributes:
        folder: Its folder.
        checkpoint: The checkpoint that is used.
        preparation: How its cells were prepared.
        model: Its model, in evaluation mode.
    """

    folder: RunFolder
    checkpoint: Path
    preparation: Preparation
    model: MixtureModel

    def annotate(self, adata: Any, request: AnnotateRequest) -> None:
        """Annotate an AnnData object in place.

        Args:
            adata: Cells.
            request: How.

        Raises:
            ValueError: If the cells do not fit the run.
        """
        matrix = _choose_matrix(adata, self.preparation, request)
        adapted = self.preparation.adapt(matrix, request.max_missing, request.target_sum)
        batches = adapted.batches(matrix, request.batch_size)
        kept = np.flatnonzero(self.model.category_mask.cpu().numpy())
        _add(adata, _infer(self.model, batches, request.agent), kept)
        adata.uns["mixvae"] = {
            **_describe_run(self),
            "agent": request.agent,
            "genes": np.array(self.preparation.genes, dtype=object),
            "missing_genes": np.array(adapted.missing, dtype=object),
            "input_kind": adapted.kind,
            "unit": self.preparation.unit,
        }


def open_annotator(request: AnnotateRequest) -> Annotator:
    """Open the run that a request names.

    Args:
        request: The request.

    Returns:
        The run with its model; its training data are not needed.

    Raises:
        OSError: If there is no such run or checkpoint.
        ValueError: If the run is not one of cells, or has no such agent.
    """
    quieten_lightning()
    folder = RunFolder(request.run.expanduser().absolute())
    cfg = open_run(folder)
    path = choose_checkpoint(folder, request.checkpoint)
    content = load_checkpoint(path)
    preparation = Preparation.find(content)
    if preparation is None:
        data = str(cfg.data.get("_target_", "")).rsplit(".", 1)[-1]
        raise ValueError(
            f"run {shown(folder.path)} was trained on {data}, not on cells; annotate with a run"
            " of data=cells"
        )
    model = _load(cfg, content, preparation, path)
    if request.agent not in range(model.num_agents):
        raise ValueError(
            f"agent is {request.agent}, but the agents are numbered from 0 to"
            f" {model.num_agents - 1}"
        )
    return Annotator(folder, path, preparation, model)


def _load(
    cfg: DictConfig, content: dict[str, Any], preparation: Preparation, path: Path
) -> MixtureModel:
    """Open the run's model, and refuse one that has no categories."""
    genes = preparation.genes
    spec = DataSpec(name="cells", shape=(len(genes),), feature_names=genes)
    model = load_model(cfg, content, spec, path)
    if not isinstance(model, MixtureModel):
        raise ValueError(
            f"the run's model is {type(model).__name__}, which has no categories; annotate with a"
            " run of model=cpl_mixvae"
        )
    return model


def _choose_matrix(adata: Any, preparation: Preparation, request: AnnotateRequest) -> CellMatrix:
    """The matrix that the request names, or the one that the run was trained on, or X."""
    source, layer = AnnDataSource(adata), request.layer
    if layer is None:
        layer = preparation.layer or X
        if layer not in source.layers and X in source.layers:
            # Without raw, X is what others keep there; values of another kind are refused.
            if layer != RAW:
                logger.warning("the run was trained on %s, which is missing; X is read", layer)
            layer = X
    return source.matrix(layer)


def _infer(model: MixtureModel, batches: Iterator[Tensor], agent: int) -> Annotation:
    assert isinstance(model, LightningModule)
    with torch.inference_mode():
        return join([describe(model.infer(x.to(model.device)), agent) for x in batches])


def _add(adata: Any, annotation: Annotation, kept: NDArray[np.int64]) -> None:
    """Write the columns; what an earlier annotation wrote goes."""
    for name in [name for name in adata.obs if WRITTEN.fullmatch(str(name))]:
        del adata.obs[name]
    adata.obs["mixvae_category"] = _categorical(annotation.consensus)
    for agent, category in enumerate(annotation.category):
        adata.obs[f"mixvae_agent{agent}"] = _categorical(category)
    adata.obs["mixvae_probability"] = annotation.probability
    adata.obs["mixvae_agreement"] = annotation.agreement
    adata.obs["mixvae_entropy"] = annotation.entropy
    adata.obsm["X_mixvae_category"] = annotation.probs
    adata.obsm["X_mixvae_latent"] = annotation.latent
    # scanpy draws two columns at least, and a single state has one.
    adata.obsm["X_mixvae_plane"] = annotation.plane(kept)
    adata.obsm.pop("X_mixvae_state", None)
    if annotation.state.shape[1] > 0:
        adata.obsm["X_mixvae_state"] = annotation.state
    # Colours that scanpy gave to other categories.
    for name in [name for name in adata.uns if WRITTEN.fullmatch(str(name))]:
        del adata.uns[name]


def _categorical(category: NDArray[np.int64]) -> Any:
    """Categories in use as words, in the order of their numbers, so that scanpy colours them."""
    import pandas

    used = [str(number) for number in np.unique(category)]
    return pandas.Categorical(category.astype(str), categories=used)


def _describe_run(annotator: Annotator) -> dict[str, Any]:
    """Say where the annotation comes from, in types that an .h5ad holds."""
    folder, model = annotator.folder, annotator.model
    provenance = folder.read_provenance()
    kept = np.flatnonzero(model.category_mask.cpu().numpy())
    selection = _read_selection(folder.path / "model_order.json")
    return {
        "run": str(folder.path),
        "checkpoint": annotator.checkpoint.relative_to(folder.path).as_posix(),
        "version": __version__,
        "run_version": str(provenance.get("mixvae") or ""),
        "git_commit": str(provenance.get("git_commit") or ""),
        "num_categories": model.num_categories,
        "model_order": len(kept),
        "kept_categories": kept,
        **({"model_order_selection": selection} if selection else {}),
    }


def _read_selection(path: Path) -> dict[str, Any]:
    """The plain values of a pruning run's manifest; none where there was no pruning."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    items = content.items() if isinstance(content, dict) else ()
    return {name: value for name, value in items if isinstance(value, bool | int | float | str)}
