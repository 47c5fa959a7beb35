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
from mixvae.data.array_files import read_array
from mixvae.data.cell_files import check_free_path
from mixvae.data.multimodal_state import MultimodalState
from mixvae.data.pairing import check_no_empty_event, present_rows
from mixvae.files import replacing
from mixvae.messages import warn
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
        arrays = {name: read_array(file) for name, file in request.files.items()}
        result = imputer.impute(arrays, request)
    with replacing(out) as temporary:
        # By its types, any of the names could be numpy's own `allow_pickle`.
        np.savez_compressed(temporary, **result)  # type: ignore[arg-type]
    missing = {name: int(result[f"{name}/missing"].sum()) for name in imputer.names}
    counts = ", ".join(f"{name} {count}" for name, count in missing.items() if count)
    print(f"imputed        {shown(out.absolute())}: {counts or 'nothing was missing'}")


@dataclass
class Imputer:
    """A run trained on several modalities, ready to impute other events."""

    state: MultimodalState
    model: LightningModule

    @property
    def names(self) -> list[str]:
        """Names of the modalities."""
        return [item.name for item in self.state.modalities]

    def impute(self, arrays: Mapping[str, NDArray[Any]], options: ImputeOptions) -> Arrays:
        """Return the arrays that `impute_files` would write, by name.

        Args:
            arrays: Array of each modality by name, shape (N, *shape_m).
        """
        samples, present = self._prepared(arrays)
        used = present
        if options.source is not None:
            used = present & (np.array(self.names) == options.source)
            lost = int((~used.any(axis=1)).sum())
            if lost:
                warn(f"source={options.source} is missing in {lost} events: nothing is imputed")
        parts = []
        for begin in range(0, len(present), options.batch_size):
            rows = slice(begin, begin + options.batch_size)
            parts.append(self._batch([x[rows] for x in samples], present[rows], used[rows]))
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for m, name in enumerate(self.names):
            filled = whole[f"{name}/filled"]
            if name in self.state.scales:
                filled = self.state.scales[name].undo(filled)
            if name in arrays:
                filled[present[:, m]] = arrays[name][present[:, m]]  # as given, to the last bit
            whole[f"{name}/filled"] = filled
            whole[f"{name}/missing"] = ~present[:, m]
        return whole

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
            array = np.array(given, dtype=np.float32)
            here = present_rows(modality.name, array)
            array[~here] = 0.0
            if modality.name in self.state.scales:
                array = self.state.scales[modality.name].apply(array)
                array[~here] = 0.0
            samples.append(array)
            present.append(here)
        table = np.stack(present, axis=1)
        check_no_empty_event(table)
        return samples, table

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
        posterior = model.infer(x, here)
        blank = ~used.any(axis=1)
        result = _latents(posterior, self.names, present)
        for name, decoded in zip(self.names, model.impute(x, sources), strict=True):
            filled = decoded.float().cpu().numpy()
            filled[blank] = np.nan
            result[f"{name}/filled"] = filled
        return result


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
    imputer = Imputer(state, run.load_model(spec))
    if options.source is not None and options.source not in imputer.names:
        raise ValueError(f"source is {options.source!r}{suggestion(options.source, imputer.names)}")
    return imputer


def _check(arrays: Mapping[str, NDArray[Any]], state: MultimodalState) -> int:
    """Check that the arrays fit the run and each other; return the number of events."""
    shapes = {item.name: tuple(item.shape) for item in state.modalities}
    for name, array in arrays.items():
        if name not in shapes:
            raise ValueError(f"the run has no modality {name!r}{suggestion(name, shapes)}")
        if array.shape[1:] != shapes[name] or len(array) == 0:
            wanted = ", ".join(map(str, ("N", *shapes[name])))
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
