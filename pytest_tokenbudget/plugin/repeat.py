"""Further samples of a test: its function-scoped fixtures anew each time, one result reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest

from pytest_tokenbudget.plugin.judgement import Place
from pytest_tokenbudget.plugin.workshop import Workshop
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.sample import Sample


def sampling(
    budget: Budget, workshop: Workshop, place: Place, samples: Sequence[Sample], family: Callable[[], int]
) -> Iterator[int]:
    """Yield once for each further sample that is needed.

    Args:
        budget: What the test allows.
        workshop: The session's tools.
        place: Where the test's baseline is.
        samples: The samples so far; the caller adds to them between two steps.
        family: Number of latency gates of the session, asked for only when a gate is suspected.
    """
    wanted = workshop.settings.samples or budget.samples or 1
    while len(samples) < wanted:
        yield len(samples)


def run_again(item: pytest.Item) -> None:
    """Tear the test's own fixtures down, set them up anew and run its body again.

    pytest's own hooks are used, so that other plugins take part; fixtures of wider scopes stay.
    """
    # What stands above the test in the tree is given as the next item, so that only the test itself is torn down.
    above = cast(pytest.Item, item.parent)
    item.ihook.pytest_runtest_teardown(item=item, nextitem=above)
    renewed = cast(Any, item)
    renewed.funcargs = None
    if hasattr(renewed, "_initrequest"):
        renewed._initrequest()
    if hasattr(renewed, "_instance"):
        renewed._instance = None
        renewed._obj = None
    item.ihook.pytest_runtest_setup(item=item)
    item.ihook.pytest_runtest_call(item=item)
