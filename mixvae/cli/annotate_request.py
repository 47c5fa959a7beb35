"""What the command line of `mixvae.annotate` asks for; light, so that a mistake is told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixvae.cli.errors import UsageError
from mixvae.cli.key_values import Reader, as_path, as_truth, read_key_values

CHECKPOINTS = ("best", "last", "selected")
ANNOTATE_HELP = """\
Put a run's categories and states into an AnnData file:
python -m mixvae.annotate run=FOLDER data.path=CELLS.h5ad out=ANNOTATED.h5ad

  run=FOLDER          the run, trained on cells
  data.path=FILE      the cells; the file is not touched
  out=FILE            where to write them with all that is new; written whole or not at all
  overwrite=true      replace `out` if it is there
  checkpoint=best     best, last or selected; the default is the one that training tested
  agent=0             whose states to write: agents do not name their states alike
  data.layer=NAME     X, raw or a layer; the default is what the run has read, where it is there
  target_sum=1e6      what libraries are scaled to, for raw counts where the run's data were not
  max_missing=0.2     share of the run's genes that the file may lack; they count as not expressed
  batch_size=1000     cells at a time
  debug=true          show the full traceback of an error

What is new
  obs    mixvae_category      the category that the agents vote for
         mixvae_agent0 ...    each agent's own
         mixvae_probability   mean over agents of the probability of the vote's category
         mixvae_agreement     share of the agents whose own category it is
         mixvae_entropy       mean over agents of the entropy of q(c|x), nats
  obsm   X_mixvae_category    mean over agents of q(c|x), one column per category
         X_mixvae_state       states by one agent
         X_mixvae_latent      both side by side: sc.pp.neighbors(adata, use_rep="X_mixvae_latent")
         X_mixvae_plane       two coordinates to draw, a direction for each category and the first
                              state along it: sc.pl.embedding(adata, basis="mixvae_plane"), also
                              of one state or none, where X_mixvae_state cannot be drawn
  uns    mixvae               run, checkpoint, versions, model order, genes, preparation

Example
  python -m mixvae.annotate run=runs/cells_cpl/... data.path=my.h5ad out=annotated.h5ad
"""


@dataclass
class AnnotateRequest:
    """What `mixvae.annotate` is asked for.

    Attributes:
        run: The run's folder.
        path: File of the cells; None where they are in memory.
        out: File to write; None where they stay in memory.
        overwrite: Whether it may be there.
        checkpoint: `best`, `last` or `selected`; None takes the one that training tested.
        agent: The agent whose states are written.
        layer: `X`, `raw` or a layer; None takes what the run has read, or else X.
        target_sum: What libraries are scaled to; None takes the run's own.
        max_missing: Share of the run's genes that may be missing, in [0, 1].
        batch_size: Cells at a time.
    """

    run: Path
    path: Path | None = None
    out: Path | None = None
    overwrite: bool = False
    checkpoint: str | None = None
    agent: int = 0
    layer: str | None = None
    target_sum: float | None = None
    max_missing: float = 0.2
    batch_size: int = 1000

    def __post_init__(self) -> None:
        if self.checkpoint is not None and self.checkpoint not in CHECKPOINTS:
            raise UsageError(f"checkpoint is {self.checkpoint!r}; use {', '.join(CHECKPOINTS)}")
        if not 0 <= self.max_missing <= 1:
            raise UsageError(f"max_missing must lie between 0 and 1, got {self.max_missing}")
        if self.batch_size < 1:
            raise UsageError(f"batch_size must be 1 or more, got {self.batch_size}")
        if self.target_sum is not None and not 0 < self.target_sum < float("inf"):
            raise UsageError(f"target_sum must be a number above 0, got {self.target_sum}")


# What may be said on the command line, the field it sets, and how its value is read.
KEYS: dict[str, tuple[str, Reader]] = {
    "run": ("run", as_path),
    "data.path": ("path", as_path),
    "out": ("out", as_path),
    "overwrite": ("overwrite", as_truth),
    "checkpoint": ("checkpoint", str),
    "agent": ("agent", int),
    "data.layer": ("layer", str),
    "target_sum": ("target_sum", float),
    "max_missing": ("max_missing", float),
    "batch_size": ("batch_size", int),
}
NEEDED = {
    "run": "name the folder of a run: run=runs/...",
    "path": "name the cells: data.path=my.h5ad",
    "out": "name the file to write: out=annotated.h5ad",
}


def parse_annotate_request(arguments: Sequence[str]) -> AnnotateRequest:
    """Read the command line of `mixvae.annotate`.

    Args:
        arguments: The command line without the program's name.

    Raises:
        UsageError: If it lacks a file or the run, or names a key or value that there is not.
    """
    return AnnotateRequest(**read_key_values(arguments, KEYS, NEEDED))
