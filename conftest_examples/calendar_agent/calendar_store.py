"""The calendar that the agent looks after: in memory, so that a test sees at once what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Event:
    """An entry. Times are local, ``YYYY-MM-DDTHH:MM``."""

    id: str
    title: str
    start: str
    end: str
    attendees: tuple[str, ...] = ()
    location: str = ""
    status: str = "confirmed"


class Calendar:
    """Events by id."""

    def __init__(self, events: tuple[Event, ...] = ()) -> None:
        self._events = {event.id: event for event in events}

    def on(self, day: str) -> list[dict[str, object]]:
        """The events of a day that were not cancelled, in order."""
        return [
            event
            for event in self.everything()
            if str(event["start"]).startswith(day) and event["status"] != "cancelled"
        ]

    def create(self, title: str, start: str, end: str, attendees: tuple[str, ...], location: str) -> Event:
        """Add an event."""
        event = Event(f"evt-{len(self._events) + 1}", title, start, end, attendees, location)
        self._events[event.id] = event
        return event

    def move(self, event_id: str, start: str, end: str) -> Event:
        """Give an event another time."""
        event = replace(self._events[event_id], start=start, end=end)
        self._events[event_id] = event
        return event

    def cancel(self, event_id: str) -> Event:
        """Cancel an event; it stays in the books."""
        event = replace(self._events[event_id], status="cancelled")
        self._events[event_id] = event
        return event

    def everything(self) -> list[dict[str, object]]:
        """All events, cancelled ones too, by start."""
        return [asdict(event) for event in sorted(self._events.values(), key=lambda event: (event.start, event.id))]


CONTACTS = {
    "Ana Ruiz": "ana.ruiz@example.com",
    "Anatol Berg": "anatol.berg@example.com",
    "Priya Nair": "priya.nair@example.com",
}


def find_contacts(query: str) -> list[dict[str, str]]:
    """Contacts whose name contains the query."""
    return [{"name": name, "email": email} for name, email in CONTACTS.items() if query.lower() in name.lower()]
