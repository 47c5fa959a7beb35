"""The command line of `mixvae.impute` is read, or refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixvae.cli.errors import UsageError
from mixvae.cli.impute_request import (
    IMPUTE_HELP,
    KEYS,
    ImputeRequest,
    parse_impute_request,
)

FILES = ("run=runs/a", "data.modalities={a: x y.npy, 2: b.npz:key}", "out=b.npz")


def test_every_key_is_read() -> None:
    options = ("overwrite=true", "checkpoint=last", "source=a", "batch_size=7", "debug=true")
    assert parse_impute_request([*FILES, *options]) == ImputeRequest(
        Path("runs/a"), {"a": "x y.npy", "2": "b.npz:key"}, Path("b.npz"), True, "last", "a", 7
    )


def test_help_names_every_key() -> None:
    for key in [*KEYS, "debug"]:
        assert f"  {key}=" in IMPUTE_HELP


WRONG = {
    "no run": (FILES[1:], "name the folder of a run"),
    "nobody": (("run=~nobody-here/a", *FILES[1:]), "~nobody-here/a cannot be found"),
    "no files": ((FILES[0], FILES[2]), "name the files: 'data.modalities={a: a.npy}'"),
    "no mapping": (("run=a", "data.modalities=a.npy", FILES[2]), "must name a file for each"),
    "empty": (("run=a", "data.modalities={}", FILES[2]), "must name a file for each"),
    "grammar": (("run=a", "data.modalities={a", FILES[2]), "data.modalities={a cannot be read"),
    "no out": (FILES[:2], "name the file to write: out=imputed.npz"),
    "ending": ((*FILES[:2], "out=b.npy"), "out=b.npy must be called .npz"),
    "key": ((*FILES, "sorce=a"), "unknown key 'sorce'; did you mean 'source'?"),
    "size": ((*FILES, "batch_size=0"), "batch_size must be 1 or more, got 0"),
    "checkpoint": ((*FILES, "checkpoint=selected"), "checkpoint is 'selected'; use best or last"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_command_line_is_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_impute_request(arguments)
    assert message in str(refusal.value)
