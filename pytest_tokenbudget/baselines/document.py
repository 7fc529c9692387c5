"""Turns entries into the JSON objects of a file and back, and the objects into text.

A file holds what :mod:`derive` cannot work out. The same document gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from json.encoder import encode_basestring as quoted
from typing import Any

from pytest_tokenbudget.baselines import derive
from pytest_tokenbudget.baselines.derive import ONLY_STAGE, ZERO, Scope
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord, Speed, bounded
from pytest_tokenbudget.records.composition import FixedPrompt, PartTotal, StageComposition, all_stages
from pytest_tokenbudget.records.gate import key_of, split_key
from pytest_tokenbudget.stats.statistic import mean

Document = dict[str, Any]

_OWN_COUNTS = ("calls", "failed_attempts", "input_tokens", "output_tokens", "reasoning_tokens")
"""Figures that a composition and the metrics both tell, where the metrics have one value."""

_PROVIDER = "provider"


def to_document(entry: BaselineEntry) -> Document:
    """Give the JSON object that stores an entry.

    Raises:
        BaselineError: If a number is not finite or has no plausible size, or an outcome is no JSON.
    """
    _check_outcomes(entry.outcomes)
    scope = Scope(entry.stages, entry.composition, at_speed=bool(entry.speeds))
    metrics, origins = derive.essential(entry.metrics, scope)
    pooled, pooled_origins = derive.essential_pooled(entry.pooled, scope)
    origins |= pooled_origins
    for key, record in chain(metrics.items(), pooled.items()):
        if record.origin != mean(record.sessions[0]):
            origins[key] = record.origin
    rows = _rows(metrics)
    nothing = dict.fromkeys(("",) if scope.single else scope.stages, 0)
    zero = {
        name
        for name, row in rows.items()
        if row == nothing and origins.keys().isdisjoint(key_of(stage, name) for stage in row)
    }
    rows = {name: row for name, row in rows.items() if name not in zero}
    obtained: Document = {
        "models": list(entry.models),
        "providers": list(entry.providers),
        "traffic": entry.traffic,
    }
    if sources := _stored_sources(entry.sources, scope):
        obtained["sources"] = sources
    named = {stage for row in rows.values() for stage in row}
    document: Document = {
        "composition": list(_composition_lines(entry, scope, named)),
        "metrics": _short(rows),
        "obtained": obtained,
    }
    optional = {
        "fixed": _fixed_lines(entry.composition),
        "origin": origins,
        "outcomes": entry.outcomes,
        "pooled": _short(_rows(pooled)),
        # s a call, s a token read, s a token written and the number of calls.
        "speed": {
            stage: {model: [*speed.coefficients, speed.calls] for model, speed in models.items()}
            for stage, models in entry.speeds.items()
            if models
        },
        "zero": sorted(zero),
    }
    return document | {name: value for name, value in optional.items() if value}


def to_entry(document: Document) -> BaselineEntry:
    """Give the entry that a validated JSON object stores."""
    lines = document["composition"]
    obtained = document["obtained"]
    origins = document.get("origin", {})
    metrics, pooled = _records(document["metrics"], origins), _records(document.get("pooled", {}), origins)
    stages = all_stages({split_key(key)[0] for key in (*metrics, *pooled)} | {line[0] for line in lines})
    zero_scope = ("",) if stages == (ONLY_STAGE,) else stages
    metrics |= {key_of(stage, name): ZERO for stage in zero_scope for name in document.get("zero", ())}
    models = tuple(obtained["models"])
    composition = _compositions(lines, document.get("fixed", {}), stages, metrics, models)
    scope = Scope(stages, composition, at_speed=bool(document.get("speed")))
    return BaselineEntry(
        metrics=derive.Completed(metrics, scope, origins),
        pooled=derive.complete_pooled(pooled, scope, origins),
        composition=composition,
        outcomes=dict(document.get("outcomes", {})),
        traffic=obtained["traffic"],
        sources=_all_sources(obtained.get("sources", {}), scope),
        models=models,
        providers=tuple(obtained["providers"]),
        speeds={
            stage: {model: Speed(*numbers) for model, numbers in models.items()}
            for stage, models in document.get("speed", {}).items()
        },
    )


def _rows(records: Mapping[str, MetricRecord]) -> dict[str, dict[str, Any]]:
    """Give the values of each metric by stage: one number, or the values of each session."""
    rows: dict[str, dict[str, Any]] = {}
    for key, record in records.items():
        values = record.values
        for value in (*values, record.origin or 0):
            if type(value) not in (int, float) or not bounded(value):
                raise BaselineError(
                    f"{key} cannot be stored: {value!r} is no number that a measurement can give",
                    remedy="fix the hook that computes the metric: it must return a finite int or float, or None",
                )
        stage, name = split_key(key)
        rows.setdefault(name, {})[stage] = values[0] if len(values) == 1 else list(map(list, record.sessions))
    return rows


def _short(rows: Mapping[str, Mapping[str, Any]]) -> Document:
    """Leave out the stage where the whole test's values stand alone."""
    return {name: row[""] if row.keys() == {""} else row for name, row in rows.items()}


