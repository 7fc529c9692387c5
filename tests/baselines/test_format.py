"""The bytes of a baseline file."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.baselines.format import checked_cache, dump, load
from pytest_tokenbudget.baselines.schema import json_schema
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord, Speed
from pytest_tokenbudget.records.composition import FixedPrompt, PartTotal, StageComposition, within

PATH = Path("tests/__budgets__/test_a.json")

GOLDEN = """\
{
  "format": 2,
  "needs": "0.2",
  "tests": {
    "TestBook::test_é[a-b]": {
      "composition": [
        ["router", "system", {"calls": 1, "digest": "cd", "tokens": 30}],
        ["worker", {"models": ["n"]}],
        ["worker", "tools", "write", {"calls": 2, "digest": "ab", "tokens": 12}],
        ["worker", "user", {"behind": 2, "calls": 2, "digest": "ef", "distinct": 2, "largest": 5, "repeated": 3, "tokens": 9}]
      ],
      "metrics": {
        "calls": {"router": 1, "worker": 2},
        "input_tokens": {"router": 30, "worker": 21},
        "latency": {"": [[2.5, 2.0], [1e-07]], "router": [[0.5, 0.4]]}
      },
      "obtained": {"models": ["m"], "providers": ["deepseek"], "sources": {"input_tokens": "counted o200k_base"}, \
"traffic": "replay"},
      "origin": {"latency": null, "worker.input_tokens": 18},
      "outcomes": {
        "booked": true,
        "dates": {"a": [1, 2.5], "b": null}
      },
      "pooled": {"ttft": [[0.25, 0.5]]},
      "zero": ["failed_attempts"]
    }
  }
}
"""


def golden_entries() -> dict[str, BaselineEntry]:
    """What the text above stores; figures that follow from others are in it too."""
    system = PartTotal("system", "", 30, 1, 1, 30, "cd")
    tools = PartTotal("tools", "write", 12, 2, 1, 6, "ab", 6)
    user = PartTotal("user", "", 9, 2, 2, 5, "ef", 3, 2)

    def exact(value: int, origin: int | None = None) -> MetricRecord:
        return MetricRecord(((value,),), value if origin is None else origin)

    return {
        "TestBook::test_é[a-b]": BaselineEntry(
            metrics={
                "calls": exact(3), "router.calls": exact(1), "worker.calls": exact(2),
                "input_tokens": exact(51, 48), "router.input_tokens": exact(30), "worker.input_tokens": exact(21, 18),
                "failed_attempts": exact(0), "router.failed_attempts": exact(0), "worker.failed_attempts": exact(0),
                "system_tokens": exact(30), "router.system_tokens": exact(30), "worker.system_tokens": exact(0),
                "tool_schema_tokens": exact(12), "router.tool_schema_tokens": exact(0), "worker.tool_schema_tokens": exact(12),
                "history_tokens": exact(0), "router.history_tokens": exact(0), "worker.history_tokens": exact(0),
                "fresh_input_tokens": exact(44), "router.fresh_input_tokens": exact(30), "worker.fresh_input_tokens": exact(14),
                "latency": MetricRecord(((2.5, 2.0), (1e-7,))), "router.latency": MetricRecord(((0.5, 0.4),), 0.45),
                "measured_latency": MetricRecord(((2.5, 2.0), (1e-7,))),
                "router.measured_latency": MetricRecord(((0.5, 0.4),), 0.45),
                "router.model_time": MetricRecord(((0.5, 0.4),), 0.45), "router.own_time": exact(0),
            },
            pooled={"ttft": MetricRecord(((0.25, 0.5),), 0.375)},
            composition={
                "router": StageComposition(1, (system,), models=("m",)),
                "worker": StageComposition(2, (tools, user), models=("n",)),
            },
            outcomes={"dates": {"b": None, "a": [1, 2.5]}, "booked": True},
            traffic="replay",
            sources=dict.fromkeys(("input_tokens", "router.input_tokens", "worker.input_tokens"), "counted o200k_base"),
            models=("m",),
            providers=("deepseek",),
        )
    }  # fmt: skip


def test_a_file_looks_as_documented() -> None:
    """Keys sorted, two spaces, one metric and one part a line, a newline at the end, ints and floats as they are."""
    assert dump(golden_entries()).decode() == GOLDEN


def test_figures_that_follow_from_others_are_worked_out() -> None:
    """Totals, tokens by part, a stage's model time: read back, although no file holds them."""
    assert load(GOLDEN.encode(), PATH) == golden_entries()


