"""One execution of a test, measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_tokenbudget.records.advice import SchemaAnatomy
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import StageComposition
from pytest_tokenbudget.records.exchange import Unattributed

Traffic = Literal["live", "replay", "scripted"]
Values = dict[str, float | int | None]
"""Metric name -> value of one stage or of the whole test; ``None`` is unknown."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a stage was open, s on the sample's clock."""

    stage: str
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a scenario: its number from 1, what was asked, and what it cost."""

    number: int
    values: Values


@dataclass(frozen=True, slots=True)
class Connection:
    """Connections that belong to no watched client.

    Attributes:
        host: Name of the host, its address where no name is known.
        port: Its port.
        opened_by: The library that opened them, and the line of the application that called it.
        count: How many.
    """

    host: str
    port: int | None = None
    opened_by: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class OutsideCalls:
    """Model calls that were seen in a sample and belong to something else.

    Attributes:
        where: What they belong to: ``"fixture 'index' (scope 'session')"``, ``"thread 'poller'"``.
        kind: A fixture of a wider scope, or work that began before the sample.
        calls: How many.
        input_tokens: All that they read, ``None`` where that is not known.
        models: Their models.
        charged: To whom they are charged, in words; ``""`` for nobody.
    """

    where: str
    kind: Literal["fixture", "earlier"]
    calls: int
    input_tokens: int | None = None
    models: tuple[str, ...] = ()
    charged: str = ""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Traffic of a sample that was not seen, or was seen and belongs to something else.

    Attributes:
        connections: Connections that belong to no watched client.
        model_connections: Those of them that go to a host that serves models.
        clients: Client libraries that are imported and cannot be watched.
        bypasses: What stands in the place of a watched method, so that requests do not pass it.
        outside: Calls that belong to something else.
    """

    connections: tuple[Connection, ...] = ()
    model_connections: tuple[Connection, ...] = ()
    clients: tuple[str, ...] = ()
    bypasses: tuple[str, ...] = ()
    outside: tuple[OutsideCalls, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One execution of a test, from its function-scoped fixtures on.

    Attributes:
        calls: Calls and failed attempts in the order in which they started.
        total: Metrics of the whole test.
        stages: Metrics by stage path; a stage's figures hold those of the stages inside it.
        composition: Composition of each stage's own calls, by stage path.
        pooled: Single values that are pooled over samples, by stage and metric (``call_latency``, ``ttft``), s.
        outcomes: What the agent achieved (``budget.outcome``).
        traffic: Where the answers came from.
        paid: Requests that cost money and are no calls of a language model (images, speech, ranking, agents).
        unattributed: Traffic that looks like model calls and that no format reads.
        hosts: Hosts that were contacted, with the number of requests.
        turns: Turns of a scenario.
        messages: Notes for the reader.
        unseen: What was not seen, or belongs to something else.
        own_time: s of the agent's own code, as measured on the real clock.
        windows: Start and end of each time in which a stage was open, by stage path, s since the sample's start; the whole
            test's call phase stands under ``""``. A stage that only a rule gave its calls to has none.
        schemas: How the schemas of the larger tools are made up, by tool.
    """

    calls: tuple[Call, ...] = ()
    total: Values = field(default_factory=dict)
    stages: dict[str, Values] = field(default_factory=dict)
    composition: dict[str, StageComposition] = field(default_factory=dict)
    pooled: dict[str, dict[str, tuple[float, ...]]] = field(default_factory=dict)
    outcomes: dict[str, Any] = field(default_factory=dict)
    traffic: Traffic = "live"
    paid: tuple[Call, ...] = ()
    unattributed: tuple[Unattributed, ...] = ()
    hosts: dict[str, int] = field(default_factory=dict)
    turns: tuple[Turn, ...] = ()
    messages: tuple[str, ...] = ()
    unseen: Unseen = Unseen()
    own_time: float | None = None
    windows: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    schemas: dict[str, SchemaAnatomy] = field(default_factory=dict)