def _records(rows: Document, origins: derive.Origins) -> dict[str, MetricRecord]:
    found = {}
    for name, row in rows.items():
        for stage, value in row.items() if isinstance(row, dict) else [("", row)]:
            sessions = tuple(map(tuple, value)) if isinstance(value, list) else ((value,),)
            key = key_of(stage, name)
            found[key] = MetricRecord(sessions, origins[key] if key in origins else mean(sessions[0]))
    return found


def _stored_sources(sources: Mapping[str, str], scope: Scope) -> dict[str, str]:
    """Leave out the stages whose figures come from where the whole test's come from."""
    kept = dict(sources)
    for name in ("input_tokens", "output_tokens"):
        if (whole := sources.get(name)) is not None:
            for key in (key_of(stage, name) for stage in scope.stages):
                kept[key] = sources.get(key, _PROVIDER)
                if kept[key] == whole:
                    del kept[key]
    return kept


def _all_sources(sources: Mapping[str, str], scope: Scope) -> dict[str, str]:
    found = dict(sources)
    for name in ("input_tokens", "output_tokens"):
        if (whole := sources.get(name)) is not None:
            for stage in scope.stages:
                found.setdefault(key_of(stage, name), whole)
    return {key: source for key, source in found.items() if source != _PROVIDER}


def _composition_lines(entry: BaselineEntry, scope: Scope, named: Collection[str]) -> Iterator[list[Any]]:
    """Give a line a part, the parts in the order of the prompt; and one for what the stage's other figures do not tell."""
    for stage in sorted(entry.composition):
        composition = entry.composition[stage]
        told = _told(stage, composition.counted, entry.metrics, entry.models, scope.stages)
        differing = {
            name: list(value) if name == "models" else value
            for name, expected in told.items()
            if (value := getattr(composition, name)) != expected
        }
        if differing or not (composition.counted or stage in named):
            yield [stage, differing]
        for part in composition.counted:
            yield [stage, part.part, *([part.name] if part.name else []), _part_json(part)]


def _part_json(part: PartTotal) -> dict[str, Any]:
    """Give the numbers of a part; those of a single content that each call carried follow from two."""
    fields: dict[str, Any] = {"calls": part.calls, "tokens": part.tokens}
    largest, repeated = _usual_sizes(part.tokens, part.calls, part.distinct)
    optional = (
        ("behind", part.behind_tokens, 0),
        ("digest", part.digest, ""),
        ("distinct", part.distinct, 1),
        ("largest", part.largest, largest),
        ("repeated", part.repeated_tokens, repeated),
    )
    return fields | {name: value for name, value, usual in optional if value != usual}