def test_whole_numbers_stay_whole() -> None:
    """``30`` is read as an int and ``2.0`` as a float."""
    metrics = load(GOLDEN.encode(), PATH)["TestBook::test_é[a-b]"].metrics
    assert type(metrics["router.input_tokens"].sessions[0][0]) is int
    assert type(metrics["input_tokens"].sessions[0][0]) is int
    assert [type(value) for value in metrics["latency"].sessions[0]] == [float, float]


def test_an_empty_file_of_entries_is_readable() -> None:
    """No entries are a valid file."""
    assert load(dump({}), PATH) == {}


@given(data=st.data())
def test_what_is_written_is_read_back(data: st.DataObject, strategies) -> None:
    """Whatever an entry holds, in whatever order it came to be there."""
    entries = data.draw(strategies.entries)
    written = assert_read_back(entries)
    assert dump(dict(reversed(entries.items()))) == written
    assert_plain_json(written, entries)


@pytest.mark.parametrize(
    ("metrics", "parts"),
    [
        # The stage's figure is a copy of the whole test's, which nobody measured, but which follows from the parts.
        (
            {"calls": MetricRecord(((0,),)), "main.system_tokens": MetricRecord(((0,),), 0)},
            (PartTotal("system", "", 0, 0, 0, 0, ""),),
        ),
        # Of the model's time and the agent's own, the smaller is stored: here the one that is not there.
        ({"measured_latency": MetricRecord(((5.0,),), 5.0), "model_time": MetricRecord(((4.0,),), 4.0)}, ()),
    ],
)
def test_what_follows_from_a_figure_that_follows_is_not_stored(
    metrics: dict[str, MetricRecord], parts: tuple[PartTotal, ...]
) -> None:
    """The file is the same after it was read and written again, whichever figures an entry began with."""
    assert_read_back({"t": BaselineEntry(metrics=metrics, composition={"main": StageComposition(0, parts)})})


@given(data=st.data(), stage=st.sampled_from(["main", "worker"]), own_share=st.sampled_from([0.0, 0.01, 0.5, 0.9]))
def test_a_file_keeps_its_form_when_it_is_read_and_written_again(
    data: st.DataObject, stage: str, own_share: float
) -> None:
    """However often a value that never varied was seen: a diff of the file shows only what changed."""
    own_time = round(4 * own_share, 2)
    values = {
        "input_tokens": 100, "output_tokens": 7, "total_tokens": 107, "system_tokens": 100, "calls": 1,
        "latency": 4.0, "measured_latency": 4.0, "model_time": 4.0 - own_time, "own_time": own_time,
        "latency_per_output_token": (4.0 - own_time) / 7,
    }  # fmt: skip
    seen = st.lists(st.integers(1, 3), min_size=1, max_size=2)
    metrics = {
        key: MetricRecord(tuple((value,) * count for count in data.draw(seen)), value)
        for name, value in values.items()
        for key in (name, f"{stage}.{name}")
        if data.draw(st.booleans())
    }
    part = PartTotal("system", "", 100, 1, 1, 100, "aa")
    assert_read_back({"t": BaselineEntry(metrics, composition={stage: StageComposition(1, (part,), output_tokens=7)})})


