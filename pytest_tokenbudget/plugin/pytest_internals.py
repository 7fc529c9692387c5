"""Uses of pytest for which it has no public way, each in one place: to run a test again, to find what it keeps to itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import pytest
from _pytest.skipping import xfailed_key  # the key under which pytest keeps its evaluation of xfail marks


def plain_nodeid(item: pytest.Item) -> str:
    """The node id without the groups that pytest-xdist appends to it under ``--dist=loadgroup``."""
    plain = f"{item.parent.nodeid}::{item.name}" if item.parent is not None else item.nodeid
    return plain if item.nodeid.startswith(f"{plain}@") else item.nodeid


def can_run_again(item: pytest.Item) -> bool:
    """Tell whether a test can be run more than once in a process: doctests and other kinds of items use up what they hold."""
    return isinstance(item, pytest.Function)


def run_again(item: pytest.Item) -> None:
    """Tear the test's own fixtures down, set them up anew and run its body again.

    pytest's own hooks are used, and each phase is reported of as pytest does, so that other plugins take part;
    fixtures of wider scopes stay.

    Raises:
        BaseException: What the teardown, the setup or the body raises.
    """
    __tracebackhide__ = True
    # What stands above the test in the tree is given as the next item, so that only the test itself is torn down.
    torn = _run_phase(item, "teardown", nextitem=item.parent)
    _forget_fixtures(item)
    # Also after a teardown that failed: plugins (pytest's logging is one) put in place at setup what they take away at
    # teardown, and pytest itself will tear down once more.
    set_up = _run_phase(item, "setup")
    error = torn or set_up
    if error is not None:
        raise error
    item.ihook.pytest_runtest_call(item=item)


def _run_phase(item: pytest.Item, when: Literal["setup", "teardown"], **options: Any) -> BaseException | None:
    """Run a phase and make its report, which pytest's own ``tmp_path`` waits for; gives what was raised."""
    hook = partial(getattr(item.ihook, f"pytest_runtest_{when}"), item=item, **options)
    call = pytest.CallInfo.from_call(hook, when=when, reraise=(pytest.exit.Exception, KeyboardInterrupt))
    item.ihook.pytest_runtest_makereport(item=item, call=call)
    return None if call.excinfo is None else call.excinfo.value


def _forget_fixtures(item: pytest.Item) -> None:
    """Forget fixture values and the instance of the test's class, so that both are made anew."""
    renewed = cast(Any, item)
    renewed.funcargs = None
    if hasattr(renewed, "_initrequest"):
        renewed._initrequest()
    if vars(renewed).pop("_instance", None) is not None:
        renewed._obj = None


def fixtures_in_use(item: pytest.Item) -> tuple[Any, ...]:
    """The fixtures that a test has asked for so far, those that were set up for earlier tests included."""
    return tuple(getattr(getattr(item, "_request", None), "_fixture_defs", {}).values())


def call_after_own_fixtures(item: pytest.Item, callback: Callable[[], None]) -> None:
    """Have something called when the test's own fixtures are torn down, before those of a wider scope are.

    Args:
        item: The test, which is about to be set up.
        callback: What is called, once.
    """
    node = cast(Any, item)
    vars(item).pop("teardown", None)
    own = node.teardown

    def teardown() -> None:
        vars(item).pop("teardown", None)
        try:
            own()
        finally:
            callback()

    # pytest calls an item's `teardown` as the last of its finalizers, and those of the modules around it after that.
    node.teardown = teardown


def is_xfailed(item: pytest.Item) -> bool:
    """Tell whether the test is marked as expected to fail, so that it is left alone."""
    return item.stash.get(xfailed_key, None) is not None


def raise_kept(item: pytest.Item) -> None:
    """Raise what a unittest case raised, or how it was skipped: pytest keeps that until it makes the report."""
    __tracebackhide__ = True
    kept: list[Any] | None = getattr(item, "_excinfo", None)
    if kept:
        raise kept[0].value


def forget_kept(item: pytest.Item) -> None:
    """Forget what a unittest case raised: another failure takes its place."""
    kept: list[Any] | None = getattr(item, "_excinfo", None)
    if kept:
        kept.clear()
