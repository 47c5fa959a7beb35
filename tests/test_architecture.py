"""The house rules that a parser can check: who imports whom, sizes, names, sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mixvae"
MAX_MODULE_LINES = 300
MAX_BODY_LINES = 50
MAX_ENTRY_LINES = 60
MAX_RETURNED = 3
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "misc", "common"}


class Room(NamedTuple):
    """What the files of one room may import; the standard library is open to all."""

    rooms: set[str]
    third_party: set[str]


GROUND = {"files", "messages", "suggestions"}
ENTRY = Room({"cli", "runs", "sweeps", *GROUND}, {"hydra", "omegaconf"})
ROOMS = {
    "__init__": Room(set(), set()),
    "contracts": Room(set(), {"torch"}),
    "processes": Room(set(), {"torch"}),
    "logging_schedule": Room(set(), set()),
    "files": Room(set(), set()),
    "messages": Room(set(), {"lightning"}),
    "suggestions": Room(set(), set()),
    "objectives": Room({"objectives"}, {"torch"}),
    "networks": Room({"networks", "processes"}, {"torch"}),
    "augmenters": Room(
        {"augmenters", "contracts", "networks", "objectives", "processes"}, {"torch"}
    ),
    "evaluation": Room(
        {"evaluation", "contracts", "objectives"},
        {"torch", "torchmetrics", "sklearn", "scipy", "numpy"},
    ),
    "figures": Room({"figures", "contracts"}, {"numpy", "matplotlib"}),
    "data": Room({"data", "contracts"}, {"torch", "lightning", "numpy", "sklearn", "pooch"}),
    "modules": Room(
        {
            "contracts",
            "objectives",
            "networks",
            "processes",
            "logging_schedule",
            "modules.base",
            "modules.gaussian_mixture",
            "modules.mixture",
            "modules.multimodal",
        },
        {"torch", "lightning", "torchmetrics"},
    ),
    "callbacks": Room(
        {
            "callbacks",
            "contracts",
            "evaluation",
            "figures",
            "logging_schedule",
            "files",
            "messages",
        },
        {"lightning", "torch", "numpy", "matplotlib"},
    ),
    "cli": Room({"cli", *GROUND}, {"hydra", "omegaconf", "yaml"}),
    "engine": Room(
        {"engine", "contracts", "modules", "callbacks", *GROUND},
        {"omegaconf", "wandb", "lightning", "torch", "numpy"},
    ),
    "runs": Room(
        {"runs", "engine", "cli", "contracts", "augmenters", "evaluation", "modules", "data"}
        | {"callbacks", *GROUND},
        {"hydra", "omegaconf", "lightning", "torch", "numpy"},
    ),
    "sweeps": Room(
        {"sweeps", "runs", "engine", "cli", "callbacks", "figures", *GROUND},
        {"hydra", "omegaconf", "yaml", "lightning", "torch", "numpy"},
    ),
    "train": ENTRY,
    "evaluate": ENTRY,
    "annotate": ENTRY,
    "impute": ENTRY,
    "sweep": ENTRY,
}
# Files that may import more than their room.
EXTRA = {
    "callbacks/multimodal_predictions.py": {"anndata"},
    "objectives/assignment.py": {"numpy", "scipy"},
    "data/backed.py": {"anndata", "scipy"},
    "data/cell_base.py": {"scipy"},
    "data/cell_choice.py": {"scipy"},
    "data/cell_files.py": {"anndata", "pandas", "scanpy", "scipy"},
    "data/cell_matrices.py": {"scipy"},
    "data/cell_source.py": {"anndata", "h5py"},
    "data/cell_generator.py": {"scipy"},
    "data/cells.py": {"anndata", "scanpy", "scipy"},
    "data/cells_synthetic.py": {"anndata", "pandas", "scipy"},
    "data/expression.py": {"scipy"},
    "data/genes.py": {"anndata", "scanpy", "scipy"},
    "data/preparation.py": {"scipy"},
    "data/smartseq.py": {"anndata", "pandas", "scipy"},
    "data/sparse.py": {"scipy"},
    "runs/annotating.py": {"pandas"},
    "sweeps/search.py": {"optuna"},
    "sweeps/search_study.py": {"optuna"},
    "figures/search.py": {"optuna"},
}
# Optional dependencies: inside a function, so that the package works without them.
LAZY = {"anndata", "h5py", "optuna", "pandas", "scanpy"}
# The rooms that are built from parts and never see a config.
CONFIG_ROOMS = {
    "cli",
    "engine",
    "runs",
    "sweeps",
    "train",
    "evaluate",
    "annotate",
    "impute",
    "sweep",
}


class Import(NamedTuple):
    """One imported name: `mixvae.data.mnist`, `torch`."""

    target: str
    line: int
    at_top: bool


def imports_of(tree: ast.Module, package: list[str]) -> Iterator[Import]:
    """Yield what a file in `package` imports, relative imports resolved."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from mixvae import data` and `from . import data` name a room in the alias.
            deepen = module == "mixvae" or (node.level and not node.module)
            names = [f"{module}.{a.name}" for a in node.names] if deepen else [module]
        for name in names:
            yield Import(name, node.lineno, id(node) not in inside)


