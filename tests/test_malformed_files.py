"""Files of every kind, damaged at random, give what they hold or one clear error: never a traceback.

``TOKENBUDGET_FUZZ=20000`` makes this the slow lane; by default a few hundred mutations are tried.
"""

from __future__ import annotations

import io
import json
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_tokenbudget.ab.ab_options import suspicion
from pytest_tokenbudget.baselines.production_file import read_production, write_production
from pytest_tokenbudget.baselines.store import JsonStore
from pytest_tokenbudget.cli.main import EXIT_ERROR, main
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.measure.reading import Reader
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.production import Distribution, Production
from pytest_tokenbudget.replay.cassette import read_cassette
from pytest_tokenbudget.replay.clock import VirtualClock
from pytest_tokenbudget.replay.interaction import Interaction
from pytest_tokenbudget.replay.player import Player
from pytest_tokenbudget.replay.recording import save
from pytest_tokenbudget.replay.recount import Cuts, Recording, recount
from pytest_tokenbudget.replay.scenario import Scenario
from pytest_tokenbudget.replay.script import ScriptedModel
from pytest_tokenbudget.replay.script_file import read_script
from pytest_tokenbudget.report.json_report import test_json as as_json
from pytest_tokenbudget.tokens.counter import Counter

pytest.importorskip("yaml", reason="PyYAML is not installed")
httpx = pytest.importorskip("httpx", reason="httpx is not installed")

MUTATIONS = int(os.environ.get("TOKENBUDGET_FUZZ", "400"))
URL = "https://api.example.com/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Book a meeting, as long as this."}]}
COUNTER = Counter()
READER = Reader(builtin_formats(), COUNTER, PriceBook(), lambda exchange, call, prompt: exchange.stage)

SCRIPT = """\
pace: {ttft: 0.4, tokens_per_second: 60}
replies:
  - Hello.
  - {text: Booked., usage: [1200, 40], finish: length, model: m, duration: 3}
  - {tool: calendar_read, arguments: {day: 2026-03-17}}
  - {tools: [{name: weather, arguments: {city: Rome}}, {name: weather, arguments: {city: Oslo}}], reasoning: Both.}
  - {error: 429, retry_after: 2, message: Slowly.}
  - {timeout: 30}
  - {text: Half of it is lost, cut_after: 3, usage: {input: 5, output: 7}}
stages:
  worker: [Done.]
"""
SCRIPT_JSON = json.dumps({"pace": {"ttft": 0.4}, "replies": ["Hello.", {"text": "x", "usage": [1, 2]}], "stages": {}})
BASELINES = Path(__file__).parent / "baselines" / "format_1"
PRODUCTION = Production(
    stages={"worker": {"input_tokens": Distribution(2, 5.0, 5.0, 6.0, (4, 6))}}, models=("gpt-4o",), source="rows.csv"
)
REPORT = json.dumps(
    {
        "format": 1,
        "tests": [
            {
                "nodeid": "t.py::a",
                "gates": [
                    {
                        "metric": "worker.latency",
                        "statistic": "mean",
                        "kind": "max_increase",
                        "exact": False,
                        "verdict": "inconclusive",
                        "value": 2.0,
                        "allowed": 1.5,
                        "p": 0.01,
                    }
                ],
            }
        ],
    }
)
NASTY = (
    "!!int ''",
    "!!timestamp x",
    "!!binary '*'",
    "!!set {a, b}",
    "!!python/object:os.system {}",
    "2026-13-45",
    "1e400",
    "-1",
    "9" * 5000,
    ".nan",
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    '""',
    "[" * 3000,
    "{a: " * 500,
    "&a [*a, *a]",
    "*nobody",
    '"\\ud800"',
    "\\u0000",
    "\x00",
    "\x85",
    "\u2028",
    "<<: 5",
    "? [a, b]\n: c",
    "%",
    "\t",
    "---\n",
    '"=": 3',
    '{"=": "none"}',
    '{"=": 1}',
    "\udcff",
)


