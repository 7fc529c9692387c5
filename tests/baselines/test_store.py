"""Reading and writing the files: locked, in one step, or not at all."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_tokenbudget import files
from pytest_tokenbudget.baselines import evolve
from pytest_tokenbudget.baselines.format import dump, load
from pytest_tokenbudget.baselines.store import JsonStore
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord


def append(value: int) -> Callable[[BaselineEntry | None], BaselineEntry]:
    def change(standing: BaselineEntry | None) -> BaselineEntry:
        sessions = standing.metrics["calls"].sessions if standing else ()
        return BaselineEntry(metrics={"calls": MetricRecord((*sessions, (value,)), 0)})

    return change


def put(entry: BaselineEntry) -> Callable[[BaselineEntry | None], BaselineEntry]:
    return lambda _: entry


@pytest.fixture
def stored(store: JsonStore, path: Path, entry: Callable[..., BaselineEntry]) -> bytes:
    """A file with two tests stands at ``path``; its bytes."""
    store.update(path, {"test_a": put(entry((1,))), "test_b": put(entry((2,)))})
    return path.read_bytes()


def listing(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


def test_no_file_is_no_entries(store: JsonStore, path: Path) -> None:
    """A test file without a baseline has none; reading makes nothing."""
    assert store.read(path) == {}
    assert not path.parent.exists()


def test_the_first_write_makes_directory_and_file(store: JsonStore, path: Path, entry) -> None:
    """And leaves nothing else there: no lock, no temporary file."""
    assert store.update(path, {"test_a": put(entry((1,)))}) is True
    assert listing(path) == ["test_a.json"]
    assert JsonStore().read(path) == {"test_a": entry((1,))}


def test_only_the_entries_of_tests_that_ran_are_touched(store: JsonStore, path: Path, stored: bytes, entry) -> None:
    """The other entries stay, in what another session wrote meanwhile too."""
    other_session = JsonStore()
    store.read(path)
    other_session.update(path, {"test_c": put(entry((3,)))})
    store.update(path, {"test_b": put(entry((9,)))})
    assert store.read(path) == {"test_a": entry((1,)), "test_b": entry((9,)), "test_c": entry((3,))}


def test_an_entry_that_does_not_change_is_written_as_it_stands(
    store: JsonStore, path: Path, stored: bytes, entry
) -> None:
    """Also where somebody wrote a figure into it that would have followed from others."""
    document = json.loads(stored)
    document["tests"]["test_a"]["metrics"] |= {"output_tokens": 2, "total_tokens": 3}
    path.write_text(json.dumps(document), encoding="utf-8")
    assert store.update(path, {"test_b": put(entry((9,)))}) is True
    written = json.loads(path.read_bytes())["tests"]
    assert written["test_a"] == document["tests"]["test_a"]
    assert written["test_b"]["metrics"] == {"input_tokens": 9}


def test_a_change_gets_what_stands_there_now(store: JsonStore, path: Path, stored: bytes, entry) -> None:
    """Not what was read at the start of the session."""
    store.read(path)
    JsonStore().update(path, {"test_a": put(entry((7,)))})
    seen = []

    def change(standing: BaselineEntry | None) -> BaselineEntry | None:
        seen.append(standing)
        return standing

    store.update(path, {"test_a": change, "test_z": change})
    assert seen == [entry((7,)), None]


def test_equal_entries_leave_the_file_untouched(store: JsonStore, path: Path, stored: bytes, entry) -> None:
    """Not a byte, not the time stamp, not the inode."""
    os.utime(path, ns=(1, 1))
    before = path.stat()
    assert store.update(path, {"test_a": put(entry((1,)))}) is False
    assert store.update(path, {}) is False
    assert path.read_bytes() == stored
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_file_in_another_layout_is_left_alone_where_nothing_changes(store: JsonStore, path: Path, entry) -> None:
    """A formatter's layout, or Windows line ends, are no reason to write."""
    path.parent.mkdir()
    data = dump({"test_a": entry((1,))}).replace(b"\n", b"\r\n")
    path.write_bytes(data)
    assert store.update(path, {"test_a": put(entry((1,)))}) is False
    assert path.read_bytes() == data


