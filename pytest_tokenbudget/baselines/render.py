"""Entries become text: the same entries, the same bytes.

Written by hand and not by :mod:`json`, since what people review needs one metric a line and one part of a composition a
line, which no setting of ``json.dumps`` gives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring as quoted

from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord, Number
from pytest_tokenbudget.records.composition import PartTotal, StageComposition

_PLAIN_NUMBERS = re.compile(r"[\[\]0-9., e+-]*").fullmatch
_INDENT = "  "


def render(entries: Mapping[str, BaselineEntry], *, number: int) -> str:
    """The text of a baseline file.

    Args:
        entries: Entries by test key.
        number: The file's format.

    Returns:
        JSON with sorted keys, two spaces a level, one metric a line, a newline at the end.

    Raises:
        BaselineError: If an entry holds what cannot be stored: a number that is not finite, an outcome that is no JSON.
    """
    tests = _block([f"{quoted(key)}: {_entry(key, entries[key])}" for key in sorted(entries)], depth=2)
    return f'{{\n  "format": {number},\n  "tests": {tests}\n}}\n'


def _entry(key: str, entry: BaselineEntry) -> str:
    fields = {
        "composition": _named({stage: _composition(part) for stage, part in entry.composition.items()}),
        "metrics": _block(_records(key, entry.metrics), depth=4),
        "models": _list(entry.models),
        "outcomes": _named({name: _json(key, name, value) for name, value in entry.outcomes.items()}),
        "pooled": _block(_records(key, entry.pooled), depth=4),
        "providers": _list(entry.providers),
        "sources": _named({name: quoted(source) for name, source in entry.sources.items()}),
        "traffic": quoted(entry.traffic),
    }
    return _block([f"{quoted(name)}: {text}" for name, text in fields.items()], depth=3)


def _named(texts: Mapping[str, str]) -> str:
    return _block([f"{quoted(name)}: {texts[name]}" for name in sorted(texts)], depth=4)


def _block(lines: list[str], *, depth: int, brackets: str = "{}") -> str:
    """Lines between brackets; ``depth`` is that of the lines."""
    if not lines:
        return brackets
    indent = "\n" + _INDENT * depth
    outer = "\n" + _INDENT * (depth - 1)
    return f"{brackets[0]}{indent}{(',' + indent).join(lines)}{outer}{brackets[1]}"


def _records(key: str, records: Mapping[str, MetricRecord]) -> list[str]:
    # The repr of a list of ints and floats is its JSON, shortest digits included. What keeps out all else (nan, inf,
    # True, a number class with a repr of its own) is one look at all numbers of the test, cheaper than one a number.
    lines, numbers = [], []
    for name in sorted(records):
        record = records[name]
        origin = "" if record.origin is None else repr(record.origin)
        stored = record.sessions
        sessions = f"[{list(stored[0])!r}]" if len(stored) == 1 else repr([*map(list, stored)])
        numbers.append(origin + sessions)
        lines.append(f'{quoted(name)}: {{"origin": {origin or "null"}, "sessions": {sessions}}}')
    if not _PLAIN_NUMBERS("".join(numbers)):
        name, bad = next(pair for pair in zip(sorted(records), numbers, strict=True) if not _PLAIN_NUMBERS(pair[1]))
        raise BaselineError(
            f"test {key!r}: {name} cannot be stored: {bad} is not all finite numbers",
            remedy="fix the hook that computes the metric: it must return a finite int or float, or None",
        )
    return lines


def _composition(composition: StageComposition) -> str:
    c = composition
    prefix = ", ".join([f"[{quoted(part)}, {quoted(digest)}]" for part, digest in c.prefix])
    lines = [
        f'"attempts": {c.attempts}, "calls": {c.calls}, "estimated": {"true" if c.estimated else "false"}, '
        f'"fresh_input_tokens": {c.fresh_input_tokens}, "history_growth": {_number(c.history_growth)}, '
        f'"input_tokens": {c.input_tokens}, "models": {_list(c.models)}, "output_tokens": {_number(c.output_tokens)}',
        f'"parts": {_block([_part(part) for part in c.parts], depth=6, brackets="[]")}',
        f'"prefix": [{prefix}], "reasoning_tokens": {_number(c.reasoning_tokens)}',
    ]
    return _block(lines, depth=5)


def _part(part: PartTotal) -> str:
    return (
        f'{{"calls": {part.calls}, "digest": {quoted(part.digest)}, "distinct": {part.distinct}, '
        f'"largest": {part.largest}, "name": {quoted(part.name)}, "part": {quoted(part.part)}, '
        f'"repeated_tokens": {part.repeated_tokens}, "tokens": {part.tokens}}}'
    )


def _number(value: Number | None) -> str:
    return "null" if value is None else repr(value)


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"


def _json(key: str, name: str, value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BaselineError(
            f"test {key!r}: the outcome {name!r} cannot be stored: {error}",
            remedy="give budget.outcome() plain JSON: text, finite numbers, booleans, None, lists, dictionaries",
        ) from None
