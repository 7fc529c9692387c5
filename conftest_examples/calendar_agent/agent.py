"""The agent as it was first written: a router, a worker that loops over all tools, a step that makes JSON of it."""

from __future__ import annotations

import json
from typing import Any

import openai
from calendar_store import Calendar
from schemas import ALL_TOOLS, Schema
from toolbox import Toolbox

try:
    from pytest_tokenbudget import stage
except ImportError:  # in production the plugin need not be there
    from contextlib import nullcontext as stage

Message = dict[str, Any]

MODEL = "gpt-4.1-mini"
MAX_STEPS = 8

ROUTER = """\
You route requests to a calendar assistant. Answer with one word and nothing else:
create, if the user wants something new in the calendar; move, if an event is to get another time;
cancel, if an event is not to take place; question, for everything else."""

WORKER = """\
You are a careful calendar assistant. Today is Wednesday, 2026-03-11. The owner is Kim Lee, Europe/Madrid.
Think step by step and use the tools. Look people up before you invite them, read a day before you write to it, and
never write twice. When the work is done, tell the user in one or two friendly sentences what you have done: what, when
and with whom. If something is missing or a slot is taken, ask instead of guessing."""

FINALIZE = """\
Turn the answer of a calendar assistant into JSON with the keys "reply" (the answer, unchanged), "changed" (whether
the calendar was changed) and "event_id" (the event that was written, or null). Answer with the JSON and nothing else."""


class CalendarAgent:
    """Answers one user, turn by turn.

    Args:
        client: An OpenAI client.
        calendar: The calendar to look after.
    """

    def __init__(self, client: openai.OpenAI, calendar: Calendar) -> None:
        self._client = client
        self._toolbox = Toolbox(calendar)
        self.history: list[Message] = []

    def ask(self, text: str) -> dict[str, Any]:
        """One turn: what the user says -> ``{"reply": ..., "changed": ..., "event_id": ...}``."""
        self.history.append({"role": "user", "content": text})
        with stage("router"):
            route = self._route()
        with stage("worker"):
            return self._work(route)

    def _route(self) -> str:
        said = [message for message in self.history if message["role"] == "user"]
        return str(self._complete(ROUTER, said).content).strip()

    def _work(self, route: str) -> dict[str, Any]:
        reply = self._react(WORKER, ALL_TOOLS)
        with stage("finalize"):
            return self._finalize(reply)

    def _react(self, system: str, tools: list[Schema]) -> str:
        for _ in range(MAX_STEPS):
            message = self._complete(system, self.history, tools=tools)
            self.history.append(message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
            if not message.tool_calls:
                return message.content or ""
            for call in message.tool_calls:
                result = self._toolbox.run(call.function.name, call.function.arguments)
                self.history.append({"role": "tool", "tool_call_id": call.id, "content": result})
        raise RuntimeError(f"no answer after {MAX_STEPS} steps")

    def _finalize(self, reply: str) -> dict[str, Any]:
        done = [message["content"] for message in self.history if message["role"] == "tool"][-1:]
        asked = {"role": "user", "content": json.dumps({"answer": reply, "last_tool_result": done})}
        answer: dict[str, Any] = json.loads(self._complete(FINALIZE, [asked]).content or "{}")
        return answer

    def _complete(self, system: str, messages: list[Message], **more: Any) -> Any:
        asked: Any = [{"role": "system", "content": system}, *messages]
        return (
            self._client.chat.completions.create(model=MODEL, messages=asked, temperature=0, **more).choices[0].message
        )
