"""What `--help` prints: the groups, the purpose of each option, and examples."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

from mixvae.cli.schema import RunConfig, conf_dir

MARK = "# purpose:"
ORDER = ("experiment", "data", "model", "augmenter", "trainer", "callbacks", "logger")
EXAMPLES = """\
  python -m mixvae.train +experiment=digits_cpl        an experiment
  python -m mixvae.train data=mnist model.beta=2       the default with other values
  python -m mixvae.train -m seed=0,1,2                 one run for each value
  python -m mixvae.train resume=runs/...               continue a stopped run
  python -m mixvae.train +experiment=digits_cpl --cfg job    show the config, run nothing
  python -m mixvae.evaluate run=runs/...               test a run again"""


EVALUATE_HELP = """\
Test a run again from its folder, and draw its figures: python -m mixvae.evaluate run=FOLDER

  run=FOLDER          the run; on its own data, predictions and figures are made again in place
  checkpoint=best     best, last or selected; the default is the one that training tested
  data=..., data.k=v  other data: results go to FOLDER/evaluations/<name>
  name=NAME           name of that folder
  data_root=FOLDER    where the data sets are
  trainer=cpu         another machine, such as one without a GPU; what else the run's trainer says
                      stays, and trainer.key=value changes it
  debug=true          show the full traceback of an error

Examples
  python -m mixvae.evaluate run=runs/digits_cpl/2025-01-31_12-00-00
  python -m mixvae.evaluate run=runs/... data.checksum=false data_root=fashion name=fashion
"""


def train_help() -> str:
    """Return the help of `mixvae.train`, made from the config files themselves."""
    root = conf_dir()
    groups = sorted(
        {file.parent.relative_to(root).as_posix() for file in root.glob("*/*.yaml")} - {"sweep"},
        key=lambda group: (ORDER.index(group) if group in ORDER else len(ORDER), group),
    )
    parts = [
        "Train a model and leave a run folder: python -m mixvae.train [+experiment=NAME]"
        " [key=value ...]",
        "Examples\n" + EXAMPLES,
    ]
    for group in groups:
        sign = "+" if group == "experiment" else ""
        lines = [_entry(file.stem, purpose(file)) for file in sorted((root / group).glob("*.yaml"))]
        parts.append("\n".join([f"{sign}{group}=...", *lines]))
    parts.append("\n".join(["Keys at the top level", *_keys()]))
    parts.append(
        "Below a group, each key is an argument of the class that `_target_` names:"
        " model.tau=0.1, trainer.max_epochs=5.\n"
        "+key=value adds an argument that the config leaves to its default."
    )
    return "\n\n".join(parts) + "\n"


def purpose(file: Path) -> str:
    """Return the one-line purpose of a config file: its first comment `# purpose: ...`.

    Args:
        file: A yaml file.
    """
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(MARK):
                return line.removeprefix(MARK).strip()
    return ""


def _keys() -> list[str]:
    """Return the top-level keys that are no groups, from the schema's docstring."""
    text = (RunConfig.__doc__ or "").split("Attributes:")[1]
    described = {}
    for line in text.splitlines():
        name, separator, words = line.strip().partition(": ")
        if separator:
            described[name] = words
    return [_entry(name, words) for name, words in described.items() if name not in ORDER]


def _entry(name: str, words: str) -> str:
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    indent = " " * 20
    return (
        textwrap.fill(
            words,
            width,
            initial_indent=f"  {name:<17} ",
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
        or f"  {name}"
    )
