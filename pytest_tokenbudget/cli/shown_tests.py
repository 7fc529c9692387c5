"""A stored or reported test, read for the commands that show and compare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_tokenbudget.baselines.paths import BASELINE, DIRECTORY, references
from pytest_tokenbudget.cli.targets import Target, choose_keys, node_id, read_stored
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.records.baseline import BaselineEntry, Number
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import Cause, StageComposition
from pytest_tokenbudget.records.gate import split_key
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.figures import by_stage, columns
from pytest_tokenbudget.report.from_json import read_report


@dataclass(frozen=True, slots=True)
class ShownTest:
    """One test, from a baseline or from a report.

    Attributes:
        test: Its node id.
        file: The file that it was read from.
        traffic: Where the answers came from.
        models: The models that answered.
        stages: All known values by stage and metric, oldest first; the whole test stands under ``""``.
        composition: What the input of each stage consists of, without the stages inside it.
        origins: The accepted value of each metric, by its full name, where it is known.
        outcomes: What the agent achieved.
        samples: Samples that are kept.
        calls: The calls of its last sample; a baseline keeps none.
        references: Names of the references that hold measurements of its test file.
        causes: What a report says of its gates against the baseline; a baseline says nothing.
    """

    test: str
    file: str
    traffic: str
    models: tuple[str, ...]
    stages: Mapping[str, Mapping[str, Sequence[Number]]]
    composition: Mapping[str, StageComposition]
    origins: Mapping[str, Number]
    outcomes: Mapping[str, Any]
    samples: int
    calls: tuple[Call, ...] = ()
    references: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()

    @property
    def rows(self) -> list[str]:
        """The stages that have a row of their own: ``main`` only where it is not the whole test."""
        named = sorted(stage for stage in self.stages if stage)
        return ["", *(named if named != ["main"] else [])]


def read_tests(target: Target) -> list[ShownTest]:
    """The tests of a file that are meant."""
    if not target.wanted and is_report(target.path):
        return [of_report(result, target.path) for result in read_report(target.path).results]
    entries = read_stored(target.path)
    keys = choose_keys(entries, target.wanted)
    if not keys:
        known = ", ".join(sorted(entries)[:3]) + (", ..." if len(entries) > 3 else "")
        raise BaselineError(
            f"{target.path}: holds no test {target.wanted!r}" + (f" (it holds {known})" if known else ""),
            remedy=f"`tokenbudget show {target.path}` lists what it holds; a run of the test writes its entry",
        )
    return [of_entry(node_id(target.path, key), target.path, entries[key]) for key in keys]


def is_report(path: Path) -> bool:
    """Tell whether a file is a JSON report, as opposed to a baseline."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False  # whoever reads it as a baseline says what is wrong
    return isinstance(found, dict) and isinstance(found.get("tests"), list)


def of_entry(test: str, path: Path, entry: BaselineEntry) -> ShownTest:
    """A test of a baseline or of a reference."""
    stages: dict[str, dict[str, Sequence[Number]]] = {"": {}}
    origins: dict[str, Number] = {}
    for key, record in (*entry.metrics.items(), *entry.pooled.items()):
        stage, metric = split_key(key)
        if record.values:
            stages.setdefault(stage, {})[metric] = record.values
        if record.origin is not None:
            origins[key] = record.origin
    samples = max((len(record.values) for record in entry.metrics.values()), default=0)
    others = references(path.parent.parent / f"{path.stem}.py") if path.parent.name == DIRECTORY else ()
    return ShownTest(
        test=test,
        file=str(path),
        traffic=entry.traffic,
        models=entry.models,
        stages=stages,
        composition=entry.composition,
        origins=origins,
        outcomes=entry.outcomes,
        samples=samples,
        references=others,
    )


def of_report(result: TestResult, path: Path) -> ShownTest:
    """A test of a report."""
    samples = result.samples
    last = samples[-1] if samples else None
    stages = {
        stage: {metric: values for metric, values in columns(figures).items() if values is not None}
        for stage, figures in by_stage(samples).items()
    }
    calls = last.calls if last else ()
    return ShownTest(
        test=result.nodeid,
        file=str(path),
        traffic=last.traffic if last else "",
        models=tuple(sorted({call.model or call.request_model for call in calls if call.succeeded} - {""})),
        stages=stages,
        composition=last.composition if last else {},
        origins={},
        outcomes=last.outcomes if last else {},
        samples=len(samples),
        calls=calls,
        causes=result.causes if result.against == BASELINE else (),
    )
