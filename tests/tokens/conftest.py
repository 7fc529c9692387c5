"""What the counting tests share: a counter, prompts by hand, strategies of prompts."""

from __future__ import annotations

import socket

import pytest

from pytest_tokenbudget.records.prompt import Message, Prompt, Text, Tool
from pytest_tokenbudget.tokens.counter import Counter


@pytest.fixture(scope="session")
def counter():
    """A counter for tests that do not look at its state; its vocabulary is loaded once."""
    return Counter()


@pytest.fixture
def chat():
    """Makes a chat prompt of (role, text) pairs."""

    def make(*messages, model="gpt-4o", api="openai.chat", **fields):
        made = tuple(Message(role, (Text(text),), None, role) for role, text in messages)
        return Prompt(api, model, made, **fields)

    return make


@pytest.fixture
def weather_tool():
    """The tool of OpenAI's cookbook."""
    schema = {
        "type": "object",
        "properties": {
            "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
            "unit": {
                "type": "string",
                "description": "The unit of temperature to return",
                "enum": ["celsius", "fahrenheit"],
            },
        },
        "required": ["location"],
    }
    function = {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": schema,
    }
    return Tool(function["name"], function["description"], schema, {"type": "function", "function": function})


@pytest.fixture
def no_network(monkeypatch):
    """Fails the test at the first attempt to open a connection or to look up a host."""

    def refuse(*_, **__):
        pytest.fail("something reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