def test_a_change_can_remove_an_entry(store: JsonStore, path: Path, stored: bytes, entry) -> None:
    """``None`` is no entry."""
    assert store.update(path, {"test_a": lambda _: None, "test_none": lambda _: None}) is True
    assert store.read(path) == {"test_b": entry((2,))}


def test_prune_removes_what_exists_no_more(store: JsonStore, path: Path, stored: bytes, entry) -> None:
    """It says what it removed, and does not write where there is nothing to remove."""
    assert store.prune(path, {"test_a", "test_c"}) == ("test_b",)
    assert store.read(path) == {"test_a": entry((1,))}
    os.utime(path, ns=(1, 1))
    assert store.prune(path, ["test_a"]) == ()
    assert path.stat().st_mtime_ns == 1


def test_prune_removes_a_file_without_entries(store: JsonStore, path: Path, stored: bytes) -> None:
    """An empty baseline is none."""
    assert store.prune(path, ()) == ("test_a", "test_b")
    assert listing(path) == []
    assert store.prune(path, ()) == ()


def test_a_reader_changes_nothing_for_others(store: JsonStore, path: Path, stored: bytes) -> None:
    """Who reads an entry has one of its own: what it does to it is seen by nobody else."""
    store.read(path)["test_a"].outcomes["city"] = "Rome"
    assert store.read(path)["test_a"].outcomes == {}


def test_a_file_that_changed_is_read_anew(store: JsonStore, path: Path, stored: bytes, entry) -> None:
    """Also where its size and time stamp are the same."""
    store.read(path)
    status = path.stat()
    path.write_bytes(stored.replace(b'"input_tokens": 1', b'"input_tokens": 5'))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert store.read(path)["test_a"].metrics["input_tokens"].sessions == ((5,),)


def test_a_damaged_file_is_never_overwritten(store: JsonStore, path: Path, stored: bytes, entry) -> None:
    """The error comes before anything is written."""
    path.write_bytes(stored[:-9])
    for action in (
        lambda: store.read(path),
        lambda: store.update(path, {"test_a": put(entry((9,)))}),
        lambda: store.prune(path, ()),
    ):
        with pytest.raises(BaselineError, match=r"test_a\.json: line \d+"):
            action()
    assert path.read_bytes() == stored[:-9]
    assert listing(path) == ["test_a.json"]


