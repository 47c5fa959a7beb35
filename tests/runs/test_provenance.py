from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import torch

from mixvae import __version__
from mixvae.runs import recording
from mixvae.runs.provenance import describe_provenance, imported_versions


def test_what_is_needed_to_run_the_same_again(repo_root: Path) -> None:
    found = json.loads(json.dumps(describe_provenance(["seed=1", "tags=[a b]"])))
    assert found["mixvae"] == __version__
    assert found["command"] == "python -m mixvae.train seed=1 'tags=[a b]'"
    assert found["python"] == platform.python_version()
    assert found["cpu_count"] >= 1
    if (repo_root / ".git").exists():
        assert len(found["git_commit"]) == 40
        assert isinstance(found["git_dirty"], bool)


def test_outside_a_repository_or_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **options: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    found = describe_provenance([])
    assert found["git_commit"] is None
    assert found["git_dirty"] is None


def test_versions_are_those_of_the_imported_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("hydra-core", "scikit-learn")  # imported by other names
    import sklearn

    assert sklearn.__version__ == imported_versions()["scikit-learn"]
    assert all(imported_versions()[name] == metadata.version(name) for name in names)
    monkeypatch.setattr(sys, "modules", {"torch.nn": torch.nn})
    # With its build (+cpu, +cu130), which the metadata of some wheels leave out.
    assert imported_versions() == {"torch": str(torch.__version__)}
    assert str(torch.__version__).partition("+")[0] == metadata.version("torch").partition("+")[0]


def test_packages_imported_on_the_way_are_listed_at_the_end(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optional packages, such as anndata, are imported where they are used first."""
    monkeypatch.setattr(recording, "imported_versions", lambda: {"late": "1.0"})
    folder = run("a", fresh=True)
    assert json.loads((folder / "provenance.json").read_text())["versions"] == {"late": "1.0"}
