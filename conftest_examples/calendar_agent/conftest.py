"""An agent under test: the real agent, the real SDK, an in-memory calendar and a scripted model instead of the network."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from calendar_store import Calendar, Event
from model import respond

from pytest_tokenbudget.replay.replies import Reply, text, tool_call
from pytest_tokenbudget.replay.script import Asked, ScriptedModel


@pytest.fixture
def calendar() -> Calendar:
    """A calendar with one event in it already."""
    return Calendar((Event("evt-1", "Dentist", "2026-03-17T09:00", "2026-03-17T09:30"),))


@pytest.fixture
def client(scripted_llm: ScriptedModel) -> Iterator[openai.OpenAI]:
    """An ordinary client of the OpenAI SDK. Whom it asks is the scripted model: no key, no network, no waiting.

    It reads 4,000 tokens a second, then each answer begins after 0.4 s and flows at 80 tokens a second, on a clock that does
    not really pass.
    """
    scripted_llm.pace(ttft=0.4, tokens_per_second=80, input_tokens_per_second=4000)

    @scripted_llm.respond_with
    def answer(asked: Asked) -> Reply:
        said = respond(asked.body)
        return tool_call(said.tool, **said.arguments) if said.tool else text(said.text)

    with openai.OpenAI(api_key="unused", base_url=scripted_llm.base_url) as client:
        yield client
