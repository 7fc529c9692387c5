"""ONE table of options, and one of the marker's arguments: the command line, the ini file and the docs are made from them.

Every session loads this module, also one without a marked test. So its records are named tuples: making a dataclass
takes several times as long as all else here.
"""

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
Kind = Literal["choice", "flag", "text", "repeat", "count", "lines", "number"]


class Option(NamedTuple):
    """One option; its default is that of its field in :class:`Settings`.

    Attributes:
        field: Name of its field.
        given: Where it is given: as a ``flag`` of the command line, in the ``ini`` file, or ``both``.
        kind: What it takes.
        help: One sentence for ``pytest --help`` and the docs.
        choices: Allowed words of a ``choice``.
        metavar: Placeholder in the help.
    """

    field: str
    given: Literal["flag", "ini", "both"]
    kind: Kind
    help: str
    choices: tuple[str, ...] = ()
    metavar: str | None = None

    @property
    def flag(self) -> str:
        """Its flag on the command line, ``""`` where there is none."""
        names = {"mode": "--tokenbudget", "reports": "--tokenbudget-report"}
        return "" if self.given == "ini" else names.get(self.field, f"--tokenbudget-{self.field}")

    @property
    def ini(self) -> str:
        """Its name in the ini file, ``""`` where there is none."""
        return "" if self.given == "flag" else f"tokenbudget_{self.field}"


OPTIONS: tuple[Option, ...] = (
    Option(
        "mode",
        "both",
        "choice",
        "gate: fail tests that pass their budget; report: only say so; off: stay away.",
        choices=("gate", "report", "off"),
    ),
    Option(
        "update", "flag", "flag", "This run becomes the baseline of the tests that ran and passed their own assertions."
    ),
    Option("ratchet", "flag", "flag", "Like update, but only where a gate improved."),
    Option("accept", "flag", "flag", "Like update, and the origin moves to the new values."),
    Option(
        "reference",
        "flag",
        "text",
        "Write the measurements as the reference NAME instead of the baseline.",
        metavar="NAME",
    ),
    Option("samples", "flag", "count", "Run each marked test N times, whatever its marker says.", metavar="N"),
    Option(
        "samples_in",
        "ini",
        "choice",
        "Where further samples of a test run: auto: in the same process; process: in fresh processes.",
        choices=("auto", "process"),
    ),
    Option(
        "traffic",
        "both",
        "choice",
        "auto: as the marker says; live: the network; record: record cassettes anew; replay: cassettes only.",
        choices=("auto", "live", "record", "replay"),
    ),
    Option(
        "reports",
        "flag",
        "repeat",
        "Write a report; the format is chosen by the suffix: .json, .html, .md, .txt (OpenMetrics), .bmf.json, .speedscope.json, .trace.json. Repeatable.",
        metavar="PATH",
    ),
    Option(
        "missing",
        "both",
        "choice",
        "What a missing baseline means: create it, or fail (the default where the variable CI is set).",
        choices=("create", "fail"),
    ),
    Option("strict", "both", "flag", "An inconclusive gate fails its test."),
    Option("max_increase", "ini", "text", "The rule of the default gates where a marker gives none."),
    Option("stages", "ini", "lines", "Stages by configuration, one a line: worker = function:app.agents.Worker.run"),
    Option(
        "fixture_calls",
        "ini",
        "choice",
        "Calls of fixtures of a wider scope: apart from every test, charged to each test that uses the fixture, or shared: to the first that uses it.",
        choices=("apart", "each", "shared"),
    ),
    Option(
        "charge_earlier_work", "ini", "flag", "Charge a test with the calls of threads and tasks that began before it."
    ),
    Option(
        "refuse_hosts",
        "ini",
        "lines",
        "Hosts that a replayed or scripted run may not reach, beside those of providers: gateway.internal, *.corp.example:8443",
    ),
    Option("allow_hosts", "ini", "lines", "Hosts that a replayed or scripted run may reach all the same."),
    Option(
        "prices",
        "ini",
        "lines",
        "Own prices in USD per million tokens: my-model* = input 0.27, cached 0.07, output 1.10",
    ),
    Option("encodings", "ini", "lines", "Tokenizers of further models: deepseek-* = path/to/tokenizer.json"),
    Option("redact", "ini", "lines", "Regular expressions; what they match is kept out of cassettes."),
    Option(
        "allow_secret",
        "ini",
        "lines",
        "Findings that are no secrets, as the message that refuses a cassette names them: bearer-token:1f2e3d4c, or a kind.",
    ),
    Option("cassette_limit", "ini", "number", "Bytes that a cassette may have."),
    Option(
        "server_slots",
        "ini",
        "lines",
        "How many calls a model's server works on at a time, so that a replay projects their queue: 4, or lines such as 127.0.0.1* = 1",
    ),
    Option(
        "runs_per_month",
        "ini",
        "lines",
        "How often the agent runs a month, so that a change is also shown as money a month: 120000, or lines such as tests/test_calendar.py::* = 120000",
    ),
    Option(
        "request_usage",
        "ini",
        "flag",
        "Ask OpenAI-style streams for their usage and hide the extra chunk from the client.",
    ),
    Option("child_processes", "ini", "flag", "Watch child processes that run Python."),
    Option(
        "time_scale",
        "ini",
        "number",
        "How many recorded seconds pass in one real second where a replay has to hold an answer.",
    ),
)


class Argument(NamedTuple):
    """One argument of the marker ``token_budget``.

    Attributes:
        name: Its name.
        default: The default as it is written in code.
        help: What it means, for the docs.
    """

    name: str
    default: str
    help: str


ARGUMENTS: tuple[Argument, ...] = (
    Argument(
        "max_increase",
        '"10%"',
        "How much may a metric grow: one rule for the default gates, or `{metric: rule}` for named ones. The key `default` "
        "keeps the default gates beside the named ones. The only argument that may be given by position.",
    ),
    Argument("limit", "{}", "Ceilings that need no baseline: `{metric: ceiling}`."),
    Argument("reduce", "{}", 'Wanted reductions below `against`: `{metric: "30%"}`.'),
    Argument("against", '"baseline"', "What is compared with: the baseline, or the name of a stored reference."),
    Argument(
        "samples",
        '"auto"',
        'How often the test runs: `"auto"` is once, and again only to confirm what chance could have done; or a number.',
    ),
    Argument(
        "samples_in",
        '"auto"',
        'Where further samples run: `"auto"` is in this process, with fixtures of function scope made anew; `"process"` is '
        "in fresh processes, for agents that keep state.",
    ),
    Argument("max_samples", "10", 'The most samples that `samples="auto"` takes.'),
    Argument("stop_at", "{}", "Ceilings that stop the run: no further model call leaves once one is passed."),
    Argument(
        "replay",
        "None",
        "Serve the model's answers from a cassette: `True` for the test's own, or the name of one.",
    ),
    Argument(
        "fixture_calls",
        "None",
        'Calls of fixtures of a wider scope: `"apart"` from the test, charged to `"each"` test that uses the fixture, or '
        '`"shared"`: to the first that uses it. By default as `tokenbudget_fixture_calls` says.',
    ),
)

MARKER = "token_budget"


def marker_signature() -> str:
    """Give the marker's signature, with all arguments and their defaults."""
    first, *others = (f"{argument.name}={argument.default}" for argument in ARGUMENTS)
    return f"{MARKER}({first}, *, {', '.join(others)})"


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
    """The options of a session; see :data:`OPTIONS` for the meaning of each field."""

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
