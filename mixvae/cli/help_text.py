"""The `--help` of `mixvae.train`: the groups, the purpose of each option, and examples."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from pathlib import Path

from mixvae.cli.schema import NOT_COMPOSED, RunConfig, conf_dir

MARK = "# purpose:"
ORDER = ("experiment", "data", "model", "augmenter", "trainer", "callbacks", "logger", "debug")
EXAMPLES = """\
  python -m mixvae.train +experiment=digits_cpl        an experiment
  python -m mixvae.train data=mnist model.beta=2       the default with other values
  python -m mixvae.train -m seed=0,1,2                 a sweep: one run for each value
  python -m mixvae.train resume=runs/...               continue a stopped run
  python -m mixvae.train +experiment=digits_cpl --cfg job    print the config, run nothing
  python -m mixvae.evaluate run=runs/...               test a run again"""


def train_help() -> str:
    """Return the help, made from the config files themselves."""
    root = conf_dir()
    groups = sorted(
        {file.parent.relative_to(root).as_posix() for file in root.glob("*/*.yaml")} - NOT_COMPOSED,
        key=lambda group: (ORDER.index(group) if group in ORDER else len(ORDER), group),
    )
    parts = [
        "Train a model and write a run folder: python -m mixvae.train [+experiment=NAME]"
        " [key=value ...]",
        "Examples\n" + EXAMPLES,
    ]
    for group in groups:
        sign = "+" if group == "experiment" else ""
        lines = [_entry(file.stem, purpose(file)) for file in sorted((root / group).glob("*.yaml"))]
        parts.append("\n".join([f"{sign}{group}=...", *lines]))
    parts.append("\n".join(["Keys at the top level", *_keys()]))
    parts.append(
        "Below a group, each key is an argument of the class that `_target_` names, as in\n"
        "model.tau=0.1 and trainer.max_epochs=5. +key=value adds an argument that is not in the"
        " config."
    )
    return "\n\n".join(parts) + "\n"


def purpose(file: Path) -> str:
    """Return the one-line purpose of a config file: its first comment `# purpose: ...`."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(MARK):
                return line.removeprefix(MARK).strip()
    return ""


def _keys() -> list[str]:
    """Return the top-level keys that are not groups, described as in the schema's docstring."""
    text = inspect.cleandoc(RunConfig.__doc__ or "")
    # An attribute's further lines are indented more than its first.
    described = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    return [_entry(name, " ".join(words.split())) for name, words in described if name not in ORDER]


def _entry(name: str, words: str) -> str:
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    # A longer name has a line of its own.
    first, indent = f"  {name:<17} ", " " * 20
    start = indent if len(name) > 17 else first
    text = textwrap.fill(
        words, width, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False
    )
    return text if len(name) <= 17 else f"  {name}\n{text}"
