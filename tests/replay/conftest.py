"""Agents' ways to ask a model that is answered locally."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from pytest_tokenbudget.capture.answer import Outgoing
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


@pytest.fixture
def played() -> Iterator[Any]:
    """Lets a player answer what clients send; gives the recorder."""
    opened: list[AbstractContextManager[None]] = []

    def play(answerer: Any, clock: Any = None) -> Recorder:
        recorder = Recorder(answerer=answerer, **({} if clock is None else {"clock": clock}))
        watch = watching(recorder)
        watch.__enter__()
        opened.append(watch)
        return recorder

    yield play
    for watch in reversed(opened):
        watch.__exit__(None, None, None)
