"""Another model or provider than the baseline's: its numbers say nothing about the old ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.composition import StageComposition
from pytest_tokenbudget.records.sample import Sample


def answered_by_others(entry: BaselineEntry, samples: Sequence[Sample], stage: str = "") -> str:
    """How the models or the providers that answer now differ from those of a baseline.

    Args:
        entry: The baseline.
        samples: The samples of this run.
        stage: Path of a stage, ``""`` for the whole test.

    Returns:
        ``the model changed from A to B`` where none of the models, or of the providers, is the same; else ``""``.
    """
    models = {model for sample in samples for model in _stage_models(sample.composition, stage)}
    providers = {call.provider for sample in samples for call in sample.calls if call.succeeded}
    for what, then, now in (
        ("model", set(_stage_models(entry.composition, stage)), models),
        ("provider", set(entry.providers), providers),
    ):
        if then and now and not then & now:
            return f"the {what} changed from {', '.join(sorted(then))} to {', '.join(sorted(now))}"
    return ""


def _stage_models(composition: Mapping[str, StageComposition], stage: str) -> tuple[str, ...]:
    found = composition.get(stage)
    return () if found is None else found.models
