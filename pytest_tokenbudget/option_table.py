"""ONE table of options, and one of the marker's arguments: the command line, the ini file and the docs are made from them.

Every session loads this module, also one without a marked test. So its records are named tuples: making a dataclass
takes several times as long as all else here. And their annotations are no texts, which would have to be compiled.
"""

from typing import Literal, NamedTuple

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
