"""Changes what is stored of a test after a run: pure functions from entry and samples to entry.

A session is appended where the run agrees with the baseline and replaces it where it does not. The origin of a
metric moves only where that is asked for, so that many small steps stay visible (STATISTICS: "baselines over time").
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pytest_tokenbudget.baselines.merge import merge_entries
from pytest_tokenbudget.baselines.observe import TIMES, Observation, observe
from pytest_tokenbudget.baselines.store import Change
from pytest_tokenbudget.measure.constant_speed import CLOCK_NOISE_S
from pytest_tokenbudget.records.baseline import MAX_SESSIONS, BaselineEntry, MetricRecord, Session
from pytest_tokenbudget.records.composition import StageComposition, inside, within
from pytest_tokenbudget.records.gate import key_of, split_key
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.stats.statistic import mean

Mode = Literal["create", "update", "append", "ratchet", "accept"]
NOISE = 0.1
"""Relative difference that counts of an unchanged agent stay within: the default allowance of a gate."""

Predicate = Callable[[str], bool]
"""A condition on a metric, by its full name."""


def create(samples: Sequence[Sample]) -> BaselineEntry:
    """The entry of a test that had none: one session, which is the origin of every metric.

    Args:
        samples: The samples of this run, at least one.
    """
    seen = observe(samples)
    return seen.entry(
        {name: _first(session) for name, session in seen.metrics.items()},
        {name: _first(session) for name, session in seen.pooled.items()},
    )


def update(entry: BaselineEntry, samples: Sequence[Sample], *, changed: Predicate) -> BaselineEntry:
    """This run becomes the baseline; origins stay.

    Args:
        entry: What stands in the store.
        samples: The samples of this run, at least one.
        changed: Whether a gate found that a metric no longer agrees with its baseline.

    Returns:
        The new entry, or ``entry`` itself where no number differs. One rule holds for every metric, gated or not. Of a
        replayed or scripted run each is replaced. Of a live run one that agrees gains a session, unless all its values are
        equal (another one would say nothing new), and one that changed is replaced: where a gate says so; where neither
        side shows noise and they differ; where the new mean lies outside of the stored values and more than
        :data:`NOISE` away from their mean (times apart). Where a stage's prompt, tools, calls or tokens changed, all of its
        metrics are replaced, and so is everything where the model, the provider or the kind of traffic changed. Metrics
        of stages that the run no longer opened go; one whose value is unknown now stays as long as its stage agrees.
    """
    return _evolved(entry, samples, changed, accept=False)


def append(entry: BaselineEntry, samples: Sequence[Sample]) -> BaselineEntry:
    """As :func:`update`, of code that is known to be the same: a count that differs is noise, and gains a session.

    A stage whose prompt or tools changed is replaced all the same: that is no noise.

    Args:
        entry: What stands in the store: the session before, and those that agreed with it.
        samples: The samples of this run, at least one.
    """
    return _evolved(entry, samples, lambda _: False, accept=False, same_code=True)


def accept(entry: BaselineEntry, samples: Sequence[Sample], *, changed: Predicate) -> BaselineEntry:
    """Update the entry, and make the mean of this run the origin of every metric that the run knows."""
    return _evolved(entry, samples, changed, accept=True)


def ratchet(entry: BaselineEntry, samples: Sequence[Sample], *, improved: Collection[str]) -> BaselineEntry:
    """This run becomes the baseline of the metrics that improved, and of no other.

    Args:
        entry: What stands in the store.
        samples: The samples of this run, at least one.
        improved: Full names of the metrics of which a gate improved.

    Returns:
        The new entry, or ``entry`` itself where nothing differs. The composition of a stage follows its
        ``input_tokens``, which it explains.
    """
    seen = observe(samples, entry)

    def only_improved(records: Mapping[str, MetricRecord], sessions: Mapping[str, Session]) -> dict[str, MetricRecord]:
        better = records.keys() & sessions.keys() & set(improved)
        return {**records, **{name: MetricRecord((sessions[name],), records[name].origin) for name in better}}

    explained = {key.rpartition(".")[0] for key in improved if split_key(key)[1] == "input_tokens"}
    stages = {stage for stage in seen.composition if any(inside(stage, above) for above in explained)}
    evolved = replace(
        entry,
        metrics=only_improved(entry.metrics, seen.metrics),
        pooled=only_improved(entry.pooled, seen.pooled),
        composition={**entry.composition, **{stage: seen.composition[stage] for stage in stages}},
    )
    return entry if evolved == entry else evolved


def change(
    mode: Mode,
    samples: Sequence[Sample],
    *,
    changed: Predicate = lambda _: True,
    improved: Collection[str] = (),
) -> Change:
    """Give the change of a test's entry that a store makes, whatever stands there by then.

    Args:
        mode: ``create`` (no entry was there: one that another session wrote meanwhile is merged with), ``update``,
            ``append``, ``ratchet`` or ``accept``.
        samples: The samples of this run, at least one.
        changed: For ``update`` and ``accept``: whether a metric no longer agrees with its baseline.
        improved: For ``ratchet``: metrics of which a gate improved.

    Returns:
        A function for :meth:`~.protocol.BaselineStore.update`. ``update`` and ``accept`` create an entry that is
        missing; ``ratchet`` does not.
    """

    def apply(standing: BaselineEntry | None) -> BaselineEntry | None:
        if standing is None:
            return None if mode == "ratchet" else create(samples)
        match mode:
            case "create":
                return merge_entries(standing, create(samples))
            case "update":
                return update(standing, samples, changed=changed)
            case "append":
                return append(standing, samples)
            case "accept":
                return accept(standing, samples, changed=changed)
            case "ratchet":
                return ratchet(standing, samples, improved=improved)

    return apply


def _evolved(
    entry: BaselineEntry, samples: Sequence[Sample], said: Predicate, *, accept: bool, same_code: bool = False
) -> BaselineEntry:
    seen = observe(samples, entry)
    other = (entry.traffic, entry.models, entry.providers) != (seen.traffic, seen.models, seen.providers)
    if other or accept:
        seen = observe(samples)
    moved = _moved_scopes(entry, seen, said, same_code=same_code)

    def replaces(key: str, record: MetricRecord, session: Session) -> bool:
        stage, name = split_key(key)
        if other or seen.traffic != "live" or stage in moved or said(key):
            return True
        if entry.sources.get(key) != seen.sources.get(key):
            return True
        if same_code:
            return False
        if name == "latency" and _at_other_speeds(entry, seen):
            return True
        return name not in TIMES and (_differs_without_noise(record, session) or _left_range(record, session))

    def is_clock_noise(key: str, record: MetricRecord, session: Session) -> bool:
        """Of a replayed or scripted run the agent's own time is the one figure of a real clock, which is never the same."""
        if other or seen.traffic == "live" or split_key(key)[1] != "own_time" or said(key):
            return False
        then, now = mean(record.values), mean(session)
        return then / 2 <= now <= 2 * then or abs(now - then) <= CLOCK_NOISE_S

    def records(stored: Mapping[str, MetricRecord], sessions: Mapping[str, Session]) -> dict[str, MetricRecord]:
        kept = {
            key: stored[key] for key in seen.unknown if not other and split_key(key)[0] not in moved and key in stored
        }
        for key, session in sessions.items():
            record = stored.get(key)
            if record is None:
                record = _first(session)
            elif not (_nothing_new(record, session) or is_clock_noise(key, record, session)):
                earlier = () if replaces(key, record, session) else record.sessions
                record = MetricRecord((*earlier, session)[-MAX_SESSIONS:], record.origin)
            kept[key] = replace(record, origin=mean(session)) if accept else record
        return kept

    composition = {
        stage: _unless_only_digests(entry.composition.get(stage), one) for stage, one in seen.composition.items()
    }
    evolved = replace(
        seen.entry(records(entry.metrics, seen.metrics), records(entry.pooled, seen.pooled)), composition=composition
    )
    return entry if evolved == entry else evolved


