"""Answers model calls from a cassette: with the tokens of the request of now and the durations of the recording."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.capture.local_answer import LocalAnswer, Outgoing
from pytest_tokenbudget.errors import Diverged, TokenBudgetError
from pytest_tokenbudget.measure.reading import calibrated
from pytest_tokenbudget.providers.classify import Classified, classify
from pytest_tokenbudget.providers.http_message import Request, parse_request, split_url
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.records.exchange import TokenBasis
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.replay.cassette import DEFAULT_LIMIT, read_cassette
from pytest_tokenbudget.replay.interaction import Interaction
from pytest_tokenbudget.replay.matching import RECORD_AGAIN, AuxiliaryAnswers, Matcher, Wanted
from pytest_tokenbudget.replay.projection import ServerLoad, Slope, slopes
from pytest_tokenbudget.replay.redaction import Redactor
from pytest_tokenbudget.replay.response_caches import active_response_caches
from pytest_tokenbudget.replay.timing import Holder, Prepared, Schedule, TimedAnswerer
from pytest_tokenbudget.tokens.counter import Counter
from pytest_tokenbudget.wording import counted

if TYPE_CHECKING:
    import re

NEVER_ANSWERED_S = 1e6
"""Virtual s for which a call is held whose answer the agent did not wait for when it was recorded."""


class Player(TimedAnswerer):
    """Answers every model call from a cassette; none can leave.

    Args:
        path: The cassette.
        clock: Holds answers until they are due, in virtual time.
        formats: The wire formats.
        counter: Counts requests.
        patterns: What was redacted in the recording is in the requests of now too.
        limit: How large the cassette may be, bytes.
        slots_of: Tells how many calls a host works on at a time, ``None`` where that is not known.

    Attributes:
        hosts: Hosts of the recorded model calls, with ports where there are any.

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
        limit: int = DEFAULT_LIMIT,
        slots_of: Callable[[str], int | None] = lambda host: None,
    ) -> None:
        interactions = read_cassette(path, limit=limit)
        self._redactor = Redactor(tuple(patterns))
        self._clock = clock
        self._formats = tuple(formats)
        self._counter = counter
        self._classified = {id(one): self._classify(one) for one in interactions}
        auxiliary = [one for one in interactions if self._classified[id(one)].kind == "auxiliary"]
        others = [one for one in interactions if self._classified[id(one)].kind != "auxiliary"]
        self.hosts = frozenset(split_url(one.url).netloc for one in others)
        self._matcher = Matcher(others, self._prompt_of)
        self._auxiliary = AuxiliaryAnswers(auxiliary, others)
        self._slopes: dict[str, Slope] = slopes(interactions)
        self._load = ServerLoad(others, slots_of)
        self._failures: list[TokenBudgetError] = []
        self._corrected: Tally[str] = Tally()
        self._not_corrected: Tally[str] = Tally()

    def failure(self) -> TokenBudgetError | None:
        """Give the error of the first request that has no answer, also where the agent swallowed it; ``None`` for none."""
        return self._failures[0] if self._failures else None

    def left_over(self) -> TokenBudgetError | None:
        """Say which recorded calls the run did not make; ``None`` where it made all."""
        left_over = self._matcher.left_over()
        if left_over is None:
            return None
        caches = active_response_caches()
        if caches:
            return Diverged(
                f"{left_over.message}: a cache of a framework may have answered instead",
                remedy=f"switch it off in tests ({'; '.join(caches)}); else {left_over.remedy}",
            )
        return left_over

    def notices(self) -> tuple[str, ...]:
        """Say what makes the figures doubtful: calls beyond the recording, more at once than when they were recorded."""
        beyond = tuple(
            f"{counted(count, 'call')} beyond the recording in stage {stage or 'main'!r}: answered with a recorded answer of"
            f" the same kind, so the figures are estimated; `{RECORD_AGAIN}` makes them exact"
            for stage, count in sorted(self._matcher.estimates.items())
        )
        return (*beyond, *self._load.notices())

    def notes(self) -> tuple[str, ...]:
        """Say what a reader of the projected times should know."""
        corrected = [
            f"durations of {counted(count, 'call')} to {model} were corrected by {self._slopes[model].seconds_per_token * 1e3:.3g} ms"
            f" an input token, as {self._slopes[model].calls} recorded calls tell"
            for model, count in sorted(self._corrected.items())
        ]
        left = [
            f"{counted(count, 'call')} to {model} with another size than recorded: durations are as recorded, since the"
            " cassette does not tell how they depend on size"
            for model, count in sorted(self._not_corrected.items())
        ]
        return (*corrected, *left)

    def prepare(self, outgoing: Outgoing) -> Prepared | None:
        """See :class:`TimedAnswerer`; a request to which the cassette has no answer that fits is ``Diverged``."""
        asked = classify(parse_request(outgoing.method, outgoing.url, outgoing.headers, outgoing.body), self._formats)
        if asked.kind == "other" or (outgoing.in_process and asked.request.url.netloc not in self.hosts):
            # An app in the same process whose answers were not recorded is a part of the agent, and calls its model itself.
            return None
        if asked.kind == "auxiliary":
            return self._prepare_auxiliary(asked.request)
        body = self._redactor.value(asked.request.body)
        try:
            stage, path = self._redactor.text(outgoing.stage), self._redactor.text(asked.request.path)
            match = self._matcher.match(Wanted(stage, asked.api, body, asked.prompt, path))
        except Diverged as error:
            raise self._fail(error) from None
        then = match.interaction
        basis = replace(self._token_basis(then, is_same=then.body == body), estimated=match.estimated)
        return self._played(then, self._schedule(then, self._seconds_later(then, basis, asked)), basis)

    def _prepare_auxiliary(self, request: Request) -> Prepared | None:
        try:
            then = self._auxiliary.match(request)
        except Diverged as error:
            raise self._fail(error) from None
        return None if then is None else self._played(then, self._schedule(then, 0.0, queues=False), None)

    def _played(self, then: Interaction, schedule: Schedule, basis: TokenBasis | None) -> Prepared:
        return schedule, lambda: self._given(then, schedule, basis)

    def _given(self, then: Interaction, schedule: Schedule, basis: TokenBasis | None) -> LocalAnswer:
        """Give an answer that is due; one that the agent did not wait for when it was recorded is not known."""
        if then.ending == "abandoned":
            raise self._fail(
                Diverged(
                    f"the recorded run gave up on a call to {then.model} after {then.duration:.3g} s, and this one waits"
                    " for its answer, which is not known",
                    remedy=RECORD_AGAIN,
                )
            )
        return LocalAnswer(
            status=then.status,
            headers=then.headers,
            chunks=then.chunks,
            before_chunk=schedule.before_chunk,
            before_chunk_async=schedule.before_chunk_async,
            fault=then.fault,
            answered_by="replay",
            token_basis=basis,
        )

    def _fail(self, error: Diverged) -> Diverged:
        self._failures.append(error)
        return error

    def _token_basis(self, then: Interaction, *, is_same: bool) -> TokenBasis:
        """Give what the request's tokens are reckoned from; only one that changed has to be counted.

        Without a count of then there is nothing to compare with, and the recorded number is not trusted.
        """
        if then.input_tokens is None or is_same:
            return TokenBasis(then.input_tokens)
        counted = self._count_of_then(then)
        return TokenBasis(None) if counted is None else TokenBasis(then.input_tokens, counted)

    def _count_of_then(self, then: Interaction) -> int | None:
        """Count a recorded request as requests are counted now, so that an improved count moves no number.

        Where something was redacted the request is not what was sent; then the count of the recording stands.
        """
        return then.counted_tokens if then.redacted else self._count(self._classified[id(then)], then.provider)

    def _count(self, asked: Classified, provider: str) -> int | None:
        """Count a request's input tokens locally; ``None`` where it cannot be counted."""
        prompt = asked.prompt()
        return None if prompt is None else self._counter.count_prompt(prompt, provider=provider).tokens

    def _seconds_later(self, then: Interaction, basis: TokenBasis, asked: Classified) -> float:
        """Tell by how many virtual s the answer comes later (earlier: below 0), because its request has another size."""
        if not basis.counted or basis.recorded is None:
            return 0.0
        counted_now = self._count(asked, then.provider)
        if counted_now is None or counted_now == basis.counted:
            return 0.0
        slope = self._slopes.get(then.model)
        if slope is None:
            self._not_corrected[then.model] += 1
            return 0.0
        self._corrected[then.model] += 1
        return slope.seconds_later(then, calibrated(counted_now, basis.recorded, basis.counted))

    def _schedule(self, then: Interaction, later: float, *, queues: bool = True) -> Schedule:
        if then.ending == "abandoned" and not then.chunks:
            return Schedule(self._clock, self._clock(), NEVER_ANSWERED_S)
        now = self._clock()
        if queues:
            later = max(later + self._load.delay(then, now, later), -then.duration)
        times = tuple(max(0.0, time + later) for time in then.times)
        return Schedule(self._clock, now, times[0] if times else max(0.0, then.duration + later), times)

    def _prompt_of(self, then: Interaction) -> Prompt | None:
        return self._classified[id(then)].prompt()

    def _classify(self, then: Interaction) -> Classified:
        return classify(Request(then.method, split_url(then.url), {}, then.body), self._formats)
