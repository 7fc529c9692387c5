"""Baseline files that cannot be read: one error that names file, place and fix."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_tokenbudget.baselines.format import dump, load
from pytest_tokenbudget.baselines.migrations import FORMAT, migrate
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord

PATH = Path("tests/__budgets__/test_a.json")
ENTRY = BaselineEntry(metrics={"calls": MetricRecord(((3,),), 2)}, outcomes={"booked": True})
GOOD = dump({"test_x": ENTRY}).decode()

CONFLICT = GOOD.replace(
    '        "calls": 3\n',
    '<<<<<<< HEAD\n        "calls": 3\n||||||| base\n=======\n        "calls": 4\n>>>>>>> main\n',
)


def with_calls(value: str) -> str:
    return GOOD.replace('"calls": 3', f'"calls": {value}')


OLD = json.dumps(
    {
        "format": 1,
        "tests": {
            "test_x": {
                "composition": {}, "metrics": {"calls": {"origin": 3, "sessions": [[3]]}}, "models": [], "outcomes": {},
                "pooled": {}, "providers": [], "sources": {}, "traffic": "live",
            }
        },
    }
)  # fmt: skip


def error_of(data: str | bytes) -> BaselineError:
    with pytest.raises(BaselineError) as caught:
        load(data if isinstance(data, bytes) else data.encode(), PATH)
    return caught.value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param("", r"is empty", id="empty"),
        pytest.param(" \n", r"is empty", id="blank"),
        pytest.param(GOOD[:130], r"line \d, column \d+: .*truncated", id="truncated"),
        pytest.param(GOOD[:-3], r"truncated", id="last brace missing"),
        pytest.param(GOOD.replace('"calls": 3', '"calls" 3'), r"line 8, column 17: Expecting ':'", id="no colon"),
        pytest.param(GOOD + "}", r"line 16, column 1: Extra data", id="trailing"),
        pytest.param(GOOD.encode("utf-16"), r"is no UTF-8: byte 0xff on line 1", id="utf-16"),
        pytest.param(GOOD.replace("booked", "gebücht").encode("latin-1"), r"byte 0xfc on line 12", id="latin-1"),
        pytest.param(b"\xef\xbb\xbf" + GOOD.encode(), r"byte order mark", id="bom"),
        pytest.param("[]", r"a JSON object is expected, not a list", id="list"),
        pytest.param("null", r"a JSON object is expected, not null", id="null"),
        pytest.param("{}", r"the key format is missing", id="no format"),
        pytest.param('{"format": "1", "tests": {}}', r"the key format is no whole number", id="format text"),
        pytest.param('{"format": true, "tests": {}}', r"the key format is no whole number", id="format true"),
        pytest.param('{"format": 0, "tests": {}}', r"cannot be brought from format 0 to format 2", id="format 0"),
        pytest.param('{"format": -1, "tests": {}}', r"cannot be brought from format -1", id="format negative"),
        pytest.param('{"format": 2, "needs": "0.2"}', r"\$\.tests: the key is missing", id="no tests"),
        pytest.param('{"format": 2, "tests": {}}', r"\$\.needs: the key is missing", id="no version"),
        pytest.param('{"format": 2, "needs": "0.2", "tests": []}', r"\$\.tests: .*found \[\]", id="tests list"),
        pytest.param('{"format": 2, "needs": "0.2", "tests": {"a": 1}}', r"\$\.tests\.a: ", id="test number"),
        pytest.param(
            with_calls('"3"'), r"\$\.tests\.test_x\.metrics\.calls: Input should be a number: .*, found '3'", id="text"
        ),
        pytest.param(with_calls("true"), r"calls: .*number", id="true"),
        pytest.param(with_calls("null"), r"calls: .*number", id="null value"),
        pytest.param(with_calls("[3]"), r"calls\[0\]: ", id="flat"),
        pytest.param(with_calls("[]"), r"calls: ", id="no session"),
        pytest.param(with_calls("[[]]"), r"calls\[0\]: ", id="empty session"),
        pytest.param(with_calls('{"w": [[3, "4"]]}'), r"calls\.w\[0\]\[1\]: .*number", id="text in a stage"),
        pytest.param(with_calls("{}"), r"calls: ", id="no stage"),
        pytest.param(with_calls("NaN"), r"a number that cannot be read: NaN", id="nan"),
        pytest.param(with_calls("1e999"), r"calls: .*number", id="overflow"),
        pytest.param(with_calls("5e-324"), r"calls: .*number: 0, or between 1e-15 and 1e\+15", id="subnormal"),
        pytest.param(with_calls("1" + "0" * 400), r"calls: .*number: 0, or between 1e-15 and 1e\+15", id="huge"),
        pytest.param(with_calls("-3"), r"metrics\.calls: Input should be 0 or more, found -3", id="negative"),
        pytest.param(GOOD.replace('"calls": 2', '"calls": 1e308'), r"origin\.calls: .*number", id="huge origin"),
        pytest.param(GOOD.replace('"calls": 2', '"calls": -2'), r"origin\.calls: .*0 or more", id="negative origin"),
        pytest.param(with_calls("9" * 5000), r"a number that cannot be read", id="5000 digits"),
        pytest.param(
            GOOD.replace("true", "-Infinity"), r"a number that cannot be read: -Infinity", id="infinite outcome"
        ),
        pytest.param(GOOD.replace("true", "1e999"), r"outcomes\.booked: .*plain JSON", id="overflowing outcome"),
        pytest.param(GOOD.replace("true", "[" * 100_000), r"nested too deeply|column", id="deep"),
        pytest.param(
            GOOD.replace('"metrics"', '"metric"'), r"metrics: the key is missing|metric: the key is", id="typo"
        ),
        pytest.param(
            GOOD.replace('"obtained"', '"x": 1, "obtained"'), r"\$\.tests\.test_x\.x: the key is unknown", id="unknown"
        ),
        pytest.param(GOOD.replace('"tests"', '"x": 1, "tests"', 1), r"\$\.x: the key is unknown", id="unknown on top"),
        pytest.param(GOOD.replace('"live"', '"dead"'), r"test_x\.obtained\.traffic: .*found 'dead'", id="traffic"),
        pytest.param(
            GOOD.replace('"composition": []', '"composition": [["w", "tool", {"calls": 1, "tokens": 1}]]'),
            r"composition\[0\]\[1\]: .*'system'",
            id="unknown part",
        ),
        pytest.param(
            GOOD.replace('"composition": []', '"composition": [["w", "user", {"calls": 1, "tokens": -1}]]'),
            r"composition\[0\]\[2\]\.tokens: ",
            id="negative tokens",
        ),
        pytest.param(GOOD.replace('"composition": []', '"composition": ["w"]'), r"composition\[0\]: ", id="no line"),
        pytest.param(
            with_calls("[3]").replace("test_x", "A::b[1-c]"),
            r'\$\.tests\["A::b\[1-c\]"\]\.metrics',
            id="id quoted",
        ),
        pytest.param(OLD.replace("[[3]]", '[["3"]]'), r"cannot be brought from format 1 to format 2", id="old, text"),
        pytest.param(OLD.replace("[[3]]", "[[]]"), r"cannot be brought from format 1 to format 2", id="old, empty"),
        pytest.param(
            OLD.replace("[[3]]", "[[1e308]]"), r"format 1 to format 2: calls cannot be stored", id="old, huge"
        ),
        pytest.param(OLD.replace('"traffic"', '"trafic"'), r"missing or unknown: traffic, trafic", id="old, typo"),
        pytest.param(OLD.replace('"live"', "7"), r"obtained\.traffic: ", id="old, traffic"),
    ],
)
def test_what_is_wrong_is_said_with_file_place_and_mend(data: str | bytes, message: str) -> None:
    """Whatever stands in the file, the error is ours and names the file, the place and a remedy."""
    error = error_of(data)
    assert error.message.startswith(f"{PATH}: ")
    assert re.search(message, error.message), error.message
    assert error.remedy


def test_the_undamaged_file_is_readable() -> None:
    """What the damaged ones are made from can be read."""
    assert load(GOOD.encode(), PATH)["test_x"].outcomes == {"booked": True}


def test_conflict_markers_are_named_with_their_lines() -> None:
    """A merge that git could not do: the lines of the markers, and the two commands that end it."""
    error = error_of(CONFLICT)
    assert "conflict markers of a merge on lines 8, 10, 11, 13" in error.message
    assert f"git checkout --ours {PATH}" in error.remedy
    assert "--theirs" in error.remedy


def test_text_that_only_looks_like_a_marker_is_data() -> None:
    """Equals signs inside of a string are no conflict."""
    text = GOOD.replace("true", '"======="')
    assert load(text.encode(), PATH)["test_x"].outcomes == {"booked": "======="}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (with_calls('3, "calls": 4'), "calls"),
        (GOOD.replace('"calls": 2', '"calls": 2, "calls": 2'), "calls"),
        (GOOD.replace('"calls": 2', '"calls" : 2, "calls" : 2'), "calls"),
        (GOOD.replace("true", '{"x": 1, "x": 1}'), "x"),
        (GOOD.replace('"format": 2', '"format": 2, "format": 2'), "format"),
        (GOOD[:-7] + "," + GOOD[GOOD.index('    "test_x"') : -6] + GOOD[-6:], "test_x"),
    ],
)
def test_a_key_that_stands_twice_is_refused(text: str, key: str) -> None:
    """JSON readers take the last of two equal keys; here that would lose numbers without a word."""
    error = error_of(text)
    assert f'the key "{key}" stands twice' in error.message


def test_the_lines_of_a_double_key_are_named() -> None:
    """Both places are shown, as far as the text tells."""
    error = error_of(GOOD.replace('"outcomes": {', '"metrics": {},\n      "outcomes": {'))
    assert '"metrics" stands twice in one object (lines 7, 12)' in error.message


def test_a_newer_format_names_the_version_to_install() -> None:
    """A file of a later plugin says which version reads it."""
    error = error_of('{"format": 3, "needs": "2.1", "tests": {"shape": "unknown"}}')
    assert "written in format 3" in error.message
    assert "reads formats up to 2" in error.message
    assert "pip install 'pytest-tokenbudget>=2.1'" in error.remedy


@pytest.mark.parametrize("needs", ["", ', "needs": 2', ', "needs": "2; rm -rf /"'])
def test_a_newer_format_without_a_version_asks_for_the_newest(needs: str) -> None:
    """Nothing from the file is put into a command unless it is a version."""
    error = error_of(f'{{"format": 9{needs}, "tests": {{}}}}')
    assert "pip install --upgrade pytest-tokenbudget" in error.remedy


def lists_to_numbers(document: dict) -> dict:
    """A step as a later format would bring it: here from lists of one value to values."""
    for test in document["tests"].values():
        test["metrics"] = {name: values[0] for name, values in test["metrics"].items()}
    return document


OLDER = with_calls("[3]").replace('"format": 2', '"format": 1')


def test_an_older_format_is_migrated_when_it_is_read() -> None:
    """The step's result is validated like a file of now."""
    entries = load(OLDER.encode(), PATH, steps={FORMAT - 1: lists_to_numbers})
    assert entries["test_x"] == ENTRY
    assert b'"format": 2' in dump(entries)


def test_steps_are_taken_one_after_the_other() -> None:
    """From format 3 to 6 there are three steps."""
    steps = {
        number: lambda document: {**document, "seen": [*document["seen"], document["format"]]} for number in (3, 4, 5)
    }
    migrated = migrate({"format": 3, "seen": []}, steps=steps, target=6)
    assert (migrated["format"], migrated["seen"]) == (6, [3, 4, 5])


def test_an_older_file_that_its_step_cannot_read_is_damaged() -> None:
    """A step that fails on hand-made content gives our error and not its own."""
    with pytest.raises(BaselineError, match="cannot be brought from format 0 to format 2"):
        load(b'{"format": 0, "tests": {"a": {"metrics": 7}}}', PATH, steps={0: lists_to_numbers})


def test_a_migrated_document_of_the_wrong_shape_is_damaged() -> None:
    """What a step leaves in the old shape is found by validation."""
    with pytest.raises(BaselineError, match=r"\$\.tests\.test_x\.metrics\.calls"):
        load(OLDER.encode(), PATH, steps={1: lambda document: document})
