"""Tells, below all clients, which requests go to a network and which connections belong to no watched client.

A client's transport may be of any class, and a tool for tests may stand in the place of any of them. So what decides
whether a network answered is whether bytes were written to a socket for this request. And whatever opens a connection
outside of a request that is watched is noticed here, and refused where the run may not reach its host.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.ownership import in_flight
from pytest_tokenbudget.capture.patching import Watched
from pytest_tokenbudget.errors import ConnectionNotAllowed

if TYPE_CHECKING:
    from pytest_tokenbudget.records.sample import Connection


OWN_THREADS = "tokenbudget-"
"""The beginning of the names of the plugin's own threads."""

_MOST_NAMES = 10_000

_OWN_PACKAGES = ("pytest_tokenbudget", "tokenbudget_child")
"""What stands between a client and the socket without having opened anything; the second is there in child processes."""


def watched(module: ModuleType, client: str) -> tuple[Watched, ...]:
    """The methods and functions of ``socket`` and ``ssl`` that write, connect and look names up."""
    del client
    if module.__name__ == "ssl":
        return (
            Watched(module.SSLSocket, "send", _noting_bytes),
            # The places of ``server_hostname`` among the arguments.
            Watched(module.SSLContext, "wrap_socket", partial(_naming_the_server, 4)),
            Watched(module.SSLContext, "wrap_bio", partial(_naming_the_server, 3)),
        )
    kind = module.socket
    # asyncio writes with these too; where a loop does not (uvloop, Windows), the client's own connection shows it.
    writing = [Watched(kind, name, _noting_bytes) for name in ("send", "sendall", "sendmsg") if hasattr(kind, name)]
    connecting = partial(_connecting, module.SOCK_STREAM)
    return (
        *writing,
        Watched(kind, "connect", connecting),
        Watched(kind, "connect_ex", connecting),
        Watched(module, "getaddrinfo", _looking_up),
    )


def _noting_bytes(send: Callable[..., Any], connection: Any, data: Any, *args: Any, **options: Any) -> Any:
    request = in_flight.get()
    # An event loop wakes itself up with one byte.
    if request is not None and len(data) > 1:
        request.carried = True
    return send(connection, data, *args, **options)


def _connecting(stream: int, connect: Callable[..., Any], connection: Any, address: Any) -> Any:
    if isinstance(address, tuple) and len(address) >= 2 and connection.type == stream:
        host = str(address[0])
        _tell(ACTIVE.epoch.host_names.get(host, host), address[1])
    return connect(connection, address)


def _looking_up(look_up: Callable[..., Any], host: Any, *args: Any, **options: Any) -> Any:
    if not isinstance(host, str | bytes):
        return look_up(host, *args, **options)
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    port = args[0] if args else options.get("port")
    _tell(name, port, opens=False)
    try:
        found = look_up(host, *args, **options)
    except OSError:
        _tell(name, port)  # it will not come to a connection
        raise
    if len(names := ACTIVE.epoch.host_names) < _MOST_NAMES:
        names.update([(str(entry[4][0]), name) for entry in found])
    return found


def _naming_the_server(place: int, wrap: Callable[..., Any], context: Any, *args: Any, **options: Any) -> Any:
    """The last place where a server's name is known, also through a proxy and on every event loop."""
    name = args[place] if len(args) > place else options.get("server_hostname")
    if isinstance(name, str):
        _tell(name, None, opens=False)
    return wrap(context, *args, **options)


def _tell(host: str, port: Any, *, opens: bool = True) -> None:
    """Tell the recorders of a connection that is opened now, or is prepared; one of them may refuse it."""
    host = host.lower().rstrip(".")
    known = port if isinstance(port, int) else None
    # Our own threads open connections for requests that are seen already.
    unwatched = opens and in_flight.get() is None and not threading.current_thread().name.startswith(OWN_THREADS)
    for recorder in ACTIVE.recorders:
        recorder.connections.check(host, known, opened_by)
        if unwatched and recorder.recording:
            recorder.connections.note(host, known, opened_by)


def opened_by() -> str:
    """Say who is about to open a connection: the library, and the line of the application that called it."""
    library = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        package = name.partition(".")[0]
        if package in ("_pytest", "pluggy"):
            break
        if package not in sys.stdlib_module_names and package not in _OWN_PACKAGES:
            file = frame.f_code.co_filename
            if "site-packages" not in file and "dist-packages" not in file:
                line = f"{name}, line {frame.f_lineno}"
                return f"{library}, called by {line}" if library else line
            library = library or name
        frame = frame.f_back
    return library


