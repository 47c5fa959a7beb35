"""Checks a config against the constructors it names: their arguments are its schema."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Iterable as AbstractIterable
from importlib.util import find_spec
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from hydra.utils import get_object

from mixvae.cli.trust import built_nodes
from mixvae.suggestions import nearest, suggestion

# Packages whose base classes take whatever they are given.
BASES = ("torch", "lightning", "pytorch_lightning", "builtins")
SCALARS = (bool, int, float, str, NoneType)
# Values that a run replaces before a constructor gets them.
REPLACED = {("trainer.precision", "auto"), ("model.likelihood.target_sum", "median")}

# Groups of networks set these keys; why a model lacks one.
OTHER_NETWORKS = {
    "model.agents": "for several modalities use networks=modality_mlp or modality_residual",
    "model.networks": "it models one array of samples, not several modalities",
}


def check_constructors(config: Mapping[str, Any]) -> None:
    """Refuse arguments that a constructor does not have, and values of another type.

    Args:
        config: A config as plain values, references resolved.

    Raises:
        ValueError: Naming the key, and the nearest valid one.
    """
    for path, node in built_nodes(config):
        _check_node(path, node)


def _check_node(path: str, node: Mapping[str, Any]) -> None:
    try:
        target = _find(node["_target_"])
        hints, takes_any = arguments_of(target)
    except Exception as error:
        name, package = node["_target_"], str(node["_target_"]).partition(".")[0]
        why = f" ({' '.join(str(error).split())})"
        if package != "mixvae" and package not in sys.modules and not find_spec(package):
            why = f"; the folder of {package} must be the current one or on PYTHONPATH"
        raise ValueError(f"{path}._target_: there is no {name!r}{why}") from error
    for key, value in node.items():
        if key.startswith("_") and key.endswith("_"):
            continue
        if key not in hints:
            if not takes_any:
                near = suggestion(f"{path}.{key}", [f"{path}.{name}" for name in hints])
                own = f"{str(node['_target_']).rpartition('.')[2]} takes no {key!r}"
                if f"{path}.{key}" in OTHER_NETWORKS:
                    near, own = "", f"{own}: {OTHER_NETWORKS[f'{path}.{key}']}"
                raise ValueError(f"unknown key '{path}.{key}'{near} ({own})")
        elif not accepts(hints[key], value) and (f"{path}.{key}", str(value)) not in REPLACED:
            words = _literals(hints[key]) if isinstance(value, str) else []
            near = nearest(str(value), words)
            if isinstance(value, int | float) and accepts(hints[key], str(value)):
                near = f"; a text in quotes: \"{path}.{key}='{value}'\""
            raise ValueError(f"{path}.{key} is {value!r}; it must be {describe(hints[key])}{near}")


def _find(target: str) -> Any:
    """Find a class by its name, without the lines that Hydra logs beside its error."""
    hydra = logging.getLogger("hydra.utils")
    before, hydra.disabled = hydra.disabled, True
    try:
        return get_object(target)
    finally:
        hydra.disabled = before


def arguments_of(target: Any) -> tuple[dict[str, Any], bool]:
    """Types of a constructor's keyword arguments by name, and whether it takes any others.

    A class of mixvae, or of a user, passes its `**` on to the class above it, so the arguments of
    that class are its own too; of PyTorch's and Lightning's bases nothing is asked. Positional-only
    ones are for subclasses alone.
    """
    classes = target.__mro__[1:] if inspect.isclass(target) else ()
    known: dict[str, Any] = {}
    for one in (target, *(base for base in classes if "__init__" in vars(base))):
        if one is not target and one.__module__.partition(".")[0] in BASES:
            return known, True
        hints = _hints(one)
        parameters = inspect.signature(one).parameters.values()
        for item in parameters:
            if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY):
                known.setdefault(item.name, hints.get(item.name, Any))
        if not any(item.kind is item.VAR_KEYWORD for item in parameters):
            return known, False
    return known, True


def takes(target: object, name: str) -> bool:
    """Whether the constructor that a config names has this argument; True of an unknown one."""
    try:
        return name in arguments_of(_find(str(target)))[0]
    except Exception:  # what is wrong with it is said where it is checked
        return True


def _hints(target: Any) -> dict[str, Any]:
    """Types of a constructor's arguments, as far as they can be resolved."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def accepts(hint: Any, value: Any) -> bool:
    """Whether a plain value from a config suits a type; True where the type says too little."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(accepts(argument, value) for argument in arguments)
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in arguments)
    if isinstance(value, Mapping):
        # Built into something first, or a mapping where a mapping is meant.
        return "_target_" in value or hint not in SCALARS
    kind = origin or hint
    if not inspect.isclass(kind):
        return True
    if isinstance(value, list):
        return _accepts_list(kind, arguments, value)
    return _accepts_scalar(kind, value)


def _accepts_list(kind: type, arguments: tuple[Any, ...], value: list[Any]) -> bool:
    if not issubclass(kind, AbstractIterable) or issubclass(kind, str | Mapping):
        return False
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        return len(value) == len(arguments) and all(map(accepts, arguments, value))
    return not arguments or all(accepts(arguments[0], item) for item in value)


def _accepts_scalar(kind: type, value: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, str) and issubclass(kind, os.PathLike):
        return True
    if isinstance(value, str) and issubclass(kind, Sequence):
        return issubclass(kind, str)
    try:
        return isinstance(value, kind)
    except TypeError:
        return True


def describe(hint: Any) -> str:
    """Return a type in the words of a config file."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(describe(argument) for argument in arguments))
    if origin is Literal:
        return " or ".join(str(argument) for argument in arguments)
    words = {
        NoneType: "null",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        Callable: "a part with a _target_",
    }
    kind = origin or hint
    if kind in words:
        return words[kind]
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "a mapping {NAME: VALUE, ...}"
    if inspect.isclass(kind) and issubclass(kind, AbstractIterable) and arguments:
        return f"a list, each {describe(arguments[0])}"
    return getattr(kind, "__name__", str(kind))


def _literals(hint: Any) -> list[str]:
    """Return the words that a type allows."""
    if get_origin(hint) is Literal:
        return [word for word in get_args(hint) if isinstance(word, str)]
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    return [word for part in parts for word in _literals(part)]