def cassette_text(tmp_path: Path) -> str:
    """A cassette of a plain and a streamed answer, with a history that goes on."""
    longer = {
        **BODY,
        "messages": [*BODY["messages"], {"role": "user", "content": "And another one, please, as long."}] * 2,
    }
    plain = json.dumps(
        {"model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    ).encode()
    ones = [
        Interaction(
            "openai.chat", "openai", "", "POST", URL, "gpt-4o", body, chunks=chunks, times=times, input_tokens=9
        )
        for body, chunks, times in (
            (BODY, (plain,), (1.0,)),
            (longer, (b'data: {"choices": []}\n\n', b"data: [DONE]\n\n"), (0.5, 1.0)),
        )
    ]
    save(tmp_path / "seed.jsonl", ones)
    return (tmp_path / "seed.jsonl").read_text(encoding="utf-8")


def play(path: Path) -> None:
    """Play a cassette with a real client: what its errors are the agent's to handle."""
    from pytest_tokenbudget.capture.recorder import Recorder
    from pytest_tokenbudget.capture.watch import watching

    with VirtualClock() as clock:
        player = Player(path, clock=clock, formats=builtin_formats(), counter=COUNTER)
        with watching(Recorder(answerer=player, clock=clock)), httpx.Client(verify=False) as client:
            for _ in range(2):
                with suppress(httpx.HTTPError):
                    client.post(URL, json=BODY)
        player.left_over()
        player.notes()


def run_script(path: Path) -> None:
    """Ask a script from a file as often as it has answers."""
    model = ScriptedModel.load(path)
    from pytest_tokenbudget.capture.local_answer import Outgoing

    for _ in range(sum(map(len, read_script(path).replies.values()))):
        model.answer(Outgoing("httpx 0", "POST", URL, (), json.dumps(BODY).encode(), "worker", True))


def load_scenario(path: Path) -> None:
    """Load a scenario and run it."""
    scenario = Scenario().load(path)
    scenario(lambda said: said)


def command(*arguments: str) -> None:
    """Run a command as the shell does; what it says of an error that the user can fix is raised again."""
    said, complained = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(complained):
        code = main(arguments)
    assert code in (0, 1, 2)
    if code == EXIT_ERROR:
        raise TokenBudgetError(complained.getvalue())


def imports(source: str) -> Callable[[Path], None]:
    """Import a file that another program wrote."""
    return lambda path: command("import", f"--{source}", str(path), "--to", str(path.parent), "--json")


def imports_by_query(path: Path) -> None:
    """Import what a query gives of a database."""
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
    command("import", "--sql", f"sqlite:///{path.parent / 'rows.db'}", "--query", str(path), "--to", str(path.parent))


def imports_of_database(path: Path) -> None:
    """Import a query's rows of a database whose file is damaged."""
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
    query = path.parent / "query.sql"
    query.write_text(QUERY, encoding="utf-8")
    command("import", "--sql", f"sqlite:///{path}", "--query", str(query), "--to", str(path.parent))


def database(path: Path) -> None:
    """Write a database of model calls."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE calls (step TEXT, model TEXT, input_tokens, latency_ms, cost)")
        rows = [("worker", "gpt-4o", 1200 + number, 800.5, 0.01) for number in range(20)]
        connection.executemany("INSERT INTO calls VALUES (?, ?, ?, ?, ?)", rows)
        connection.commit()


def what_if(path: Path) -> None:
    """Recount a cassette as if it had been cached, and write the result as a report has it."""
    recording = Recording.read(read_cassette(path), READER)
    as_json(recount(recording, Cuts(cache=True), READER, nodeid=str(path)))


QUERY = "SELECT step AS stage, model, input_tokens, latency_ms, cost FROM calls WHERE input_tokens > 10 -- all\n"
ROWS = (
    json.dumps(
        {"stage": "worker", "model": "gpt-4o", "run": "a", "input_tokens": 5, "output_tokens": 2, "latency_ms": 9}
    )
    + "\n"
    + json.dumps({"agent": "worker/finalize", "prompt_tokens": "7", "completion_tokens": 1.0, "cost": 0.1})
    + "\n"
)
SPAN = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "startTimeUnixNano": "1544712660000000000",
    "endTimeUnixNano": "1544712661000000000",
    "attributes": [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.agent.name", "value": {"stringValue": "worker"}},
        {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "1200"}},
        {"key": "gen_ai.usage.output_tokens", "value": {"intValue": 40}},
    ],
}
CHILD = {**SPAN, "spanId": "eee19b7ec3c1b175", "parentSpanId": SPAN["spanId"]}
OTEL = json.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [SPAN, CHILD]}]}]})
LANGFUSE = json.dumps(
    {
        "data": [
            {
                "id": "b",
                "traceId": "a",
                "parentObservationId": None,
                "type": "GENERATION",
                "name": "worker",
                "model": "gpt-4o",
                "startTime": "2026-11-20T10:00:00.000Z",
                "endTime": "2026-11-20T10:00:02.500Z",
                "usageDetails": {"input": 1200, "output": 40, "cache_read_input_tokens": 3},
                "costDetails": {"total": 0.01},
            },
            {"id": "c", "traceId": "a", "parentObservationId": "b", "type": "SPAN", "name": "tool"},
        ]
    }
)


KINDS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "rows.jsonl": (ROWS, imports("jsonl")),
    "otel.json": (OTEL, imports("otel")),
    "langfuse.json": (LANGFUSE, imports("langfuse")),
    "query.sql": (QUERY, imports_by_query),
    "calls.db": ("", imports_of_database),
    "whatif.jsonl": ("", what_if),
    "script.yaml": (SCRIPT, run_script),
    "script.json": (SCRIPT_JSON, run_script),
    "scenario.yaml": ("turns:\n  - create\n  - {say: move it, day: 2026-03-17}\n  - cancel\n", load_scenario),
    "scenario.json": ('{"turns": ["create", {"say": "move"}]}', load_scenario),
    "report.json": (REPORT, suspicion),
    "cassette.jsonl": ("", play),
    "baseline.json": ("", lambda path: JsonStore().read(path)),
    "production.json": ("", read_production),
}


def mutated(text: str, chance: random.Random) -> bytes:
    """A text, damaged in up to three places."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + chance.choice((0, 1, 1, 3, 10, 60)))
        match chance.randrange(7):
            case 0:
                text = text[:at] + text[end:]
            case 1:
                text = text[:at] + chance.choice(NASTY) + text[end:]
            case 2:
                text = text[:at] + chance.choice('{}[]",:-&*!|>%@`#0Ee\n ') + text[at:]
            case 3:
                text = text[:at] + text[at:end] * chance.choice((2, 50)) + text[end:]
            case 4:
                text = text[:at]
            case 5 | 6:
                # A whole value of JSON or YAML: from one separator to the next.
                start = max(text.rfind(mark, 0, at) for mark in ":,[ ") + 1
                stop = min((found for mark in ",]}\n" if (found := text.find(mark, at)) >= 0), default=len(text))
                text = text[:start] + chance.choice(NASTY) + text[stop:] if start <= stop else text
    data = text.encode("utf-8", "surrogateescape")
    if chance.random() < 0.05:
        data = data[: len(data) // 2] + bytes([chance.randrange(256)]) + data[len(data) // 2 :]
    return data


@pytest.fixture
def seeds(tmp_path: Path) -> dict[str, list[str]]:
    """Whole files of each kind."""
    found = {kind: [text] for kind, (text, _) in KINDS.items() if text}
    found["cassette.jsonl"] = found["whatif.jsonl"] = [cassette_text(tmp_path)]
    database(tmp_path / "rows.db")
    found["calls.db"] = [(tmp_path / "rows.db").read_bytes().decode("utf-8", "surrogateescape")]
    found["baseline.json"] = [path.read_text(encoding="utf-8") for path in sorted(BASELINES.glob("*.json"))]
    write_production(tmp_path / "production.json", PRODUCTION)
    found["production.json"] = [(tmp_path / "production.json").read_text(encoding="utf-8")]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_one_clear_error(kind: str, seeds: dict[str, list[str]], tmp_path: Path) -> None:
    """Whatever was done to it: it is read, or the error is one of ours, names the file and fits a screen."""
    chance = random.Random(kind)
    texts = seeds[kind]
    path = tmp_path / kind
    for _ in range(MUTATIONS // len(KINDS)):
        data = mutated(chance.choice(texts), chance)
        path.write_bytes(data)
        said = ""
        try:
            KINDS[kind][1](path)
        except TokenBudgetError as error:
            said = str(error)
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {str(error)[:500]}\n{data[:1500]!r}")
        assert len(said) < 2000, said[:500]
