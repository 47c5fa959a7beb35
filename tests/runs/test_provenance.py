from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

import pytest
import torch

from mixvae import __version__
from mixvae.runs import provenance
from mixvae.runs.provenance import describe_provenance


def test_what_is_needed_to_run_the_same_again(
    monkeypatch: pytest.MonkeyPatch, repo_root: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["mixvae.train", "seed=1", "tags=[a b]"])
    found = json.loads(json.dumps(describe_provenance()))
    assert found["mixvae"] == __version__
    assert found["command"] == "python -m mixvae.train seed=1 'tags=[a b]'"
    assert found["python"] == platform.python_version()
    assert found["versions"]["torch"] == torch.__version__
    assert found["cpu_count"] >= 1
    if (repo_root / ".git").exists():
        assert len(found["git_commit"]) == 40
        assert isinstance(found["git_dirty"], bool)


def test_outside_a_repository_or_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **options: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    found = describe_provenance()
    assert found["git_commit"] is None
    assert found["git_dirty"] is None


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package",))
    assert describe_provenance()["versions"] == {"no-such-package": None}