def _at_other_speeds(entry: BaselineEntry, seen: Observation) -> bool:
    """Tell whether latencies of now are at other speeds than the stored ones, so that they do not belong together."""
    return any(
        seen.speeds.get(stage, {}).get(model, speed) != speed
        for stage, models in entry.speeds.items()
        for model, speed in models.items()
    ) or (bool(seen.speeds) and not entry.speeds)


def _moved_scopes(entry: BaselineEntry, seen: Observation, said: Predicate, *, same_code: bool) -> set[str]:
    """Name the stages, and the whole test (``""``), whose prompt, calls or tokens are others than those stored.

    All figures of such a stage are replaced, its times too: a mixture of before and after describes neither.
    """
    moved = set()
    for scope in ("", *seen.composition):
        before, after = within(entry.composition, scope), within(seen.composition, scope)
        if before is not None and after is not None and _other_prompt(before, after):
            moved.add(scope)
        for name in () if same_code else ("calls", "input_tokens", "output_tokens"):
            key = key_of(scope, name)
            if key in entry.metrics and key in seen.metrics:
                record, session = entry.metrics[key], seen.metrics[key]
                if said(key) or _left_range(record, session):
                    moved.add(scope)
    return moved


def _other_prompt(before: StageComposition, after: StageComposition) -> bool:
    """Tell whether a system prompt or a tool's schema came, went or has another size: what the code alone decides."""
    then, now = (
        {(part.part, part.name): part.largest for part in side.counted if part.part in ("system", "tools")}
        for side in (before, after)
    )
    return then != now


def _left_range(record: MetricRecord, session: Session) -> bool:
    """Tell whether a mean lies outside of the stored values, and further from their mean than noise takes it."""
    now, then = mean(session), mean(record.values)
    outside = now < min(record.values) or now > max(record.values)
    return outside and abs(now - then) > NOISE * abs(then)


def _differs_without_noise(record: MetricRecord, session: Session) -> bool:
    """Tell whether all stored values are equal, all new ones too, and these are others than those."""
    return len(set(record.values)) == 1 and len(set(session)) == 1 and record.values[0] != session[0]


def _first(session: Session) -> MetricRecord:
    return MetricRecord((session,), mean(session))


def _nothing_new(record: MetricRecord, session: Session) -> bool:
    """Tell whether all values, stored and new, are equal: exact metrics do not grow."""
    return record.sessions == (session,) or len({*record.values, *session}) == 1


def _unless_only_digests(stored: StageComposition | None, seen: StageComposition) -> StageComposition:
    """Keep the stored composition where only texts of equal size differ, such as the date in a prompt."""
    if stored is None or stored == seen:
        return seen
    return stored if _without_digests(stored) == _without_digests(seen) else seen


def _without_digests(composition: StageComposition) -> StageComposition:
    return replace(composition, counted=tuple(replace(part, digest="") for part in composition.counted))
