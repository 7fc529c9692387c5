"""Advice: where the tokens, the time and the money of a suite go without need, the largest first.

Each finder looks for one kind of waste over all tests, because a tool that one test does not use may be needed by another.
The numbers are sums of measured parts. None of them says that the agent would still do its work: outcomes decide that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from statistics import median

from pytest_tokenbudget.explain.cache_advice import broken_prefixes, unused_cache
from pytest_tokenbudget.explain.phrases import clean_name, say_seconds
from pytest_tokenbudget.explain.stage_evidence import Carried, SuiteStage, by_name, percent_of, stages_of
from pytest_tokenbudget.records.advice import Advice, CallEvidence, SchemaAnatomy, TestEvidence

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
    calls = [(call, weights.get(call.stage, 1.0)) for test in tests for call in test.calls]
    tokens = sum(((call.input_tokens or 0) + (call.output_tokens or 0)) * weight for call, weight in calls)
    totals = (
        tokens,
        sum(call.latency * weight for call, weight in calls),
        sum((call.cost or 0.0) * weight for call, weight in calls),
    )

    def weighed(advice: Advice) -> Advice:
        return _with_share(advice, weights.get(advice.stage, 1.0), totals)

    found = [advice for stage in stages_of(tests) for finder in _FINDERS for advice in finder(stage)]
    found = sorted([*found, *_extra_calls(tests), *_failed_attempts(tests)], key=lambda each: _order(weighed(each)))
    if recount is not None:
        found = [*map(recount, found[:RECOUNTED]), *found[RECOUNTED:]]
    kept = (advice for advice in map(weighed, found) if advice.share >= NOTABLE_SHARE or _is_observation(advice))
    return tuple(sorted(kept, key=_order))


def _order(advice: Advice) -> tuple[bool, float, str, str, str]:
    return _is_observation(advice), -advice.share, advice.kind, advice.stage, advice.name


def _is_observation(advice: Advice) -> bool:
    return advice.kind in ("observation", "history_growth", "cache_too_short")


def _with_share(advice: Advice, weight: float, totals: tuple[float, float, float]) -> Advice:
    """Weigh a saving, and give its share in all tokens, time or money: the largest of the three."""
    if weight != 1.0:
        cost, seconds = (None if value is None else value * weight for value in (advice.cost, advice.seconds))
        advice = replace(advice, tokens=round(advice.tokens * weight), cost=cost, seconds=seconds)
    saved = (advice.tokens, advice.seconds or 0.0, advice.cost or 0.0)
    tokens, time, money = (part / whole if whole else 0.0 for part, whole in zip(saved, totals, strict=True))
    if advice.kind in ("cache_unused", "cache_broken"):
        # What a cache serves is read all the same, at a lower price.
        return replace(advice, share=min(1.0, tokens * USUAL_CACHE_SAVING if advice.cost is None else money))
    return replace(advice, share=min(1.0, max(tokens, time, money)))


def _unused_tools(stage: SuiteStage) -> Iterator[Advice]:
    """Tools that a stage offers and that no test of the suite calls there."""
    called = {name for each in stage.opened for name in each.called}
    unused = [
        Carried(each.test.nodeid, part, part.tokens)
        for each in stage.opened
        for part in each.schemas
        if part.name not in called
    ]
    for name, carried in by_name(unused).items():
        calls, largest = sum(one.part.calls for one in carried), max(one.part.largest for one in carried)
        text = f"{clean_name(name)} ({largest:,} tokens) is offered in {calls:,} calls and never called there"
        yield stage.carried("unused_tool", carried, "exact", text)


def _tools_by_intent(stage: SuiteStage) -> Iterator[Advice]:
    """Larger tools that only some of the tests of a stage call: they could be offered for these routes only."""
    idle = [
        Carried(each.test.nodeid, part, part.tokens)
        for each in stage.opened
        for part in each.schemas
        if part.name not in each.called and part.largest >= INTENT_SCHEMA
    ]
    used, opened = {name for each in stage.opened for name in each.called}, len(stage.opened)
    for name, carried in by_name(idle).items():
        if name in used:
            text = f"{clean_name(name)} is offered in all {opened} tests of the stage and called in {opened - len(carried)}"
            yield stage.carried("tool_by_intent", carried, "possible", text)


def _repeated_schemas(stage: SuiteStage) -> Iterator[Advice]:
    """Schemas that make up most of a stage's input and that every call carries again.

    What advice of its own names (tools that are never called, descriptions) is not counted twice.
    """
    named = sum(advice.tokens for advice in (*_unused_tools(stage), *_wordy_schemas(stage)))
    heavy, tokens, read, count, saved = [], 0, 0, 0, 0
    for each in stage.opened:
        schemas = sum(part.tokens for part in each.schemas)
        whole = sum(part.tokens for part in each.stage.parts)
        carried = max((part.calls for part in each.schemas), default=0)
        if carried > 1 and schemas >= HEAVY_SCHEMAS * carried and schemas >= HEAVY_SCHEMA_SHARE * whole:
            cached = sum(call.cached_input_tokens or 0 for call in each.calls)
            heavy.append(each)
            tokens, read, count = tokens + schemas, read + whole, count + carried
            saved += max(0, sum(part.repeated_tokens for part in each.schemas) - cached)
    if heavy:
        saved -= named * (count - len(heavy)) // count
    if saved > 0:
        text = (
            f"tool schemas are {percent_of(tokens, read)} of the stage's input: {tokens // count:,} tokens"
            f" sent again with each of {count:,} calls"
        )
        tests, calls = [each.test.nodeid for each in heavy], [call for each in heavy for call in each.calls]
        yield stage.saving("repeated_schemas", saved, "possible", text, tests=tests, calls=calls)


def _large_tools(stage: SuiteStage) -> Iterator[Advice]:
    """The one tool that is most of a stage's schemas, and that most calls carry without calling it."""
    schemas = by_name(Carried(each.test.nodeid, part, part.tokens) for each in stage.opened for part in each.schemas)
    tokens = {name: sum(one.tokens for one in carried) for name, carried in schemas.items()}
    name = max(tokens, key=lambda each: tokens[each], default="")
    if len(tokens) < 2 or tokens[name] * 2 <= sum(tokens.values()):
        return
    largest = max(one.part.largest for one in schemas[name])
    carried = sum(one.part.calls for one in schemas[name])
    called = sum(name in call.tool_calls for call in stage.calls)
    if largest >= LARGE_TOOL and 0 < called < carried:
        saved = tokens[name] * (carried - called) // carried
        share = percent_of(tokens[name], sum(tokens.values()))
        text = f"{clean_name(name)} ({largest:,} tokens) is {share} of the schemas; {carried:,} calls carry it, {called:,} call it"
        yield stage.saving("large_tool", saved, "possible", text, name=name, tests=stage.nodeids)


