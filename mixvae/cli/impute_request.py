"""What the command line of `mixvae.impute` asks for; light, so that a mistake is told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from mixvae.cli.errors import UsageError
from mixvae.cli.explain import one_line
from mixvae.cli.key_values import Reader, as_path, as_truth, read_key_values

CHECKPOINTS = ("best", "last")
IMPUTE_HELP = """\
Fill in what is missing from events of several modalities, and tell their latents:
python -m mixvae.impute run=FOLDER 'data.modalities={a: a.npy, b: b.npy}' out=imputed.npz

  run=FOLDER          the run, trained on several modalities
  data.modalities={}  file of each modality by name (npy, npz, csv): row i of each is event i, a row
                      of NaN is missing, and a modality that is not named is missing everywhere
  out=FILE            the .npz to write; written whole or not at all
  overwrite=true      replace `out` if it is there
  checkpoint=best     best or last; the default is the one that training tested
  source=NAME         impute from this modality alone; the default is all that an event has
  batch_size=1000     events at a time
  debug=true          show the full traceback of an error

What the file holds, N rows each, for each modality <m> of the run
  <m>/filled          the samples in the unit of the files, (N, ...): those given as they are,
                      those missing imputed: the mean of p(x_m|z), from the joint posterior's mean
                      where the model has one, or else averaged over the modalities of the event
  <m>/missing         whether the sample was missing, (N,)
  <m>/mean            latents: mean of q(z|x_m), (N, L); NaN where it is missing
  <m>/logvar          their log-variance
  joint/mean, joint/logvar    of the joint posterior, for models that have one

Example
  python -m mixvae.impute run=runs/views 'data.modalities={a: new_a.npy}' out=imputed.npz
"""


@dataclass
class ImputeRequest:
    """What `mixvae.impute` is asked for.

    Attributes:
        run: The run's folder.
        files: File of each modality that there is, by name; empty where they are in memory.
        out: File to write; None where the result stays in memory.
        overwrite: Whether it may be there.
        checkpoint: `best` or `last`; None takes the one that training tested.
        source: The modality to impute from; None takes all that an event has.
        batch_size: Events at a time.
    """

    run: Path
    files: Mapping[str, str] = field(default_factory=dict)
    out: Path | None = None
    overwrite: bool = False
    checkpoint: str | None = None
    source: str | None = None
    batch_size: int = 1000

    def __post_init__(self) -> None:
        if self.checkpoint is not None and self.checkpoint not in CHECKPOINTS:
            raise UsageError(f"checkpoint is {self.checkpoint!r}; use {' or '.join(CHECKPOINTS)}")
        if self.batch_size < 1:
            raise UsageError(f"batch_size must be 1 or more, got {self.batch_size}")
        if self.out is not None and self.out.suffix != ".npz":
            raise UsageError(f"out={self.out} must be called .npz")


def as_files(text: str) -> dict[str, str]:
    """Read `{name: file, ...}` as Hydra does."""
    line = f"data.modalities={text}"
    try:
        value = OverridesParser.create().parse_override(line).value()
    except HydraException as error:
        raise UsageError(f"{line} cannot be read: {one_line(error)}") from error
    if not isinstance(value, dict) or not value:
        raise UsageError(
            f"data.modalities must name a file for each modality, such as {{a: a.npy}}; got {text}"
        )
    return {str(name): str(file) for name, file in value.items()}


# What may be said on the command line, the field it sets, and how its value is read.
KEYS: dict[str, tuple[str, Reader]] = {
    "run": ("run", as_path),
    "data.modalities": ("files", as_files),
    "out": ("out", as_path),
    "overwrite": ("overwrite", as_truth),
    "checkpoint": ("checkpoint", str),
    "source": ("source", str),
    "batch_size": ("batch_size", int),
}
NEEDED = {
    "run": "name the folder of a run: run=runs/...",
    "files": "name the files: 'data.modalities={a: a.npy}'",
    "out": "name the file to write: out=imputed.npz",
}


def parse_impute_request(arguments: Sequence[str]) -> ImputeRequest:
    """Read the command line of `mixvae.impute`.

    Args:
        arguments: The command line without the program's name.

    Raises:
        UsageError: If it lacks a file or the run, or names a key or value that there is not.
    """
    return ImputeRequest(**read_key_values(arguments, KEYS, NEEDED))