def assert_read_back(entries: dict[str, BaselineEntry]) -> bytes:
    """Every record is there again with its values, further ones follow from them, and writing again gives the same bytes."""
    written = dump(entries)
    read = load(written, PATH)
    assert read.keys() == entries.keys()
    for key, entry in entries.items():
        again = read[key]
        for before, after in ((entry.metrics, again.metrics), (entry.pooled, again.pooled)):
            assert before.keys() <= after.keys()
            for name, record in before.items():
                assert _same_values(record, after[name]), name
        assert replace(again, metrics={}, pooled={}, sources={}) == replace(entry, metrics={}, pooled={}, sources={})
    assert dump(read) == written
    return written


def assert_plain_json(written: bytes, entries: dict[str, BaselineEntry]) -> None:
    """Any JSON reader gets the same values, in sorted order, from strict UTF-8 with a newline at the end."""
    text = written.decode()
    document = json.loads(text)
    assert text.endswith("}\n")
    assert list(document["tests"]) == sorted(entries)
    for test in document["tests"].values():
        assert list(test) == sorted(test)
        assert list(test["metrics"]) == sorted(test["metrics"])


def _same_values(one: MetricRecord, other: MetricRecord) -> bool:
    """The same sessions and origin; where a rule gives a value that never varied, it is kept once."""
    sessions = one.sessions == other.sessions or set(one.values) == set(other.values) == {one.values[0]}
    origins = one.origin == other.origin or math.isclose(one.origin, other.origin, rel_tol=1e-9)
    return sessions and origins


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -float("inf"), True, 5e-324, 10**400],
    ids=lambda value: f"{value:g}" if value < 10**300 or value == float("inf") else "huge",
)
@pytest.mark.parametrize("where", ["sessions", "origin"])
def test_a_value_that_is_no_finite_number_is_not_written(value: float, where: str) -> None:
    """The error names the test and the metric."""
    record = MetricRecord(((value,),), 1) if where == "sessions" else MetricRecord(((1,),), value)
    with pytest.raises(BaselineError, match=r"test 'test_a': worker\.cost cannot be stored"):
        dump({"test_a": BaselineEntry(metrics={"calls": MetricRecord(((1,),), 1), "worker.cost": record})})


@pytest.mark.parametrize("value", [float("nan"), object(), {1: 2, "a": 3}, {"a", "b"}])
def test_an_outcome_that_is_no_json_is_not_written(value: object) -> None:
    """The error names the test and the outcome."""
    with pytest.raises(BaselineError, match=r"test 'test_a': the outcome 'booked' cannot be stored"):
        dump({"test_a": BaselineEntry(outcomes={"booked": value})})


def test_a_lone_surrogate_becomes_the_text_of_its_escape() -> None:
    """A tool or model name that no UTF-8 can hold does not keep a baseline from being written and read."""
    written = dump({"test_a": BaselineEntry(models=("gpt\udc80",))})
    assert load(written, PATH)["test_a"].models == ("gpt\\udc80",)


def test_nothing_hides_in_a_file() -> None:
    """Zero width, direction and tag characters, and the mark of a command in CI logs, stand as escapes of the same text."""
    hostile = "a\u200bb\u202ec\U000e0041d\x7f\x9be\u2028###[error]é漢"
    written = dump({"test_a": BaselineEntry(models=(hostile,))})
    text = written.decode()
    assert not set(hostile) & set(text) - set("abcde#[]rorré漢")
    assert "##[" not in text
    assert "é漢" in text
    assert load(written, PATH)["test_a"].models == (hostile,)


@given(data=st.data())
def test_a_file_that_was_checked_before_gives_the_same_entries(data: st.DataObject, strategies) -> None:
    """It is parsed and not validated again."""
    written, checked = dump(data.draw(strategies.entries)), checked_cache(None)
    first = load(written, PATH, checked=checked)
    assert load(written, PATH, checked=checked) == first
    assert dump(load(written, PATH, checked=checked)) == dump(first)


