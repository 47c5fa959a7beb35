"""The requests of the commands that use a trained run; their docstrings are the `--help`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_args

from mixvae.cli.errors import UsageError
from mixvae.cli.requests import Overrides
from mixvae.cli.schema import Checkpoint, named_file
from mixvae.suggestions import suggestion

Extra = Literal["decoded", "profiles", "likelihood"]


@dataclass(kw_only=True)
class RunRequest:
    """A run, and which of its checkpoints: by default the one that training tested."""

    run: Path
    checkpoint: Checkpoint | None = None


@dataclass(kw_only=True)
class EvaluateRequest(RunRequest):
    """Test a run again from its folder, and draw its figures: python -m mixvae.evaluate run=FOLDER.

      run=FOLDER          the run; a test on its own data replaces its predictions and figures
      checkpoint=best     best, last or selected; the default is the one that training tested
      data=..., data.k=v  other data: results are written to FOLDER/evaluations/<name>
      name=NAME           name of that folder
      data_root=FOLDER    folder of the data sets
      trainer=cpu         another trainer, such as one without a GPU; the run's other trainer
                          settings are kept, and trainer.key=value changes them
      debug=true          show the full traceback of an error

    Examples:
      python -m mixvae.evaluate run=runs/digits_cpl/2025-01-31_12-00-00
      python -m mixvae.evaluate run=runs/... data.checksum=false data_root=fashion name=fashion
    """

    name: str | None = None
    overrides: Annotated[list[str], Overrides("data", "data_root", "trainer")] = field(
        default_factory=list
    )


@dataclass(kw_only=True)
class ReportRequest:
    """Write report.html, a page that opens without a network: python -m mixvae.report run=FOLDER.

      run=FOLDER          a run, a sweep, a search or a folder of runs; the page is written into
                          it. run=[FOLDER,FOLDER] shows several runs side by side
      out=FILE            the page of run=[...]; the default is comparison.html
      debug=true          show the full traceback of an error

    Examples:
      python -m mixvae.report run=runs/digits_cpl/2025-01-31_12-00-00
      python -m mixvae.report run=multirun/states
      python -m mixvae.report run=[runs/a,runs/b] out=both.html
    """

    run: list[Path]
    out: Path = Path("comparison.html")


@dataclass(kw_only=True)
class AnnotateOptions(RunRequest):
    """How cells are annotated, in memory or in a file; see `AnnotateRequest`."""

    agent: int = 0
    layer: Annotated[str | None, "data.layer"] = None
    gene_names: Annotated[str | None, "data.gene_names"] = None
    target_sum: float | None = None
    max_missing: float = 0.2
    batch: str | None = None
    batch_size: int = 1000
    add: list[Extra] = field(default_factory=list)

    def __post_init__(self) -> None:
        _check_batch_size(self.batch_size)
        if isinstance(self.add, str):
            self.add = [self.add]
        for extra in self.add:
            if extra not in get_args(Extra):
                raise UsageError(f"add is {extra!r}{suggestion(extra, get_args(Extra))}")
        if not 0 <= self.max_missing <= 1:
            raise UsageError(f"max_missing must lie between 0 and 1, got {self.max_missing}")
        if self.target_sum is not None and not 0 < self.target_sum < float("inf"):
            raise UsageError(f"target_sum must be a number above 0, got {self.target_sum}")


@dataclass(kw_only=True)
class AnnotateRequest(AnnotateOptions):
    """Write a run's categories and states into an AnnData file.

    python -m mixvae.annotate run=FOLDER data.path=CELLS.h5ad out=ANNOTATED.h5ad

      run=FOLDER          the run, trained on cells
      data.path=FILE      the cells, in any format that training reads; the file is not changed
      out=FILE            the annotated copy, .h5ad (.h5mu for .h5mu), written atomically. For
                          several files, data.path=[a.h5ad,b.h5ad], a folder for the annotated
                          copies, which keep the names of the files
      overwrite=true      replace an existing `out`
      checkpoint=best     best, last or selected; the default is the one that training tested
      agent=0             the agent whose states are written: states differ between agents
      data.layer=NAME     X, raw or a layer; the default is the run's own if the file has it
      data.gene_names=C   column of var that names the genes; the default is the one with most of
                          the run's genes, or the index
      data.modality=rna   the modality of an .h5mu file with several
      target_sum=1e6      total per cell that raw counts are scaled to; the default is the run's own
      max_missing=0.2     share of the run's genes that the file may lack; they count as 0
      batch=NAME          for a run with data.batch_key, the batch of all cells: one of the run's
                          batches, or average for cells of other batches; the default is each
                          cell's own batch
      batch_size=1000     cells per batch
      add=[decoded,...]   additional results: decoded, profiles, likelihood (below)
      debug=true          show the full traceback of an error

    New in the file
      obs    mixvae_category      the category that the agents vote for
             mixvae_agent0 ...    the category of each agent
             mixvae_probability   mean over agents of the probability of the vote's category
             mixvae_agreement     share of the agents that vote for it
             mixvae_entropy       mean over agents of the entropy of q(c|x), nats
      obsm   X_mixvae_category    mean over agents of q(c|x), one column per category
             X_mixvae_state       states of one agent
             X_mixvae_latent      both: sc.pp.neighbors(adata, use_rep="X_mixvae_latent")
             X_mixvae_plane       two coordinates to plot, with a direction for each category and
                                  the first state along it: sc.pl.embedding(adata, "mixvae_plane");
                                  works for one state or none too, unlike X_mixvae_state
      uns    mixvae               run, checkpoint, versions, model order, genes, preparation

    On request, in the unit of the model's input, with the columns of uns["mixvae"]["genes"]
      obsm   X_mixvae_decoded     add=decoded: the agents' mean reconstruction of each cell, 4 bytes
                                  per gene and cell; written batch by batch to an .h5ad file
      uns    mixvae["profiles"]   add=profiles: its mean over the cells of each kept category
      obs    mixvae_log_likelihood    add=likelihood: log p(x | category, state), mean over agents,
                                  nats; genes that the file lacks count as 0

    Example:
      python -m mixvae.annotate run=runs/cells_cpl/... data.path=my.h5ad out=annotated.h5ad
    """

    path: Annotated[list[Path], "data.path"]
    out: Path
    modality: Annotated[str | None, "data.modality"] = None
    overwrite: bool = False


@dataclass(kw_only=True)
class ImputeOptions(RunRequest):
    """How events are imputed, in memory or in files; see `ImputeRequest`."""

    source: str | None = None
    batch_size: int = 1000

    def __post_init__(self) -> None:
        _check_batch_size(self.batch_size)


@dataclass(kw_only=True)
class ImputeRequest(ImputeOptions):
    """Impute the missing modalities of events, and write the latents of the present ones.

    python -m mixvae.impute run=FOLDER 'data.modalities={a: a.npy, b: b.npy}' out=imputed.npz

      run=FOLDER          the run, trained on several modalities
      data.modalities={a:a.npy}    the file of each modality by name, see docs/modalities_input.md:
                          row i of each file is event i, unless all files name their rows. A row
                          of NaN is missing; a modality without a file is missing in every event
      out=FILE            the .npz file, written atomically
      overwrite=true      replace an existing `out`
      checkpoint=best     best or last; the default is the one that training tested
      source=NAME         impute from this modality alone; the default is all present modalities
      batch_size=1000     events per batch
      debug=true          show the full traceback of an error

    The file contains, with N rows each, for each modality <m> of the run
      <m>/filled          the samples in the unit of the files, (N, ...): present ones as given,
                          missing ones imputed by the mean of p(x_m|z), from the mean of the joint
                          posterior if the model has one, else averaged over the event's present
                          modalities
      ids                 names of the rows, if all files have them
      <m>/missing         whether the sample was missing, (N,)
      <m>/mean            latents: mean of q(z|x_m), (N, L); NaN where the sample is missing
      <m>/logvar          their log-variance
      joint/mean, joint/logvar    the same of the joint posterior, if the model has one

    Example:
      python -m mixvae.impute run=runs/views 'data.modalities={a: new_a.npy}' out=imputed.npz
    """

    files: Annotated[Mapping[str, str], "data.modalities"]
    out: Path
    overwrite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out.suffix != ".npz":
            raise UsageError(f"out={self.out} must end in .npz")


def _check_batch_size(batch_size: int) -> None:
    if not isinstance(batch_size, int) or batch_size < 1:
        raise UsageError(f"batch_size must be a whole number of 1 or more, got {batch_size!r}")


@dataclass(kw_only=True)
class DashboardRequest:
    """Make a W&B workspace and a W&B report: python -m mixvae.dashboard project=NAME.

      project=NAME         the W&B project with the runs of mixvae
      dashboard=mixtures   one of conf/dashboard, mixtures or modalities, or a .yaml file
      entity=TEAM          W&B team or user; the default is that of the login
      kind=both            workspace, report or both
      dry_run=true         check the file and print sections and charts; send nothing
      debug=true           show the full traceback of an error

    Examples:
      python -m mixvae.dashboard project=mixvae dry_run=true
      python -m mixvae.dashboard project=rats dashboard=modalities
    """

    project: str
    dashboard: str = "mixtures"
    entity: str | None = None
    kind: Literal["workspace", "report", "both"] = "both"
    dry_run: bool = False

    @property
    def file(self) -> Path:
        """The dashboard's file."""
        return named_file("dashboard", "dashboard", self.dashboard)
