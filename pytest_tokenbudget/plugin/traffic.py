"""Chooses where the model's answers come from in a test (network, cassette or script), and by which clock it is timed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_tokenbudget.baselines.paths import cassette_directory, cassette_file_name
from pytest_tokenbudget.capture.network import HostRules, recorded_hosts
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import bypasses, unwatched_clients
from pytest_tokenbudget.errors import CassetteError, TokenBudgetError
from pytest_tokenbudget.files import shown_path
from pytest_tokenbudget.measure.reading import Reader
from pytest_tokenbudget.plugin.context import SessionContext
from pytest_tokenbudget.plugin.pytest_internals import plain_nodeid
from pytest_tokenbudget.providers.classify import serves_models
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.records.sample import Unseen
from pytest_tokenbudget.settings import Settings, is_ci, server_slots
from pytest_tokenbudget.tokens.counter import Counter

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.local_answer import Answerer
    from pytest_tokenbudget.capture.stage_rules import StageRule
    from pytest_tokenbudget.replay.clock import VirtualClock
    from pytest_tokenbudget.replay.script import ScriptedModel


SCRIPT_FIXTURE = "scripted_llm"


@dataclass(frozen=True, slots=True)
class ChosenCassette:
    """A test's cassette, and whether this run records it, as opposed to playing it."""

    path: Path
    records: bool


@dataclass(slots=True)
class Traffic:
    """The source of one sample's answers.

    Attributes:
        clock: The sample's clock, s: the real one, or a projection.
        answerer: Who answers instead of the network, if anybody does.
        virtual: The clock where it is a projection.
        script: The scripted model that answers, if one does.
        cassette: The cassette, if there is one.
        host_rules: Hosts that may not be reached, where answers are given locally.
        notes: Gives what a reader of the projected times should know.
        notices: Gives what makes the projected times doubtful, which is shown also where nothing fails.
        failure: Asked when the test's body has ended: the first request that could not be answered, ``None`` where all were.
        left_over: Asked likewise: the answers that nobody asked for. A body that failed may have left some over.
    """

    clock: Callable[[], float] = time.perf_counter
    answerer: Answerer | None = None
    virtual: VirtualClock | None = None
    script: ScriptedModel | None = None
    cassette: ChosenCassette | None = None
    host_rules: HostRules | None = None
    notes: Callable[[], tuple[str, ...]] = tuple
    notices: Callable[[], tuple[str, ...]] = tuple
    failure: Callable[[], TokenBudgetError | None] = lambda: None
    left_over: Callable[[], TokenBudgetError | None] = lambda: None


@contextmanager
def traffic_for(item: pytest.Item, budget: Budget, context: SessionContext, *, recorded: bool) -> Iterator[Traffic]:
    """Open the traffic of one sample; a cassette that this run has recorded already is played.

    Raises:
        CassetteError: If a cassette is to be played that is not there or cannot be read.
    """
    if SCRIPT_FIXTURE in getattr(item, "fixturenames", ()):
        from pytest_tokenbudget.replay.clock import VirtualClock

        with VirtualClock(scale=context.settings.time_scale) as clock:
            model = scripted_model(clock, context.reader.counter, context.reader.formats, context.stage_rules)
            yield Traffic(
                clock,
                model,
                virtual=clock,
                script=model,
                host_rules=host_rules(context),
                failure=model.failure,
                left_over=model.unconsumed,
            )
        return
    cassette = choose_cassette(item, budget, context.settings, recorded=recorded)
    if cassette is None or cassette.records:
        yield Traffic(cassette=cassette)
        return
    from pytest_tokenbudget.replay.clock import VirtualClock
    from pytest_tokenbudget.replay.player import Player
    from pytest_tokenbudget.replay.redaction import compile_patterns

    with VirtualClock(scale=context.settings.time_scale) as clock:
        reader = context.reader
        patterns = compile_patterns(context.settings.redact)
        player = Player(
            cassette.path,
            clock=clock,
            formats=reader.formats,
            counter=reader.counter,
            patterns=patterns,
            limit=int(context.settings.cassette_limit),
            slots_of=lambda host: server_slots(context.settings.server_slots, host),
        )
        yield Traffic(
            clock,
            player,
            virtual=clock,
            cassette=cassette,
            host_rules=host_rules(context, recorded=player.hosts),
            failure=player.failure,
            left_over=player.left_over,
            notes=player.notes,
            notices=player.notices,
        )