def _wordy_schemas(stage: SuiteStage) -> Iterator[Advice]:
    """Schemas with more description than structure, or with sentences that stand elsewhere in the request too."""
    found: list[Carried] = []
    said: dict[str, str] = {}
    wordy: dict[str, bool] = {}
    for each in stage.opened:
        for part in each.schemas:
            anatomy = each.test.schemas.get(part.name)
            if anatomy is None or anatomy.tokens < WORDY_SCHEMA:
                continue
            words = max(0, 2 * _words(anatomy) - anatomy.tokens)
            if saved := max(words, anatomy.repeated_tokens):
                # The parts are scaled to the provider's number, the anatomy is counted here.
                tokens = round(part.tokens * min(1.0, saved / anatomy.tokens))
                found.append(Carried(each.test.nodeid, part, tokens))
                wordy[part.name] = words >= anatomy.repeated_tokens
                elsewhere = f"{anatomy.repeated_tokens:,} of its {anatomy.tokens:,} tokens stand elsewhere too"
                said[part.name] = _what_is_wordy(anatomy) if wordy[part.name] else elsewhere
    for name, carried in by_name(found).items():
        text = f"{clean_name(name)}: {said[name]}; sent in {sum(one.part.calls for one in carried):,} calls"
        yield stage.carried("wordy_schema" if wordy[name] else "repeated_text", carried, "likely", text)


def _words(anatomy: SchemaAnatomy) -> int:
    """Tokens of what could be shorter: descriptions, and lists of values and examples where these are much of the schema."""
    listed = anatomy.enum_tokens + anatomy.example_tokens
    return anatomy.words_tokens if listed >= LISTED_SHARE * anatomy.tokens else anatomy.description_tokens


def _what_is_wordy(anatomy: SchemaAnatomy) -> str:
    sizes = {
        "descriptions": anatomy.description_tokens,
        "lists of values": anatomy.enum_tokens,
        "examples and defaults": anatomy.example_tokens,
    }
    first, *rest = sorted(((tokens, name) for name, tokens in sizes.items() if tokens), reverse=True)
    said = f"{percent_of(first[0], anatomy.tokens)} of its {anatomy.tokens:,} tokens are {first[1]}"
    said += "".join(f", {percent_of(tokens, anatomy.tokens)} {name}" for tokens, name in rest)
    field_name = clean_name(anatomy.largest_field)
    return f"{said}; its largest field is {field_name} ({anatomy.largest_field_tokens:,})" if field_name else said