def check_import(item: Import, room: str, relative: str) -> str | None:
    """Return why a file of `room` may not import this, or None where it may."""
    allowed = ROOMS[room]
    first, *rest = item.target.split(".")
    if first != "mixvae":
        if first in sys.stdlib_module_names:
            return None
        if first not in allowed.third_party | EXTRA.get(relative, set()):
            return f"{room} may not import {first}"
        if first in LAZY and item.at_top:
            return f"{first} is optional: import it inside the function that needs it"
        return None
    if not rest or rest[0] == "__version__" or item.target == f"mixvae.{room}":
        return None
    package_file = relative == f"{room}/__init__.py"
    if rest[0] in allowed.rooms or (package_file and rest[0] == room):
        return None
    return None if ".".join(rest[:2]) in allowed.rooms else f"{room} may not import {item.target}"


def check_functions(tree: ast.Module, room: str) -> Iterator[str]:
    """Yield what breaks the rules on functions: length, returned tuples, configs, sources."""
    for node in ast.walk(tree):
        returned = node.value if isinstance(node, ast.Return) else None
        if isinstance(returned, ast.Tuple) and len(returned.elts) > MAX_RETURNED:
            yield f"line {returned.lineno}: returns a tuple of {len(returned.elts)}: name them"
        if isinstance(node, ast.Compare) and _is_name_dispatch(node):
            yield f"line {node.lineno}: dispatches on a name: {ast.unparse(node)}"
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        # The body alone: a signature and a docstring may take the lines that they need.
        body = node.body[ast.get_docstring(node) is not None :]
        length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
        if length > MAX_BODY_LINES:
            yield f"line {node.lineno}: {node.name} has {length} lines"
        arguments = {
            a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        }
        if room not in CONFIG_ROOMS and arguments & {"cfg", "config"}:
            yield f"line {node.lineno}: {node.name} takes a config; take built parts"
    if room == "objectives":
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
            if public and "Source:" not in (ast.get_docstring(node) or ""):
                yield f"line {node.lineno}: {node.name} has no Source section"


def _is_name_dispatch(node: ast.Compare) -> bool:
    left = node.left
    named = (isinstance(left, ast.Name) and left.id in {"dataset", "model_name"}) or (
        isinstance(left, ast.Attribute)
        and left.attr in {"name", "dataset"}
        and ast.unparse(left) != "os.name"  # the operating system
    )
    to_text = isinstance(node.comparators[0], ast.Constant) and isinstance(
        node.comparators[0].value, str
    )
    return named and to_text and isinstance(node.ops[0], ast.Eq | ast.NotEq)


