"""Advice: where the tokens, the time and the money of a suite go without need, the largest first.

Each finder looks for one kind of waste over all tests, because a tool that one test does not use may be needed by another.
The numbers are sums of measured parts. None of them says that the agent would still do its work: outcomes decide that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from statistics import median

from pytest_tokenbudget.explain.cache_advice import broken_prefixes, unused_cache
from pytest_tokenbudget.explain.phrases import clean_name, say_seconds
from pytest_tokenbudget.explain.stage_evidence import (
    mean_input_price,
    percent_of,
    schemas_of,
    stage_paths,
    tests_of_stage,
    worth,
)
from pytest_tokenbudget.records.advice import (
    Advice,
    AdviceKind,
    CallEvidence,
    PartEvidence,
    SchemaAnatomy,
    TestEvidence,
)

NOTABLE_SHARE = 0.01
"""Savings below this share of the suite's tokens, time and money are not named."""

USUAL_CACHE_SAVING = 0.5
"""Part of the input price that a cache saves where the price is not known; providers give 50 to 90 % off."""

RECOUNTED = 12
"""Advice whose saving is counted on recordings: what is shown, and a little more."""

HEAVY_SCHEMAS = 500
"""Tokens of schemas a call from which on sending them again is named."""

HEAVY_SCHEMA_SHARE = 0.4
"""Share of a stage's input that schemas must have for that."""

LARGE_RESULT = 400
"""Tokens of a tool's result from which on sending it again is named."""

SHORT_RESULT = 100
"""Tokens that a shortened result is taken to have."""

WORDY_SCHEMA = 200
"""Tokens of a schema from which on its descriptions are weighed."""

LISTED_SHARE = 0.25
"""Share of a schema from which on its lists of values and its examples count as words."""

LARGE_TOOL = 300
"""Tokens of the largest tool from which on it is named."""

UNREACHED_LIMIT = 4
"""A limit on the answer is named where it is so many times the longest one."""

INTENT_SCHEMA = 150
"""Tokens of a schema from which on it is worth offering it for some routes only."""


@dataclass(frozen=True, slots=True)
class _Totals:
    """The tokens, money and time of the whole suite."""

    tokens: float
    seconds: float
    cost: float


Finder = Callable[[Sequence[TestEvidence]], Iterator[Advice]]


def advise(
    tests: Sequence[TestEvidence],
    weights: Mapping[str, float] | None = None,
    recount: Callable[[Advice], Advice] | None = None,
) -> tuple[Advice, ...]:
    """Find what could be saved.

    Args:
        tests: What the tests of a suite show.
        weights: By stage, how many calls production makes for one call of the tests; savings and shares are weighed by it.
            A stage that is not named counts once.
        recount: Counts the saving of an advice anew, where there are recordings; asked for the largest ones.

    Returns:
        The advice, the largest share first; observations, which save nothing by themselves, come last.
    """
    weights = weights or {}
    totals = _totals(tests, weights)

    def weighed(advice: Advice) -> Advice:
        return _with_share(_weighed(advice, weights.get(advice.stage, 1.0)), totals)

    found = sorted((advice for finder in _FINDERS for advice in finder(tests)), key=lambda each: _order(weighed(each)))
    if recount is not None:
        found = [*map(recount, found[:RECOUNTED]), *found[RECOUNTED:]]
    kept = (advice for advice in map(weighed, found) if advice.share >= NOTABLE_SHARE or _is_observation(advice))
    return tuple(sorted(kept, key=_order))


def _order(advice: Advice) -> tuple[bool, float, str, str, str]:
    return _is_observation(advice), -advice.share, advice.kind, advice.stage, advice.name


def _is_observation(advice: Advice) -> bool:
    return advice.kind in ("observation", "history_growth", "cache_too_short")


def _totals(tests: Sequence[TestEvidence], weights: Mapping[str, float]) -> _Totals:
    calls = [(call, weights.get(call.stage, 1.0)) for test in tests for call in test.calls]
    return _Totals(
        sum(((call.input_tokens or 0) + (call.output_tokens or 0)) * weight for call, weight in calls),
        sum(call.latency * weight for call, weight in calls),
        sum((call.cost or 0.0) * weight for call, weight in calls),
    )