def _part(part: Any, name: str, fields: Mapping[str, Any]) -> PartTotal:
    distinct = fields.get("distinct", 1)
    largest, repeated = _usual_sizes(fields["tokens"], fields["calls"], distinct)
    return PartTotal(
        part=part,
        name=name,
        tokens=fields["tokens"],
        calls=fields["calls"],
        distinct=distinct,
        largest=fields.get("largest", largest),
        digest=fields.get("digest", ""),
        repeated_tokens=fields.get("repeated", repeated),
        behind_tokens=fields.get("behind", 0),
    )


def _usual_sizes(tokens: int, calls: int, distinct: int) -> tuple[int, int]:
    """Give the tokens of the largest occurrence of a part, and the repeated ones, where each call carried the same."""
    each = -(-tokens // calls) if calls and distinct == 1 else tokens
    return each, tokens - each


def _compositions(
    lines: Iterable[Any],
    fixed_lines: Mapping[str, Iterable[Any]],
    stages: tuple[str, ...],
    metrics: Mapping[str, MetricRecord],
    models: tuple[str, ...],
) -> dict[str, StageComposition]:
    parts: dict[str, list[PartTotal]] = {stage: [] for stage in stages}
    given: dict[str, dict[str, Any]] = {}
    for stage, *line in lines:
        if len(line) == 1:
            given[stage] = line[0]
        else:
            parts.setdefault(stage, []).append(_part(line[0], line[1] if len(line) == 3 else "", line[-1]))
    fixed: dict[str, list[FixedPrompt]] = {}
    for encoding, prompts in fixed_lines.items():
        for stage, opening, beside, user, calls in prompts:
            tokens = beside + _steady_tokens(parts.setdefault(stage, []))
            fixed.setdefault(stage, []).append(FixedPrompt(opening, encoding, tokens, user, calls))
    found = {}
    for stage, own in parts.items():
        figures = _told(stage, own, metrics, models, stages) | given.get(stage, {})
        found[stage] = StageComposition(
            calls=figures["calls"],
            counted=tuple(own),
            reported_input=figures["input_tokens"],
            output_tokens=figures["output_tokens"],
            reasoning_tokens=figures["reasoning_tokens"],
            failed_attempts=figures["failed_attempts"],
            models=tuple(figures["models"]),
            estimated=figures["estimated"],
            fixed=tuple(sorted(fixed.get(stage, ()), key=FixedPrompt.order)),
        )
    return found


def _fixed_lines(compositions: Mapping[str, StageComposition]) -> dict[str, list[list[Any]]]:
    """Give what the code alone decides of the calls, by what counted it: stage, opening, tokens, user tokens, calls.

    The tokens are those beside the system prompt and the tool schemas that have a line of their own: so a schema that
    grows leaves this one alone.
    """
    found: dict[str, list[list[Any]]] = {}
    for stage in sorted(compositions):
        for prompt in compositions[stage].fixed:
            beside = prompt.tokens - _steady_tokens(compositions[stage].counted)
            line = [stage, prompt.opening, beside, prompt.user_tokens, prompt.calls]
            found.setdefault(prompt.encoding, []).append(line)
    return found


def _steady_tokens(parts: Iterable[PartTotal]) -> int:
    """Add up the system prompt and the tool schemas of a call, as far as each has one content."""
    return sum(part.largest for part in parts if part.part in ("system", "tools") and part.distinct == 1)


def _told(
    stage: str,
    parts: Sequence[PartTotal],
    metrics: Mapping[str, MetricRecord],
    models: tuple[str, ...],
    stages: tuple[str, ...],
) -> dict[str, Any]:
    """Give the other figures of a stage's composition as far as its parts and the metrics tell them."""
    scope = "" if stages == (ONLY_STAGE,) and stage == ONLY_STAGE else stage
    inside = [path for path in stages if path.rpartition("/")[0] == stage]
    told: dict[str, Any] = {name: _own_count(name, scope, inside, metrics) for name in _OWN_COUNTS}
    if told["calls"] is None:
        told["calls"] = max((part.calls for part in parts), default=0)
    if told["input_tokens"] is None or not parts:
        told["input_tokens"] = sum(part.tokens for part in parts)
    told["failed_attempts"] = told["failed_attempts"] or 0
    return told | {"models": models if told["calls"] else (), "estimated": False}


def _own_count(name: str, scope: str, inside: Iterable[str], metrics: Mapping[str, MetricRecord]) -> int | None:
    """Give what a stage's own calls count, where the metrics of the stage and of those inside it have one value each."""
    left = 0
    for stage, sign in ((scope, 1), *((path, -1) for path in inside)):
        record = metrics.get(key_of(stage, name))
        if record is None or len(set(record.values)) != 1 or not float(value := record.values[0]).is_integer():
            return None
        left += sign * int(value)
    return left if left >= 0 else None


def _check_outcomes(outcomes: Mapping[str, Any]) -> None:
    for name, outcome in outcomes.items():
        try:
            json.dumps(outcome, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise BaselineError(
                f"the outcome {name!r} cannot be stored: {error}",
                remedy="give budget.outcome() plain JSON: text, finite numbers, booleans, None, lists, dictionaries",
            ) from None


WIDTH = 160
"""A row of a metric, with its values by stage, that is longer is broken: a stage a line."""

_INDENT = "  "
_ONE_LINE = frozenset({"fixed", "obtained", "origin", "zero"})
"""Keys of a test whose values stand on one line, however long it is."""

_SHORT = frozenset({"outcomes", "pooled", "speed"})
"""Keys of a test whose values stand on one line where they hold one thing."""


def render(document: Mapping[str, Any]) -> str:
    """Write a document.

    Args:
        document: The document, of plain JSON with finite numbers, as :func:`to_document` gives it.

    Returns:
        JSON with sorted keys, two spaces a level, one metric and one part of the input a line, a newline at the end.
    """
    tests = document["tests"]
    written = _block([f"{quoted(key)}: {_test(tests[key])}" for key in sorted(tests)], depth=2)
    head = "".join(f"{_INDENT}{quoted(key)}: {_plain(document[key])},\n" for key in ("format", "needs"))
    return f'{{\n{head}{_INDENT}"tests": {written}\n}}\n'


def _test(test: Mapping[str, Any]) -> str:
    lines = []
    for key in sorted(test):
        value = test[key]
        if key == "composition":
            text = _block([_plain(line) for line in value], depth=4, brackets="[]")
        elif key in _ONE_LINE or (key in _SHORT and len(value) == 1):
            text = _plain(value)
        elif key == "outcomes":
            text = _block([f"{quoted(name)}: {_plain(value[name])}" for name in sorted(value)], depth=4)
        else:
            text = _block([f"{quoted(name)}: {_row(name, value[name])}" for name in sorted(value)], depth=4)
        lines.append(f"{quoted(key)}: {text}")
    return _block(lines, depth=3)


def _row(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        # Finite numbers, and lists of them, are the same in JSON.
        return repr(value)
    text = _plain(value)
    if len(_INDENT) * 4 + len(quoted(name)) + len(text) + 3 <= WIDTH:
        return text
    return _block([f"{quoted(stage)}: {_plain(value[stage])}" for stage in sorted(value)], depth=5)


def _block(lines: list[str], *, depth: int, brackets: str = "{}") -> str:
    """Put lines between brackets; ``depth`` is that of the lines."""
    if not lines:
        return brackets
    indent = "\n" + _INDENT * depth
    outer = "\n" + _INDENT * (depth - 1)
    return f"{brackets[0]}{indent}{(',' + indent).join(lines)}{outer}{brackets[1]}"


_plain = json.JSONEncoder(ensure_ascii=False, sort_keys=True, allow_nan=False).encode
