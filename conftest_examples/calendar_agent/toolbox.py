"""Runs the tools that the model calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from calendar_store import Calendar, Event, find_contacts

Arguments = dict[str, Any]


class Toolbox:
    """The agent's hands: every tool by name.

    Args:
        calendar: The calendar that the tools read and write.
    """

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._tools: dict[str, Callable[[Arguments], object]] = {
            "calendar_read": lambda given: calendar.on(given["day"]),
            "calendar_write": self._write,
            "calendar_create": self._create,
            "calendar_move": self._move,
            "calendar_cancel": self._cancel,
            "contacts_search": lambda given: find_contacts(given["query"]),
            "rooms_search": lambda given: [],
            "mail_send": lambda given: {"sent": True},
        }

    def run(self, name: str, arguments: str) -> str:
        """Run one tool; the result, or what was wrong, as JSON for the model."""
        try:
            return json.dumps(self._tools[name](json.loads(arguments)))
        except (KeyError, TypeError, ValueError) as problem:
            return json.dumps({"error": f"{type(problem).__name__}: {problem}"})

    def _write(self, given: Arguments) -> Arguments:
        return {"create": self._create, "move": self._move, "cancel": self._cancel}[given["action"]](given)

    def _create(self, given: Arguments) -> Arguments:
        people = [person["email"] if isinstance(person, dict) else person for person in given.get("attendees", [])]
        place = given.get("location", "")
        return _shown(self._calendar.create(given["title"], given["start"], given["end"], tuple(people), place))

    def _move(self, given: Arguments) -> Arguments:
        return _shown(self._calendar.move(given["event_id"], given["start"], given["end"]))

    def _cancel(self, given: Arguments) -> Arguments:
        return _shown(self._calendar.cancel(given["event_id"]))


def _shown(event: Event) -> Arguments:
    return asdict(event)
