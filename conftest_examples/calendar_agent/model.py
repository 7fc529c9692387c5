"""The language model of the tests: a small player of parts that answers as the real one did.

It sees what a model sees (the system prompt, the messages, the names of the tools that are offered) and so serves both
agents. A script cannot be wiser than that: the test is about what the agent sends, not about how clever a model is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """What the model answers: text, or one tool call."""

    text: str = ""
    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


Step = Callable[[list[Any]], tuple[str, dict[str, Any]]]
"""Results of the turn's tools so far -> the next tool and its arguments."""

DAY = "2026-03-17"


def _event(results: list[Any], title: str) -> str:
    """The identifier of an event, looked up as the model is told to: in the last reading of the day."""
    return next(str(event["id"]) for event in results[-1] if event["title"] == title)


def _create(results: list[Any]) -> tuple[str, dict[str, Any]]:
    email = results[0][0]["email"]
    what = {"title": "Lunch with Ana", "start": f"{DAY}T12:30", "end": f"{DAY}T13:30", "location": "La Carmela"}
    return "create", {**what, "attendees": [email]}


@dataclass(frozen=True)
class Turn:
    """One turn of the conversation: its route, its steps and its last words."""

    route: str
    steps: tuple[Step, ...]
    reply: str


TURNS = {
    "Book lunch with Ana Ruiz at La Carmela next Tuesday at half past twelve.": Turn(
        "create",
        (
            lambda _: ("contacts_search", {"query": "Ana Ruiz"}),
            lambda _: ("calendar_read", {"day": DAY}),
            _create,
        ),
        "Done! Lunch with Ana Ruiz is booked for Tuesday, 17 March, from 12:30 to 13:30 at La Carmela.",
    ),
    "Could you move it to one o'clock?": Turn(
        "move",
        (
            lambda _: ("calendar_read", {"day": DAY}),
            lambda results: (
                "move",
                {"event_id": _event(results, "Lunch with Ana"), "start": f"{DAY}T13:00", "end": f"{DAY}T14:00"},
            ),
        ),
        "I have moved your lunch with Ana to 13:00 on Tuesday; she has been told.",
    ),
    "Something has come up. Please cancel it.": Turn(
        "cancel",
        (
            lambda _: ("calendar_read", {"day": DAY}),
            lambda results: ("cancel", {"event_id": _event(results, "Lunch with Ana")}),
        ),
        "Your lunch with Ana on Tuesday is cancelled, and Ana has been told.",
    ),
}
WRITES = ("create", "move", "cancel")


def respond(body: Body) -> Said:
    """Answer a request body of the chat completions API."""
    messages = body["messages"]
    system = messages[0]["content"]
    if system.startswith("You route"):
        return Said(TURNS[_last_user(messages)].route)
    if system.startswith("Turn the answer"):
        return _finalize(json.loads(messages[-1]["content"]))
    return _work(system, messages, {tool["function"]["name"] for tool in body["tools"]})


def _work(system: str, messages: list[Body], offered: set[str]) -> Said:
    turn = TURNS[_last_user(messages)]
    since = max(index for index, message in enumerate(messages) if message["role"] == "user")
    results = [json.loads(message["content"]) for message in messages[since:] if message["role"] == "tool"]
    if len(results) < len(turn.steps):
        name, arguments = turn.steps[len(results)](results)
        return _call(name, arguments, offered)
    if "Give your last answer as JSON" in system:
        return Said(json.dumps({"reply": turn.reply, "changed": True, "event_id": results[-1]["id"]}))
    return Said(turn.reply)


def _call(name: str, arguments: dict[str, Any], offered: set[str]) -> Said:
    """A tool call, of the split tool where it is offered, else of the large one."""
    if name not in WRITES:
        return Said(tool=name, arguments=arguments)
    if f"calendar_{name}" in offered:
        return Said(tool=f"calendar_{name}", arguments=arguments)
    people = {"attendees": [{"email": email} for email in arguments["attendees"]]} if "attendees" in arguments else {}
    return Said(tool="calendar_write", arguments={"action": name, **arguments, **people})


def _finalize(asked: Body) -> Said:
    written = json.loads(asked["last_tool_result"][0])
    return Said(json.dumps({"reply": asked["answer"], "changed": True, "event_id": written["id"]}))


def _last_user(messages: list[Body]) -> str:
    return next(str(message["content"]) for message in reversed(messages) if message["role"] == "user")
