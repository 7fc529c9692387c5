"""What a session and its children agree on."""

from __future__ import annotations

from typing import NamedTuple

# The session says in the one byte of the file ``state``:
IDLE = 0
"""No sample is being taken: nothing is recorded."""

WATCHED = 1
"""A sample is being taken: calls are recorded."""

ASKED = 2
"""A sample is being taken, and the session is asked about each request before it leaves."""

ANSWERED = 3
"""The same, and the session itself answers model calls: by a script or a recording."""


class Address(NamedTuple):
    """Where a session listens, and the secret that a child shows first.

    Attributes:
        place: Path of a Unix socket, or the port on 127.0.0.1.
        secret: The secret, in hex.
    """

    place: str | int
    secret: str
