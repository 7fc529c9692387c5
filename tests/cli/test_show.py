"""A baseline, a reference or a report as a person reads it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from report_runs import exact_test

from pytest_tokenbudget.baselines.format import dump
from pytest_tokenbudget.baselines.paths import baseline_path
from pytest_tokenbudget.cli import main as entry
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.composition import PartTotal, StageComposition
from pytest_tokenbudget.records.verdict import RunView
from pytest_tokenbudget.report.json_report import write

HOSTILE = "evil\x1b[31m\nworker"


def stored(tokens: int = 300, stage: str = "worker", *, origin: int | None = None) -> BaselineEntry:
    """A live test of two stages whose latency varies."""
    tools = PartTotal("tools", "search_orders", tokens - 60, 2, 1, (tokens - 60) // 2, "d1", (tokens - 60) // 2)
    system = PartTotal("system", "", 60, 2, 1, 30, "d2", 30)
    router = PartTotal("user", "", 50, 1, 1, 50, "d3")
    first = origin if origin is not None else tokens
    metrics = {
        f"{stage}.input_tokens": MetricRecord(((tokens,),), first),
        f"{stage}.calls": MetricRecord(((2,),), 2),
        f"{stage}.latency": MetricRecord(((2.0, 3.0), (4.0,)), 2.5),
        "router.input_tokens": MetricRecord(((50,),), 50),
        "router.calls": MetricRecord(((1,),), 1),
    }
    composition = {stage: StageComposition(2, (tools, system)), "router": StageComposition(1, (router,))}
    return BaselineEntry(metrics, composition=composition, outcomes={"booked": "lunch"}, models=("gpt-4o",))


def store(root: Path, entries: dict[str, BaselineEntry], against: str = "baseline", name: str = "test_desk.py") -> Path:
    """Write a baseline or a reference of ``tests/test_desk.py``."""
    path = baseline_path(root / "tests" / name, against)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dump(entries))
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command is run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What ``tokenbudget show`` prints; it succeeds."""
    assert entry.main(["show", *map(str, arguments)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "\x1b" not in printed.out
    return printed.out


def shown_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """What it prints as JSON."""
    found: dict[str, Any] = json.loads(shown(capsys, *arguments, "--json"))
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What it says to an error of the user: exit code 2, a remedy, nothing on standard output."""
    assert entry.main(["show", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "  fix: " in printed.err
    return printed.err


def line_of(text: str, *beginning: str) -> list[str]:
    """The words of the one line that begins with these words."""
    (found,) = [words for line in text.splitlines() if (words := line.split())[: len(beginning)] == list(beginning)]
    return found


def test_a_test_is_shown_by_stages_and_parts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sums over the stages, how much a time varies, what moved since it was accepted, and each part with its bar."""
    store(root, {"test_a": stored(300, origin=200)})
    store(root, {"test_a": stored(200)}, "before")
    text = shown(capsys, "tests/test_desk.py::test_a")
    assert "test_desk.json | live | gpt-4o | 3 samples | references: before" in text
    assert line_of(text, "stage", "calls")[:3] == ["stage", "calls", "input"]
    assert line_of(text, "(test)")[1:3] == ["3", "350"]
    assert line_of(text, "worker", "2")[1:] == ["2", "300", "3", "s", "±33%"]
    assert line_of(text, "worker.input_tokens") == ["worker.input_tokens", "200", "→", "300", "+50.0", "%"]
    tools = line_of(text, "worker", "tool", "schemas")
    assert tools[3:-1] == ["search_orders", "2", "240", "69%"]
    assert tools[-1] == "█" * 12 + "▒" * 12
    assert line_of(text, "router", "user")[-3:] == ["50", "14%", "█████"]
    assert 'booked = "lunch"' in text
    found = shown_json(capsys, "test_a")["tests"][0]
    assert found["test"] == "tests/test_desk.py::test_a"
    latency = found["stages"]["worker"]["latency"]
    assert latency == {"mean": 3, "min": 2, "max": 4, "n": 3, "origin": 2.5}
    assert [part["tokens"] for part in found["parts"]["worker"]] == [240, 60]


@pytest.mark.parametrize(
    ("named", "tests"),
    [
        (".", ["A::test_a[x]", "A::test_a[y]", "test_b"]),
        ("tests", ["A::test_a[x]", "A::test_a[y]", "test_b"]),
        ("tests/__budgets__/test_desk.json", ["A::test_a[x]", "A::test_a[y]", "test_b"]),
        ("tests/test_desk.py", ["A::test_a[x]", "A::test_a[y]", "test_b"]),
        ("tests/test_desk.py::A", ["A::test_a[x]", "A::test_a[y]"]),
        ("tests/test_desk.py::A::test_a[y]", ["A::test_a[y]"]),
        ("test_a", ["A::test_a[x]", "A::test_a[y]"]),
        ("before", ["test_b"]),
        ("tests/__budgets__/before", ["test_b"]),
    ],
)
def test_whatever_names_a_test_finds_it(
    named: str, tests: list[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders, files, node ids, classes, functions and references; neither a cassette nor a virtual environment."""
    store(root, {"A::test_a[x]": stored(), "A::test_a[y]": stored(), "test_b": stored()})
    store(root, {"test_b": stored(200)}, "before")
    store(root / ".venv", {"test_a": stored(), "test_other": stored()})
    found = shown_json(capsys, named)["tests"]
    assert [one["test"] for one in found] == [f"tests/test_desk.py::{key}" for key in tests]


def test_many_tests_take_a_line_each(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The list is what the command without arguments prints; ``--against`` gives that of a reference."""
    store(root, {f"test_{letter}": stored() for letter in "abcde"})
    store(root, {f"test_{letter}": stored(100) for letter in "abcde"}, "before")
    assert line_of(shown(capsys), "tests/test_desk.py::test_c")[1:3] == ["3", "350"]
    assert line_of(shown(capsys, "--against", "before"), "tests/test_desk.py::test_c")[1:3] == ["3", "150"]
    assert shown(capsys, "--all").count("tool schemas search_orders") == 5


def test_production_is_shown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name, and as the reference of a test."""
    store(root, {"test_a": stored()})
    rows = [{"stage": "worker", "run": f"r{n}", "input_tokens": 100 * n, "output_tokens": 5} for n in (1, 2, 3)]
    (root / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert entry.main(["import", "--jsonl", "rows.jsonl", "--to", "tests"]) == 0
    capsys.readouterr()
    for named in (["production"], ["tests/test_desk.py::test_a", "--against", "production"]):
        assert line_of(shown(capsys, *named), "worker", "input_tokens")[2:] == ["3", "200", "200", "300"]
    assert shown_json(capsys, "production")["production"][0]["stages"]["worker"]["input_tokens"]["n"] == 3


def test_a_report_shows_its_calls(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each call of the last sample, in the order of their start; a baseline keeps none and says where they are."""
    result = exact_test("tests/test_desk.py::test_a", turns=3)
    write(RunView(version="0", mode="gate", results=(result,)), root / "report.json")
    calls = result.samples[-1].calls
    text = shown(capsys, "report.json", "--calls")
    table = text[text.index("ttft") :].splitlines()[2:]
    assert len(table) == len(calls)
    assert [line.split()[0] for line in table] == [call.stage for call in sorted(calls, key=lambda call: call.started)]
    found = shown_json(capsys, "report.json", "--calls")["tests"][0]
    assert sum(call["input_tokens"] for call in found["calls"]) == found["stages"][""]["input_tokens"]["mean"]
    store(root, {"test_a": stored()})
    assert "show report.json --calls" in refused(capsys, "test_a", "--calls")


@pytest.mark.parametrize(
    "named", ["nowhere", "tests/test_none.py::test_a", "tests/test_desk.py::test_none", "\0", "x" * 5000]
)
def test_what_is_not_there_is_an_error(named: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names what was asked for and what to do."""
    store(root, {"test_a": stored()})
    refused(capsys, named)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"tests": []}', '{"format": 99, "tests": {}}', "[" * 99999]
)
def test_a_damaged_file_is_an_error(content: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, and the file stays as it was."""
    path = store(root, {"test_a": stored()})
    path.write_text(content, encoding="utf-8")
    assert str(path.name) in refused(capsys, path)
    assert path.read_text(encoding="utf-8") == content


def test_hostile_names_are_plain_text_in_every_encoding(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No escape sequence, no second line, and no error where the encoding has no bars."""
    store(root, {f"test_a[{HOSTILE}]": stored(stage=HOSTILE)})
    assert line_of(shown(capsys, "test_a"), "evil[31mworker", "tool")[-1] == "█" * 12 + "▒" * 12
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, "ascii"))
    assert entry.main(["show", "test_a"]) == 0
    assert b"#" * 12 + b":" * 12 in screen.getvalue()


def test_colour_is_for_terminals(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal gets it unless NO_COLOR is set."""
    store(root, {"test_a": stored()})
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    entry.main(["show"])
    assert capsys.readouterr().out.startswith("\x1b[1mtests/test_desk.py::test_a\x1b[0m\n")
    monkeypatch.setenv("NO_COLOR", "1")
    shown(capsys)


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """And the exit codes."""
    with pytest.raises(SystemExit):
        entry.main(["show", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "example: tokenbudget show tests/test_desk.py::test_refunds" in text
    assert "Exit codes: 0" in text
