from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixvae.engine import rendezvous
from mixvae.engine.rendezvous import RankError, Rendezvous


def follow(first: Rendezvous, rank: int) -> Rendezvous:
    """Another process's end, in this one."""
    return Rendezvous(rank, first.world_size, "localhost", first.port, hosts=False)


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    return thread, results


@pytest.fixture
def first() -> Rendezvous:
    return Rendezvous(0, 3, "localhost", 0, hosts=True)


@pytest.fixture(autouse=True)
def _without_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that ends a process with the first one would end this one."""
    monkeypatch.setattr(Rendezvous, "_end_with_rank_zero", lambda self: None)


def test_rank_zero_tells_all_and_not_those_of_an_earlier_start(first: Rendezvous) -> None:
    # They introduced themselves and are gone; torchrun keeps the store.
    for rank in (1, 2):
        follow(first, rank)._store.set(f"mixvae/hello/{rank}", "gone")
    others = [follow(first, rank) for rank in (1, 2)]

    def take_part(other: Rendezvous) -> dict[str, Any]:
        message = other.hear()
        other.ready()
        return message

    work = [in_background(lambda other=other: take_part(other)) for other in others]  # type: ignore[misc]
    first.tell({"folder": "/a"})
    for thread, results in work:
        thread.join(10)
        assert [message["folder"] for message in results] == ["/a"]
    assert first.remembered() is None
    first.remember(Path("/a"))
    again = Rendezvous(0, 3, "localhost", first.port, hosts=False)
    assert again.remembered() == Path("/a")


def test_rank_zero_waits_for_a_process_that_is_late_and_names_it(
    first: Rendezvous, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendezvous, "ARRIVAL_SECONDS", 0.2)
    with pytest.raises(RankError, match="process 1 of 3 did not arrive at the rendezvous local"):
        first.tell({})


def test_a_process_that_failed_ends_the_wait_of_rank_zero(first: Rendezvous) -> None:
    other = follow(first, 2)
    in_background(lambda: (other.hear(), other.fail()))
    with pytest.raises(RankError, match="process 2 of the run failed"):
        first.tell({})
    assert first.lost() == "process 2 of the run failed"


@pytest.mark.parametrize("status", [0, 1])
def test_the_others_end_with_rank_zero(first: Rendezvous, status: int) -> None:
    other = follow(first, 1)
    first.world_size = 2

    def wait() -> None:
        if status:
            while not first._answered:
                first.call_off()
        else:
            first.tell({"over": 0})

    in_background(wait)
    with pytest.raises(SystemExit) as stop:
        other.hear()
    assert stop.value.code == status


def test_a_store_that_cannot_be_reached_or_hosted(
    first: Rendezvous, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendezvous, "REACH_SECONDS", 1.0)
    port = first.port
    with pytest.raises(ConnectionError, match=rf"cannot open .*:{port}; .*MASTER_PORT"):
        Rendezvous(0, 2, "localhost", port, hosts=True)
    del first
    with pytest.raises(ConnectionError, match=r"process 1 cannot reach .* localhost:1 within 1 s"):
        Rendezvous(1, 2, "localhost", 1, hosts=False)