def test_an_entry_that_cannot_be_stored_leaves_the_file(store: JsonStore, path: Path, stored: bytes, entry) -> None:
    """All entries are rendered before the file is opened."""
    with pytest.raises(BaselineError, match="cannot be stored"):
        store.update(path, {"test_a": put(entry((float("nan"),)))})
    assert path.read_bytes() == stored
    assert listing(path) == ["test_a.json"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("step", ["open", "replace"])
def test_a_full_disk_leaves_the_file(
    number: int, step: str, store: JsonStore, path: Path, stored: bytes, entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error with the system's reason; no temporary file stays."""
    real = os.open

    def broken(target: object, *arguments: object) -> int:
        if step == "open" and not str(target).endswith(".tmp"):
            return real(target, *arguments)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os if step == "open" else files.Path, step, broken)
    with pytest.raises(BaselineError, match=os.strerror(number)) as caught:
        store.update(path, {"test_a": put(entry((9,)))})
    monkeypatch.undo()
    assert str(path) in caught.value.message
    assert "disk" in caught.value.remedy
    assert path.read_bytes() == stored
    assert listing(path) == ["test_a.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_while_writing_leaves_the_file(
    store: JsonStore, path: Path, stored: bytes, entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system says so only when the data is flushed; the old file has not been touched by then."""
    real = os.open

    def full(target: object, flags: int, *mode: int) -> int:
        if not str(target).endswith(".tmp"):
            return real(target, flags, *mode)
        os.close(real(target, flags, *mode))
        return real("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(files.os, "open", full)
    with pytest.raises(BaselineError, match="No space left on device"):
        store.update(path, {"test_a": put(entry((9,)))})
    monkeypatch.undo()
    assert path.read_bytes() == stored
    assert listing(path) == ["test_a.json"]


def test_an_interrupted_write_leaves_the_file(
    store: JsonStore, path: Path, stored: bytes, entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between writing and renaming: the old file, no litter, and the lock is free again."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.update(path, {"test_a": put(entry((9,)))})
    monkeypatch.undo()
    assert path.read_bytes() == stored
    assert listing(path) == ["test_a.json"]
    assert store.update(path, {"test_a": put(entry((9,)))}) is True


@pytest.fixture
def read_only(path: Path, stored: bytes) -> Iterator[Path]:
    """The directory of ``path``, not writable."""
    path.parent.chmod(0o555)
    if os.access(path.parent, os.W_OK):
        path.parent.chmod(0o755)
        pytest.skip("this user may write everywhere")
    yield path.parent
    path.parent.chmod(0o755)


def test_a_read_only_file_is_not_replaced(store: JsonStore, path: Path, stored: bytes, entry) -> None:
    """Whoever took the right to write the file away meant it, whatever its directory allows."""
    path.chmod(0o444)
    if os.access(path, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(BaselineError, match=f"make {path} writable"):
        store.update(path, {"test_a": put(entry((9,)))})
    assert path.read_bytes() == stored


def test_a_read_only_directory_can_be_read(store: JsonStore, path: Path, read_only: Path) -> None:
    """Comparing needs no write access."""
    assert set(store.read(path)) == {"test_a", "test_b"}


def test_a_read_only_directory_is_not_written(
    store: JsonStore, path: Path, stored: bytes, read_only: Path, entry
) -> None:
    """One error that says which directory to make writable."""
    with pytest.raises(BaselineError, match="Permission denied") as caught:
        store.update(path, {"test_a": put(entry((9,)))})
    assert str(read_only) in caught.value.remedy
    assert path.read_bytes() == stored


def test_a_denied_write_is_one_clear_error(
    store: JsonStore, path: Path, stored: bytes, entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a read-only directory gives it, shown also to users whom no permission stops."""
    real = os.open

    def denied(target: object, *arguments: object) -> int:
        if str(target).endswith(".tmp"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(target, *arguments)

    monkeypatch.setattr(files.os, "open", denied)
    with pytest.raises(BaselineError, match=r"test_a\.json: cannot be written: Permission denied") as caught:
        store.update(path, {"test_a": put(entry((9,)))})
    assert f"make {path.parent} writable" in caught.value.remedy
    assert path.read_bytes() == stored


def test_a_denied_read_is_one_clear_error(store: JsonStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another user is no missing baseline."""

    def denied(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.Path, "read_bytes", denied)
    with pytest.raises(BaselineError, match=r"test_a\.json: cannot be read: Permission denied") as caught:
        store.read(path)
    assert f"make {path} readable" in caught.value.remedy


def test_a_directory_in_place_of_the_file(store: JsonStore, path: Path, entry) -> None:
    """Neither read nor replaced."""
    path.mkdir(parents=True)
    with pytest.raises(BaselineError, match="Is a directory") as caught:
        store.read(path)
    assert "move what stands in the way" in caught.value.remedy
    with pytest.raises(IsADirectoryError):
        files.write_atomically(path, b"")
    assert path.is_dir()
    assert listing(path) == ["test_a.json"]


def test_a_file_in_place_of_the_directory(store: JsonStore, path: Path, entry) -> None:
    """The error names the baseline and says what to move."""
    path.parent.touch()
    with pytest.raises(BaselineError, match=r"test_a\.json") as caught:
        store.update(path, {"test_a": put(entry((9,)))})
    assert "move what stands in the way" in caught.value.remedy


def test_the_mode_of_the_file_stays(store: JsonStore, path: Path, stored: bytes, entry) -> None:
    """A replaced file is as readable as the old one was."""
    path.chmod(0o640)
    store.update(path, {"test_a": put(entry((9,)))})
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_symbolic_link_is_followed(store: JsonStore, path: Path, stored: bytes, entry, tmp_path: Path) -> None:
    """The link stays a link; the file that it names is replaced."""
    link = tmp_path / "link.json"
    link.symlink_to(path)
    store.update(link, {"test_a": put(entry((9,)))})
    assert link.is_symlink()
    assert JsonStore().read(path)["test_a"] == entry((9,))


def test_a_lock_that_is_held_too_long_is_an_error(path: Path, stored: bytes, entry) -> None:
    """It names the lock and does not write."""
    with (
        files.locked(path, timeout_s=5),
        pytest.raises(BaselineError, match=r"another session has been writing it for 0\.05 s \(lock: .*\.lock\)"),
    ):
        JsonStore(lock_timeout_s=0.05).update(path, {"test_a": put(entry((9,)))})
    assert path.read_bytes() == stored


def test_a_lock_that_cannot_be_made_is_an_error(
    path: Path, stored: bytes, entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary directory that is a file: the remedy names the variable."""
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(path))
    with pytest.raises(BaselineError, match="cannot be locked") as caught:
        JsonStore().update(path, {"test_a": put(entry((9,)))})
    assert "TMPDIR" in caught.value.remedy


def test_threads_do_not_lose_each_others_sessions(path: Path) -> None:
    """Eight threads append to the same entry: all are kept."""
    store = JsonStore()
    threads = [threading.Thread(target=store.update, args=(path, {"test_a": append(n)})) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.read(path)["test_a"].metrics["calls"].values) == list(range(8))


def _write_many(path: Path, name: str, rounds: int, barrier: object) -> None:
    store = JsonStore()
    barrier.wait()
    for number in range(rounds):
        store.update(path, {"shared": append(number), f"{name}_{number}": append(number)})


def test_two_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    """Entries of both are there, each of them readable at any moment, and both processes' sessions of the shared test."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    rounds = 15
    writers = [context.Process(target=_write_many, args=(path, name, rounds, barrier)) for name in ("left", "right")]
    for writer in writers:
        writer.start()
    barrier.wait()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            load(path.read_bytes(), path)
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    entries = JsonStore().read(path)
    assert set(entries) == {"shared", *(f"{name}_{n}" for name in ("left", "right") for n in range(rounds))}
    assert sorted(entries["shared"].metrics["calls"].values) == sorted([*range(rounds), *range(rounds)])
    assert listing(path) == ["test_a.json"]


def test_two_first_runs_at_once_give_one_entry_with_both_sessions(store: JsonStore, path: Path, sample) -> None:
    """Each session believed that the test was new; whichever came first, the file is the same."""
    contents = set()
    for order in ((1.0, 2.0), (2.0, 1.0)):
        for cost in order:
            JsonStore().update(
                path, {"test_a": evolve.change("create", [sample({"cost": cost}, {"main": {"cost": cost}})])}
            )
        contents.add(path.read_bytes())
        assert sorted(store.read(path)["test_a"].metrics["cost"].values) == [1.0, 2.0]
        path.unlink()
    assert len(contents) == 1


def test_a_private_file_replaces_a_link(path: Path, tmp_path: Path) -> None:
    """With a mode of its own and ``follow_link=False`` the link goes, what it named stays, and nobody else may read it."""
    path.parent.mkdir()
    path.write_bytes(b"theirs")
    link = tmp_path / "link"
    link.symlink_to(path)
    files.write_atomically(link, b"ours", mode=0o600, follow_link=False)
    assert (link.read_bytes(), path.read_bytes()) == (b"ours", b"theirs")
    assert not link.is_symlink()
    assert link.stat().st_mode & 0o777 == 0o600


def test_the_longest_name_that_a_file_can_have_is_written(tmp_path: Path) -> None:
    """The temporary file beside it needs no longer name."""
    path = tmp_path / ("é" * 127)
    files.write_atomically(path, b"x")
    assert path.read_bytes() == b"x"
