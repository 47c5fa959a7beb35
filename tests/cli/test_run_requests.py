"""The requests of evaluate, annotate and impute: keys, ranges of values, and their help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from mixvae.cli.errors import UsageError
from mixvae.cli.requests import help_of, read_request
from mixvae.cli.run_requests import AnnotateRequest, EvaluateRequest, ImputeRequest, RunRequest

KINDS = (EvaluateRequest, AnnotateRequest, ImputeRequest)
CELLS = ("run=a", "data.path=a.h5ad", "out=b.h5ad")
VIEWS = ("run=a", "data.modalities={a: a.npy}", "out=b.npz")


def test_keys_reach_their_fields() -> None:
    assert read_request(
        AnnotateRequest, [*CELLS, "data.layer=counts", "target_sum=1e4", "checkpoint=selected"]
    ) == AnnotateRequest(
        run=Path("a"),
        path=[Path("a.h5ad")],
        out=Path("b.h5ad"),
        layer="counts",
        target_sum=1e4,
        checkpoint="selected",
    )
    several = read_request(AnnotateRequest, ["run=a", "data.path=[a.h5ad,'b c.h5ad']", "out=b"])
    assert several.path == [Path("a.h5ad"), Path("b c.h5ad")]
    assert read_request(ImputeRequest, [*VIEWS, "source=a"]) == ImputeRequest(
        run=Path("a"), files={"a": "a.npy"}, out=Path("b.npz"), source="a"
    )
    lines = ["data=mnist", "+trainer.fast_dev_run=true", "data_root=d"]
    assert read_request(EvaluateRequest, ["run=a", *lines]).overrides == lines


@pytest.mark.parametrize("kind", KINDS)
def test_the_help_names_every_key_and_fits_a_terminal(kind: type[RunRequest]) -> None:
    lines = help_of(kind).splitlines()
    assert max(map(len, lines)) <= 100
    keys = {"path": "data.path", "files": "data.modalities"}
    keys |= {name: f"data.{name}" for name in ("layer", "gene_names", "modality")}
    names = [keys.get(item.name, item.name) for item in fields(kind)]
    for name in {*names, "debug"} - {"overrides"}:
        assert any(line.startswith(f"  {name}=") for line in lines), name


WRONG = {
    "share": (AnnotateRequest, (*CELLS, "max_missing=1.5"), "max_missing", "1.5"),
    "nan": (AnnotateRequest, (*CELLS, "max_missing=nan"), "max_missing", "nan"),
    "size": (AnnotateRequest, (*CELLS, "batch_size=0"), "batch_size", "0"),
    "sum": (AnnotateRequest, (*CELLS, "target_sum=-1"), "target_sum", "-1"),
    "checkpoint": (AnnotateRequest, (*CELLS, "checkpoint=worst"), "checkpoint", "worst"),
    "cells": (AnnotateRequest, (*CELLS, "path=b.h5ad"), "unknown key", "path"),
    "ending": (ImputeRequest, (*VIEWS[:2], "out=b.npy"), "out", "b.npy"),
    "events": (ImputeRequest, (*VIEWS, "batch_size=0"), "batch_size", "0"),
    "model": (EvaluateRequest, ("run=a", "model.tau=1"), "unknown key", "model.tau"),
}


@pytest.mark.parametrize(("kind", "lines", "key", "value"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_value_is_refused(
    kind: type[RunRequest], lines: Sequence[str], key: str, value: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        read_request(kind, lines)
    assert key in str(refusal.value)
    assert value in str(refusal.value)
