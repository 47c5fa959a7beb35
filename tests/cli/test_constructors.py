from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Protocol, Union

import pytest
import torch

from mixvae.cli.constructors import accepts, arguments_of, check_constructors, describe


class Shape(Protocol):
    """Something built, not a plain value."""

    def area(self) -> float: ...


SUITS = [
    (int, 1),
    (float, 1),
    (float, 1.5),
    (bool, True),
    (str, "a"),
    (int | None, None),
    (Optional[int], 3),  # noqa: UP045
    (Union[int, str], "a"),  # noqa: UP007
    (float | Literal["auto"], "auto"),
    (Literal["min", "max"], "min"),
    (list[int], [1, 2]),
    (Sequence[int], []),
    (tuple[float, float], [0.9, 0.999]),
    (tuple[int, ...], [1, 2, 3]),
    (Sequence[Sequence[int]], [[1], [2, 3]]),
    (dict[str, int], {"a": 1}),
    (Mapping[str, str] | None, {"a": "a.npy"}),
    (Path, "folder"),
    (Any, object()),
    (Any, [1]),
    (Shape, {"_target_": "x.Y"}),
    (Callable[[int], int], {"_target_": "x.Y", "_partial_": True}),
    (float | torch.Tensor, 0.1),
]
SUITS_NOT = [
    (int, "1"),
    (int, 1.0),
    (int, True),
    (float, "a"),
    (float, True),
    (float, None),
    (bool, 1),
    (bool, "true"),
    (str, 1),
    (int | None, "x"),
    (Literal["min", "max"], "least"),
    (float | Literal["auto"], "autos"),
    (list[int], ["a"]),
    (Sequence[int], 3),
    (Sequence[int], "12"),
    (Mapping[str, str] | None, ["a.npy", "b.npy"]),
    (tuple[float, float], [0.9]),
    (str, ["a"]),
    (int, {"a": 1}),
    (float | torch.Tensor, "x"),
]


@pytest.mark.parametrize(
    ("hint", "value", "suits"),
    [*((*case, True) for case in SUITS), *((*case, False) for case in SUITS_NOT)],
)
def test_whether_a_value_suits_a_type(hint: Any, value: Any, suits: bool) -> None:
    assert accepts(hint, value) is suits


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int | None, "a whole number or null"),
        (float | Literal["auto"], "a number or auto"),
        (list[int], "a list, each a whole number"),
        (bool, "true or false"),
        (Callable[..., int], "a part with a _target_"),
        (Mapping[str, str] | None, "a mapping {NAME: VALUE, ...} or null"),
    ],
)
def test_a_type_in_words(hint: Any, words: str) -> None:
    assert describe(hint) == words


def adam(**arguments: Any) -> dict[str, Any]:
    return {
        "model": {"optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, **arguments}}
    }


def test_arguments_that_a_constructor_has_pass() -> None:
    check_constructors(adam(lr=0.1, betas=[0.9, 0.99], fused=True))


WRONG = {
    "type": (adam(lr="fast"), "model.optimizer.lr is 'fast'; it must be a number or Tensor"),
    "target": ({"data": {"_target_": "mixvae.data.Nothing"}}, "there is no 'mixvae.data.Nothing'"),
    "no package": (
        {"data": {"_target_": "gonepackage.Own"}},
        "there is no 'gonepackage.Own'; the folder of gonepackage must be the current one or on",
    ),
    "in a list": (
        {"a": [{"_target_": "torch.nn.Linear", "widht": 1}]},
        "(Linear takes no 'widht')",
    ),
    "a number for a text": (
        {"data": {"_target_": "mixvae.data.CellDataModule", "batch_key": 0}},
        "data.batch_key is 0; it must be a text or null; a text in quotes: \"data.batch_key='0'\"",
    ),
    "literal": (
        {"c": {"_target_": "mixvae.callbacks.checkpoints.Checkpoints", "mode": "mim"}},
        "c.mode is 'mim'; it must be min or max; did you mean 'min'?",
    ),
}


@pytest.mark.parametrize(("config", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_a_constructor_does_not_take(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_constructors(config)


def test_what_is_wrong_with_a_package_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "brokenpackage.py").write_text("import nothere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"no 'brokenpackage\.Own' \(.*No module named 'nothere'"):
        check_constructors({"data": {"_target_": "brokenpackage.Own"}})
    assert not caplog.records


class Base:
    __module__ = "mixvae.somewhere"

    def __init__(self, fixed: int = 1, /, *, size: int, name: str = "a") -> None: ...


class Between(Base):
    __module__ = "mixvae.somewhere"

    def __init__(self, *, rate: float = 1.0, **shared: Any) -> None: ...


class Own(Between):
    def __init__(self, *, mine: bool = False, **kwargs: Any) -> None: ...


class Foreign(dict):
    def __init__(self, *, mine: bool = False, **kwargs: Any) -> None: ...


def test_the_arguments_of_classes_above_are_those_of_a_class_that_passes_them_on() -> None:
    known, takes_any = arguments_of(Own)
    assert known == {"mine": bool, "rate": float, "size": int, "name": str}
    assert not takes_any
    # Elsewhere `**` may be for anything.
    assert arguments_of(Foreign) == ({"mine": bool}, True)
    assert arguments_of(adam) == ({}, True)


def test_what_a_model_fixes_is_no_argument_of_it() -> None:
    with pytest.raises(ValueError, match=r"unknown key 'model\.num_agents'"):
        check_constructors({"model": {"_target_": "mixvae.modules.GMVAE", "num_agents": 2}})


@pytest.mark.parametrize(
    ("model", "key", "advice"),
    [
        ("mmvm.MMVM", "agents", "networks=modality_mlp or modality_residual"),
        ("vade.VaDE", "networks", "one array of samples, not several modalities"),
    ],
)
def test_networks_of_another_kind_of_model_are_refused_with_the_remedy(
    model: str, key: str, advice: str
) -> None:
    config = {"model": {"_target_": f"mixvae.modules.{model}", key: {}}}
    with pytest.raises(ValueError, match=rf"unknown key 'model.{key}' \(.*{advice}"):
        check_constructors(config)
