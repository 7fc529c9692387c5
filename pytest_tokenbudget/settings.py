"""The settings of a session, and how lines of the ini file are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from pytest_tokenbudget.errors import SettingsError

Mode = Literal["gate", "report", "off"]
FixtureCallsMode = Literal["apart", "each", "shared"]
Place = Literal["auto", "process"]
TrafficMode = Literal["auto", "live", "record", "replay"]
Missing = Literal["create", "fail"]


def pairs(lines: tuple[str, ...], *, option: str, example: str) -> tuple[tuple[str, str], ...]:
    """Lines of the form ``pattern = value`` as pairs; comments (``#``) are passed over.

    Raises:
        SettingsError: If a line has no such form; it names the line.
    """
    found = []
    for line in lines:
        if line.startswith("#"):
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not key or not value:
            raise SettingsError(f"{option}: {line!r} has not the form pattern = value", remedy=f"{option} = {example}")
        found.append((key, value))
    return tuple(found)


def runs_per_month(lines: tuple[str, ...], nodeid: str) -> float | None:
    """Read how often a month the project says that it runs what a test measures.

    Args:
        lines: The lines of ``tokenbudget_runs_per_month``: a number for all tests, or ``pattern = number``; the first
            pattern that fits the node id wins, and a number alone fits all that no line before it did.
        nodeid: pytest's node id. In a pattern, ``*`` stands for any text, and brackets for themselves.

    Returns:
        Runs a month; ``None`` where no line fits.

    Raises:
        SettingsError: If a line is neither; it names the line.
    """
    for line, pattern, value in _by_pattern(lines):
        try:
            number = float(value.replace("_", ""))
        except ValueError:
            number = -1.0
        if not 0 < number < float("inf") or not pattern:
            raise SettingsError(
                f"ini option tokenbudget_runs_per_month: {line!r} is neither a positive number nor pattern = number",
                remedy="tokenbudget_runs_per_month = 120000",
            )
        if fnmatchcase(nodeid, pattern.replace("[", "[[]")):
            return number
    return None


def server_slots(lines: tuple[str, ...], host: str) -> int | None:
    """Tell how many calls the server of a host works on at a time.

    Args:
        lines: The lines of ``tokenbudget_server_slots``: a number for all hosts, or ``pattern = number``.
        host: The host, with its port where it has one.

    Returns:
        The number; ``None`` where no line fits.

    Raises:
        SettingsError: If a line is neither; it names the line.
    """
    for line, pattern, value in _by_pattern(lines):
        if not value.isdecimal() or not int(value[:9]) > 0 or not pattern:
            raise SettingsError(
                f"ini option tokenbudget_server_slots: {line!r} is neither a whole number from 1 nor host = number",
                remedy="tokenbudget_server_slots = 4",
            )
        if fnmatchcase(host, pattern):
            return int(value[:9])
    return None


def _by_pattern(lines: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Give each line with its pattern and its value; a value alone is one for all."""
    for line in lines:
        if not line.startswith("#"):
            pattern, equals, value = line.rpartition("=")
            yield line, pattern.strip() if equals else "*", value.strip()


class Settings(NamedTuple):
    """The options of a session; see :data:`~.option_table.OPTIONS` for the meaning of each field."""

    mode: Mode = "gate"
    update: bool = False
    ratchet: bool = False
    accept: bool = False
    reference: str | None = None
    samples: int | None = None
    samples_in: Place = "auto"
    traffic: TrafficMode = "auto"
    reports: tuple[str, ...] = ()
    missing: Missing = "create"
    strict: bool = False
    max_increase: str = "10%"
    stages: tuple[str, ...] = ()
    fixture_calls: FixtureCallsMode = "apart"
    charge_earlier_work: bool = False
    refuse_hosts: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    prices: tuple[str, ...] = ()
    encodings: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    allow_secret: tuple[str, ...] = ()
    cassette_limit: float = 50_000_000.0
    server_slots: tuple[str, ...] = ()
    runs_per_month: tuple[str, ...] = ()
    request_usage: bool = False
    child_processes: bool = True
    time_scale: float = 100.0

    @property
    def replaces(self) -> bool:
        """Tell whether this run is to become what others are compared with, whatever it is compared with itself."""
        return self.update or self.accept or self.reference is not None

    def fails(self, verdict: str, *, open_target: bool = False) -> bool:
        """Tell whether a verdict fails its test in this session.

        Args:
            verdict: The verdict of the test.
            open_target: Whether a wanted reduction is undecided: it does not pass before it is shown.
        """
        from pytest_tokenbudget.records.verdict import FAILING

        if self.mode != "gate":
            return False
        if self.replaces and verdict in ("regression", "target_missed", "no_baseline", "inconclusive"):
            return False
        return verdict in FAILING or (verdict == "inconclusive" and (self.strict or open_target))


def is_ci(environment: Mapping[str, str]) -> bool:
    """Tell whether a CI service runs this: the variable ``CI`` is set, and not to a word that says no."""
    return environment.get("CI", "").strip().lower() not in ("", "0", "false", "no", "off")
