"""How a run changes what is stored of a test: pure functions from entry and samples to entry.

A session is appended where the run agrees with the baseline and replaces it where it does not. The origin of a
metric moves only where that is asked for, so that many small steps stay visible (STATISTICS: "baselines over time").
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pytest_tokenbudget.baselines.merge import merge_entries
from pytest_tokenbudget.baselines.observe import Observation, observe
from pytest_tokenbudget.baselines.protocol import Change
from pytest_tokenbudget.records.baseline import MAX_SESSIONS, BaselineEntry, MetricRecord, Session
from pytest_tokenbudget.records.composition import StageComposition
from pytest_tokenbudget.records.gate import Metric
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.stats.statistic import mean

Mode = Literal["create", "update", "ratchet", "accept"]
Predicate = Callable[[str], bool]
"""Whether something holds for a metric, by its full name."""


def create(samples: Sequence[Sample]) -> BaselineEntry:
    """The entry of a test that had none: one session, which is the origin of every metric.

    Args:
        samples: The samples of this run, at least one.
    """
    seen = observe(samples)
    return BaselineEntry(
        metrics={name: _first(session) for name, session in seen.metrics.items()},
        pooled={name: _first(session) for name, session in seen.pooled.items()},
        composition=seen.composition,
        outcomes=seen.outcomes,
        traffic=seen.traffic,
        sources=seen.sources,
        models=seen.models,
        providers=seen.providers,
    )


def update(entry: BaselineEntry, samples: Sequence[Sample], *, changed: Predicate) -> BaselineEntry:
    """This run becomes the baseline; origins stay.

    Args:
        entry: What stands in the store.
        samples: The samples of this run, at least one.
        changed: Whether a metric no longer agrees with its baseline.

    Returns:
        The new entry, or ``entry`` itself where no number differs. A metric that agrees gains a session, unless its
        values are all equal (another one would say nothing new) or both runs are replayed or scripted; one that changed
        is replaced, as is every metric where the model, the provider or the kind of traffic changed. Metrics of stages
        that the run no longer opened go; one whose value is unknown now keeps what is stored.
    """
    return _evolved(entry, observe(samples), changed, accept=False)


def accept(entry: BaselineEntry, samples: Sequence[Sample], *, changed: Predicate) -> BaselineEntry:
    """As :func:`update`, and the origin of every metric that the run knows becomes the mean of this run."""
    return _evolved(entry, observe(samples), changed, accept=True)


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
    seen = observe(samples)

    def only_improved(records: Mapping[str, MetricRecord], sessions: Mapping[str, Session]) -> dict[str, MetricRecord]:
        better = records.keys() & sessions.keys() & set(improved)
        return {**records, **{name: MetricRecord((sessions[name],), records[name].origin) for name in better}}

    stages = {stage for stage in seen.composition if Metric(stage, "input_tokens").key in improved}
    evolved = replace(
        entry,
        metrics=only_improved(entry.metrics, seen.metrics),
        pooled=only_improved(entry.pooled, seen.pooled),
        composition={**entry.composition, **{stage: seen.composition[stage] for stage in stages}},
    )
    return entry if _same_numbers(entry, evolved) else evolved


def change(
    mode: Mode,
    samples: Sequence[Sample],
    *,
    changed: Predicate = lambda _: True,
    improved: Collection[str] = (),
) -> Change:
    """What a store shall do with the entry of a test that ran, whatever stands there by then.

    Args:
        mode: ``create`` (no entry was there: one that another session wrote meanwhile is merged with), ``update``,
            ``ratchet`` or ``accept``.
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
            case "accept":
                return accept(standing, samples, changed=changed)
            case "ratchet":
                return ratchet(standing, samples, improved=improved)

    return apply


def _evolved(entry: BaselineEntry, seen: Observation, changed: Predicate, *, accept: bool) -> BaselineEntry:
    other = (entry.traffic, entry.models, entry.providers) != (seen.traffic, seen.models, seen.providers)
    exact = seen.traffic != "live"

    def records(stored: Mapping[str, MetricRecord], sessions: Mapping[str, Session]) -> dict[str, MetricRecord]:
        kept = {name: stored[name] for name in stored.keys() & seen.unknown}
        for name, session in sessions.items():
            record = stored.get(name)
            if record is None:
                record = _first(session)
            elif not _nothing_new(record, session):
                replaced = other or entry.sources.get(name) != seen.sources.get(name) or changed(name)
                record = _grown(record, session, replaced=replaced, exact=exact)
            kept[name] = replace(record, origin=mean(session)) if accept else record
        return kept

    evolved = BaselineEntry(
        metrics=records(entry.metrics, seen.metrics),
        pooled=records(entry.pooled, seen.pooled),
        composition=seen.composition,
        outcomes=seen.outcomes,
        traffic=seen.traffic,
        sources=seen.sources,
        models=seen.models,
        providers=seen.providers,
    )
    return entry if _same_numbers(entry, evolved) else evolved


def _first(session: Session) -> MetricRecord:
    return MetricRecord((session,), mean(session))


def _nothing_new(record: MetricRecord, session: Session) -> bool:
    """Whether all values, stored and new, are equal: exact metrics do not grow."""
    return record.sessions == (session,) or len({*record.values, *session}) == 1


def _grown(record: MetricRecord, session: Session, *, replaced: bool, exact: bool) -> MetricRecord:
    if replaced:
        return MetricRecord((session,), record.origin)
    return record if exact else MetricRecord((*record.sessions, session)[-MAX_SESSIONS:], record.origin)


def _same_numbers(old: BaselineEntry, new: BaselineEntry) -> bool:
    """Whether two entries differ in no number and no name; a text of equal size may differ (a date in a prompt)."""
    if (old.metrics, old.pooled) != (new.metrics, new.pooled):
        return False
    if replace(old, composition={}) != replace(new, composition={}):
        return False
    compositions = [
        {stage: _without_digests(composition) for stage, composition in entry.composition.items()}
        for entry in (old, new)
    ]
    return compositions[0] == compositions[1]


def _without_digests(composition: StageComposition) -> StageComposition:
    parts = tuple(replace(part, digest="") for part in composition.parts)
    return replace(composition, parts=parts, prefix=())
