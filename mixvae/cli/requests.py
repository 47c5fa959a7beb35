"""The reader of `key=value` command lines: a dataclass or a function says which keys there are.

Each field is a key. Its type says how the value is read: `str`, `Path` (`~` is the home folder),
`int`, `float`, `bool`, a `Literal` of choices, `list[...]` and `Mapping[...]` in Hydra's grammar;
`X | None` also takes `null`. A field without a default is required. `Annotated[Path, "data.path"]`
gives the key another name than the field. `Annotated[list[str], Overrides("data", "trainer")]`
collects the override lines of these config groups. `debug=true` is a key of every command. The
docstring of the dataclass is the `--help`, with one line that begins `key=...` for each key.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from mixvae.cli.command import plain
from mixvae.cli.errors import UsageError, run_guarded
from mixvae.cli.overrides import unreadable
from mixvae.suggestions import suggestion

NUMBERS = {int: "a whole number", float: "a number"}
T = TypeVar("T")
M = TypeVar("M")


class Overrides:
    """Marks the field that collects override lines of these groups and top-level keys."""

    def __init__(self, *roots: str) -> None:
        self.roots = roots


def read_request(kind: Callable[..., T], arguments: Sequence[str]) -> T:
    """Return the request that a command line makes, as a dataclass of its keys."""
    return kind(**read_keywords(kind, arguments))


def run_request(
    kind: type[T], work: Callable[[T], Any], arguments: Sequence[str] | None = None
) -> int:
    """Run a command line (None: the process's own) and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_guarded(lambda: work(read_request(kind, given)), given, lambda: help_of(kind))


def read_keywords(
    target: Callable[..., Any], arguments: Sequence[str], *, partial: bool = False
) -> dict[str, Any]:
    """Return the keyword arguments of a dataclass or function.

    Args:
        target: The dataclass or function.
        arguments: The command line without the program's name.
        partial: Whether required keys may be missing.

    Raises:
        UsageError: If a key is unknown, missing or repeated, or its value has the wrong type.
    """
    parameters = inspect.signature(target).parameters
    hints = get_type_hints(target, include_extras=True)
    keys = {_mark_of(hints[name], str) or name: name for name in parameters}
    collectors = {name: mark for name in parameters if (mark := _mark_of(hints[name], Overrides))}
    names = [key for key, name in keys.items() if name not in collectors]
    roots = {root: name for name, mark in collectors.items() for root in mark.roots}
    found: dict[str, Any] = {name: [] for name in collectors}
    seen: set[str] = set()
    for line in map(plain, arguments):
        key, separator, text = line.partition("=")
        root = re.split(r"[.\[/@]", key.lstrip("+~"))[0]
        if key not in names and root in roots and (separator or line.startswith("~")):
            found[roots[root]].append(line)
            continue
        if not separator:
            raise UsageError(f"{line!r} is not understood; write key=value")
        if key not in (*names, "debug"):
            valid = [*names, *roots, "debug"]
            raise UsageError(f"unknown key {key!r}{suggestion(root if roots else key, valid)}")
        if key in seen:
            raise UsageError(f"{key} is given twice")
        seen.add(key)
        usage = _usage_of(target, key)
        if key == "debug":
            _read_value(key, text, bool, usage)
        else:
            found[keys[key]] = _read_value(key, text, hints[keys[key]], usage)
    for key, name in keys.items():
        required = parameters[name].default is inspect.Parameter.empty
        if required and name not in found and not partial:
            raise UsageError(f"{key} is missing; write {_usage_of(target, key)}")
    return found


def help_of(kind: type) -> str:
    """Return the `--help` of a request: the docstring of its dataclass."""
    return inspect.cleandoc(kind.__doc__ or "") + "\n"


def unquoted(text: str) -> str:
    """Return a value without the quotes that Hydra would remove."""
    mark = text[:1]
    if mark not in ("'", '"') or len(text) < 2 or not text.endswith(mark):
        return text
    return text[1:-1].replace(f"\\{mark}", mark)


def _mark_of(hint: Any, kind: type[M]) -> M | None:
    """Return what annotates a field: its key, or `Overrides`."""
    marks = getattr(hint, "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, kind)), None)


def _usage_of(target: Callable[..., Any], key: str) -> str:
    """Return how the help writes a key, such as `run=FOLDER`."""
    match = re.search(rf"^\s*({re.escape(key)}=\S+)", target.__doc__ or "", re.MULTILINE)
    return match[1] if match else f"{key}=..."


def _read_value(key: str, text: str, hint: Any, usage: str) -> Any:
    """Read a value of a type; `hint` is the type."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        if text in ("", "null"):
            return None
        hint = next(kind for kind in get_args(hint) if kind is not NoneType)
    if not text:
        raise UsageError(f"{key} has no value; write {usage}")
    if get_origin(hint) in (list, Mapping, dict):
        return _read_collection(key, text, hint, usage)
    if get_origin(hint) is Literal:
        if text not in get_args(hint):
            raise UsageError(f"{key} is {text!r}{suggestion(text, get_args(hint))}")
        return text
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{key} must be true or false, got {text!r}")
        return text.lower() == "true"
    if hint is Path:
        try:
            return Path(unquoted(text)).expanduser()
        except RuntimeError as error:  # ~name of an unknown user
            raise UsageError(f"{key}={text}: {error}") from error
    if hint is str:
        return unquoted(text)
    try:
        return hint(text)
    except ValueError:
        raise UsageError(f"{key} must be {NUMBERS[hint]}, got {text!r}") from None


def _read_collection(key: str, text: str, hint: Any, usage: str) -> list[Any] | dict[str, Any]:
    """Read a list or mapping as Hydra does, its items by their type."""
    if get_origin(hint) is list and not text.startswith("["):  # one item, of any characters
        return [_read_value(key, text, get_args(hint)[0], usage)]
    try:
        value = OverridesParser.create().parse_override(f"{key}={text}").value()
    except HydraException as error:
        line = f"{key}={text}"
        raise UsageError(f"{line} cannot be read{unreadable(line, error)}") from error
    wanted = list if get_origin(hint) is list else dict
    if not isinstance(value, wanted) or not value:
        raise UsageError(f"{key} must look like {usage}, got {text!r}")
    item = get_args(hint)[-1]
    if isinstance(value, dict):
        return {
            str(name): _read_value(f"{key}.{name}", str(entry), item, usage)
            for name, entry in value.items()
        }
    return [_read_value(key, str(entry), item, usage) for entry in value]
