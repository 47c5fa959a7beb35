"""Command lines of `key=value` are read by type, or refused with the key and the value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from mixvae.cli.errors import UsageError
from mixvae.cli.requests import Overrides, help_of, read_keywords, read_request


@dataclass
class Example:
    """Do something.

    run=FOLDER      the run
    data.path=FILE  the cells
    """

    run: Path
    path: Annotated[Path | None, "data.path"] = None
    size: int = 10
    share: float | None = 0.5
    again: bool = False
    name: str = "a"
    choice: Literal["one", "other"] | None = None
    files: Annotated[Mapping[str, str], "data.files"] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    overrides: Annotated[list[str], Overrides("data", "trainer")] = field(default_factory=list)


READ = {
    "run='R=a b'": ("run", Path("R=a b")),
    "data.path=~/c.h5ad": ("path", Path.home() / "c.h5ad"),
    "data.path=null": ("path", None),
    "size=7": ("size", 7),
    "share=1e-3": ("share", 1e-3),
    "share=": ("share", None),
    "again=True": ("again", True),
    "name='x, y'": ("name", "x, y"),
    r"name='it\'s'": ("name", "it's"),
    """name="it's" """.strip(): ("name", "it's"),
    "name='": ("name", "'"),
    "choice=other": ("choice", "other"),
    "data.files={a: x y.npy, 2: b.npz:key}": ("files", {"a": "x y.npy", "2": "b.npz:key"}),
    "seeds=[0,2]": ("seeds", [0, 2]),
    "data.k=1": ("overrides", ["data.k=1"]),
    "+trainer.x=1": ("overrides", ["+trainer.x=1"]),
    "~data.x": ("overrides", ["~data.x"]),
}


@pytest.mark.parametrize(("line", "expected"), READ.items())
def test_a_value_is_read_by_its_type(line: str, expected: tuple[str, object]) -> None:
    name, value = expected
    others = [] if name == "run" else ["run=r"]
    assert getattr(read_request(Example, [*others, line, "debug=true"]), name) == value


WRONG = {
    "word": ("best", "'best' is not understood; write key=value"),
    "key": ("siz=1", "unknown key 'siz'; did you mean 'size'?"),
    "group": ("+trainr.x=1", "unknown key '+trainr.x'; did you mean 'trainer'?"),
    "twice": ("run=b", "run is given twice"),
    "empty": ("size=", "size has no value"),
    "int": ("size=1.5", "size must be a whole number, got '1.5'"),
    "float": ("share=x", "share must be a number, got 'x'"),
    "bool": ("again=yes", "again must be true or false, got 'yes'"),
    "debug": ("debug=yes", "debug must be true or false, got 'yes'"),
    "choice": ("choice=none", "choice is 'none'; did you mean 'one'?"),
    "user": ("data.path=~nobody-here/a", "data.path=~nobody-here/a"),
    "no mapping": ("data.files=a.npy", "data.files must look like data.files=..., got 'a.npy'"),
    "empty mapping": ("data.files={}", "data.files must look like"),
    "grammar": ("data.files={a", "data.files={a cannot be read"),
    "quoted names": ('data.files={"a": b}', "names take no quotes"),
    "item": ("seeds=[0,x]", "seeds must be a whole number, got 'x'"),
}


@pytest.mark.parametrize(("line", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_line_is_refused(line: str, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        read_request(Example, ["run=a", line])
    assert message in str(refusal.value)


def test_a_required_key_is_named_as_in_the_help() -> None:
    assert "run=FOLDER      the run\n" in help_of(Example)
    for line in ([], ["run="]):
        with pytest.raises(UsageError, match=r"write run=FOLDER$"):
            read_request(Example, line)
    assert read_keywords(Example, ["size=1"], partial=True) == {"size": 1, "overrides": []}


def test_the_arguments_of_a_function_are_keys_as_well() -> None:
    def work(out: str, num: int | None = None) -> None: ...

    assert read_keywords(work, ["out=x", "num=null"]) == {"out": "x", "num": None}
    with pytest.raises(UsageError, match=r"out is missing; write out=\.\.\."):
        read_keywords(work, [])
