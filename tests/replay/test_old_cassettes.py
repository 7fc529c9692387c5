"""Cassettes that version 0.1 has recorded are played as they were meant."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.replay.cassette import read_cassette
from pytest_tokenbudget.replay.interaction import Interaction
from pytest_tokenbudget.replay.player import Player
from pytest_tokenbudget.replay.recording import save
from pytest_tokenbudget.replay.timing import NoWaiting
from pytest_tokenbudget.tokens.counter import Counter

POLL = (
    b'{"object":"response","id":"resp_1","status":"completed","output":[],"usage":{"input_tokens":5,"output_tokens":6}}'
)
CALL = Interaction(
    api="openai.responses",
    provider="azure",
    url="https://my.openai.azure.com/openai/v1/responses",
    model="gpt-4o",
    body={"model": "gpt-4o", "input": "Hi", "background": True},
    chunks=(b'{"object":"response","id":"resp_1","status":"queued","output":[]}',),
    times=(0.1,),
    duration=0.1,
)


def recorded(path: Path) -> Path:
    """A cassette with a call, a poll and a list of models, under the names that version 0.1 gave them."""
    host = "https://my.openai.azure.com/openai/v1"
    more = {"provider": "azure", "method": "GET", "times": (0.1,), "duration": 0.1}
    poll = Interaction(api="other.responses_poll", url=f"{host}/responses/resp_1", chunks=(POLL,), **more)
    models = Interaction(api="beside", url=f"{host}/models", chunks=(b'{"data":[]}',), **more)
    save(path, [CALL, poll, models])
    return path


def test_providers_have_the_names_of_now(tmp_path: Path) -> None:
    """The counts of a request depend on its provider."""
    path = recorded(tmp_path / "run.jsonl")
    assert '"azure"' in path.read_text()
    assert {one.provider for one in read_cassette(path)} == {"azure.ai.openai"}


def test_polls_and_lists_are_answered_over_and_over(tmp_path: Path, outgoing) -> None:
    """Whatever they were called in the file: what a request is, it says itself."""
    player = Player(recorded(tmp_path / "run.jsonl"), clock=NoWaiting(), formats=builtin_formats(), counter=Counter())
    host = "https://my.openai.azure.com/openai/v1"
    asked = player.answer(outgoing(CALL.body, f"{host}/responses"))
    assert asked is not None
    assert json.loads(asked.chunks[0])["status"] == "queued"
    for _ in range(3):
        poll = player.answer(outgoing(None, f"{host}/responses/resp_1", method="GET"))
        assert poll is not None
        assert poll.chunks == (POLL,)
        assert player.answer(outgoing(None, f"{host}/models", method="GET")) is not None
    assert player.failure() is None
