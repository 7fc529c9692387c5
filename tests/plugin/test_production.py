"""What production recorded becomes a reference that tests are held against."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pytest_tokenbudget.baselines.production_file import read_production
from pytest_tokenbudget.cli.main import main
from pytest_tokenbudget.errors import BaselineError

ROWS: list[dict[str, Any]] = [
    {"stage": "router", "run": "a", "input_tokens": 300, "output_tokens": 1, "latency_ms": 400, "cost": 0.0001},
    {"stage": "worker", "run": "a", "input_tokens": 7000, "output_tokens": 50, "latency_ms": 4000, "cost": 0.003},
    {"stage": "worker", "run": "a", "input_tokens": 8000, "output_tokens": 60, "latency_ms": 5000, "cost": 0.004},
    {"stage": "worker/finalize", "run": "b", "input_tokens": 500, "output_tokens": 40, "latency_ms": 900},
    {"stage": "router", "run": "b", "input_tokens": 310, "output_tokens": 1, "latency_ms": 500, "cost": 0.0001},
]


def imported(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The stored stages, as plain figures."""
    production = read_production(tmp_path / "__budgets__" / "production.json")
    return {
        stage: {name: (found.n, found.mean) for name, found in metrics.items()}
        for stage, metrics in production.stages.items()
    }


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_rows_of_a_run_are_added_up_by_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stage that called its model twice read the sum; a stage holds those inside it; the whole run holds all."""
    source = write_lines(tmp_path / "rows.jsonl", ROWS)
    assert main(["import", "--jsonl", str(source), "--to", str(tmp_path)]) == 0
    assert "worker/finalize" in capsys.readouterr().out
    stages = imported(tmp_path)
    assert stages["worker"]["input_tokens"] == (2, 7750)
    assert stages["worker"]["calls"] == (2, 1.5)
    assert stages["worker"]["latency"] == (2, (9.0 + 0.9) / 2)
    assert stages["router"]["input_tokens"] == (2, 305)
    assert stages[""]["input_tokens"] == (2, (15300 + 810) / 2)
    assert stages["worker"]["cost"] == (1, 0.007), "a run with a row of unknown cost has no known cost"


def test_a_database_gives_the_same(tmp_path: Path) -> None:
    """Whatever other columns the table has; the query names what is read."""
    pytest.importorskip("sqlalchemy")
    lines = write_lines(tmp_path / "rows.jsonl", ROWS)
    assert main(["import", "--jsonl", str(lines), "--to", str(tmp_path)]) == 0
    expected = imported(tmp_path)
    database = tmp_path / "messages.db"
    with sqlite3.connect(database) as connection:
        connection.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, content TEXT, step TEXT, run TEXT, tokens_in INTEGER,"
            " tokens_out INTEGER, ms REAL, usd REAL)"
        )
        connection.executemany(
            "INSERT INTO messages (content, step, run, tokens_in, tokens_out, ms, usd) VALUES ('secret', ?, ?, ?, ?, ?, ?)",
            [
                (
                    row["stage"],
                    row["run"],
                    row["input_tokens"],
                    row["output_tokens"],
                    row["latency_ms"],
                    row.get("cost"),
                )
                for row in ROWS
            ],
        )
    connection.close()
    query = tmp_path / "messages.sql"
    query.write_text(
        "SELECT step AS stage, run, tokens_in AS input_tokens, tokens_out AS output_tokens, ms AS latency_ms,"
        " usd AS cost FROM messages",
        encoding="utf-8",
    )
    assert main(["import", "--sql", f"sqlite:///{database}", "--query", str(query), "--to", str(tmp_path)]) == 0
    assert imported(tmp_path) == expected
    assert "secret" not in (tmp_path / "__budgets__" / "production.json").read_text(encoding="utf-8")


def test_a_database_that_is_not_there_and_a_statement_without_rows_are_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No empty database is made, and nothing of one that exists is changed."""
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
    query, database = tmp_path / "q.sql", tmp_path / "a b.db"
    query.write_text("DELETE FROM messages", encoding="utf-8")
    line = ["import", "--sql", f"sqlite:///{database}", "--query", str(query), "--to", str(tmp_path)]
    assert main(line) == 2
    assert "a b.db: there is no such database" in capsys.readouterr().err
    assert not database.exists()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE messages (stage TEXT)")
        connection.execute("INSERT INTO messages VALUES ('worker')")
        connection.commit()
    assert main(line) == 2
    assert "the query returns no rows" in capsys.readouterr().err
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (1,)


