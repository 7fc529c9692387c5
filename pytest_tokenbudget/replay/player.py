"""Answers model calls from a cassette: the tokens of the request of now, the durations of the recording."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.capture.answer import LocalAnswer, Outgoing
from pytest_tokenbudget.errors import Diverged, TokenBudgetError
from pytest_tokenbudget.measure.reading import calibrated
from pytest_tokenbudget.providers.classify import Classified, classify
from pytest_tokenbudget.providers.request import Request, parse_request, split_url
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.records.exchange import TokenBasis
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.replay.auxiliary import AuxiliaryAnswers
from pytest_tokenbudget.replay.cassette import read_cassette
from pytest_tokenbudget.replay.matching import RECORD_AGAIN, Matcher, Wanted
from pytest_tokenbudget.replay.secrets import Redactor
from pytest_tokenbudget.replay.slope import Slope, slopes
from pytest_tokenbudget.replay.take import Take
from pytest_tokenbudget.replay.timing import Holder, Schedule
from pytest_tokenbudget.tokens.counter import Counter

if TYPE_CHECKING:
    import re

FOREVER = 1e6
"""Virtual s after which an answer that the agent never got is asked for in earnest."""


class Player:
    """Answers every model call from a cassette; none can leave.

    Args:
        path: The cassette.
        clock: Holds answers until they are due, in virtual time.
        formats: The wire formats.
        counter: Counts requests.
        patterns: What was redacted in the recording is in the requests of now too.

    Raises:
        CassetteError: If the cassette cannot be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Holder,
        formats: Sequence[WireFormat],
        counter: Counter,
        patterns: Sequence[re.Pattern[str]] = (),
    ) -> None:
        takes = read_cassette(path)
        self._redactor = Redactor(tuple(patterns))
        self._clock = clock
        self._formats = tuple(formats)
        self._counter = counter
        self._recorded = {id(take): self._classified(take) for take in takes}
        auxiliary = [take for take in takes if self._recorded[id(take)].kind == "auxiliary"]
        others = [take for take in takes if self._recorded[id(take)].kind != "auxiliary"]
        self._matcher = Matcher(others, self._prompt_of)
        self._auxiliary = AuxiliaryAnswers(auxiliary, others)
        self._slopes: dict[str, Slope] = slopes(takes)
        self._failures: list[TokenBudgetError] = []
        self._corrected: Tally[str] = Tally()
        self._left_alone: Tally[str] = Tally()

    def answer(self, outgoing: Outgoing) -> LocalAnswer | None:
        """Answer a synchronous client; ``None`` for what is no model call.

        Raises:
            Diverged: If the cassette has no answer that fits.
        """
        prepared = self._prepare(outgoing)
        if prepared is None:
            return None
        take, given, schedule = prepared
        schedule.before_head()
        self._still_there(take)
        return given

    async def answer_async(self, outgoing: Outgoing) -> LocalAnswer | None:
        """Answer an asynchronous client; ``None`` for what is no model call.

        Raises:
            Diverged: If the cassette has no answer that fits.
        """
        prepared = self._prepare(outgoing)
        if prepared is None:
            return None
        take, given, schedule = prepared
        await schedule.before_head_async()
        self._still_there(take)
        return given

    def problem(self) -> TokenBudgetError | None:
        """Why the run does not fit the cassette, also where the agent swallowed the error; ``None`` where it does."""
        return self._failures[0] if self._failures else self._matcher.left_over()

    def notes(self) -> tuple[str, ...]:
        """What a reader of the projected times should know."""
        corrected = [
            f"durations of {count} calls to {model} were corrected by {self._slopes[model].seconds_per_token * 1e3:.3g} ms"
            f" an input token, as {self._slopes[model].calls} recorded calls tell"
            for model, count in sorted(self._corrected.items())
        ]
        left = [
            f"{count} calls to {model} have another size than recorded; their durations are as recorded, since the"
            " cassette does not tell how they depend on size"
            for model, count in sorted(self._left_alone.items())
        ]
        return (*corrected, *left)

    def _prepare(self, outgoing: Outgoing) -> tuple[Take, LocalAnswer, Schedule] | None:
        found = classify(parse_request(outgoing.method, outgoing.url, outgoing.headers, outgoing.body), self._formats)
        if found.kind == "other":
            return None
        if found.kind == "auxiliary":
            return self._prepare_auxiliary(found.request)
        body = self._redactor.value(found.request.body)
        try:
            take = self._matcher.match(Wanted(outgoing.stage, found.api, body, found.prompt, found.request.path))
        except Diverged as error:
            raise self._fail(error) from None
        basis = self._basis(take, same=take.body == body)
        return self._played(take, self._later(take, basis, found), basis)

    def _prepare_auxiliary(self, request: Request) -> tuple[Take, LocalAnswer, Schedule] | None:
        try:
            take = self._auxiliary.match(request)
        except Diverged as error:
            raise self._fail(error) from None
        return None if take is None else self._played(take, 0.0, None)

    def _played(self, take: Take, later: float, basis: TokenBasis | None) -> tuple[Take, LocalAnswer, Schedule]:
        schedule = self._schedule(take, later)
        given = LocalAnswer(
            status=take.status,
            headers=take.headers,
            chunks=take.chunks,
            before_chunk=schedule.before_chunk,
            before_chunk_async=schedule.before_chunk_async,
            fault=take.fault,
            answered_by="replay",
            token_basis=basis,
        )
        return take, given, schedule

    def _still_there(self, take: Take) -> None:
        """An answer that the agent did not wait for when it was recorded is not known."""
        if take.ending == "abandoned":
            raise self._fail(
                Diverged(
                    f"the recorded run gave up on a call to {take.model} after {take.duration:.3g} s, and this one waits"
                    " for its answer, which is not known",
                    remedy=RECORD_AGAIN,
                )
            )

    def _fail(self, error: Diverged) -> Diverged:
        self._failures.append(error)
        return error

    def _basis(self, take: Take, *, same: bool) -> TokenBasis:
        """What the request's tokens are reckoned from; only one that changed has to be counted.

        Without a count of then there is nothing to compare with, and the recorded number is not trusted.
        """
        if take.input_tokens is None or same:
            return TokenBasis(take.input_tokens)
        counted = self._counted_then(take)
        return TokenBasis(None) if counted is None else TokenBasis(take.input_tokens, counted)

    def _counted_then(self, take: Take) -> int | None:
        """The recorded request, counted as requests are counted now, so that an improved count moves no number.

        Where something was redacted the request is not what was sent; then the count of the recording stands.
        """
        recorded = self._recorded[id(take)]
        return take.counted_tokens if take.redacted else self._count(recorded, take.provider)

    def _count(self, found: Classified, provider: str) -> int | None:
        """Local count of a request's input tokens, ``None`` where it cannot be counted."""
        prompt = found.prompt()
        return None if prompt is None else self._counter.count_prompt(prompt, provider=provider).tokens

    def _later(self, take: Take, basis: TokenBasis, found: Classified) -> float:
        """Virtual s by which the answer comes later (earlier: below 0), because its request has another size."""
        counted_then, recorded = basis.counted, basis.recorded
        if not counted_then or recorded is None:
            return 0.0
        counted_now = self._count(found, take.provider)
        if counted_now is None or counted_now == counted_then:
            return 0.0
        slope = self._slopes.get(take.model)
        if slope is None:
            self._left_alone[take.model] += 1
            return 0.0
        self._corrected[take.model] += 1
        more = calibrated(counted_now, recorded, counted_then) - recorded
        first = take.times[0] if take.times else take.duration
        return max(slope.seconds_per_token * more, -first)

    def _schedule(self, take: Take, later: float) -> Schedule:
        if take.ending == "abandoned" and not take.chunks:
            return Schedule(self._clock, self._clock(), FOREVER)
        times = tuple(time + later for time in take.times)
        return Schedule(self._clock, self._clock(), times[0] if times else take.duration + later, times)

    def _prompt_of(self, take: Take) -> Prompt | None:
        return self._recorded[id(take)].prompt()

    def _classified(self, take: Take) -> Classified:
        return classify(Request(take.method, split_url(take.url), {}, take.body), self._formats)
