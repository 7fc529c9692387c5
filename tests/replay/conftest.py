"""Agents' ways to ask a model that is answered locally."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pytest_tokenbudget.capture.local_answer import Outgoing
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import watching


@pytest.fixture
def outgoing():
    """Builds a request that is about to leave."""

    def build(
        body: Any = None,
        url: str = "http://scripted.invalid/v1/chat/completions",
        *,
        stage: str = "",
        method: str = "POST",
    ) -> Outgoing:
        content = json.dumps(body).encode() if body is not None else b""
        return Outgoing("httpx 0", method, url, (("content-type", "application/json"),), content, stage, False)

    return build


class Played:
    """Lets a player answer what clients send, until it is stopped; gives the recorder."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def __call__(self, answerer: Any, clock: Any = None) -> Recorder:
        recorder = Recorder(answerer=answerer, **({} if clock is None else {"clock": clock}))
        self._open.enter_context(watching(recorder))
        return recorder

    def stop(self) -> None:
        self._open.close()


@pytest.fixture
def played() -> Iterator[Played]:
    """Lets a player answer what clients send."""
    play = Played()
    yield play
    play.stop()