def attribute(key: str, value: Any) -> dict[str, Any]:
    """An attribute as OTLP writes it: whole numbers are strings."""
    return {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def test_spans_of_opentelemetry_are_read(tmp_path: Path) -> None:
    """Spans of model calls count, those of agents give the stage and are not counted twice."""

    def span(identity: str, parent: str, **attributes: Any) -> dict[str, Any]:
        named = {key.replace("__", "."): value for key, value in attributes.items()}
        return {
            "traceId": "t",
            "spanId": identity,
            "parentSpanId": parent,
            "startTimeUnixNano": "1000000000",
            "endTimeUnixNano": "3500000000",
            "attributes": [attribute(key, value) for key, value in named.items()],
        }

    usage = {"gen_ai__usage__input_tokens": 100, "gen_ai__usage__output_tokens": 10}
    spans = [
        span("1", "", gen_ai__operation__name="invoke_agent", gen_ai__agent__name="worker", **usage),
        span("2", "1", gen_ai__operation__name="chat", gen_ai__request__model="gpt-4.1", **usage),
        span("3", "1", gen_ai__operation__name="chat", gen_ai__input__messages="private words", **usage),
        span("4", "", http__request__method="GET"),
    ]
    source = tmp_path / "spans.json"
    source.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}), encoding="utf-8")
    assert main(["import", "--otel", str(source), "--to", str(tmp_path)]) == 0
    stages = imported(tmp_path)
    assert stages["worker"] == {
        "calls": (1, 2),
        "input_tokens": (1, 200),
        "latency": (1, 5.0),
        "output_tokens": (1, 20),
    }
    assert "private" not in (tmp_path / "__budgets__" / "production.json").read_text(encoding="utf-8")


