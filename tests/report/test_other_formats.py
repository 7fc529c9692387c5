"""Reports for other programs: OpenMetrics, Bencher, speedscope and trace viewers."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from report_runs import exact_test, showcase

from pytest_tokenbudget.records.verdict import RunView, TestResult
from pytest_tokenbudget.report.bmf import bmf
from pytest_tokenbudget.report.chrome_trace import trace
from pytest_tokenbudget.report.formats import BUILTIN_FORMATS, writer_for
from pytest_tokenbudget.report.openmetrics import openmetrics
from pytest_tokenbudget.report.speedscope import speedscope

HOSTILE = 'a"b\\c\n# EOF\nd{e="f"} 1\x1b[31m\u202e\ud800'


def _samples(run: RunView) -> dict[tuple[str, str, str], float]:
    """Values by metric, test and stage, as the official parser reads them."""
    return {
        (sample.name, sample.labels["test"], sample.labels.get("stage", "")): sample.value
        for family in text_string_to_metric_families(openmetrics(run))
        for sample in family.samples
    }


def test_openmetrics_are_read_by_the_official_parser() -> None:
    """Names, units and values of every test and stage; whether a test is over budget."""
    run = showcase()
    found = _samples(run)
    name = "tests/test_calendar.py::test_books_moves_and_cancels"
    sample = next(result for result in run.results if result.nodeid == name).samples[0]
    assert found["tokenbudget_input_tokens", name, ""] == sample.total["input_tokens"]
    assert (
        found["tokenbudget_input_tokens", name, "worker/finalize"] == sample.stages["worker/finalize"]["input_tokens"]
    )
    assert found["tokenbudget_latency_seconds", name, "worker"] == pytest.approx(sample.stages["worker"]["latency"])
    assert found["tokenbudget_cost_usd", name, ""] == pytest.approx(sample.total["cost"])
    assert found["tokenbudget_test_failed", name, ""] == 1
    units = {family.name: family.unit for family in text_string_to_metric_families(openmetrics(run))}
    assert units["tokenbudget_input_tokens"] == "tokens"
    assert units["tokenbudget_latency_seconds"] == "seconds"


def test_openmetrics_survive_hostile_names() -> None:
    """Quotes, backslashes, line ends and surrogates stay in their label; a test that looks like another is told once."""
    results = tuple(exact_test(name) for name in (f"t.py::{HOSTILE}", f"t.py::{HOSTILE}\x00", "t.py::fine"))
    odd = replace(results[0].samples[0], total={HOSTILE: 3, "latency": float("inf"), "cost": None})
    run = RunView("1", "gate", (replace(results[0], samples=(odd,)), *results[1:]))
    text = openmetrics(run)
    assert text.encode("utf-8", "replace").decode().count("# EOF\n") == 1
    assert {test for _, test, _ in _samples(run)} == {'t.py::a"b\\c# EOFd{e="f"} 1[31m?', "t.py::fine"}


def test_nothing_measured_is_valid() -> None:
    """A run without tests, or without a sample, is an empty report and no error."""
    for results in ((), (TestResult("t.py::t", "no_baseline", failed=True),)):
        run = RunView("1", "gate", results)
        assert openmetrics(run).endswith("# EOF\n")
        assert bmf(run) == {}
        assert speedscope(run)["profiles"][0]["endValue"] == 0
        assert all(event["ph"] == "M" for event in trace(run)["traceEvents"])


def test_bencher_reads_the_figures() -> None:
    """A benchmark a test and stage, a measure a metric, times in ns, and a range where there are samples."""
    found = bmf(showcase())
    live = found["tests/test_live.py::test_answers_in_time[gpt-4.1-mini]"]
    assert live["latency"]["lower_value"] < live["latency"]["value"] < live["latency"]["upper_value"]
    assert 4e9 < live["latency"]["value"] < 6e9
    router = found["tests/test_calendar.py::test_finds_a_free_room (router)"]
    assert router["calls"] == {"value": 1}
    for name, measures in found.items():
        assert 0 < len(name) <= 1024
        for measure, figures in measures.items():
            assert 0 < len(measure) <= 64
            assert set(figures) <= {"value", "lower_value", "upper_value"}
            assert all(isinstance(value, int | float) for value in figures.values())
    long = bmf(RunView("1", "gate", (exact_test(f"t.py::{'x' * 2000}a"), exact_test(f"t.py::{'x' * 2000}b"))))
    assert len(long) == 8


def test_speedscope_weighs_stacks_by_tokens() -> None:
    """The weights add up to the input tokens; what was sent again is a frame of its own."""
    run = showcase()
    found = speedscope(run)
    frames = [frame["name"] for frame in found["shared"]["frames"]]
    now, before = found["profiles"]
    assert (now["name"], before["name"]) == ("input now", "input before")
    for profile in (now, before):
        assert profile["endValue"] == sum(profile["weights"])
        assert len(profile["samples"]) == len(profile["weights"])
        assert min(profile["weights"]) > 0
        assert all(0 <= frame < len(frames) for stack in profile["samples"] for frame in stack)
    stacks = {
        tuple(frames[frame] for frame in stack): weight
        for stack, weight in zip(now["samples"], now["weights"], strict=True)
    }
    path = ("tests/test_calendar.py::test_finds_a_free_room", "worker", "tool schemas", "calendar_write")
    assert (stacks[path], stacks[*path, "sent again"]) == (871, 871 * 3)


def _complete(events: list[dict[str, Any]], process: int) -> list[dict[str, Any]]:
    return [event for event in events if event["ph"] == "X" and event["pid"] == process and event["cat"] != "ttft"]


def test_a_trace_shows_calls_side_by_side() -> None:
    """Events of one row do not overlap, parallel calls have rows of their own, failed attempts are marked."""
    run = showcase()
    events = trace(run)["traceEvents"]
    number = next(index for index, result in enumerate(run.results, 1) if "busy_provider" in result.nodeid)
    calls = _complete(events, number)
    assert len(calls) == len(run.results[number - 1].samples[0].calls)
    assert len({event["tid"] for event in calls}) == 3
    for lane in range(3):
        row = sorted((event["ts"], event["ts"] + event["dur"]) for event in calls if event["tid"] == lane)
        assert all(end <= start + 1 for (_, end), (start, _) in pairwise(row))
    (failed,) = [event for event in calls if event["cat"] == "call,failed"]
    assert failed["name"] == "worker (http 429)"
    names = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names == {result.nodeid for result in run.results}


@pytest.mark.parametrize("suffix", sorted(BUILTIN_FORMATS))
def test_each_suffix_is_written_whatever_the_names(suffix: str, tmp_path: Path) -> None:
    """The longest suffix decides; hostile names break none of them."""
    result = exact_test(f"t.py::{HOSTILE}")
    calls = tuple(replace(call, stage=HOSTILE, model=HOSTILE, error=HOSTILE) for call in result.samples[0].calls)
    run = RunView(
        "1", "gate", (replace(result, samples=(replace(result.samples[0], calls=calls),), messages=(HOSTILE,)),)
    )
    path = tmp_path / "new" / f"report{suffix}"
    writer_for(path.name, BUILTIN_FORMATS, option="--tokenbudget-report")(run, path)
    text = path.read_text(encoding="utf-8")
    assert "\x1b" not in text
    if suffix.endswith("json"):
        json.loads(text)