def host_rules(context: SessionContext, *, recorded: Iterable[str] = ()) -> HostRules:
    """Tell which hosts a run may not reach whose model is answered for; those of recorded calls are among them."""
    settings, formats = context.settings, context.reader.formats
    return HostRules(
        is_model_host=lambda host: serves_models(host, formats),
        refused=(*settings.refuse_hosts, *recorded_hosts(recorded)),
        allowed=settings.allow_hosts,
    )


def choose_cassette(
    item: pytest.Item, budget: Budget, settings: Settings, *, recorded: bool = False
) -> ChosenCassette | None:
    """Choose the cassette of a test and what becomes of it; ``None`` where its traffic is live.

    Raises:
        CassetteError: If it is to be played and is not there, and may not be recorded.
    """
    mode = settings.traffic
    if mode == "live" or (budget.replay is None and mode != "replay"):
        return None
    path = cassette_path(item, budget.replay)
    if recorded:
        return ChosenCassette(path, records=False)
    if mode == "record":
        return ChosenCassette(path, records=True)
    if path.exists():
        return ChosenCassette(path, records=False)
    if mode == "replay" or is_ci(os.environ):
        raise CassetteError(
            f"{item.nodeid}: no cassette {shown_path(path, item.config.rootpath)}",
            remedy=f"pytest {item.nodeid.partition('::')[0]} --tokenbudget-traffic=record, and commit the file",
        )
    return ChosenCassette(path, records=True)


def cassette_path(item: pytest.Item, name: str | None) -> Path:
    """Path of a test's cassette: under the name that its marker gives, else under the test's own."""
    own = f"{item.path.stem}.{plain_nodeid(item).partition('::')[2]}"
    return cassette_directory(item.path) / cassette_file_name(name or own)


def write_cassette(path: Path, exchanges: Sequence[Exchange], reader: Reader, settings: Settings) -> None:
    """Write the model calls of a run.

    Raises:
        CassetteError: If it may not, or cannot, be written; what stood there stays.
        SettingsError: If an option about secrets cannot be understood.
    """
    from pytest_tokenbudget.replay.recording import record, save
    from pytest_tokenbudget.replay.redaction import compile_patterns
    from pytest_tokenbudget.replay.secrets import allowed_secrets

    limit = int(settings.cassette_limit)
    save(
        path,
        record(exchanges, reader.formats, reader.counter, limit=limit),
        compile_patterns(settings.redact),
        allowed=allowed_secrets(settings.allow_secret),
        limit=limit,
    )


def scripted_model(
    clock: VirtualClock,
    counter: Counter,
    formats: Sequence[WireFormat] | None = None,
    rules: Sequence[StageRule] = (),
) -> ScriptedModel:
    """Make a script without answers yet, whose usage is counted and whose stages follow the configuration."""
    from pytest_tokenbudget.replay.script import ScriptedModel

    def count(prompt: Prompt, provider: str) -> int:
        return counter.count_prompt(prompt, provider=provider).tokens

    def count_text(provider: str, model: str, text: str) -> int:
        return counter.count_text(text, provider=provider, model=model).tokens

    return ScriptedModel(clock=clock, count=count, count_text=count_text, formats=formats, rules=rules)


def unseen_of(item: pytest.Item, recorder: Recorder, budget: Budget, context: SessionContext) -> Unseen:
    """Put together what a sample's recorder and the watched clients know of what was not seen."""
    connections = recorder.connections.noted()
    rules = host_rules(context) if connections else None
    return Unseen(
        connections=connections,
        model_connections=tuple([one for one in connections if rules and rules.serves_models(one.host, one.port)]),
        clients=unwatched_clients(),
        bypasses=(*bypasses(), *dict.fromkeys(recorder.connections.bypasses)),
        outside=context.fixture_calls.seen_by(item, recorder, mode=budget.fixture_calls),
    )
