"""What a child writes is what its session reads, also where the child was killed or writes nonsense."""

from __future__ import annotations

from dataclasses import fields

import pytest

from pytest_tokenbudget.capture.children.exchange_frames import (
    begin_frame,
    begun_exchange,
    end_frame,
    ended_exchange,
    without_credentials,
)
from pytest_tokenbudget.capture.children.frames import BrokenFile, decode, encode
from pytest_tokenbudget.capture.children.spool import Spool
from pytest_tokenbudget.capture.children.spool_directory import SpoolDirectory
from pytest_tokenbudget.records.exchange import Exchange, TokenBasis

WHOLE = Exchange(
    client="httpx 1.0",
    method="POST",
    url="https://api.example.com/v1/chat/completions?alt=sse",
    request_headers=(("content-type", "application/json"),),
    request_body=b'{"model": "\xc3\xa4"}',
    status=200,
    response_headers=(("content-type", "text/event-stream"),),
    chunks=(b"data: 1\n\n", b"", b"data: \xff\n\n"),
    chunk_times=(1.5, 2.0, 2.25),
    encoded=True,
    body_cut=True,
    streamed=True,
    started=1.0,
    ended=2.5,
    end="cut",
    error="ReadError",
    stage="worker/finalize",
    agent="planner",
    answered_by="mock",
    token_basis=TokenBasis(3, 4),
    sequence=7,
    within=6,
)


def test_every_field_of_an_exchange_survives() -> None:
    """A field that is added to the record has to travel, or be none of the child's business."""
    plain = Exchange("c", "GET", "u")
    told_by_the_session = {"surrounding_stage"}
    unset = {field.name for field in fields(Exchange) if getattr(WHOLE, field.name) == getattr(plain, field.name)}
    assert unset == told_by_the_session, "give it a value above"
    frames = [frame for frame, _ in decode(begin_frame(WHOLE) + end_frame(WHOLE))]
    assert ended_exchange(begun_exchange(*frames[0], base=0), *frames[1]) == WHOLE


def test_a_killed_child_leaves_whole_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut at any byte, what was written before is read, and what comes later is read later."""
    written = begin_frame(WHOLE) + end_frame(WHOLE) + encode({"opened": 8, "stage": "worker", "at": 3.0})
    directory = SpoolDirectory()
    spool = Spool(directory)
    file = directory.path / "12345-1.spool"
    for length in range(0, len(written), 7):
        file.write_bytes(written[:length])
        spool.read()
        assert len(spool.ended) == (length >= len(begin_frame(WHOLE) + end_frame(WHOLE)))
    file.write_bytes(written)
    spool.read()
    assert [(span.stage, span.started) for span in spool.spans()] == [("worker", 3.0)]
    assert [child.problem for child in spool.children] == [""]
    directory.close()
    assert not directory.path.exists()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"this is no frame at all",
        b"ffffffffffffffff",
        b"0000000200000000[]",
        encode({"end": 1}),
        encode({"begin": 1, "url": None}),
        encode({"python": "3.11"}),
    ],
)
def test_a_file_that_holds_something_else_is_a_problem_of_that_child(nonsense: bytes) -> None:
    """It is said once, never raised, and what stood before it counts."""
    directory = SpoolDirectory()
    spool = Spool(directory)
    (directory.path / "12345-1.spool").write_bytes(begin_frame(WHOLE) + end_frame(WHOLE) + nonsense)
    (directory.path / "12346-1.spool").write_bytes(begin_frame(WHOLE) + end_frame(WHOLE))
    spool.read()
    spool.read()
    assert len(spool.ended) == 2
    first, second = spool.children
    assert "cannot be read" in first.problem
    assert second.problem == ""
    directory.close()


def test_credentials_are_not_written() -> None:
    """Neither headers nor query keys."""
    headers = (("authorization", "Bearer SECRET"), ("x-api-key", "SECRET"), ("cookie", "SECRET"), ("accept", "*/*"))
    written = begin_frame(Exchange("c", "GET", "https://h/p?key=SECRET&alt=sse", request_headers=headers))
    assert b"SECRET" not in written
    assert b"alt=sse" in written
    assert without_credentials("https://h/p?alt=sse") == "https://h/p?alt=sse"


def test_lengths_are_checked() -> None:
    """A frame that claims to be larger than any can be is none."""
    with pytest.raises(BrokenFile):
        list(decode(b"7fffffff7fffffff"))
