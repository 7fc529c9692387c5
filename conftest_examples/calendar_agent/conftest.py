"""An agent under test: the real agent, the real SDK, an in-memory calendar and a scripted model instead of the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from calendar_store import Calendar, Event


@pytest.fixture
def calendar() -> Calendar:
    """A calendar with one event in it already."""
    return Calendar((Event("evt-1", "Dentist", "2026-03-17T09:00", "2026-03-17T09:30"),))


@pytest.fixture
def client(scripted_llm: Any) -> Iterator[openai.OpenAI]:
    """An ordinary client; the scripted model answers it."""
    with openai.OpenAI(api_key="unused", base_url=scripted_llm.base_url) as client:
        yield client