def violations(file: Path, package: Path) -> list[str]:
    """Return what in one file of the package breaks the house rules."""
    parts = file.relative_to(package).with_suffix("").parts
    relative, room = "/".join(parts) + ".py", parts[0]
    if relative == "data/__main__.py":
        room = "runs"  # a command, above the rooms that it reads its words with
    if room not in ROOMS:
        return [f"{relative}: no such room in the floor plan"]
    text = file.read_text()
    tree = ast.parse(text)
    found = []
    if VAGUE_NAMES & set(parts):
        found.append("a vague name: call the file by what it holds")
    lines, limit = text.count("\n"), MAX_ENTRY_LINES if ROOMS[room] is ENTRY else MAX_MODULE_LINES
    if lines > limit:
        found.append(f"{lines} lines, more than {limit}")
    for item in imports_of(tree, ["mixvae", *parts[:-1]]):
        problem = check_import(item, room, relative)
        if problem:
            found.append(f"line {item.line}: {problem}")
    return [f"{relative}: {problem}" for problem in [*found, *check_functions(tree, room)]]


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE))
)
def test_a_file_keeps_the_house_rules(file: Path) -> None:
    assert violations(file, PACKAGE) == []


LONG = "def f():\n" + "    x = 1\n" * 51
BAD = {
    "upward": ("objectives/a.py", "from mixvae.modules.base import x", "may not import mixvae.mo"),
    "relative": ("objectives/a.py", "from ..networks import mlp", "may not import mixvae.networks"),
    "bare relative": ("networks/a.py", "from .. import data", "may not import mixvae.data"),
    "from the root": ("data/a.py", "from mixvae import modules", "may not import mixvae.modules"),
    "between modules": ("modules/a.py", "import mixvae.modules.b", "import mixvae.modules.b"),
    "beside": ("modules/a.py", "from . import b", "may not import mixvae.modules.b"),
    "wandb below": ("callbacks/a.py", "import wandb", "callbacks may not import wandb"),
    "hydra below": ("modules/a.py", "from hydra.utils import x", "modules may not import hydra"),
    "lightning": ("networks/a.py", "import lightning.pytorch", "may not import lightning"),
    "in a function": ("figures/a.py", "def f():\n    import torch", "may not import torch"),
    "numpy": ("objectives/a.py", "import numpy as np", "objectives may not import numpy"),
    "eager": ("data/cells.py", "import scanpy", "scanpy is optional"),
    "new room": ("plots/a.py", "", "no such room"),
    "vague": ("cli/utils.py", "", "a vague name"),
    "entry": ("train.py", "x = 1\n" * 61, "more than 60"),
    "long file": ("data/a.py", "x = 1\n" * 301, "more than 300"),
    "long function": ("data/a.py", LONG, "f has 51 lines"),
    "tuple": ("data/a.py", "def f():\n    return 1, 2, 3, 4", "a tuple of 4"),
    "config": ("modules/a.py", "def f(cfg):\n    return cfg", "takes a config"),
    "dispatch": ("modules/a.py", "if self.name == 'mnist':\n    x = 1", "dispatches on a name"),
    "no source": ("objectives/a.py", 'def f():\n    """Nothing."""', "f has no Source"),
}
GOOD = {
    "objectives/assignment.py": "import numpy\nfrom scipy import optimize\n",
    "objectives/a.py": 'from .simplex import clr\ndef f():\n    """F.\n\n    Source:\n    X."""',
    "modules/__init__.py": "from mixvae.modules.a import A as A\n",
    "modules/a.py": "import torch\nfrom .base import B\nfrom mixvae.networks.mlp import C\n",
    "data/cells.py": "def f():\n    import scanpy\n    return scanpy\n",
    "runs/build.py": "import hydra\nfrom mixvae import __version__\ndef f(cfg): ...\n",
    "cli/a.py": "import os\nif os.name == 'nt':\n    x = 1\n",
    "train.py": "from mixvae.runs import build\n",
}


@pytest.mark.parametrize(("relative", "code", "message"), BAD.values(), ids=BAD.keys())
def test_each_rule_can_fail(tmp_path: Path, relative: str, code: str, message: str) -> None:
    file = tmp_path / relative
    file.parent.mkdir(exist_ok=True)
    file.write_text(code)
    found = violations(file, tmp_path)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(("relative", "code"), GOOD.items(), ids=GOOD.keys())
def test_what_is_allowed_passes(tmp_path: Path, relative: str, code: str) -> None:
    file = tmp_path / relative
    file.parent.mkdir(exist_ok=True)
    file.write_text(code)
    assert violations(file, tmp_path) == []


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, mixvae; print({'torch', 'numpy', 'hydra', 'wandb'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