def _large_results(stage: SuiteStage) -> Iterator[Advice]:
    """Large results of tools that later calls carry again unshortened."""
    large = [
        Carried(each.test.nodeid, part, round(part.repeated_tokens * (1 - SHORT_RESULT / part.largest)))
        for each in stage.opened
        for part in each.stage.parts
        if part.part == "tool_results" and part.largest >= LARGE_RESULT and part.repeated_tokens
    ]
    for name, carried in by_name(large).items():
        again, largest = sum(one.part.repeated_tokens for one in carried), max(one.part.largest for one in carried)
        what = f"results of {clean_name(name)}" if name else "tool results"
        text = f"{what} of up to {largest:,} tokens are sent again unshortened: {again:,} tokens in later calls"
        yield stage.carried("large_result", carried, "likely", text)


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


def _sequential_calls(stage: SuiteStage) -> Iterator[Advice]:
    """Calls of one stage that run one after another though none reads what another wrote."""
    seconds, count, nodeids = 0.0, 0, []
    for each in stage.opened:
        calls, parts = each.calls, each.stage.parts
        history = any(part.part in ("assistant", "tool_results") for part in parts)
        apart = all(first.ended <= then.started + 1e-9 for first, then in pairwise(calls))
        if not each.test.has_single_calls or len(calls) < 3 or history or not apart or each.called:
            continue
        asked = max((part.largest for part in parts if part.part == "user"), default=0)
        if min(call.output_tokens or 0 for call in calls) <= asked:
            continue  # an answer that would fit into a later request may stand in it
        if max(call.started for call in calls) - calls[0].started > 2 * sum(call.latency for call in calls):
            continue
        seconds += sum(call.latency for call in calls) - max(call.latency for call in calls)
        count += len(calls)
        nodeids.append(each.test.nodeid)
    if seconds:
        text = f"{count:,} calls run one after another though none reads another's answer: side by side {say_seconds(Fraction(seconds))} less"
        yield stage.note("sequential_calls", "calls", text, nodeids, seconds=seconds)


def _growing_history(stage: SuiteStage) -> Iterator[Advice]:
    """Stages whose calls read more from call to call: what that comes to in longer conversations."""
    growths, first, nodeids = [], 0, []
    for each in stage.opened:
        read = [call.input_tokens for call in each.calls if call.input_tokens is not None]
        if len(read) >= 4 and read == sorted(read):
            growths += [now - then for then, now in pairwise(read)]
            first = max(first, read[0])
            nodeids.append(each.test.nodeid)
    growth = median(growths) if growths else 0
    if growth > 0.05 * first:
        ten, fifty = (round(first + (turns - 1) * growth) for turns in (10, 50))
        text = f"each call reads {growth:,.0f} tokens more than the one before: the 10th {ten:,}, the 50th {fifty:,}"
        yield stage.note("history_growth", "assistant", text, nodeids)


def _observations(stage: SuiteStage) -> Iterator[Advice]:
    """Reasoning that makes up most of what a stage writes, and room for answers that none comes near to."""
    calls = stage.calls
    written = sum(call.output_tokens or 0 for call in calls)
    reasoned = sum(call.reasoning_tokens or 0 for call in calls)
    if written and reasoned > written / 2:
        text = f"{percent_of(reasoned, written)} of the {written:,} tokens that it writes are reasoning; a smaller effort is an option of the request"
        yield stage.note("observation", "reasoning", text, stage.nodeids)
    limits = [call.max_output_tokens for call in calls if call.max_output_tokens is not None]
    longest = max((call.output_tokens or 0 for call in calls), default=0)
    if longest and len(limits) == len(calls) and min(limits) >= UNREACHED_LIMIT * longest:
        text = f"its requests allow {min(limits):,} output tokens, and its longest answer has {longest:,}"
        yield stage.note("observation", "output", text, stage.nodeids)


_FINDERS: tuple[Callable[[SuiteStage], Iterator[Advice]], ...] = (
    _repeated_schemas,
    _large_tools,
    _wordy_schemas,
    _unused_tools,
    _tools_by_intent,
    _large_results,
    broken_prefixes,
    unused_cache,
    _sequential_calls,
    _growing_history,
    _observations,
)
