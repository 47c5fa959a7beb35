from __future__ import annotations

from pathlib import Path

import pytest

from mixvae.files import CAN_LOCK, lock


@pytest.mark.skipif(not CAN_LOCK, reason="this system has no such locks")
def test_a_file_is_locked_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("a") as first, path.open("a") as second:
        lock(first)
        with pytest.raises(BlockingIOError):
            lock(second)
    with path.open("a") as third:
        lock(third)
