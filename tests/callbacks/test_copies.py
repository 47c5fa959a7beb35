"""CopyFigures: its settings; what it draws is tested in whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixvae.callbacks.copies import CopyFigures


@pytest.mark.parametrize("name", ["num_samples", "num_copies"])
def test_bad_settings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be 1 or more; got 0"):
        CopyFigures(str(tmp_path), **{name: 0})