def test_only_a_valid_file_counts_as_checked(tmp_path: Path) -> None:
    """A file that was refused is refused again, and an older format is read as such each time."""
    checked, bad = checked_cache(tmp_path), GOLDEN.replace('"calls": 1', '"calls": -1').encode()
    for _ in range(2):
        with pytest.raises(BaselineError, match="calls"):
            load(bad, PATH, checked=checked)
    checked.save()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ['test_a[{"x": 1}]', "test_a[x : y]", "C:\\", 'a\\"', "test_a[\u2028]"])
def test_odd_test_ids_survive(key: str) -> None:
    """Parameters with quotes, colons and backslashes are read back as they were."""
    entries = {key: BaselineEntry(models=(key,), outcomes={key: {key: [key]}})}
    assert load(dump(entries), PATH) == entries


def test_windows_line_ends_are_read() -> None:
    """A checkout that turns line ends over does not spoil the file."""
    assert load(GOLDEN.replace("\n", "\r\n").encode(), PATH) == golden_entries()


def test_every_field_of_the_records_is_stored() -> None:
    """A field that is added to a record is added to the file too, or would be lost on writing."""
    part = PartTotal("tools", "n", 9, 4, 3, 5, "d", 2, 1)
    fixed = FixedPrompt("a1b2c3", "o200k_base", 812, 45, 7)
    stage = StageComposition(7, (part,), 11, 5, 3, 2, ("x",), estimated=True, fixed=(fixed,))
    record = MetricRecord(((1.5, 2.5), (3.5,)), 9.5)
    speeds = {"s": {"x": Speed(0.52, 0.0001, 0.0125, 7)}}
    entry = BaselineEntry(
        {"y": record}, {"z": record}, {"s": stage}, {"o": 1}, "scripted", {"s.y": "counted"}, ("m",), ("p",), speeds
    )
    for kind, value in ((PartTotal, part), (StageComposition, stage), (MetricRecord, record), (BaselineEntry, entry)):
        assert all(getattr(value, field.name) != field.default for field in fields(kind))
    again = load(dump({"t": entry}), PATH)["t"]
    assert replace(again, metrics={"y": again.metrics["y"]}) == entry


def test_what_the_code_decides_takes_two_lines() -> None:
    """The fixed part of the prompts and the speed of the models: a line each, however many stages there are."""
    prompts = [FixedPrompt("a1b2c3", "o200k_base", 812, None, 3), FixedPrompt("d4e5f6", "cl100k_base", 40, 12, 1)]
    composition = {stage: StageComposition(4, fixed=tuple(prompts)) for stage in ("router", "worker")}
    speeds = {stage: {"gpt-4o": Speed(0.52, 0.0001, 0.0125, 4)} for stage in composition}
    lines = dump({"t": BaselineEntry(composition=composition, speeds=speeds)}).decode().splitlines()
    assert [line.strip() for line in lines if '"a1b2c3"' in line] == [
        '"fixed": {"cl100k_base": [["router", "d4e5f6", 40, 12, 1], ["worker", "d4e5f6", 40, 12, 1]], '
        '"o200k_base": [["router", "a1b2c3", 812, null, 3], ["worker", "a1b2c3", 812, null, 3]]},'
    ]
    assert sum("[0.52, 0.0001, 0.0125, 4]" in line for line in lines) == 2
    assert load("\n".join(lines).encode(), PATH)["t"].speeds == speeds


def test_the_json_schema_accepts_what_is_written() -> None:
    """The published schema is a valid one; it takes our files and refuses others."""
    jsonschema = pytest.importorskip("jsonschema", reason="validates the published JSON Schema")
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    assert validator.is_valid(json.loads(GOLDEN))
    assert not validator.is_valid({"format": 1, "needs": "0.2", "tests": {}})
    assert not validator.is_valid(
        json.loads(GOLDEN.replace('"worker.input_tokens": 18', '"worker.input_tokens": "18"'))
    )
    assert not validator.is_valid(json.loads(GOLDEN.replace('"traffic"', '"trafic"')))
    assert not validator.is_valid(json.loads(GOLDEN.replace('"tokens": 12', '"tokens": -12')))