def test_a_call_that_two_instrumentations_tell_of_counts_once(tmp_path: Path) -> None:
    """The outer span repeats the inner one; older names and OpenInference's are understood; what failed is no call."""

    def span(identity: str, parent: str, **more: Any) -> dict[str, Any]:
        told = {key: value for key, value in more.items() if key in ("status", "traceId")}
        attributes = [attribute(key, value) for key, value in more.get("attributes", {}).items()]
        return {"traceId": "t", "spanId": identity, "parentSpanId": parent, **told, "attributes": attributes}

    prompt, completion = "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"
    open_inference = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 70, "llm.model_name": "gpt-4.1"}
    spans = [
        span("1", "", attributes={"gen_ai.operation.name": "chat", prompt: 50, completion: 5}),
        span("2", "1", attributes={"gen_ai.operation.name": "chat", prompt: 50, completion: 5}),
        span("3", "", attributes=open_inference),
        span("4", "", attributes={"openinference.span.kind": "CHAIN", "llm.token_count.prompt": 70}),
        span("5", "", attributes={"gen_ai.operation.name": "chat"}, status={"code": 2}),
    ]
    lines = [json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}) for one in spans]
    (tmp_path / "spans.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert main(["import", "--otel", str(tmp_path / "spans.jsonl"), "--to", str(tmp_path)]) == 0
    stages = imported(tmp_path)
    assert stages["main"]["calls"] == (1, 2)
    assert stages["main"]["input_tokens"] == (1, 120)


def test_observations_of_langfuse_are_read(tmp_path: Path) -> None:
    """Generations count; the span around them gives the stage; cached tokens are part of the input."""
    observations = [
        {"id": "s", "type": "SPAN", "name": "worker", "traceId": "t"},
        {
            "id": "g",
            "type": "GENERATION",
            "name": "ChatOpenAI",
            "parentObservationId": "s",
            "traceId": "t",
            "model": "gpt-4.1",
            "startTime": "2026-11-01T10:00:00.000Z",
            "endTime": "2026-11-01T10:00:02.500Z",
            "usageDetails": {
                "input": 80,
                "input_cached_tokens": 20,
                "cache_creation_input_tokens": 7,
                "output": 5,
                "output_reasoning_tokens": 30,
                "total": 142,
            },
            "costDetails": {"total": 0.01},
            "input": "private words",
        },
        {"id": "f", "type": "GENERATION", "name": "ChatOpenAI", "traceId": "t", "level": "ERROR", "usageDetails": {}},
    ]
    source = tmp_path / "observations.json"
    source.write_text(json.dumps({"data": observations}), encoding="utf-8")
    assert main(["import", "--langfuse", str(source), "--to", str(tmp_path)]) == 0
    worker = imported(tmp_path)["worker"]
    assert worker["input_tokens"] == (1, 107)
    assert worker["output_tokens"] == (1, 35)
    assert worker["cached_input_tokens"] == (1, 20)
    assert worker["latency"] == (1, 2.5)
    assert worker["calls"] == (1, 1)
    assert worker["cost"] == (1, 0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rows"),
        ("[1]", "an object should stand"),
        ("{nonsense", "is no JSON"),
        ('{"model": "gpt-4.1"}', "no stage"),
        ('{"stage": "worker", "input_tokens": "many"}', "no number"),
        ('{"stage": "worker", "input_tokens": -1}', "no number"),
        ('{"stage": "worker", "latency": 1e999}', "no number"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_rows_that_cannot_be_read_are_an_error(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2; the message names the row, and nothing is written."""
    source = tmp_path / "rows.jsonl"
    source.write_text(text, encoding="utf-8")
    assert main(["import", "--jsonl", str(source), "--to", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "__budgets__").exists()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"kind": "production", "format": 99}', '{"kind": "production", "format": 1}']
)
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    """Never a traceback."""
    path = tmp_path / "production.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BaselineError, match=r"production\.json"):
        read_production(path)


def test_production_that_was_not_imported_is_told(project) -> None:
    """The failure names the command that makes the reference."""
    project.write("""
@token_budget(reduce={"input_tokens": "30%"}, against="production")
def test_agent(ask):
    ask()
""")
    result = project.run()
    result.assert_outcomes(failed=1)
    assert "`tokenbudget import` of what production recorded" in result.stdout.str()


def test_a_test_is_held_against_production(project) -> None:
    """A reduction is measured from what production read, in any folder below that of the file."""
    folder = project.pytester.mkdir("deep")
    rows = [{"stage": "worker", "input_tokens": value, "output_tokens": 5} for value in (900, 1000, 1100)] * 4
    source = write_lines(project.pytester.path / "rows.jsonl", rows)
    assert main(["import", "--jsonl", str(source), "--to", str(project.pytester.path)]) == 0
    (folder / "test_it.py").write_text(
        "from pytest_tokenbudget import token_budget\n"
        '@token_budget({"calls": "off"}, reduce={"worker.input_tokens": "30%"}, against="production", samples=5)\n'
        "def test_reads_less(ask):\n"
        '    ask("hello", stage_name="worker")\n',
        encoding="utf-8",
    )
    project.run().assert_outcomes(passed=1)
    gate = project.gate("worker.input_tokens")
    assert gate["baseline"] == 1000
    assert gate["verdict"] in ("ok", "improved")


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of its own on a Unix socket; skipped where none is installed."""
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed")
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "/nowhere").parent]
    if not (binaries[-1] / "initdb").exists():
        pytest.skip("no PostgreSQL server is installed")
    as_user: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        try:
            shutil.chown(folder, "postgres")
        except LookupError:
            pytest.skip("there is no user postgres, and the server does not run as root")
        as_user = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *arguments: str) -> None:
        command = [*as_user, str(binaries[-1] / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=folder)

    try:
        run("initdb", "-D", str(folder / "data"), "-U", "tester", "--auth=trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", str(folder / "data"), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://tester@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_postgresql_database_is_read(tmp_path: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Numerics of the database are numbers; a query that fails is an error without the URL."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE messages (stage text, read bigint, usd numeric(12, 6))"))
        connection.execute(
            sqlalchemy.text("INSERT INTO messages VALUES ('worker', 12000, 0.0123), ('worker', 13000, 0.02)")
        )
    engine.dispose()
    query = tmp_path / "messages.sql"
    query.write_text("SELECT stage, read AS input_tokens, usd AS cost FROM messages", encoding="utf-8")
    arguments = ["import", "--sql", postgres_url, "--query", str(query), "--to", str(tmp_path)]
    assert main(arguments) == 0
    assert imported(tmp_path)["worker"]["input_tokens"] == (2, 12500)
    assert imported(tmp_path)["worker"]["cost"][0] == 2
    query.write_text("SELECT stage FROM nowhere", encoding="utf-8")
    capsys.readouterr()
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "nowhere" in said
    assert "tester" not in said
