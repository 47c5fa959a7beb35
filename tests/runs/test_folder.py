from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from mixvae.files import write_json
from mixvae.runs import folder as folders
from mixvae.runs.folder import (
    RunFolder,
    check_free,
    check_same,
    claimed,
    default_path,
    free_path,
)


def test_the_default_folder_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = default_path("mnist_cpl")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", first.name)
    assert first.parent == tmp_path / "runs" / "mnist_cpl"
    assert list(tmp_path.iterdir()) == []
    first.mkdir(parents=True)
    assert free_path(first).name == f"{first.name}_2"


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "a\n"])
def test_a_name_that_is_no_folder(name: str) -> None:
    with pytest.raises(ValueError, match="it names a folder"):
        default_path(name)


def test_a_free_folder(tmp_path: Path) -> None:
    check_free(tmp_path)
    check_free(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_not_free(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file is a file"):
        check_free(tmp_path / "file" / "run")
    with pytest.raises(ValueError, match="is not empty: it holds file"):
        check_free(tmp_path)
    write_json(tmp_path / "summary.json", {"status": "interrupted"})
    with pytest.raises(ValueError, match=r"already holds a run \(interrupted\).*resume="):
        check_free(tmp_path)
    write_json(tmp_path / "summary.json", {"status": "finished"})
    with pytest.raises(ValueError, match=r"choose another folder$"):
        check_free(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="not writable"):
        check_free(tmp_path / "a")


def test_json_is_strict_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": "é"}})
    content = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert content == {"a": None, "b": [None, 1.5], "c": {"d": "é"}}
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == content
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


def test_a_summary_that_cannot_be_read_is_an_unknown_status(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.status == "unknown"
    folder.summary.write_text('{"status": "fin')
    assert folder.status == "unknown"
    folder.summary.write_text("[1]")
    assert folder.status == "unknown"


def test_one_process_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with (
        claimed(folder),
        pytest.raises(ValueError, match="written by another process"),
        claimed(folder),
    ):
        pass
    with claimed(folder):
        pass


def test_a_folder_that_another_machine_does_not_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "VISIBLE_SECONDS", 0.0)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    for ours in ({}, {"id": "other"}):
        write_json(folder.provenance, ours)
        with pytest.raises(ValueError, match=r"does not see the run folder .*/run of process 0"):
            check_same(folder, "a1", None)
    write_json(folder.provenance, {"id": "a1"})
    folder.config.write_text("")
    check_same(folder, "a1", None)
    check_same(folder, "a1", tmp_path / "run")
    with pytest.raises(ValueError, match=r"is /there on .*, but process 0 has .*/run;"):
        check_same(folder, "a1", "/there")


def test_overrides_are_read_where_they_are(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_overrides() == []
    folder.overrides.write_text("seed=3\nname=a\n")
    assert folder.read_overrides() == ["seed=3", "name=a"]
