"""What the model is told about its tools, as JSON Schema in OpenAI's wrapping."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _tool(name: str, description: str, properties: Schema, required: list[str]) -> Schema:
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _text(description: str, **more: object) -> Schema:
    return {"type": "string", "description": description, **more}


_WHEN = "Local time of the calendar's owner as YYYY-MM-DDTHH:MM, without an offset and without seconds."
_ID = "Identifier of the event as returned by calendar_read, for example evt-17. Never invent one."

# One tool for everything that changes the calendar. It has grown with every feature, and each call of the worker
# carries all of it, whether it books a lunch or says what is on today.
CALENDAR_WRITE = _tool(
    "calendar_write",
    "Create, move, update or cancel an event in the owner's calendar. Choose the operation with `action` and give only "
    "the fields that the operation needs. Before you create or move, read the day with calendar_read and make sure that "
    "the slot is free; if it is not, propose the nearest free slot to the user and do not write. Before you move, update "
    "or cancel, read the day with calendar_read to learn the identifier. Invitations are sent by the calendar itself: do "
    "not send mail about an event that you have just written. Write at most one event in a call.",
    {
        "action": _text(
            "What to do: `create` needs title, start and end; `move` needs event_id, start and end; `update` needs event_id "
            "and the fields that change; `cancel` needs event_id and nothing else.",
            enum=["create", "move", "update", "cancel"],
        ),
        "event_id": _text(_ID + " Required for move, update and cancel; must be left out for create."),
        "title": _text("Short title in the user's language, without the date, at most 80 characters."),
        "description": _text(
            "Longer text for the body of the invitation: agenda, links, dial-in. Plain text; line breaks are kept. Leave it "
            "out where the user has not asked for one, and do not repeat the title, the time or the attendees in it."
        ),
        "start": _text("Start of the event. " + _WHEN),
        "end": _text(
            "End of the event, later than start; 30 minutes after it where the user names no duration. " + _WHEN
        ),
        "all_day": {
            "type": "boolean",
            "description": "Whether the event lasts whole days; then start and end are dates at 00:00 and end is exclusive.",
        },
        "timezone": _text(
            "IANA name such as Europe/Madrid where the user names another time zone than the owner's own."
        ),
        "location": _text(
            "Where it takes place: a street address, the name of a restaurant, or the identifier of a room as returned by "
            "rooms_search. Leave it out for calls and use `conference` instead."
        ),
        "attendees": {
            "type": "array",
            "description": "Everybody who is invited apart from the owner, who must not be listed.",
            "items": {
                "type": "object",
                "properties": {
                    "email": _text("Address as returned by contacts_search. Never guess one from a name."),
                    "optional": {"type": "boolean", "description": "Whether the event also takes place without them."},
                    "role": _text("Part that they play.", enum=["required", "chair", "speaker", "resource"]),
                    "language": _text(
                        "Two-letter code of the language in which they are to be invited, if not the owner's."
                    ),
                },
                "required": ["email"],
            },
        },
        "recurrence": {
            "type": "object",
            "description": "Leave out for a single event. To change one occurrence give its own identifier as event_id.",
            "properties": {
                "frequency": _text("How often it repeats.", enum=["daily", "weekly", "monthly", "yearly"]),
                "interval": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "Every how many days, weeks, months or years.",
                },
                "weekdays": {
                    "type": "array",
                    "description": "Days of the week, for a weekly frequency only.",
                    "items": _text("Day.", enum=["mo", "tu", "we", "th", "fr", "sa", "su"]),
                },
                "until": _text("Last day as YYYY-MM-DD, inclusive. Give either `until` or `count`, never both."),
                "count": {"type": "integer", "minimum": 1, "maximum": 730, "description": "Number of occurrences."},
                "except_dates": {
                    "type": "array",
                    "description": "Days on which it does not take place, for instance public holidays.",
                    "items": _text("Day as YYYY-MM-DD."),
                },
            },
        },
        "reminders": {
            "type": "array",
            "description": "Reminders for the owner; leave out for the calendar's default of ten minutes before.",
            "items": {
                "type": "object",
                "properties": {
                    "method": _text("How to remind.", enum=["popup", "email", "sms"]),
                    "minutes_before": {
                        "type": "integer",
                        "minimum": 0,
                        "maximum": 40320,
                        "description": "How long before.",
                    },
                },
                "required": ["method", "minutes_before"],
            },
        },
        "conference": {
            "type": "object",
            "description": "Adds a video call. Leave out where people meet in person.",
            "properties": {
                "provider": _text("Which service.", enum=["meet", "zoom", "teams", "jitsi"]),
                "record": {
                    "type": "boolean",
                    "description": "Record the call; only if the user has asked for it in so many words.",
                },
                "lobby": {"type": "boolean", "description": "Whether guests wait until the owner lets them in."},
                "passcode": _text("Four to ten digits where the user wants one."),
            },
        },
        "visibility": _text(
            "Who sees the details: `default` follows the calendar, `private` shows others only that the owner is busy.",
            enum=["default", "public", "private"],
        ),
        "busy": {
            "type": "boolean",
            "description": "Whether the time counts as occupied for others; true unless it is a note.",
        },
        "color": _text(
            "Colour of the event, if the user names one.", enum=["red", "orange", "yellow", "green", "blue", "grey"]
        ),
        "attachments": {
            "type": "array",
            "description": "Links to documents that belong to the event.",
            "items": {
                "type": "object",
                "properties": {"title": _text("Name that is shown."), "url": _text("Link, https only.")},
                "required": ["url"],
            },
        },
        "notify": _text(
            "Who is told about the change: `all` attendees, `external` ones only, or `none`. Use `none` only if the user asks "
            "for silence; a cancelled event is always announced to all attendees, whatever is given here.",
            enum=["all", "external", "none"],
        ),
        "reason": _text(
            "For move and cancel: one sentence for the attendees, if the user gave a reason; never make one up."
        ),
    },
    ["action"],
)

CALENDAR_READ = _tool(
    "calendar_read",
    "Read the events of a day, each with its identifier, title, start, end, attendees and location.",
    {"day": _text("Day as YYYY-MM-DD.")},
    ["day"],
)

CONTACTS_SEARCH = _tool(
    "contacts_search",
    "Find people in the owner's address book by a part of their name. Returns names and mail addresses.",
    {"query": _text("Part of the name.")},
    ["query"],
)

ROOMS_SEARCH = _tool(
    "rooms_search",
    "Find free meeting rooms in the owner's building for a time, with their size and equipment.",
    {
        "start": _text("Start. " + _WHEN),
        "end": _text("End. " + _WHEN),
        "people": {"type": "integer", "minimum": 1, "description": "How many people have to fit in."},
        "equipment": {
            "type": "array",
            "description": "What the room must have.",
            "items": _text("Equipment.", enum=["screen", "camera", "whiteboard", "phone"]),
        },
    },
    ["start", "end"],
)

MAIL_SEND = _tool(
    "mail_send",
    "Send a mail in the owner's name. Never use it for invitations, changes or cancellations: the calendar sends those.",
    {
        "to": {"type": "array", "description": "Addresses as returned by contacts_search.", "items": _text("Address.")},
        "subject": _text("Subject, at most 80 characters."),
        "body": _text("Plain text, with greeting and signature in the owner's usual style."),
    },
    ["to", "subject", "body"],
)

ALL_TOOLS = [CALENDAR_WRITE, CALENDAR_READ, CONTACTS_SEARCH, ROOMS_SEARCH, MAIL_SEND]

# The improved agent's tools: one job each, and only the fields that the job needs.
CALENDAR_CREATE = _tool(
    "calendar_create",
    "Create an event in a slot that calendar_read shows as free. The calendar sends the invitations.",
    {
        "title": _text("Short title, at most 80 characters."),
        "start": _text(_WHEN),
        "end": _text("30 minutes after start where the user names no duration."),
        "location": _text("Address, restaurant or room."),
        "attendees": {"type": "array", "items": _text("Address as returned by contacts_search.")},
    },
    ["title", "start", "end"],
)
CALENDAR_MOVE = _tool(
    "calendar_move",
    "Give an event another time.",
    {"event_id": _text(_ID), "start": _text(_WHEN), "end": _text("Keep the duration unless told otherwise.")},
    ["event_id", "start", "end"],
)
CALENDAR_CANCEL = _tool("calendar_cancel", "Cancel an event.", {"event_id": _text(_ID)}, ["event_id"])

TOOLS_OF_ROUTE = {
    "create": [CONTACTS_SEARCH, CALENDAR_READ, CALENDAR_CREATE],
    "move": [CALENDAR_READ, CALENDAR_MOVE],
    "cancel": [CALENDAR_READ, CALENDAR_CANCEL],
    "question": [CALENDAR_READ],
}
