"""Connections to upstreams, which are kept and used again."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pytest_tokenbudget.capture.proxy.http1 import Wire
from pytest_tokenbudget.capture.proxy.upstreams import Upstream

MOST_IDLE = 32
"""Connections that are kept for each upstream."""

CONNECT_SECONDS = 30.0


class UpstreamConnections:
    """Opens connections, and keeps those that can be used again."""

    def __init__(self) -> None:
        self._idle: dict[str, list[Wire]] = {}
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def idle(self, upstream: Upstream) -> Wire | None:
        """A connection that was used before; the other side may have closed it meanwhile."""
        with self._lock:
            kept = self._idle.get(upstream.origin)
            return kept.pop() if kept else None

    def keep(self, upstream: Upstream, wire: Wire) -> None:
        """Keep a connection for the next request."""
        with self._lock:
            kept = self._idle.setdefault(upstream.origin, [])
            if len(kept) < MOST_IDLE:
                kept.append(wire)
                return
        wire.close()

    def open(self, upstream: Upstream) -> Wire:
        """Open a connection, through the proxy that the environment names for others than this machine."""
        connection: http.client.HTTPConnection
        host, port = upstream.host, upstream.port
        tunnel = None if proxy_bypass(host) else getproxies().get(upstream.scheme)
        if tunnel:
            parts = urlsplit(tunnel if "://" in tunnel else f"http://{tunnel}")
            host, port = parts.hostname or host, parts.port or 80
        if upstream.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=self._tls())
        else:
            connection = http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
        if tunnel:
            connection.set_tunnel(upstream.host, upstream.port)
        connection.connect()
        opened: socket.socket = connection.sock
        connection.sock = None  # the connection object would close it
        opened.settimeout(None)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Wire(opened)

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context

    def close(self) -> None:
        """Close all that are kept."""
        with self._lock:
            kept, self._idle = self._idle, {}
        for wires in kept.values():
            for wire in wires:
                wire.close()