@pytest.mark.parametrize("name", ["test_calendar", "test_improved", "test_desk"])
def test_files_of_the_first_release_are_read_without_a_loss(name: str) -> None:
    """What 0.1 wrote: each metric has its values (times rounded), sources and outcomes stay, and it is written as format 2."""
    path = Path(__file__).parent / "format_1" / f"{name}.json"
    old = json.loads(path.read_text(encoding="utf-8"))["tests"]
    entries = load(path.read_bytes(), path)
    assert entries.keys() == old.keys()
    for key, test in old.items():
        entry = entries[key]
        for records, stored in ((entry.metrics, test["metrics"]), (entry.pooled, test["pooled"])):
            for metric, record in stored.items():
                values = [value for session in record["sessions"] for value in session]
                now = records[metric.replace("attempts", "failed_attempts")]
                expected = values[:1] if len(set(values)) == 1 else sorted(values)
                found = now.values[:1] if len(set(values)) == 1 else sorted(now.values)
                assert list(found) == pytest.approx(expected, rel=0.03, abs=2e-4), metric
                assert now.origin == pytest.approx(record["origin"], rel=0.03, abs=2e-4)
        assert (entry.outcomes, entry.traffic, list(entry.models)) == (
            test["outcomes"],
            test["traffic"],
            test["models"],
        )
        assert entry.sources == test["sources"]
        whole = within(entry.composition, "")
        assert (whole.calls, whole.input_tokens, whole.failed_attempts) == tuple(
            test["composition"][""][field] for field in ("calls", "input_tokens", "attempts")
        )
        assert whole.fresh_input_tokens == pytest.approx(test["composition"][""]["fresh_input_tokens"], abs=10)
    written = dump(entries)
    assert load(written, path) == entries
    assert dump(load(written, path)) == written


def test_a_test_of_three_stages_fits_one_screen() -> None:
    """The calendar example: three stages, five tools and the results of three."""
    path = Path(__file__).parent / "format_1" / "test_calendar.json"
    lines = dump(load(path.read_bytes(), path)).decode().splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("    "))
    last = max(n for n, line in enumerate(lines) if line.startswith("    "))
    assert last - first + 1 <= 40


def test_providers_of_the_first_release_have_their_names_of_now() -> None:
    """Else every baseline of theirs would be one of another provider."""
    path = Path(__file__).parent / "format_1" / "test_calendar.json"
    text = path.read_text(encoding="utf-8").replace('"providers": ["openai"]', '"providers": ["bedrock", "openai"]')
    (entry,) = load(text.encode(), path).values()
    assert entry.providers == ("aws.bedrock", "openai")


def test_a_figure_that_follows_from_others_is_the_same_in_any_order() -> None:
    """Alone, after all others, and among all of them: what is worked out late is what was stored."""
    for path in sorted((Path(__file__).parent / "format_1").rglob("*.json")):
        data = path.read_bytes()
        whole = {key: dict(entry.metrics) for key, entry in load(data, path).items()}
        later = {key: entry.metrics for key, entry in load(data, path).items()}
        for key, metrics in whole.items():
            assert {name: later[key][name] for name in reversed(metrics)} == metrics
            assert "no.such_metric" not in later[key]
            assert later[key].get("no.such_metric") is None
        for number in range(max(map(len, whole.values()))):
            alone = {key: entry.metrics for key, entry in load(data, path).items()}
            for key, metrics in whole.items():
                for name, record in [*metrics.items()][number : number + 1]:
                    assert name in alone[key]
                    assert alone[key][name] == record
