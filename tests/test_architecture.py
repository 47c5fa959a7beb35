"""The house rules that neither ruff nor import-linter can express (`make lint` runs those)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "mixvae"
MAX_MODULE_LINES = 300
MAX_BODY_LINES = 50
MAX_ENTRY_LINES = 65
MAX_RETURNED = 3
ENTRIES = {"train", "evaluate", "annotate", "impute", "sweep"}
# The rooms that read a config; all others are built from parts.
CONFIG_ROOMS = {"api", "cli", "engine", "runs", "sweeps", *ENTRIES}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "misc", "common"}


def violations(relative: str, text: str) -> Iterator[str]:
    """Yield the house rules that one file of the package breaks."""
    parts = Path(relative).with_suffix("").parts
    tree = ast.parse(text)
    if VAGUE_NAMES & set(parts):
        yield "a vague name: name the file after its content"
    lines = text.count("\n")
    limit = MAX_ENTRY_LINES if parts[0] in ENTRIES else MAX_MODULE_LINES
    if lines > limit:
        yield f"{lines} lines, more than {limit}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _of_function(node, parts[0])
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            if len(node.value.elts) > MAX_RETURNED:
                yield f"line {node.lineno}: returns a tuple of {len(node.value.elts)}: name them"
        elif isinstance(node, ast.Compare) and _is_name_dispatch(node):
            yield f"line {node.lineno}: dispatches on a name: {ast.unparse(node)}"
        elif isinstance(node, ast.Call) and _runs_code(node):
            yield f"line {node.lineno}: may run code in a file: {ast.unparse(node)}"
    for node in tree.body if parts[0] == "objectives" else []:
        public = isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        if public and "Source:" not in (ast.get_docstring(node) or ""):
            yield f"line {node.lineno}: {node.name} has no Source section"


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef, room: str) -> Iterator[str]:
    # The body alone: a signature and a docstring may take the lines that they need.
    body = node.body[ast.get_docstring(node) is not None :]
    length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
    if length > MAX_BODY_LINES:
        yield f"line {node.lineno}: {node.name} has {length} lines"
    arguments = {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
    if room not in CONFIG_ROOMS and arguments & {"cfg", "config"}:
        yield f"line {node.lineno}: {node.name} takes a config; take built parts"


def _is_name_dispatch(node: ast.Compare) -> bool:
    """Whether this compares the name of a data set or model with a text."""
    left, right = node.left, node.comparators[0]
    named = (isinstance(left, ast.Name) and left.id in {"dataset", "model_name"}) or (
        isinstance(left, ast.Attribute)
        and left.attr in {"name", "dataset"}
        and ast.unparse(left) != "os.name"  # the operating system
    )
    text = isinstance(right, ast.Constant) and isinstance(right.value, str)
    return named and text and isinstance(node.ops[0], ast.Eq | ast.NotEq)


def _runs_code(node: ast.Call) -> bool:
    """Whether this call reads a file or text as code, in a way that ruff does not find."""
    name = ast.unparse(node.func)
    keywords = {item.arg: ast.unparse(item.value) for item in node.keywords}
    return (
        name in {"compile", "__import__"}
        or (name == "torch.load" and keywords.get("weights_only") != "True")
        or keywords.get("allow_pickle", "False") != "False"
    )


def test_the_package_keeps_the_house_rules() -> None:
    found = [
        f"{relative}: {problem}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for relative in [file.relative_to(PACKAGE).as_posix()]
        for problem in violations(relative, file.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_each_rule_can_fail() -> None:
    long = "def f():\n" + "    x = 1\n" * 51
    bad = [
        ("cli/utils.py", "", "a vague name"),
        ("train.py", "x = 1\n" * 66, "more than 65"),
        ("data/a.py", "x = 1\n" * 301, "more than 300"),
        ("data/a.py", long, "f has 51 lines"),
        ("data/a.py", "def f():\n    return 1, 2, 3, 4", "a tuple of 4"),
        ("modules/a.py", "def f(cfg):\n    return cfg", "takes a config"),
        ("modules/a.py", "if self.name == 'mnist':\n    x = 1", "dispatches on a name"),
        ("objectives/a.py", 'def f():\n    """Nothing."""', "f has no Source"),
        ("runs/a.py", "torch.load(f)", "may run code"),
        ("runs/a.py", "torch.load(f, weights_only=False)", "may run code"),
        ("data/a.py", "np.load(f, allow_pickle=True)", "may run code"),
        ("data/a.py", "compile(f)", "may run code"),
    ]
    for relative, code, message in bad:
        found = list(violations(relative, code))
        assert len(found) == 1, (code, found)
        assert message in found[0]
    good = [
        ("objectives/a.py", 'def f():\n    """F.\n\n    Source:\n    X."""'),
        ("runs/a.py", "def f(cfg): ...\ntorch.load(f, weights_only=True)\nre.compile(x)\n"),
        ("cli/a.py", "import os\nif os.name == 'nt':\n    x = 1\n"),
    ]
    for relative, code in good:
        assert list(violations(relative, code)) == []
