"""Answers model calls from a cassette: the tokens of the request of now, the durations of the recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_tokenbudget.capture.answer import Fault, LocalAnswer, Outgoing
from pytest_tokenbudget.errors import Diverged, TokenBudgetError
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.replay.cassette import RecordedCall, load
from pytest_tokenbudget.replay.durations import Slope, slope_of
from pytest_tokenbudget.replay.matching import RECORD_AGAIN, Matcher, Wanted
from pytest_tokenbudget.replay.timing import Holder, Schedule
from pytest_tokenbudget.tokens.counter import Counter
from pytest_tokenbudget.wire.format import Request, WireFormat
from pytest_tokenbudget.wire.looks import unattributed
from pytest_tokenbudget.wire.provider import provider_of
from pytest_tokenbudget.wire.registry import request_of

_FAULTS: dict[str, Fault] = {
    "ConnectTimeout": "connect_timeout",
    "PoolTimeout": "connect_timeout",
    "ReadTimeout": "read_timeout",
    "WriteTimeout": "read_timeout",
    "TimeoutException": "read_timeout",
}


class Player:
    """Answers every model call from a cassette; none can leave.

    Args:
        path: The cassette.
        clock: Holds answers until they are due, in virtual time.
        formats: The wire formats.
        counter: Counts requests as they were counted when they were recorded.

    Raises:
        CassetteError: If the cassette cannot be read.
    """

    def __init__(self, path: Path, *, clock: Holder, formats: Sequence[WireFormat], counter: Counter) -> None:
        calls = load(path)
        self._path = path
        self._clock = clock
        self._formats = formats
        self._counter = counter
        self._matcher = Matcher(calls)
        self._slope: Slope | None = slope_of(calls)
        self._failures: list[TokenBudgetError] = []
        self._corrected = 0
        self._left_as_they_were = 0

    def answer(self, outgoing: Outgoing) -> LocalAnswer | None:
        """Answer a synchronous client; ``None`` for what is no model call.

        Raises:
            Diverged: If the cassette has no answer that fits.
        """
        prepared = self._prepare(outgoing)
        if prepared is None:
            return None
        prepared[1].before_head()
        return prepared[0]

    async def answer_async(self, outgoing: Outgoing) -> LocalAnswer | None:
        """Answer an asynchronous client; ``None`` for what is no model call.

        Raises:
            Diverged: If the cassette has no answer that fits.
        """
        prepared = self._prepare(outgoing)
        if prepared is None:
            return None
        await prepared[1].before_head_async()
        return prepared[0]

    def problem(self) -> TokenBudgetError | None:
        """Why the run does not fit the cassette, also where the agent swallowed the error; ``None`` where it does."""
        return self._failures[0] if self._failures else self._matcher.left_over()

    def notes(self) -> tuple[str, ...]:
        """What a reader of the projected times should know."""
        lines = []
        if self._corrected:
            lines.append(f"{self._corrected} recorded durations were corrected for requests of another size")
        if self._left_as_they_were:
            lines.append(
                f"{self._left_as_they_were} requests have another size than recorded; their durations were left as"
                " recorded, since the cassette does not tell how time depends on size"
            )
        return tuple(lines)

    def _prepare(self, outgoing: Outgoing) -> tuple[LocalAnswer, Schedule] | None:
        request = request_of(
            Exchange(outgoing.client, outgoing.method, outgoing.url, outgoing.headers, request_body=outgoing.body)
        )
        wire_format = next((known for known in self._formats if known.recognises(request)), None)
        if wire_format is None or request.body is None:
            if wire_format is not None or unattributed(request) is not None:
                raise self._fail(
                    Diverged(
                        f"{outgoing.method} {outgoing.url.partition('?')[0]} looks like a model call that {self._path.name}"
                        " cannot answer; nothing may leave in a replay",
                        remedy=RECORD_AGAIN,
                    )
                )
            return None
        try:
            return self._given(outgoing, wire_format, request)
        except Diverged as error:
            raise self._fail(error) from None

    def _fail(self, error: Diverged) -> Diverged:
        self._failures.append(error)
        return error

    def _given(self, outgoing: Outgoing, wire_format: WireFormat, request: Request) -> tuple[LocalAnswer, Schedule]:
        assert request.body is not None
        prompt = wire_format.prompt(request)
        tools = frozenset(tool.name for tool in prompt.tools) if prompt is not None else frozenset()
        api = getattr(wire_format, "api_of", lambda _: wire_format.api)(request)
        call = self._matcher.match(Wanted(outgoing.stage, api, request.body, tools))
        counted = call.counted_tokens
        if prompt is not None:
            counted = self._counter.count_prompt(prompt, provider=provider_of(request.url, api)).tokens
        later = self._correction(call, counted)
        schedule = self._schedule(call, later)
        fault: Fault | None = None
        if call.status is None:
            fault = _FAULTS.get(call.error or "", "connect_error")
        elif call.end == "cut":
            fault = "cut"
        answer = LocalAnswer(
            status=call.status or 0,
            headers=call.headers,
            chunks=call.chunks,
            before_chunk=schedule.before_chunk,
            before_chunk_async=schedule.before_chunk_async,
            fault=fault,
            answered_by="replay",
            token_basis=(call.input_tokens, call.counted_tokens),
        )
        return answer, schedule

    def _correction(self, call: RecordedCall, counted: int) -> float:
        """Virtual s by which the answer comes later, because its request is larger than the recorded one."""
        more = counted - call.counted_tokens
        if not more:
            return 0.0
        if self._slope is None:
            self._left_as_they_were += 1
            return 0.0
        self._corrected += 1
        first = call.times[0] if call.times else call.duration
        return max(self._slope.seconds_per_token * more, -first)

    def _schedule(self, call: RecordedCall, later: float) -> Schedule:
        times = tuple(time + later for time in call.times)
        head = times[0] if times else call.duration + later
        return Schedule(self._clock, self._clock(), head, times)
