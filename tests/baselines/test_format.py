"""The bytes of a baseline file."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_tokenbudget.baselines.format import dump, load, schema
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.composition import PartTotal, StageComposition

PATH = Path("tests/__budgets__/test_a.json")
property_test = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

GOLDEN = """\
{
  "format": 1,
  "tests": {
    "TestBook::test_é[a-b]": {
      "composition": {
        "": {
          "attempts": 0, "calls": 2, "estimated": false, "fresh_input_tokens": 9, "history_growth": 1.5, \
"input_tokens": 12, "models": ["m"], "output_tokens": 3,
          "parts": [
            {"calls": 2, "digest": "ab", "distinct": 1, "largest": 6, "name": "write", "part": "tools", \
"repeated_tokens": 6, "tokens": 12}
          ],
          "prefix": [["tools", "ab"]], "reasoning_tokens": null
        }
      },
      "metrics": {
        "input_tokens": {"origin": 12, "sessions": [[12]]},
        "latency": {"origin": null, "sessions": [[0.1, 2.0], [1e-07]]},
        "worker/finalize.calls": {"origin": 1, "sessions": [[1]]}
      },
      "models": ["m"],
      "outcomes": {
        "booked": true,
        "dates": {"a": [1, 2.5], "b": null}
      },
      "pooled": {
        "ttft": {"origin": 0.25, "sessions": [[0.25, 0.5]]}
      },
      "providers": ["deepseek"],
      "sources": {
        "input_tokens": "counted o200k_base"
      },
      "traffic": "replay"
    }
  }
}
"""


def golden_entries() -> dict[str, BaselineEntry]:
    part = PartTotal("tools", "write", 12, 2, 1, 6, "ab", 6)
    return {
        "TestBook::test_é[a-b]": BaselineEntry(
            metrics={
                "worker/finalize.calls": MetricRecord(((1,),), 1),
                "latency": MetricRecord(((0.1, 2.0), (1e-7,))),
                "input_tokens": MetricRecord(((12,),), 12),
            },
            pooled={"ttft": MetricRecord(((0.25, 0.5),), 0.25)},
            composition={
                "": StageComposition(2, (part,), 12, 9, 3, None, 1.5, 0, ("m",), (("tools", "ab"),), estimated=False)
            },
            outcomes={"dates": {"b": None, "a": [1, 2.5]}, "booked": True},
            traffic="replay",
            sources={"input_tokens": "counted o200k_base"},
            models=("m",),
            providers=("deepseek",),
        )
    }


def test_a_file_looks_as_documented() -> None:
    """Keys sorted, two spaces, one metric and one part a line, a newline at the end, ints and floats as they are."""
    assert dump(golden_entries()).decode() == GOLDEN


def test_whole_numbers_stay_whole() -> None:
    """``12`` is read as an int and ``2.0`` as a float."""
    metrics = load(GOLDEN.encode(), PATH)["TestBook::test_é[a-b]"].metrics
    assert type(metrics["input_tokens"].sessions[0][0]) is int
    assert [type(value) for value in metrics["latency"].sessions[0]] == [float, float]


def test_an_empty_file_of_entries_is_readable() -> None:
    """No entries are a valid file."""
    assert load(dump({}), PATH) == {}


@property_test
@given(data=st.data())
def test_what_is_written_is_read_back(data: st.DataObject, strategies) -> None:
    """``load(dump(entries)) == entries``, and writing that again gives the same bytes."""
    entries = data.draw(strategies.entries)
    written = dump(entries)
    read = load(written, PATH)
    assert read == entries
    assert dump(read) == written


@property_test
@given(data=st.data())
def test_bytes_do_not_depend_on_insertion_order(data: st.DataObject, strategies) -> None:
    """The same entries in another order are the same bytes."""
    entries = data.draw(strategies.entries)
    assert dump(dict(reversed(entries.items()))) == dump(entries)


@property_test
@given(data=st.data())
def test_every_file_is_plain_json(data: st.DataObject, strategies) -> None:
    """Any JSON reader gets the same values, in sorted order, from strict UTF-8 with a newline at the end."""
    entries = data.draw(strategies.entries)
    text = dump(entries).decode()
    document = json.loads(text)
    assert text.endswith("}\n")
    assert list(document["tests"]) == sorted(entries)
    assert {key: list(test["metrics"]) for key, test in document["tests"].items()} == {
        key: sorted(entry.metrics) for key, entry in entries.items()
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), True])
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


@pytest.mark.parametrize("key", ['test_a[{"x": 1}]', "test_a[x : y]", "C:\\", 'a\\"', "test_a[\u2028]"])
def test_odd_test_ids_survive(key: str) -> None:
    """Parameters with quotes, colons and backslashes are read back as they were."""
    entries = {key: BaselineEntry(sources={key: key}, outcomes={key: {key: [key]}})}
    assert load(dump(entries), PATH) == entries


def test_windows_line_ends_are_read() -> None:
    """A checkout that turns line ends over does not spoil the file."""
    assert load(GOLDEN.replace("\n", "\r\n").encode(), PATH) == golden_entries()


def test_the_file_describes_every_field_of_its_records() -> None:
    """A field that is added to a record is added to the file too, or would be lost on writing."""
    definitions = schema()["$defs"]
    for record in (BaselineEntry, MetricRecord, StageComposition, PartTotal):
        assert set(definitions[record.__name__]["required"]) == {field.name for field in fields(record)}
        assert definitions[record.__name__]["additionalProperties"] is False


def test_the_json_schema_accepts_what_is_written() -> None:
    """The published schema is a valid one; it takes our files and refuses others."""
    jsonschema = pytest.importorskip("jsonschema", reason="validates the published JSON Schema")
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    assert validator.is_valid(json.loads(GOLDEN))
    assert not validator.is_valid({"format": 2, "tests": {}})
    assert not validator.is_valid(json.loads(GOLDEN.replace('"origin": 12', '"origin": "12"')))
    assert not validator.is_valid(json.loads(GOLDEN.replace('"traffic"', '"trafic"')))
