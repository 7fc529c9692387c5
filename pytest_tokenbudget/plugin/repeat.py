"""Further samples of a test: its function-scoped fixtures anew each time, one result reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, cast

import pytest

from pytest_tokenbudget.compare.sequential import next_batch
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import FAILING, GateResult
from pytest_tokenbudget.settings import Settings


def sampling(
    budget: Budget, settings: Settings, samples: Sequence[Sample], gates_of: Callable[[], tuple[GateResult, ...]]
) -> Iterator[tuple[GateResult, ...]]:
    """Yield once for each further sample that is needed: the gates that are undecided, where they were just judged.

    Args:
        budget: What the test allows.
        settings: The session's options.
        samples: The samples so far; the caller adds to them between two steps.
        gates_of: Says what the gates say of the samples so far.
    """
    fixed = settings.samples or budget.samples
    if fixed is not None:
        while len(samples) < fixed:
            yield ()
        return
    # What is replayed or scripted is the same in every sample, and what replaces the baseline needs no confirmation.
    if settings.replaces or samples[-1].traffic != "live":
        return
    while any(sample.calls for sample in samples) and len(samples) < budget.max_samples:
        gates = gates_of()
        # What has failed already is not made better by more samples.
        wanted = 0 if any(gate.verdict in FAILING for gate in gates) else next_batch(gates)
        for taken in range(min(wanted, budget.max_samples - len(samples))):
            yield () if taken else tuple(gate for gate in gates if gate.more)
        if not wanted:
            return


def run_again(item: pytest.Item) -> None:
    """Tear the test's own fixtures down, set them up anew and run its body again.

    pytest's own hooks are used, and each phase is reported of as pytest does, so that other plugins take part;
    fixtures of wider scopes stay.

    Raises:
        BaseException: What the teardown, the setup or the body raises.
    """
    __tracebackhide__ = True
    # What stands above the test in the tree is given as the next item, so that only the test itself is torn down.
    torn = _phase(item, "teardown", nextitem=item.parent)
    _renew(item)
    # Also after a teardown that failed: plugins (pytest's logging is one) put in place at setup what they take away at
    # teardown, and pytest itself will tear down once more.
    set_up = _phase(item, "setup")
    error = torn or set_up
    if error is not None:
        raise error
    item.ihook.pytest_runtest_call(item=item)


def _phase(item: pytest.Item, when: Literal["setup", "teardown"], **options: Any) -> BaseException | None:
    """Run a phase and make its report, which pytest's own ``tmp_path`` waits for; gives what was raised."""
    hook = partial(getattr(item.ihook, f"pytest_runtest_{when}"), item=item, **options)
    call = pytest.CallInfo.from_call(hook, when=when, reraise=(pytest.exit.Exception, KeyboardInterrupt))
    item.ihook.pytest_runtest_makereport(item=item, call=call)
    return None if call.excinfo is None else call.excinfo.value


def _renew(item: pytest.Item) -> None:
    """Forget fixture values and the instance of the test's class, so that both are made anew."""
    renewed = cast(Any, item)
    renewed.funcargs = None
    if hasattr(renewed, "_initrequest"):
        renewed._initrequest()
    if vars(renewed).pop("_instance", None) is not None:
        renewed._obj = None
