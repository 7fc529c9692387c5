"""The channel on which a child asks its session: frames over a socket that only this user's processes can use."""

from __future__ import annotations

import hmac
import socket
from typing import Any

from pytest_tokenbudget.capture.children.frames import Frame, decode, encode
from pytest_tokenbudget.capture.children.spool_directory import Address


def listen(address: Address) -> tuple[socket.socket, Address]:
    """Begin to listen, at a path; or at any port of 127.0.0.1, where the address has none."""
    if isinstance(address.place, str) and address.place:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address.place)
        listener.listen(128)
        return listener, address
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    return listener, Address(listener.getsockname()[1], address.secret)


def connect(address: Address) -> Channel:
    """Connect to a session; raises ``OSError`` where it does not listen."""
    if isinstance(address.place, str):
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(address.place)
    else:
        connected = socket.create_connection(("127.0.0.1", address.place))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    channel = Channel(connected)
    channel.send({"secret": address.secret})
    return channel


class Channel:
    """One connection; it closes when it is collected."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._buffer = b""

    def send(self, head: dict[str, Any], blob: bytes = b"") -> None:
        """Send a frame; raises ``OSError`` where the other side has gone."""
        self._socket.sendall(encode(head, blob))

    def receive(self) -> Frame:
        """Wait for a frame; raises ``OSError`` where the other side has gone, ``ValueError`` where it sent none."""
        while True:
            for frame, end in decode(self._buffer):
                self._buffer = self._buffer[end:]
                return frame
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError("the other side has gone")
            self._buffer += data

    def is_allowed(self, secret: str) -> bool:
        """Tell whether the other side knows the secret, which it sends first; raises as :meth:`receive` does."""
        return hmac.compare_digest(str(self.receive().head.get("secret", "")), secret)

    def close(self) -> None:
        """Close it; the other side sees that at once."""
        self._socket.close()

    def __del__(self) -> None:
        self._socket.close()