def _weighed(advice: Advice, weight: float) -> Advice:
    if weight == 1.0:
        return advice
    return replace(
        advice,
        tokens=round(advice.tokens * weight),
        cost=None if advice.cost is None else advice.cost * weight,
        seconds=None if advice.seconds is None else advice.seconds * weight,
    )


def _with_share(advice: Advice, totals: _Totals) -> Advice:
    tokens = advice.tokens / totals.tokens if totals.tokens else 0.0
    money = (advice.cost or 0.0) / totals.cost if totals.cost else 0.0
    if advice.kind in ("cache_unused", "cache_broken"):
        # What a cache serves is read all the same, at a lower price.
        return replace(advice, share=min(1.0, tokens * USUAL_CACHE_SAVING if advice.cost is None else money))
    seconds = (advice.seconds or 0.0) / totals.seconds if totals.seconds else 0.0
    return replace(advice, share=min(1.0, max(tokens, seconds, money)))


def _unused_tools(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Tools that a stage offers and that no test of the suite calls there."""
    for path in stage_paths(tests):
        opened = tests_of_stage(tests, path)
        called = {name for _, _, calls in opened for call in calls for name in call.tool_calls}
        offered: dict[str, list[tuple[str, PartEvidence]]] = {}
        for test, stage, _ in opened:
            for part in schemas_of(stage):
                if part.name not in called:
                    offered.setdefault(part.name, []).append((test.nodeid, part))
        price = mean_input_price([call for _, _, calls in opened for call in calls])
        for name, carried in offered.items():
            tokens = sum(part.tokens for _, part in carried)
            count = sum(part.calls for _, part in carried)
            largest = max(part.largest for _, part in carried)
            text = f"{clean_name(name)} ({largest:,} tokens) is offered in {count:,} calls and never called there"
            nodeids = tuple(nodeid for nodeid, _ in carried)
            cost = worth(tokens, price)
            yield Advice("unused_tool", path, "tools", name, tokens, cost, None, 0.0, "exact", text, nodeids)


def _tools_by_intent(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Larger tools that only some of the tests of a stage call: they could be offered for these routes only."""
    for path in stage_paths(tests):
        opened = tests_of_stage(tests, path)
        price = mean_input_price([call for _, _, calls in opened for call in calls])
        idle: dict[str, list[tuple[str, PartEvidence]]] = {}
        used: set[str] = set()
        for test, stage, calls in opened:
            names = {name for call in calls for name in call.tool_calls}
            used |= names
            for part in schemas_of(stage):
                if part.name not in names and part.largest >= INTENT_SCHEMA:
                    idle.setdefault(part.name, []).append((test.nodeid, part))
        for name in sorted(used & set(idle)):
            carried = idle[name]
            tokens = sum(part.tokens for _, part in carried)
            text = f"{clean_name(name)} is offered in all {len(opened)} tests of the stage and called in {len(opened) - len(carried)}"
            nodeids = tuple(nodeid for nodeid, _ in carried)
            cost = worth(tokens, price)
            yield Advice("tool_by_intent", path, "tools", name, tokens, cost, None, 0.0, "possible", text, nodeids)


def _repeated_schemas(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Schemas that make up most of a stage's input and that every call carries again.

    What advice of its own names (tools that are never called, descriptions) is not counted twice.
    """
    named: dict[str, int] = {}
    for advice in (*_unused_tools(tests), *_wordy_schemas(tests)):
        named[advice.stage] = named.get(advice.stage, 0) + advice.tokens
    for path in stage_paths(tests):
        heavy = []
        for test, stage, calls in tests_of_stage(tests, path):
            schemas = schemas_of(stage)
            tokens = sum(part.tokens for part in schemas)
            read = sum(part.tokens for part in stage.parts)
            repeated = sum(part.repeated_tokens for part in schemas)
            carried = max((part.calls for part in schemas), default=0)
            if carried > 1 and tokens >= HEAVY_SCHEMAS * carried and tokens >= HEAVY_SCHEMA_SHARE * read:
                cached = sum(call.cached_input_tokens or 0 for call in calls)
                heavy.append((test.nodeid, tokens, read, max(0, repeated - cached), carried, calls))
        count = sum(each[4] for each in heavy)
        again = count - len(heavy)
        saved = sum(each[3] for each in heavy) - (named.get(path, 0) * again // count if count else 0)
        if saved <= 0:
            continue
        tokens, read = sum(each[1] for each in heavy), sum(each[2] for each in heavy)
        price = mean_input_price([call for each in heavy for call in each[5]])
        text = (
            f"tool schemas are {percent_of(tokens, read)} of the stage's input: {tokens // count:,} tokens"
            f" sent again with each of {count:,} calls"
        )
        nodeids = tuple(each[0] for each in heavy)
        cost = worth(saved, price)
        yield Advice("repeated_schemas", path, "tools", "", saved, cost, None, 0.0, "possible", text, nodeids)


def _large_tools(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """The one tool that is most of a stage's schemas, and that most calls carry without calling it."""
    for path in stage_paths(tests):
        opened = tests_of_stage(tests, path)
        sizes: dict[str, list[PartEvidence]] = {}
        for _, stage, _ in opened:
            for part in schemas_of(stage):
                sizes.setdefault(part.name, []).append(part)
        tokens = {name: sum(part.tokens for part in parts) for name, parts in sizes.items()}
        name = max(tokens, key=lambda each: tokens[each], default="")
        if len(tokens) < 2 or tokens[name] * 2 <= sum(tokens.values()):
            continue
        largest = max(part.largest for part in sizes[name])
        carried = sum(part.calls for part in sizes[name])
        called = sum(name in call.tool_calls for _, _, calls in opened for call in calls)
        if largest < LARGE_TOOL or not 0 < called < carried:
            continue
        saved = tokens[name] * (carried - called) // carried
        share = percent_of(tokens[name], sum(tokens.values()))
        text = f"{clean_name(name)} ({largest:,} tokens) is {share} of the schemas; {carried:,} calls carry it, {called:,} call it"
        cost = worth(saved, mean_input_price([call for _, _, calls in opened for call in calls]))
        nodeids = tuple(test.nodeid for test, _, _ in opened)
        yield Advice("large_tool", path, "tools", name, saved, cost, None, 0.0, "possible", text, nodeids)


def _wordy_schemas(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Schemas with more description than structure, or with sentences that stand elsewhere in the request too."""
    for path in stage_paths(tests):
        found: dict[str, list[tuple[str, int, PartEvidence]]] = {}
        kinds: dict[str, tuple[bool, str]] = {}
        opened = tests_of_stage(tests, path)
        for test, stage, _ in opened:
            for part in schemas_of(stage):
                anatomy = test.schemas.get(part.name)
                if anatomy is None or anatomy.tokens < WORDY_SCHEMA:
                    continue
                wordy = max(0, 2 * _words(anatomy) - anatomy.tokens)
                saved = max(wordy, anatomy.repeated_tokens)
                if not saved:
                    continue
                # the parts are scaled to the provider's number, the anatomy is counted here
                tokens = round(part.tokens * min(1.0, saved / anatomy.tokens))
                found.setdefault(part.name, []).append((test.nodeid, tokens, part))
                kinds[part.name] = _what_is_wordy(anatomy, is_wordy=wordy >= anatomy.repeated_tokens)
        price = mean_input_price([call for _, _, calls in opened for call in calls])
        for name, carried in found.items():
            tokens = sum(saved for _, saved, _ in carried)
            count = sum(part.calls for _, _, part in carried)
            is_wordy, what = kinds[name]
            text = f"{clean_name(name)}: {what}; sent in {count:,} calls"
            kind: AdviceKind = "wordy_schema" if is_wordy else "repeated_text"
            nodeids = tuple(nodeid for nodeid, _, _ in carried)
            cost = worth(tokens, price)
            yield Advice(kind, path, "tools", name, tokens, cost, None, 0.0, "likely", text, nodeids)


def _words(anatomy: SchemaAnatomy) -> int:
    """Tokens of what could be shorter: descriptions, and lists of values and examples where these are much of the schema."""
    listed = anatomy.enum_tokens + anatomy.example_tokens
    return anatomy.words_tokens if listed >= LISTED_SHARE * anatomy.tokens else anatomy.description_tokens


def _what_is_wordy(anatomy: SchemaAnatomy, *, is_wordy: bool) -> tuple[bool, str]:
    """Tell whether a schema is mostly words, as opposed to words that stand elsewhere too; and that in words."""
    whole = f"of its {anatomy.tokens:,} tokens"
    if not is_wordy:
        return False, f"{anatomy.repeated_tokens:,} {whole} stand elsewhere too"
    sizes = {
        "descriptions": anatomy.description_tokens,
        "lists of values": anatomy.enum_tokens,
        "examples and defaults": anatomy.example_tokens,
    }
    first, *rest = sorted(((tokens, name) for name, tokens in sizes.items() if tokens), reverse=True)
    said = f"{percent_of(first[0], anatomy.tokens)} {whole} are {first[1]}"
    said += "".join(f", {percent_of(tokens, anatomy.tokens)} {name}" for tokens, name in rest)
    field_name = clean_name(anatomy.largest_field)
    return True, f"{said}; its largest field is {field_name} ({anatomy.largest_field_tokens:,})" if field_name else said


def _large_results(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Large results of tools that later calls carry again unshortened."""
    for path in stage_paths(tests):
        opened = tests_of_stage(tests, path)
        price = mean_input_price([call for _, _, calls in opened for call in calls])
        found: dict[str, list[tuple[str, int, PartEvidence]]] = {}
        for test, stage, _ in opened:
            for part in stage.parts:
                if part.part == "tool_results" and part.largest >= LARGE_RESULT and part.repeated_tokens:
                    saved = round(part.repeated_tokens * (1 - SHORT_RESULT / part.largest))
                    found.setdefault(part.name, []).append((test.nodeid, saved, part))
        for name, carried in found.items():
            tokens = sum(saved for _, saved, _ in carried)
            again = sum(part.repeated_tokens for _, _, part in carried)
            largest = max(part.largest for _, _, part in carried)
            what = f"results of {clean_name(name)}" if name else "tool results"
            text = f"{what} of up to {largest:,} tokens are sent again unshortened: {again:,} tokens in later calls"
            nodeids = tuple(nodeid for nodeid, _, _ in carried)
            cost = worth(tokens, price)
            yield Advice("large_result", path, "tool_results", name, tokens, cost, None, 0.0, "likely", text, nodeids)


def _extra_calls(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Stages without tools that always run after a loop with tools has given its last answer."""
    after: dict[str, list[tuple[str, CallEvidence]]] = {}
    elsewhere: set[str] = set()
    for test in tests:
        if not test.has_single_calls:
            continue
        before: CallEvidence | None = None
        for call in test.calls:
            if call.failed:
                continue
            if not call.offered_tools:
                followed = before is not None and bool(before.offered_tools) and not before.tool_calls
                if followed and before is not None and before.ended <= call.started + 1e-9:
                    after.setdefault(call.stage, []).append((test.nodeid, call))
                else:
                    elsewhere.add(call.stage)
            before = call
    for path, found in sorted(after.items()):
        if path in elsewhere:
            continue
        calls = [call for _, call in found]
        tokens = sum((call.input_tokens or 0) + (call.output_tokens or 0) for call in calls)
        costs = [call.cost for call in calls]
        cost = None if None in costs else sum(each or 0.0 for each in costs)
        seconds = sum(call.latency for call in calls)
        text = (
            f"{len(calls):,} calls without tools follow the loop's last answer: {tokens:,} tokens, {say_seconds(Fraction(seconds))};"
            " the loop's own last answer could have this form"
        )
        nodeids = tuple(dict.fromkeys(nodeid for nodeid, _ in found))
        yield Advice("extra_call", path, "calls", "", tokens, cost, seconds, 0.0, "likely", text, nodeids)


def _failed_attempts(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Time that went into attempts that failed."""
    for path in sorted({call.stage for test in tests for call in test.calls if call.failed}):
        found = [(test.nodeid, call) for test in tests for call in test.calls if call.failed and call.stage == path]
        seconds = sum(call.latency for _, call in found)
        attempts = "1 attempt" if len(found) == 1 else f"{len(found):,} attempts"
        text = f"{attempts} failed and took {say_seconds(Fraction(seconds))}"
        nodeids = tuple(dict.fromkeys(nodeid for nodeid, _ in found))
        yield Advice("failed_attempts", path, "retries", "", 0, None, seconds, 0.0, "exact", text, nodeids)


def _sequential_calls(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Calls of one stage that run one after another though none reads what another wrote."""
    for path in stage_paths(tests):
        seconds, count, nodeids = 0.0, 0, []
        for test, stage, calls in tests_of_stage(tests, path):
            history = any(part.part in ("assistant", "tool_results") for part in stage.parts)
            apart = all(first.ended <= then.started + 1e-9 for first, then in pairwise(calls))
            if (
                not test.has_single_calls
                or len(calls) < 3
                or history
                or not apart
                or any(call.tool_calls for call in calls)
            ):
                continue
            asked = max((part.largest for part in stage.parts if part.part == "user"), default=0)
            if min(call.output_tokens or 0 for call in calls) <= asked:
                continue  # an answer that would fit into a later request may stand in it
            if max(call.started for call in calls) - calls[0].started > 2 * sum(call.latency for call in calls):
                continue
            seconds += sum(call.latency for call in calls) - max(call.latency for call in calls)
            count += len(calls)
            nodeids.append(test.nodeid)
        if seconds:
            text = f"{count:,} calls run one after another though none reads another's answer: side by side {say_seconds(Fraction(seconds))} less"
            yield Advice("sequential_calls", path, "calls", "", 0, None, seconds, 0.0, "possible", text, tuple(nodeids))


def _growing_history(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Stages whose calls read more from call to call: what that comes to in longer conversations."""
    for path in stage_paths(tests):
        growths, first, nodeids = [], 0, []
        for test, _, calls in tests_of_stage(tests, path):
            read = [call.input_tokens for call in calls if call.input_tokens is not None]
            if len(read) >= 4 and read == sorted(read):
                growths += [now - then for then, now in pairwise(read)]
                first = max(first, read[0])
                nodeids.append(test.nodeid)
        growth = median(growths) if growths else 0
        if growth > 0.05 * first:
            ten, fifty = (round(first + (turns - 1) * growth) for turns in (10, 50))
            text = (
                f"each call reads {growth:,.0f} tokens more than the one before: the 10th {ten:,}, the 50th {fifty:,}"
            )
            yield Advice("history_growth", path, "assistant", "", 0, None, None, 0.0, "possible", text, tuple(nodeids))


def _observations(tests: Sequence[TestEvidence]) -> Iterator[Advice]:
    """Reasoning that makes up most of what a stage writes, and room for answers that none comes near to."""
    for path in stage_paths(tests):
        opened = tests_of_stage(tests, path)
        calls = [call for _, _, found in opened for call in found]
        nodeids = tuple(test.nodeid for test, _, _ in opened)
        written = sum(call.output_tokens or 0 for call in calls)
        reasoned = sum(call.reasoning_tokens or 0 for call in calls)
        if written and reasoned > written / 2:
            text = f"{percent_of(reasoned, written)} of the {written:,} tokens that it writes are reasoning; a smaller effort is an option of the request"
            yield Advice("observation", path, "reasoning", "", 0, None, None, 0.0, "possible", text, nodeids)
        limits = [call.max_output_tokens for call in calls if call.max_output_tokens is not None]
        longest = max((call.output_tokens or 0 for call in calls), default=0)
        if longest and len(limits) == len(calls) and min(limits) >= UNREACHED_LIMIT * longest:
            text = f"its requests allow {min(limits):,} output tokens, and its longest answer has {longest:,}"
            yield Advice("observation", path, "output", "", 0, None, None, 0.0, "possible", text, nodeids)


_FINDERS: tuple[Finder, ...] = (
    _repeated_schemas,
    _large_tools,
    _wordy_schemas,
    _unused_tools,
    _tools_by_intent,
    _large_results,
    broken_prefixes,
    unused_cache,
    _extra_calls,
    _failed_attempts,
    _sequential_calls,
    _growing_history,
    _observations,
)
