"""A run in Python: its records, its model, and what can be done with it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from functools import cached_property
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from omegaconf import DictConfig

from mixvae.api.giving import given_lines, names_in
from mixvae.api.isolation import undisturbed
from mixvae.api.using import Embedding, draw_samples, embed_data
from mixvae.cli.command import Command
from mixvae.cli.compose import compose_jobs
from mixvae.cli.overrides import quoted
from mixvae.cli.run_requests import AnnotateOptions, EvaluateRequest, ImputeOptions, RunRequest
from mixvae.cli.schema import Checkpoint
from mixvae.data.files.given import giving, name_of
from mixvae.files import KEYS, read_metrics
from mixvae.runs.annotating import annotated_copy
from mixvae.runs.evaluating import evaluate
from mixvae.runs.folder import RunFolder
from mixvae.runs.imputing import open_imputer
from mixvae.runs.jobs import run_job
from mixvae.runs.opening import open_trained
from mixvae.runs.resume import open_run as open_config


class Picture:
    """A PNG file, which a notebook shows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Picture({str(self.path)!r})"

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()


class Figures(Mapping[str, Picture]):
    """The figures of a run by name; files are read when they are shown.

    A notebook shows all of them, or one: `run.figures["learning_curves"]`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Picture:
        path = self.folder / f"{name}.png"
        if not path.is_file():
            raise KeyError(f"{name}; the figures are {', '.join(self) or 'none'}")
        return Picture(path)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem for path in self.folder.glob("*.png")))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Figures of {self.folder}: {', '.join(self) or 'none'}"

    def _repr_html_(self) -> str:
        return "\n".join(
            f"<figure><figcaption>{escape(name)}</figcaption>"
            f'<img alt="{escape(name)}" style="max-width: 100%" src="data:image/png;base64,'
            f'{base64.b64encode(picture.path.read_bytes()).decode()}"/></figure>'
            for name, picture in self.items()
        )


class Run:
    """A run and its folder, as `mixvae.train` and `mixvae.open_run` return it.

    Its files are read when they are asked for, so that a run that still trains can be watched.

    Attributes:
        folder: The run's folder, absolute.
    """

    def __init__(self, folder: Path, objects: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self._objects = dict(objects or {})

    def __fspath__(self) -> str:
        """The folder: a run stands for its path, as `run=` of `annotate` and `impute`."""
        return str(self.folder)

    @property
    def config(self) -> DictConfig:
        """The whole config: `run.config.model.num_agents`."""
        return open_config(RunFolder(self.folder))

    @property
    def summary(self) -> dict[str, Any]:
        """Status and final values."""
        return RunFolder(self.folder).read_summary()

    @property
    def metrics(self) -> Any:
        """Metrics of training and validation as a DataFrame: a row for each epoch, from 0.

        NaN where one was not logged; those of the test are in the summary.
        """
        import pandas

        rows = [
            {name: int(value) if name in KEYS else float(value) for name, value in row.items()}
            for row in read_metrics(RunFolder(self.folder).metrics)
        ]
        names = list(dict.fromkeys(name for row in rows for name in row))
        kept = [name for name in names if not name.startswith("test/")] or [*KEYS]
        table = pandas.DataFrame(rows, columns=kept).groupby("epoch", as_index=False).last()
        return table.dropna(how="all", subset=[name for name in kept if name not in KEYS])

    @property
    def figures(self) -> Figures:
        """The figures by name; a notebook shows them."""
        return Figures(RunFolder(self.folder).figures)

    @cached_property
    def model(self) -> LightningModule:
        """The trained model in evaluation mode, with the weights that were tested."""
        with undisturbed():
            run = open_trained(RunRequest(run=self.folder))
            return run.load_model(run.spec)

    def evaluate(
        self,
        *overrides: str,
        data: Any = None,
        labels: Any = None,
        checkpoint: Checkpoint | None = None,
        name: str | None = None,
    ) -> dict[str, float]:
        """Test the run again, on its own data or on others, and draw the figures.

        Args:
            *overrides: Of data, data_root and trainer, as for `python -m mixvae.evaluate`.
            data: Other data, as `mixvae.train` takes them; results go to `evaluations/<name>`.
            name: Name of that folder.

        Returns:
            The metrics by name.
        """
        with undisturbed():
            lines, objects = list(overrides), self._unchanged()
            if data is not None:
                more, given = given_lines(self.config, data, labels)
                lines, objects = [*lines, *more], {**objects, **given}
                name = name or next((key.partition(":")[2] for key in given), None)
            elif labels is not None:
                raise ValueError("labels are given without data; give both")
            with giving(objects):
                request = EvaluateRequest(
                    run=self.folder, checkpoint=checkpoint, name=name, overrides=lines
                )
                return evaluate(request)

    def annotate(self, adata: Any, **options: Any) -> Any:
        """Return a copy of an AnnData object with the categories and states in it.

        Args:
            **options: `checkpoint`, `agent`, `layer`, `target_sum`, `max_missing`, `batch_size`
                and `add` as for `python -m mixvae.annotate`.
        """
        with undisturbed():
            return annotated_copy(adata, AnnotateOptions(run=self.folder, **options))

    def impute(self, arrays: Mapping[str, Any], **options: Any) -> dict[str, NDArray[Any]]:
        """Impute the missing modalities of events; see `mixvae.impute.impute`."""
        with undisturbed():
            request = ImputeOptions(run=self.folder, **options)
            return open_imputer(request).impute(arrays, request)

    def embed(self, data: Any, *, batch_size: int = 1000) -> Embedding:
        """Infer categories and latents of data in memory, as `mixvae.train` takes them."""
        with undisturbed():
            return embed_data(self.folder, data, batch_size)

    def sample(self, n: int = 16, *, seed: int = 0, category: int | None = None) -> Any:
        """Draw samples from the prior and decode them, in the unit of the data.

        MMVM has no prior of its own: there the draws are from a mixture of Gaussians, which the
        test fitted to the latents of training events.

        Args:
            n: Number of samples.
            category: A category of a mixture model, from 0; None draws among those kept.

        Returns:
            Means of p(x|z), shape (n, *shape); of several modalities an array of each by name.

        Raises:
            ValueError: If the model has no decoder or no prior to draw from.
        """
        with undisturbed():
            return draw_samples(self.folder, n, seed, category)

    def resume(self, max_epochs: int | None = None, *, data: Any = None, labels: Any = None) -> Run:
        """Continue a stopped run, or train a finished one longer.

        Args:
            max_epochs: Train up to so many epochs; None as many as it was to have.
            data: The data that the run was trained on, if they were given from Python and the run
                was opened from its folder.
        """
        lines = [f"resume={quoted(str(self.folder))}"]
        if max_epochs is not None:
            lines.append(f"trainer.max_epochs={max_epochs}")
        with undisturbed():
            cfg, objects = self.config, self._unchanged()
            if data is not None:
                _, objects = given_lines(cfg, data, labels)
            wanted = names_in(cfg)
            if data is not None and wanted - objects.keys():
                raise ValueError(
                    f"the run was trained on {', '.join(sorted(wanted))}; given are"
                    f" {', '.join(sorted(objects)) or 'files'}: give the data that it was begun"
                    " with"
                )
            with giving(objects):
                (job,) = compose_jobs(Command(lines))
                run_job(job.cfg, job.overrides)
        return Run(self.folder, objects)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {RunFolder(self.folder).status})"

    def _repr_html_(self) -> str:
        shown = {
            name: f"{value:.4f}" if isinstance(value, float) else str(value)
            for name, value in self.summary.items()
            if name in ("status", "epochs", "seconds") or name.startswith("test/")
        }
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>"
            for name, text in shown.items()
        )
        return f"<p>Run {escape(str(self.folder))}</p><table>{rows}</table>"

    def _unchanged(self) -> dict[str, Any]:
        """The objects that the run was given, refused if they were changed since."""
        for name, value in self._objects.items():
            if name_of(value) != name:
                raise ValueError(
                    f"the data that the run was trained on ({name}) have been changed in memory"
                    " since; give data=..., unchanged"
                )
        return self._objects


def open_run(folder: str | PathLike[str]) -> Run:
    """Open the folder of a run, whether Python or the command line made it."""
    path = Path(folder).expanduser().absolute()
    open_config(RunFolder(path))  # refuses a folder without a run
    return Run(path)
