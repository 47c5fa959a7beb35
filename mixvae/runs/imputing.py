"""Imputes the missing modalities of events by a trained model, in memory or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray

from mixvae.cli.run_requests import ImputeOptions, ImputeRequest
from mixvae.contracts import MultimodalModel, MultimodalPosterior, MultimodalSpec
from mixvae.data.files.anndata_files import check_free_path
from mixvae.data.modalities.alignment import read_aligned
from mixvae.data.modalities.base import MultimodalState
from mixvae.data.modalities.given_modalities import check_same_index
from mixvae.data.modalities.modality_arrays import gap_filling, in_memory
from mixvae.data.modalities.pairing import find_missing
from mixvae.data.modalities.resident import one_hot
from mixvae.files import replacing
from mixvae.messages import warn
from mixvae.modules.modality_checks import check_rows
from mixvae.runs.given_arrays import GivenArray
from mixvae.runs.opening import open_trained
from mixvae.runs.recording import listening, shown
from mixvae.suggestions import suggestion

Arrays = dict[str, NDArray[Any]]


def impute_files(request: ImputeRequest) -> None:
    """Impute files into a file."""
    out = request.out
    check_free_path(out, request.overwrite)
    for name, file in request.files.items():
        if Path(file).exists() and out.exists() and out.samefile(file):
            raise ValueError(f"out={out} is the file of {name}, which is never written")
    with listening([]):
        imputer = open_imputer(request)
        arrays = read_aligned(request.files, imputer.id_column)
        result = imputer.impute(arrays, request)
    if arrays.ids is not None:
        result["ids"] = np.array(arrays.ids)
    with replacing(out) as temporary:
        np.savez_compressed(temporary, **result)
    missing = np.stack([result[f"{name}/missing"] for name in imputer.names])
    imputed = (missing & ~missing.all(axis=0)).sum(axis=1)
    counts = [f"{name} {n}" for name, n in zip(imputer.names, imputed, strict=True) if n]
    told = ", ".join(counts) or ("nothing" if missing.any() else "nothing was missing")
    print(f"imputed        {shown(out.absolute())}: {told}")


@dataclass
class Imputer:
    """A run trained on several modalities, ready to impute other events.

    Attributes:
        id_column: The run's `data.id_column`, which names rows of tables.
    """

    state: MultimodalState
    model: LightningModule
    id_column: str | None = None

    @property
    def names(self) -> list[str]:
        """Names of the modalities."""
        return [item.name for item in self.state.modalities]

    def impute(self, arrays: Mapping[str, Any], options: ImputeOptions) -> dict[str, Any]:
        """Return the arrays that `impute_files` would write, by name.

        What was given of a modality comes back in `<m>/filled` to the last bit, in its type.

        Args:
            arrays: Array of each modality by name, shape (N, *shape_m): numpy, PyTorch, a data
                frame or a list; texts as one for each event.
        """
        if not isinstance(arrays, Mapping):
            raise ValueError(
                f"the events are a {type(arrays).__name__}; give a dict of arrays by modality, such"
                f" as {{{self.names[0]!r}: array}}"
            )
        arrays = {str(name): array for name, array in arrays.items()}
        check_same_index(arrays)
        given = {name: GivenArray.of(name, array) for name, array in arrays.items()}
        samples, present = self._prepared({name: one.values for name, one in given.items()})
        used = present
        if options.source is not None:
            used = present & (np.array(self.names) == options.source)
        lost = np.flatnonzero(~used.any(axis=1))
        if len(lost):
            which = "every modality" if options.source is None else f"source={options.source}"
            warn(
                f"{which} is missing in {len(lost)} events: nothing is imputed there (row"
                f" {lost[0]}, counted from 0, is one)"
            )
        parts = []
        for begin in range(0, len(present), options.batch_size):
            rows = slice(begin, begin + options.batch_size)
            parts.append(self._batch([x[rows] for x in samples], present[rows], used[rows]))
        whole: dict[str, Any] = {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }
        for m, name in enumerate(self.names):
            filled = self._in_file_s_unit(name, whole[f"{name}/filled"])
            filled = self.state.form(name).decoded(filled)
            _mark_lost(filled, lost)
            if name in given:
                filled = given[name].restored(_kept(given[name].values, filled, present[:, m]))
            whole[f"{name}/filled"] = filled
            whole[f"{name}/missing"] = ~present[:, m]
        return whole

    def _in_file_s_unit(self, name: str, decoded: NDArray[Any]) -> NDArray[Any]:
        """Decoded samples in the unit of the file."""
        form = self.state.form(name)
        if name in self.state.scales:
            return self.state.scales[name].undo(decoded)
        return decoded if form.unit == 1.0 else decoded * np.float32(form.unit)

    def _prepared(
        self, arrays: Mapping[str, NDArray[Any]]
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.bool_]]:
        """Return the networks' input, 0 where missing, and a table of present samples, (N, M)."""
        num_events = _check(arrays, self.state)
        samples, present = [], []
        for modality in self.state.modalities:
            given = arrays.get(modality.name)
            if given is None:
                # Takes no memory: every event reads the same zero.
                zero = np.zeros((), dtype=np.float32)
                samples.append(np.broadcast_to(zero, (num_events, *modality.shape)))
                present.append(np.zeros(num_events, dtype=bool))
                continue
            form = self.state.form(modality.name)
            self.state.check_unit(modality.name, given)
            array = form.encoded(modality.name, given)
            are_tokens = form.num_tokens > 0
            here = find_missing(modality.name, array, are_tokens=are_tokens).present
            samples.append(self._network_input(modality.name, array, here))
            present.append(here)
        return samples, np.stack(present, axis=1)

    def _network_input(
        self, name: str, array: NDArray[Any], here: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Samples as in training: one-hot or standardised, gaps at the training mean."""
        form = self.state.form(name)
        if form.num_tokens:
            return one_hot(torch.from_numpy(array), form.num_tokens).numpy()
        fill = self.state.centres.get(name) if array.dtype.kind == "f" else None
        if fill is not None:
            fill = gap_filling(fill, array)
        return in_memory(array, here, self.state.scales.get(name), form.unit, fill)

    @torch.inference_mode()
    def _batch(
        self,
        samples: list[NDArray[np.float32]],
        present: NDArray[np.bool_],
        used: NDArray[np.bool_],
    ) -> Arrays:
        """Return the latents of the present samples, and every modality decoded from those used."""
        model, device = self.model, self.model.device
        assert isinstance(model, MultimodalModel)
        x = [torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in samples]
        here, sources = (torch.from_numpy(table).to(device) for table in (present, used))
        families = getattr(model, "likelihoods", ())  # a model of the user's may have none
        for m, (modality, family) in enumerate(zip(self.state.modalities, families, strict=False)):
            check_rows(modality, family, x[m], here[:, m])
        posterior = model.infer(x, here)
        blank = ~used.any(axis=1)
        result = _latents(posterior, self.names, present)
        for name, decoded in zip(self.names, model.impute(x, sources), strict=True):
            filled = decoded.float().cpu().numpy()
            filled[blank] = np.nan
            result[f"{name}/filled"] = filled
        return result


def _mark_lost(filled: NDArray[Any], lost: NDArray[np.int64]) -> None:
    """Mark events of which nothing is known: NaN, -1 of tokens, or an empty text."""
    filled[lost] = {"U": "", "i": -1}.get(filled.dtype.kind, np.nan)


def _kept(given: NDArray[Any], filled: NDArray[Any], present: NDArray[np.bool_]) -> NDArray[Any]:
    """What was given, to the last bit and in its dtype, and imputed values where it was missing."""
    kept = np.array(given)
    if given.dtype.kind == "f":
        hole = np.isnan(given)
        kept[hole] = filled[hole].astype(given.dtype)
    elif given.dtype.kind == "U":
        kept = np.where(present, given, filled)
    elif not present.all():  # padding alone, in tokens
        kept[~present] = filled[~present]
    return kept


def _latents(
    posterior: MultimodalPosterior, names: list[str], present: NDArray[np.bool_]
) -> Arrays:
    result = {}
    for kind, values in (("mean", posterior.mean), ("logvar", posterior.logvar)):
        found = values.float().cpu().numpy()
        for m, name in enumerate(names):
            result[f"{name}/{kind}"] = np.where(present[:, m, None], found[m], np.nan)
    if posterior.joint_mean is not None and posterior.joint_logvar is not None:
        result["joint/mean"] = posterior.joint_mean.float().cpu().numpy()
        result["joint/logvar"] = posterior.joint_logvar.float().cpu().numpy()
    return result


def open_imputer(options: ImputeOptions) -> Imputer:
    """Open a run trained on several modalities; its training data are not needed."""
    run = open_trained(options)
    state = MultimodalState.find(run.content)
    if state is None:
        raise ValueError(
            f"run {shown(run.folder.path)} was trained on {run.data_name}, not on several"
            " modalities; impute with a run of +experiment=multimodal_mmvm"
        )
    spec = MultimodalSpec("multimodal", state.modalities, len(state.classes), state.classes)
    imputer = Imputer(state, run.load_model(spec), run.cfg.data.get("id_column"))
    if options.source is not None and options.source not in imputer.names:
        raise ValueError(f"source is {options.source!r}{suggestion(options.source, imputer.names)}")
    return imputer


def _check(arrays: Mapping[str, NDArray[Any]], state: MultimodalState) -> int:
    """Check that the arrays fit the run and each other; return the number of events."""
    shapes = {item.name: tuple(item.shape) for item in state.modalities}
    for name, array in arrays.items():
        if name not in shapes:
            raise ValueError(f"the run has no modality {name!r}{suggestion(name, shapes)}")
        form = state.form(name)
        form.check(name, array)
        if len(array) == 0 or form.shape(array) != shapes[name]:
            wanted = ", ".join(map(str, ("N", *form.file_shape(shapes[name]))))
            raise ValueError(
                f"the modality {name} has the shape {array.shape}; for this run it must be"
                f" ({wanted}), N above 0"
            )
    sizes = {name: len(array) for name, array in arrays.items()}
    if not sizes:
        raise ValueError(f"no modality is given; give one or more of {', '.join(shapes)}")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(f"the modalities differ in their numbers of rows: {listed}")
    return next(iter(sizes.values()))
