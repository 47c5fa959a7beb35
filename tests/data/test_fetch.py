import gzip
import hashlib
import socket
import threading
import time
from pathlib import Path

import pooch
import pytest

from mixvae.data import fetch as fetch_module
from mixvae.data.fetch import FetchError, RemoteFile, data_root, fetch

CONTENTS = {"a.gz": gzip.compress(b"first" * 1000), "b.gz": gzip.compress(b"second" * 1000)}
FILES = [RemoteFile(name, hashlib.md5(content).hexdigest()) for name, content in CONTENTS.items()]


def closed_port() -> str:
    """Return an address of this machine where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.fixture
def mirror(start_mirror):
    mirror = start_mirror("mirror")
    for name, content in CONTENTS.items():
        (mirror.folder / name).write_bytes(content)
    return mirror


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_files_arrive_whole_and_nothing_else_stays(tmp_path, mirror):
    folder = tmp_path / "root" / "deep"
    fetch(FILES, folder, [mirror.address])
    assert tree(folder) == ["a.gz", "b.gz"]
    for name, content in CONTENTS.items():
        assert (folder / name).read_bytes() == content
    assert mirror.asked == ["/a.gz", "/b.gz"]


def test_the_next_mirror_is_asked_only_for_what_is_missing(tmp_path, mirror, start_mirror):
    partial = start_mirror("partial")
    (partial.folder / "a.gz").write_bytes(CONTENTS["a.gz"])
    fetch(FILES, tmp_path / "root", [closed_port(), partial.address, mirror.address])
    assert tree(tmp_path / "root") == ["a.gz", "b.gz"]
    assert partial.asked == ["/a.gz", "/b.gz"]
    assert mirror.asked == ["/b.gz"]


def test_when_every_mirror_fails_each_is_named_with_its_reason(tmp_path, start_mirror):
    empty, wrong, nobody = start_mirror("empty"), start_mirror("wrong"), closed_port()
    (wrong.folder / "a.gz").write_bytes(b"<html>please log in</html>")
    with pytest.raises(FetchError) as caught:
        fetch(FILES, tmp_path / "root", [nobody, empty.address, wrong.address])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{nobody}a.gz: ConnectionError: ")
    assert "refused" in lines[0]
    assert lines[1].startswith(f"{empty.address}a.gz: HTTPError: 404")
    found = hashlib.md5(b"<html>please log in</html>").hexdigest()
    assert lines[2].startswith(f"{wrong.address}a.gz: ValueError: MD5 hash")
    assert FILES[0].md5 in lines[2]
    assert found in lines[2]
    assert not (tmp_path / "root").exists()


def test_a_failure_leaves_folders_that_were_there_as_they_were(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "mine.txt").write_text("kept")
    with pytest.raises(FetchError):
        fetch(FILES, root / "MNIST" / "raw", [closed_port()])
    assert tree(root) == ["mine.txt"]


def test_a_failure_on_the_second_file_keeps_the_first_which_is_whole(tmp_path, mirror):
    (mirror.folder / "b.gz").rename(mirror.folder / "away")
    with pytest.raises(FetchError, match="404"):
        fetch(FILES, tmp_path / "root", [mirror.address])
    assert tree(tmp_path / "root") == ["a.gz"]
    assert (tmp_path / "root" / "a.gz").read_bytes() == CONTENTS["a.gz"]


def serve_raw(response: bytes, hold: float = 0.0) -> tuple[str, threading.Thread]:
    """Answer one request on this machine with these bytes, wait, and hang up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(response)
                time.sleep(hold)

    thread = threading.Thread(target=answer)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/", thread


def test_an_interrupt_leaves_nothing(tmp_path, mirror, monkeypatch):
    def interrupted(self, url, output_file, *_):
        Path(output_file).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(FILES, tmp_path / "root" / "deep", [mirror.address])
    assert not (tmp_path / "root").exists()


def test_processes_that_download_at_once_do_not_disturb_each_other(tmp_path, mirror):
    errors = []

    def run() -> None:
        try:
            fetch(FILES, tmp_path / "root", [mirror.address])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert tree(tmp_path / "root") == ["a.gz", "b.gz"]
    for name, content in CONTENTS.items():
        assert (tmp_path / "root" / name).read_bytes() == content


def test_without_an_md5_any_content_is_taken(tmp_path, mirror):
    fetch([RemoteFile("a.gz", None)], tmp_path / "root", [mirror.address.rstrip("/")])
    assert tree(tmp_path / "root") == ["a.gz"]


@pytest.mark.parametrize("stalls", [True, False])
def test_a_connection_that_breaks_off_or_stalls_leaves_nothing(tmp_path, stalls):
    hold, reason = (0.6, "timed out") if stalls else (0.0, r"a\.gz: .*")
    address, thread = serve_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", hold)
    start = time.monotonic()
    with pytest.raises(FetchError, match=reason):
        fetch(FILES[:1], tmp_path / "root", [address], timeout=0.2)
    assert time.monotonic() - start < 5
    thread.join()
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("folder", ["file/raw", "root/raw"])
def test_a_folder_of_no_use_is_refused_before_the_network(tmp_path, mirror, monkeypatch, folder):
    (tmp_path / "file").write_text("")
    # the permission bits themselves would not stop root, who may run the tests
    monkeypatch.setattr(fetch_module.os, "access", lambda *_: False)
    with pytest.raises(ValueError, match=f"cannot write to the data folder .*/{folder}"):
        fetch(FILES, tmp_path / folder, [mirror.address])
    assert mirror.asked == []
    assert not (tmp_path / "root").exists()


# --- the data root ---


def test_the_root_is_the_argument_then_the_environment_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXVAE_DATA_DIR", str(tmp_path / "env"))
    assert data_root(tmp_path / "argument") == tmp_path / "argument"
    assert data_root(None) == tmp_path / "env"
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("MIXVAE_DATA_DIR")
        else:
            monkeypatch.setenv("MIXVAE_DATA_DIR", unset)
        assert data_root(None) == Path(pooch.os_cache("mixvae"))


def test_the_root_is_made_absolute_and_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root("data") == tmp_path / "data"
    assert data_root("~/data") == tmp_path / "data"


@pytest.mark.parametrize("below", ["", "folder/deeper"])
def test_a_root_that_is_a_file_is_refused(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match=r"data root .* cannot be used: .*/file is a file, not"):
        data_root(file / below)
