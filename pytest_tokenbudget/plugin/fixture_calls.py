"""Model calls that belong to no test alone: of fixtures of a wider scope, and of work that began before the test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal
from weakref import ref

import pytest

from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import watching
from pytest_tokenbudget.measure.reading import Reader
from pytest_tokenbudget.plugin.pytest_internals import fixtures_in_use
from pytest_tokenbudget.providers.classify import body_limit
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.sample import OutsideCalls
from pytest_tokenbudget.settings import FixtureCallsMode

_NUMBERS = 1_000_000
"""Exchanges of each fixture are numbered apart from those of the sample and of other fixtures."""

_SETUP = re.compile(r"_(?:xunit|unittest)_(\w+?)_fixture_(.+)")


@dataclass(slots=True)
class _Use:
    """A fixture that was set up.

    Attributes:
        where: The fixture and its scope, in words.
        exchanges: What was sent meanwhile.
        recorder: The recorder of the sample in which it was set up; nothing where it was in none, or where that is over.
        owner: The test that used it first of those that share its calls.
    """

    where: str
    exchanges: tuple[Exchange, ...]
    recorder: Callable[[], Recorder | None]
    owner: str = ""


class FixtureCalls:
    """Watches fixtures of a wider scope while they are set up, whichever test asks for them first.

    Args:
        mode: To whom their calls are charged, where a test's marker does not say it.
        reader: Reads them.
    """

    def __init__(self, mode: FixtureCallsMode, reader: Reader) -> None:
        self._mode = mode
        self._reader = reader
        self._uses: dict[Any, _Use] = {}
        self._names: set[str] = set()
        self._setting_up: list[Recorder] = []

    @contextmanager
    def setting_up(
        self,
        fixturedef: pytest.FixtureDef[Any],
        *,
        recorder: Recorder | None,
        clock: Callable[[], float],
        mode: FixtureCallsMode | None,
    ) -> Iterator[None]:
        """Watch a fixture of a wider scope while it is set up, perhaps in a sample, whose recorder and clock are given."""
        where = _shown(fixturedef)
        self._names.add(where)
        mine = Recorder(clock=clock, body_limit=partial(body_limit, formats=self._reader.formats))
        with ExitStack() as stack:
            if recorder is not None and (mode or self._mode) == "apart":
                stack.enter_context(recorder.outside(where))
                recorder = None
            if self._setting_up:
                stack.enter_context(self._setting_up[-1].outside(where))
            stack.enter_context(watching(mine))
            self._setting_up.append(mine)
            stack.callback(self._setting_up.pop)
            yield
        if exchanges := mine.exchanges():
            self._uses[fixturedef] = _Use(where, exchanges, (lambda: None) if recorder is None else ref(recorder))

    def torn_down(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Forget a fixture that was torn down."""
        self._uses.pop(fixturedef, None)

    def charged_to(
        self, item: pytest.Item, recorder: Recorder, *, origin: float, mode: FixtureCallsMode | None
    ) -> tuple[Exchange, ...]:
        """Give what fixtures sent before the sample and what is charged to it, as if it had been sent at its start."""
        exchanges: list[Exchange] = []
        mode = mode or self._mode
        for number, use in enumerate(self._used_by(item, mode), start=1):
            charged = mode == "each" or (mode == "shared" and use.owner == item.nodeid)
            if charged and use.recorder() is not recorder:
                exchanges += (_moved(exchange, origin, -number * _NUMBERS) for exchange in use.exchanges)
        return tuple(exchanges)

    def seen_by(
        self, item: pytest.Item, recorder: Recorder, *, mode: FixtureCallsMode | None
    ) -> tuple[OutsideCalls, ...]:
        """List the calls of the fixtures that a test uses, and of work that began before it."""
        mode = mode or self._mode
        found = [
            self._read(use.where, "fixture", use.exchanges, _to_whom(use, item, mode))
            for use in self._used_by(item, mode)
        ]
        earlier: dict[str, list[Exchange]] = {}
        for where, exchange in recorder.outside_exchanges():
            if where not in self._names:
                earlier.setdefault(where, []).append(exchange)
        found += [self._read(where, "earlier", exchanges) for where, exchanges in earlier.items()]
        return tuple([calls for calls in found if calls.calls])

    def _used_by(self, item: pytest.Item, mode: FixtureCallsMode) -> list[_Use]:
        if not self._uses:
            return []
        used = [self._uses[fixturedef] for fixturedef in fixtures_in_use(item) if fixturedef in self._uses]
        for use in used if mode == "shared" else ():
            use.owner = use.owner or item.nodeid
        return used

    def _read(
        self, where: str, kind: Literal["fixture", "earlier"], exchanges: Iterable[Exchange], charged: str = ""
    ) -> OutsideCalls:
        calls = self._reader.read_all(exchanges, origin=0.0).calls
        read = [call.usage.input_tokens for call in calls]
        known = [tokens for tokens in read if tokens is not None]
        return OutsideCalls(
            where=where,
            kind=kind,
            calls=len(calls),
            input_tokens=sum(known) if len(known) == len(read) else None,
            models=tuple(dict.fromkeys(call.model or call.request_model for call in calls)),
            charged=charged,
        )


def _to_whom(use: _Use, item: pytest.Item, mode: FixtureCallsMode) -> str:
    """To whom the calls of a fixture are charged, ``""`` for nobody."""
    if mode == "each":
        return "this test, as to each that uses it"
    if mode == "shared" and use.owner == item.nodeid:
        return "this test, the first that uses it"
    return f"{use.owner}, the first that uses it" if mode == "shared" else ""


def _moved(exchange: Exchange, start: float, number: int) -> Exchange:
    later = start - exchange.started
    return replace(
        exchange,
        started=start,
        ended=exchange.ended + later,
        chunk_times=tuple(time + later for time in exchange.chunk_times),
        sequence=exchange.sequence + number,
        within=None if exchange.within is None else exchange.within + number,
    )


def _shown(fixturedef: pytest.FixtureDef[Any]) -> str:
    """The fixture in words; pytest makes fixtures of ``setup_class``, ``setUpClass`` and their like."""
    setup = _SETUP.fullmatch(fixturedef.argname)
    if setup is not None:
        return f"{setup[1]} of {setup[2]}"
    return f"fixture {fixturedef.argname!r} (scope {fixturedef.scope!r})"
