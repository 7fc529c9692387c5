"""What is kept between sessions."""

from __future__ import annotations

import json
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_tokenbudget.files import DiskCache


def cache(path: Path | None, *, libraries: tuple[str, ...] = ("pytest",), form: int = 1, most: int = 9) -> DiskCache:
    """A cache of a file."""
    return DiskCache(path, libraries=libraries, form=form, most=most)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that holds one value."""
    path = tmp_path / "folder" / "cache.json"
    first = cache(path)
    first.set("a", [1, "x"])
    first.save()
    return path


def test_a_value_is_there_in_the_next_session(path: Path) -> None:
    """And what was added before the first look too."""
    second = cache(path)
    second.set("b", 2)
    assert [second.get(key) for key in ("a", "b", "c")] == [[1, "x"], 2, None]
    second.save()
    assert [cache(path).get(key) for key in ("a", "b")] == [[1, "x"], 2]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_the_file_is_its_owners_alone(path: Path) -> None:
    """Digests say which texts a project uses to who has the texts."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_version_or_form_begins_anew(path: Path) -> None:
    """A value may depend on the version of a library, and on how this package writes it."""
    assert cache(path, form=2).get("a") is None
    assert cache(path, libraries=("pytest", "pluggy")).get("a") is None
    other = cache(path, libraries=("no-such-library",))
    other.set("b", 1)
    other.save()
    assert cache(path).get("a") is None
    assert cache(path, libraries=("no-such-library",)).get("b") == 1


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"null",
        b"[1]",
        b"[" * 100_000,
        b'{"values": {"a": 1}}',
        b'{"made_by": [1], "values": 3}',
    ],
)
def test_a_damaged_file_counts_as_empty_and_is_replaced(path: Path, damage: bytes) -> None:
    """Nothing of it is taken, and nobody is bothered."""
    path.write_bytes(damage)
    assert cache(path).get("a") is None
    again = cache(path)
    again.set("a", 2)
    again.save()
    assert cache(path).get("a") == 2


def test_values_that_are_no_object_are_not_taken(path: Path) -> None:
    """Also where the rest of the file is as it should be."""
    path.write_text(json.dumps(json.loads(path.read_text()) | {"values": ["a"]}))
    assert cache(path).get("a") is None


def test_the_oldest_values_go_first(path: Path) -> None:
    """So that the file stays small."""
    full = cache(path)
    for number in range(9):
        full.set(str(number), number)
    full.save()
    assert cache(path).get("a") is None
    assert cache(path).get("0") == 0


def test_nothing_is_kept_where_nothing_can_be_written(tmp_path: Path) -> None:
    """No folder, or a file where the folder should be: the values of this process are there all the same."""
    (tmp_path / "file").touch()
    for place in (None, tmp_path / "file" / "cache.json"):
        lost = cache(place)
        lost.set("a", 1)
        lost.save()
        assert lost.get("a") == 1
        assert cache(place).get("a") is None


def test_many_may_save_at_the_same_time(path: Path) -> None:
    """A reader meets a whole file, whoever wrote it last."""

    def save(number: int) -> bool:
        mine = cache(path, most=100)
        mine.set(str(number), number)
        mine.save()
        return bool(cache(path).get("a") == [1, "x"])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(save, range(40)))
    assert not list(path.parent.glob(".*"))
