"""Puts `toys`, what the tests of models share, on the path."""

import sys
from pathlib import Path

import pytest

from mixvae.modules import cpl_mixvae

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """cpl-mixVAE's samples of c and s are their means: a literal loop can follow, for any K."""
    monkeypatch.setattr(cpl_mixvae, "gumbel_softmax", lambda log_q, *_, **__: log_q.exp())
    monkeypatch.setattr(cpl_mixvae, "reparametrise", lambda mean, logvar: mean)
