"""Connections that belong to no watched client, and the hosts that a replayed or scripted run may not reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from pytest_tokenbudget.errors import ConnectionNotAllowed

if TYPE_CHECKING:
    from pytest_tokenbudget.records.sample import Connection

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
        """Say whether a connection may not be opened.

        Args:
            host: Name or address.
            port: Port where it is known.
        """
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
        """Refuse a connection to a host that may not be reached.

        Args:
            host: Name or address.
            port: Port where it is known.
            opened_by: Says who opens it.

        Raises:
            ConnectionNotAllowed: If it may not be.
        """
        if self._rules is None or not self._rules.refuses(host, port):
            return
        by = opened_by()
        error = ConnectionNotAllowed(
            f"a connection to {host} was refused: a replayed or scripted run lets no model call out"
            + (f"; it was opened by {by}" if by else ""),
            remedy="ask the model through a client that is watched, or, if this is no model call: tokenbudget_allow_hosts ="
            f" {host}",
        )
        self.refusals.append(error)
        raise error

    def note(self, host: str, port: int | None, opened_by: Callable[[], str]) -> None:
        """Note a connection that belongs to no watched client."""
        self._seen[host, port, opened_by()] += 1

    def noted(self) -> tuple[Connection, ...]:
        """The connections that were noted, in the order of their first."""
        from pytest_tokenbudget.records.sample import Connection

        return tuple(Connection(host, port, by, count) for (host, port, by), count in self._seen.items())


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
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