OLLAMA_PORT = 11434


class HostRules(NamedTuple):
    """Tells hosts that may be reached from hosts that may not.

    Attributes:
        is_model_host: Says whether a provider declares a host (without port, in lower case).
        refused: Further hosts that may not be reached: names, ``fnmatch`` patterns, with a port or without.
        allowed: Hosts that may be reached whatever the others say, in the same form.
    """

    is_model_host: Callable[[str], bool]
    refused: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    def refuses(self, host: str, port: int | None = None) -> bool:
        """Say whether a connection may not be opened."""
        if _matches(self.allowed, host, port):
            return False
        return self.serves_models(host, port) or _matches(self.refused, host, port)

    def serves_models(self, host: str, port: int | None = None) -> bool:
        """Say whether a host is one of a provider's, or the usual place of a local engine."""
        return self.is_model_host(host) or (is_loopback(host) and port == OLLAMA_PORT)


class ConnectionLog:
    """The connections of one sample.

    Args:
        rules: Hosts that may not be reached; ``None`` where all may.

    Attributes:
        refusals: The connections that were refused.
        bypasses: What answers in the place of watched clients without a connection, as far as it says so.
    """

    def __init__(self, rules: HostRules | None = None) -> None:
        self._rules = rules
        self._seen: Counter[tuple[str, int | None, str]] = Counter()
        self.refusals: list[ConnectionNotAllowed] = []
        self.bypasses: list[str] = []

    def check(self, host: str, port: int | None, opened_by: Callable[[], str]) -> None:
        """Refuse a connection to a host that may not be reached; ``opened_by`` says who opens it.

        Raises:
            ConnectionNotAllowed: If it may not be.
        """
        if self._rules is None or not self._rules.refuses(host, port):
            return
        by = opened_by()
        allowed = f"{host}:{port}" if port is not None and is_loopback(host) and ":" not in host else host
        error = ConnectionNotAllowed(
            f"a connection to {host} was refused: a replayed or scripted run lets no model call out"
            + (f"; it was opened by {by}" if by else ""),
            remedy="ask the model through a client that is watched, or, if this is no model call: tokenbudget_allow_hosts ="
            f" {allowed}",
        )
        self.refusals.append(error)
        raise error

    def note(self, host: str, port: int | None, opened_by: Callable[[], str]) -> None:
        """Note a connection that belongs to no watched client."""
        self._seen[host, port, opened_by()] += 1

    def noted(self) -> tuple[Connection, ...]:
        """The connections that were noted, in the order of their first."""
        if not self._seen:
            return ()
        from pytest_tokenbudget.records.sample import Connection

        return tuple([Connection(host, port, by, count) for (host, port, by), count in self._seen.items()])


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    return host in ("localhost", "::1", "0.0.0.0") or host.startswith("127.") or host.endswith(".localhost")


def recorded_hosts(netlocs: Iterable[str]) -> tuple[str, ...]:
    """Make patterns of the hosts of recorded URLs; of this machine's servers one port alone is meant."""
    patterns: dict[str, None] = {}
    for netloc in netlocs:
        named = netloc.rpartition("@")[2].lower()
        host, port = split_port(named)
        if is_loopback(host):
            for name in ("127.0.0.1", "localhost", "::1"):
                patterns[f"[{name}]:{port or 80}" if ":" in name else f"{name}:{port or 80}"] = None
        elif host:
            patterns[host] = None
    return tuple(patterns)


def origin_of(scheme: str, host: str, port: int | None) -> str:
    """A URL without a path; a port is named where it is not the scheme's own."""
    named = f"[{host}]" if ":" in host and not host.startswith("[") else host
    usual = port in (None, 443 if scheme in ("https", "wss") else 80)
    return f"{scheme}://{named}" if usual else f"{scheme}://{named}:{port}"


def split_port(named: str) -> tuple[str, int | None]:
    """Split ``host:port``; an IPv6 address stands in brackets where it has a port."""
    if named.startswith("["):
        host, _, port = named[1:].partition("]")
        port = port.removeprefix(":")
    elif named.count(":") == 1:
        host, _, port = named.partition(":")
    else:
        host, port = named, ""
    return host, int(port) if port.isdecimal() else None


def _matches(patterns: tuple[str, ...], host: str, port: int | None) -> bool:
    from fnmatch import fnmatchcase

    for pattern in patterns:
        name, wanted = split_port(pattern)
        if wanted not in (None, port):
            continue
        if host == name or fnmatchcase(host, name):
            return True
    return False
