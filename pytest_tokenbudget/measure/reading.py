"""Exchanges become calls: read by their wire format, given to a stage, counted where usage is missing, and priced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_tokenbudget.capture.network import is_loopback, split_port
from pytest_tokenbudget.capture.stage import checked_path, name_of
from pytest_tokenbudget.errors import SettingsError, TokenBudgetError
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.providers.classify import ReadExchange, polled, read, settled
from pytest_tokenbudget.providers.wire_format import FormatGroup, WireFormat
from pytest_tokenbudget.records.call import Call, Reading, Source, Usage
from pytest_tokenbudget.records.composition import Composition
from pytest_tokenbudget.records.exchange import Exchange, Unattributed, containers, likely_hops
from pytest_tokenbudget.records.prompt import Message, Prompt, Text
from pytest_tokenbudget.tokens.counter import Calibration, Counter

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.stage_rules import StageRule
    from pytest_tokenbudget.tokens.anatomy import SchemaReader

StageOf = Callable[[Exchange, Callable[[], Call], Callable[[], Prompt | None]], str]
"""Gives a call to a stage, from the exchange and, where they are asked for, the call without its tokens and the prompt."""


@dataclass(frozen=True, slots=True)
class ReadTraffic:
    """The calls and other traffic of a sample's exchanges.

    Attributes:
        calls: Calls and failed attempts.
        unattributed: Traffic that looks like model calls but could not be attributed.
        paid: Requests that cost money and are no calls of a language model; those that failed are left out.
        notes: Sentences on calls that may be counted twice.
    """

    calls: tuple[Call, ...]
    unattributed: tuple[Unattributed, ...]
    paid: tuple[Call, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """Reads exchanges.

    Attributes:
        formats: The wire formats, the first that recognises a request reads it.
        counter: Counts texts and composes prompts.
        prices: Prices calls.
        stage_of: Gives a call to its stage.
    """

    formats: Sequence[WireFormat]
    counter: Counter
    prices: PriceBook
    stage_of: StageOf

    @cached_property
    def schemas(self) -> SchemaReader:
        """Looks at the schemas of tools; made when the first prompt has tools."""
        from pytest_tokenbudget.tokens.anatomy import SchemaReader

        return SchemaReader(self.counter)

    def prepare(self) -> None:
        """Import what a call may need: within a sample that is read while it runs, an import would count as its time."""
        for group in self.formats:
            if isinstance(group, FormatGroup) and not group.rare:
                _ = group.formats
        self.counter.prepare()

    def read_all(self, exchanges: Iterable[Exchange], *, origin: float) -> ReadTraffic:
        """Read all exchanges of a sample.

        Args:
            exchanges: The exchanges in order of their starts.
            origin: The sample's start on the exchanges' clock, s.
        """
        kept = tuple(exchanges)
        polls = polled(kept, self.formats)
        looked_at = [(exchange, self._recognise(exchange, polls)) for exchange in kept]
        calls = [exchange for exchange, found in looked_at if isinstance(found, _Recognised) and found.is_call]
        hops = containers(kept, calls)
        unknown: dict[tuple[str, str, str], Unattributed] = {}
        recognised: list[_Recognised] = []
        paid: list[_Recognised] = []
        for exchange, found in looked_at:
            if found is None or exchange.sequence in hops:
                continue
            if isinstance(found, _Recognised):
                (recognised if found.is_call else paid).append(found)
                continue
            key = (found.host, found.path, found.reason)
            before = unknown.get(key)
            unknown[key] = replace(found, count=before.count + found.count) if before else found
        bought = [self._paid(each, origin=origin) for each in paid if each.error is None]
        notes = tuple(_may_count_twice([each.exchange for each in recognised])) if len(recognised) > 1 else ()
        return ReadTraffic(self._calls(recognised, origin), tuple(unknown.values()), tuple(bought), notes)

    def _calls(self, recognised: Sequence[_Recognised], origin: float) -> tuple[Call, ...]:
        """The calls and attempts; a request that is sent again after it failed is one more attempt."""
        seen = self._seen(recognised)
        failures: dict[tuple[str, str, str, bytes | None], int] = {}
        calls: list[Call] = []
        for each in recognised:
            call = self._call(each, origin=origin, compose=True, seen=seen)
            # Bodies are long: they are looked up only where something failed.
            if failures or not call.succeeded:
                work = (each.exchange.method, each.exchange.url, call.stage, each.exchange.request_body)
                attempt = failures.pop(work, 0)
                call = replace(call, attempt=attempt) if attempt else call
                if not call.succeeded:
                    failures[work] = attempt + 1
            calls.append(call)
        return tuple(calls)

    def read(self, exchange: Exchange, *, origin: float, compose: bool = True) -> Call | Unattributed | None:
        """Read one exchange by itself, while its sample still runs.

        Args:
            exchange: The exchange.
            origin: The sample's start on the exchange's clock, s.
            compose: Whether the prompt is to be split into its parts.

        Returns:
            A call or failed attempt; traffic that looks like a model call; or ``None`` for anything else.
        """
        found = self._recognise(exchange, {})
        if not isinstance(found, _Recognised):
            return found
        return self._call(found, origin=origin, compose=compose, seen=Calibration()) if found.is_call else None

    def _recognise(self, exchange: Exchange, polls: Mapping[str, Reading]) -> _Recognised | Unattributed | None:
        found = read(exchange, self.formats)
        if found is None or isinstance(found, Unattributed):
            return found
        if found.classified.kind == "auxiliary":
            return None
        reading = settled(found.reading, polls) if polls else found.reading
        exchange = _left(exchange, reading)
        return _Recognised(exchange, reading, failure(exchange, reading), found)

    def _seen(self, recognised: Sequence[_Recognised]) -> Calibration:
        """Note what the providers reported, where there are calls of which they reported nothing."""
        seen = Calibration()
        answered = [each for each in recognised if each.error is None]
        silent = {each.reading.request_model for each in answered if each.reported is None}
        for each in answered if silent else ():
            reported = each.reported
            if reported is None or each.reading.request_model not in silent:
                continue
            if (prompt := each.prompt()) is not None:
                provider = each.reading.provider
                prompt = self.counter.prompt_to(each.reading.model, prompt, provider=provider)
                self.counter.observe(prompt, provider=provider, reported=reported, seen=seen)
        return seen

    def _paid(self, found: _Recognised, *, origin: float) -> Call:
        """A paid request; what it costs is known where its answer says so."""
        known = found.known(origin)
        stage = self.stage_of(found.exchange, lambda: Call(found.exchange.stage, **known), found.prompt)
        return Call(stage, usage=found.reading.usage, cost=found.reading.billed.cost, **known)

    def _call(self, found: _Recognised, *, origin: float, compose: bool, seen: Calibration) -> Call:
        reading = found.reading
        known = found.known(origin)
        stage = self.stage_of(found.exchange, lambda: Call(found.exchange.stage, **known), found.prompt)
        if found.error is not None:
            return Call(stage, **known)
        usage, input_source, composition = self._input(found, compose=compose, seen=seen)
        usage, output_source = self._output(reading, usage)
        priced = self.prices.price(
            reading.provider, reading.model or reading.request_model, usage, api=reading.api, billed=reading.billed
        )
        return Call(
            stage,
            usage=usage,
            input_source=input_source,
            output_source=output_source,
            composition=composition,
            prompt=found.prompt() if composition is not None else None,
            cost=priced.usd,
            cost_problem=priced.reason,
            **known,
        )

    def _input(
        self, found: _Recognised, *, compose: bool, seen: Calibration
    ) -> tuple[Usage, Source | None, Composition | None]:
        usage, provider, basis = found.reading.usage, found.reading.provider, found.exchange.token_basis
        tokens, composition = found.reported, None
        source: Source | None = "provider" if basis is None else "calibrated"
        asked = found.prompt() if compose or tokens is None else None
        if tokens is None and asked is None:
            source = None
        elif tokens is None and asked and basis and basis.recorded and basis.counted is not None:
            counted = self.counter.count_prompt(asked, provider=provider).tokens
            tokens = calibrated(counted, basis.recorded, basis.counted)
        elif tokens is None:
            source = "counted"
        if asked is not None:
            asked = self.counter.prompt_to(found.reading.model, asked, provider=provider)
            if compose:
                composition = self.counter.compose(asked, provider=provider, input_tokens=tokens, seen=seen)
                tokens = composition.input_tokens
            elif tokens is None:
                tokens = self.counter.estimate_prompt(asked, provider=provider, seen=seen).tokens
        if found.reported is None:
            usage = _with_input(usage, tokens)
        elif usage.input_tokens != tokens:
            usage = replace(usage, input_tokens=tokens)
        return usage, source, composition

    def _output(self, reading: Reading, usage: Usage) -> tuple[Usage, Source | None]:
        if usage.output_tokens or (usage.output_tokens == 0 and not reading.output_text):
            return usage, "provider"
        if reading.operation == "embeddings" or not reading.output_text:
            return usage, None
        model = reading.model or reading.request_model
        counted = self.counter.count_text(reading.output_text, provider=reading.provider, model=model)
        return replace(usage, output_tokens=counted.tokens), "counted"


def _with_input(usage: Usage, tokens: int | None) -> Usage:
    """The usage with another input, of which no part is larger than the whole."""
    if tokens is None:
        return replace(usage, input_tokens=None)
    cached = None if usage.cached_input_tokens is None else min(usage.cached_input_tokens, tokens)
    left = tokens - (cached or 0)
    written = None if usage.cache_write_tokens is None else min(usage.cache_write_tokens, left)
    return replace(usage, input_tokens=tokens, cached_input_tokens=cached, cache_write_tokens=written)


@dataclass(frozen=True, slots=True)
class _Recognised:
    """An exchange that is a call, a failed attempt or another paid request."""

    exchange: Exchange
    reading: Reading
    error: str | None
    found: ReadExchange

    def prompt(self) -> Prompt | None:
        """The prompt of the request."""
        return self.found.classified.prompt()

    def known(self, origin: float) -> dict[str, Any]:
        """The fields of its :class:`Call` that need neither its stage nor its tokens."""
        exchange, reading = self.exchange, self.reading
        return {
            "provider": reading.provider,
            "api": reading.api,
            "operation": reading.operation,
            "model": reading.model,
            "request_model": reading.request_model,
            "stream": reading.stream,
            "status": exchange.status,
            "error": self.error,
            "started": exchange.started - origin,
            "latency": exchange.ended - exchange.started,
            "ttft": self.found.ttft,
            "billed": reading.billed,
            "tool_calls": reading.tool_calls,
            "server_tool_calls": reading.server_tool_calls,
            "finish_reason": reading.finish_reason,
            "problems": reading.problems,
            "answered_by": exchange.answered_by,
            "max_output_tokens": self.found.classified.request.max_output_tokens,
            "estimated": exchange.token_basis is not None and exchange.token_basis.estimated,
        }

    @property
    def is_call(self) -> bool:
        """Tell whether it is a call of a language or embedding model, not another paid request."""
        return self.reading.operation != "other"

    @property
    def reported(self) -> int | None:
        """The provider's own input tokens for this very request; ``None`` where it has to be counted here.

        Of a replayed request that is the recorded number, as long as the request is the recorded one. What a mock
        answers was said of another request. A server that says 0 has not counted: every prompt has tokens.
        """
        basis = self.exchange.token_basis
        if basis is not None:
            return (basis.recorded or None) if basis.counted is None else None
        return None if self.exchange.answered_by == "mock" else self.reading.usage.input_tokens or None


def _left(exchange: Exchange, reading: Reading) -> Exchange:
    """An exchange whose answer was whole, though its consumer neither read to the end of the body nor closed it.

    Some SDKs go away with the event that says why the model stopped, and leave the connection to the garbage collector,
    or are cancelled while they wait for the end of the body. The call ended with the last piece that arrived.
    """
    if exchange.end not in ("open", "cancelled") or reading.finish_reason is None or not exchange.chunk_times:
        return exchange
    return replace(exchange, end="closed", ended=exchange.chunk_times[-1])


def failure(exchange: Exchange, reading: Reading) -> str | None:
    """Why an exchange is a failed attempt and not a call; ``None`` for a call.

    A stream that its consumer left is a call, whether closed or still open: the model was used and answered.
    """
    if exchange.end in ("failed", "cut"):
        return exchange.error or exchange.end
    if exchange.end == "cancelled":
        return "cancelled"
    if exchange.status is None:
        return exchange.error or "no response"
    if exchange.status >= 400:
        return f"http {exchange.status}"
    return reading.error


def calibrated(counted_now: int, recorded: int, counted_then: int) -> int:
    """The input tokens of a replayed request.

    The recorded provider's number plus the local difference, times the recorded ratio of provider to local count; so
    an unchanged request has exactly the provider's number.

    Args:
        counted_now: Local count of the request that the agent built now.
        recorded: The provider's number in the recording.
        counted_then: Local count of the recorded request.

    Returns:
        Tokens, rounded half up, at least 0.
    """
    if counted_then <= 0:
        return recorded + counted_now
    change = Fraction(recorded * (counted_now - counted_then), counted_then)
    return max(0, int(recorded + change + Fraction(1, 2)))


@dataclass(frozen=True, slots=True)
class StageFinder:
    """Gives a call to its stage: the one open in code, else by a rule, the hook or OpenTelemetry's agent, else ``main``.

    A call of another process that none of them finds is in the stage that was open in the test.

    Attributes:
        rules: Stages by configuration.
        hook: The hook ``pytest_tokenbudget_stage``; it is given what makes the call.
    """

    rules: tuple[StageRule, ...]
    hook: Callable[[Callable[[], Call]], object]

    def __call__(self, exchange: Exchange, call: Callable[[], Call], prompt: Callable[[], Prompt | None]) -> str:
        """The path of a call's stage.

        Raises:
            SettingsError: If the hook gives something that is no stage.
        """
        if exchange.stage:
            return exchange.stage
        if self.rules:
            from pytest_tokenbudget.capture.stage_rules import resolve_stage

            asked = prompt() if any(rule.kind == "system" for rule in self.rules) else None
            model = call().model or call().request_model
            found = resolve_stage(
                self.rules, code_stage="", url=exchange.url, model=model, system_text=_system_text(asked)
            )
            if found:
                return found
        named = self.hook(call)
        if not named:
            return name_of(exchange.agent) if exchange.agent else exchange.surrounding_stage or "main"
        try:
            return checked_path(named)
        except TokenBudgetError as error:
            raise SettingsError(f"pytest_tokenbudget_stage: {error.message}", remedy=error.remedy) from None


def _system_text(prompt: Prompt | None) -> str:
    if prompt is None:
        return ""
    return "\n".join(_text(message) for message in prompt.messages if message.role == "system")


def _text(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, Text))


def _may_count_twice(calls: Sequence[Exchange]) -> Iterator[str]:
    """Say which servers of this machine may pass the question on, so that one model call is counted for both requests."""
    for server, asked in likely_hops(calls, lambda host: is_loopback(split_port(host)[0])).items():
        yield (
            f"{server} was asked as a model, and during each of its answers {', '.join(asked)} was asked, too: if it passes the"
            " question on, this counts twice; ask the app through a transport without a network (TestClient, ASGITransport),"
            " and it counts once"
        )
