"""Answers the model calls of an agent as its test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pytest_tokenbudget.capture.local_answer import LocalAnswer, Outgoing
from pytest_tokenbudget.capture.stage_rules import StageRule, resolve_stage
from pytest_tokenbudget.errors import ScriptError
from pytest_tokenbudget.providers.classify import Classified, classify
from pytest_tokenbudget.providers.http_message import parse_request
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.providers.wire_format import AnswerWriter, Event, ScriptedAnswer, WireFormat, encode
from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.records.reply import Reply
from pytest_tokenbudget.replay.asked import Asked, asked_of
from pytest_tokenbudget.replay.replies import (
    cut,
    error,
    parallel,
    reply_of,
    text,
    timeout,
    tool_call,
    unreachable,
)
from pytest_tokenbudget.replay.timing import Holder, NoWaiting, Prepared, Schedule, TimedAnswerer, stream_times

if TYPE_CHECKING:
    from pytest_tokenbudget.replay.serve import Served

__all__ = ["Asked", "ScriptedModel", "cut", "error", "parallel", "text", "timeout", "tool_call", "unreachable"]

HOST = "scripted.invalid"
"""Host of the base URL. It cannot exist (RFC 2606), so only the script answers it."""

CountPrompt = Callable[[Prompt, str], int | None]
"""Input tokens of a request: prompt and provider -> tokens, ``None`` where they cannot be counted."""

CountText = Callable[[str, str, str], int | None]
"""Tokens of a text: provider, model and text -> tokens, ``None`` where they cannot be counted."""

ReplyLike = Reply | str | Sequence[Reply]
Respond = Callable[[Asked], "ReplyLike | None"]


@dataclass(slots=True)
class _Queue:
    """The replies of one stage (or of any) that are still to be given, and how many were given already."""

    waiting: list[Reply | Respond] = field(default_factory=list)
    given: int = 0


class ScriptedModel(TimedAnswerer):
    """Answers model calls as a test tells it to; see :mod:`pytest_tokenbudget.replay.replies` for the answers.

    It answers every model call that httpx or httpx2 is about to send, whatever its host, so an agent with a fixed
    base URL works too; other traffic passes. The wire (OpenAI chat and Responses, Anthropic, Google) is that of the request.

    A request is answered by the next reply of its stage (or of the stages around it), else by the next of the general
    replies, else by ``respond``.

    Args:
        replies: Answers in order.
        stages: Answers by stage path, each in order.
        respond: Answers whatever no queue answers; may give ``None`` for no answer.
        clock: Who holds answers until they are due; by default they are given at once.
        count: Counts a request where a reply gives no input tokens; by default usage is left out then.
        count_text: Counts what was written, likewise.
        formats: The wire formats; those with a writer can be answered.
        rules: Stages by configuration; a request that no code gave a stage is answered for the stage that they say.
    """

    def __init__(
        self,
        replies: Iterable[ReplyLike | Respond] = (),
        *,
        stages: Mapping[str, Iterable[ReplyLike | Respond]] | None = None,
        respond: Respond | None = None,
        clock: Holder | None = None,
        count: CountPrompt | None = None,
        count_text: CountText | None = None,
        formats: Sequence[WireFormat] | None = None,
        rules: Sequence[StageRule] = (),
    ) -> None:
        self._rules = tuple(rules)
        self._formats = builtin_formats() if formats is None else tuple(formats)
        self.clock: Holder = clock or NoWaiting()
        self.count = count
        self.count_text = count_text
        self.allow_unconsumed = False
        self.ttft = 0.0
        self.tokens_per_second: float | None = None
        self.input_tokens_per_second: float | None = None
        self._queues: dict[str, _Queue] = {"": _Queue()}
        self._respond = respond
        self._asked: list[Asked] = []
        self._failures: list[ScriptError] = []
        self._lock = Lock()
        self.add(*replies)
        for stage, those in (stages or {}).items():
            self.add(*those, stage=stage)

    @classmethod
    def load(cls, path: str | Path, **options: object) -> ScriptedModel:
        """Read a script from a YAML (or JSON) file, see ``docs/replay.md``.

        Raises:
            ScriptError: If the file cannot be read, or YAML is not installed.
        """
        model = cls(**options)  # type: ignore[arg-type]  # handed on to __init__, which has their types
        model.read(path)
        return model

    def read(self, path: str | Path) -> ScriptedModel:
        """Add the answers of a YAML (or JSON) file.

        Raises:
            ScriptError: If the file cannot be read, or YAML is not installed.
        """
        from pytest_tokenbudget.replay.script_file import read_script

        script = read_script(Path(path))
        self.pace(**script.pace)
        for stage, replies in script.replies.items():
            self.add(*replies, stage=stage)
        return self

    @property
    def base_url(self) -> str:
        """Give a base URL for SDKs that want one (OpenAI's shape; Anthropic and Google take ``host_url``)."""
        return f"{self.host_url}/v1"

    @property
    def host_url(self) -> str:
        """Give the base URL without a path."""
        return f"http://{HOST}"

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Give the requests so far."""
        return tuple(self._asked)

    def failure(self) -> ScriptError | None:
        """Give the error of the first request that found no answer, also where the agent swallowed it; ``None`` for none."""
        return self._failures[0] if self._failures else None

    def add(self, *replies: ReplyLike | Respond, stage: str = "") -> ScriptedModel:
        """Add answers, in order, for a stage or for any.

        Raises:
            ScriptError: If something is no answer.
        """
        queue = self._queues.setdefault(stage, _Queue())
        queue.waiting += [reply if callable(reply) else reply_of(reply) for reply in replies]
        return self

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute; a method that is assigned instead of called would be ignored, and is an error.

        Raises:
            ScriptError: If the name is that of a method.
        """
        if callable(getattr(type(self), name, None)):
            raise ScriptError(
                f"scripted_llm.{name} = ... does nothing: it is a method",
                remedy=f"scripted_llm.{name}({_described(value)})",
            )
        super().__setattr__(name, value)

    def respond_with(self, respond: Respond) -> Respond:
        """Answer what no queue answers with a function of the request; usable as a decorator."""
        self._respond = respond
        return respond

    def pace(
        self,
        *,
        ttft: float | None = None,
        tokens_per_second: float | None = None,
        input_tokens_per_second: float | None = None,
    ) -> ScriptedModel:
        """Set the pace of answers that set none themselves.

        Args:
            ttft: Time to the first content of an answer to an empty prompt, virtual s.
            tokens_per_second: Output tokens in a virtual second; without it an answer is written at once.
            input_tokens_per_second: Input tokens that are read in a virtual second before the first content; without it a
                long prompt takes no longer than a short one.
        """
        self.ttft = self.ttft if ttft is None else ttft
        self.tokens_per_second = self.tokens_per_second if tokens_per_second is None else tokens_per_second
        if input_tokens_per_second is not None:
            self.input_tokens_per_second = input_tokens_per_second
        return self

    def unconsumed(self) -> ScriptError | None:
        """Give the error of a script with answers left over; ``None`` where all were given or that is allowed."""
        left = {stage: queue for stage, queue in self._queues.items() if queue.waiting}
        if not left or self.allow_unconsumed:
            return None
        said = "; ".join(
            f"{len(queue.waiting)} of {len(queue.waiting) + queue.given} replies"
            + (f" of stage {stage!r}" if stage else "")
            + f" (next: {describe(queue.waiting[0])})"
            for stage, queue in left.items()
        )
        return ScriptError(
            f"the scripted model was not asked for all that it had to say: {said} left over",
            remedy="drop them from the script, or set scripted_llm.allow_unconsumed = True",
        )

    def serve(self) -> Served:
        """Make a real HTTP server on the loopback that gives these answers; needs the extra ``serve``.

        Returns:
            A context manager with ``base_url`` and ``host_url``.
        """
        from pytest_tokenbudget.replay.serve import Served

        return Served(self)

    def prepare(self, outgoing: Outgoing) -> Prepared | None:
        """See :class:`TimedAnswerer`; a request to which the script has no answer is a ``ScriptError``."""
        if outgoing.in_process:
            return None  # the app that it goes to is a part of the agent, and calls its model itself
        request = parse_request(outgoing.method, outgoing.url, outgoing.headers, outgoing.body)
        found = classify(request, self._formats)
        writer = getattr(found.format, "writer", None) if found.kind == "call" else None
        if writer is None or found.format is None or request.body is None:
            if found.kind not in ("auxiliary", "other") or request.host == HOST:
                raise self._fail(
                    f"{outgoing.method} {outgoing.url.partition('?')[0]} is no call that a script can answer",
                    "scripts speak OpenAI chat and Responses, Anthropic messages and Google generateContent",
                )
            return None
        with self._lock:
            asked = self._in_its_stage(asked_of(found, found.format, stage=outgoing.stage, number=len(self._asked)))
            self._asked.append(asked)
            reply = self._next(asked, writer.call_id)
        answer, schedule = self._write(found, writer, asked, reply)
        return schedule, lambda: answer

    def _in_its_stage(self, asked: Asked) -> Asked:
        stage = resolve_stage(
            self._rules, code_stage=asked.stage, url=asked.url, model=asked.model, system_text=asked.system
        )
        return replace(asked, stage=stage or asked.stage)

    def _next(self, asked: Asked, call_id: str) -> Reply:
        stage = asked.stage
        while True:
            queue = self._queues.get(stage)
            if queue is not None and queue.waiting:
                queue.given += 1
                found = self._said(queue.waiting.pop(0), asked)
                break
            if not stage:
                found = self._said(self._respond, asked) if self._respond is not None else None
                break
            stage = stage.rpartition("/")[0]
        if found is None:
            raise self._fail(f"the scripted model has no answer to request {asked.number + 1}: {asked}", self._remedy())
        # The same ids in every run: call_3_0 is the first tool call without one of the fourth answer.
        ids = (f"{call_id}_{asked.number}_{at}" for at in range(len(found.calls)))
        return replace(found, calls=tuple(call if call.id else replace(call, id=next(ids)) for call in found.calls))

    def _said(self, given: Reply | Respond, asked: Asked) -> Reply | None:
        if isinstance(given, Reply):
            return given
        said = given(asked)
        return None if said is None else reply_of(said)

    def _fail(self, message: str, remedy: str) -> ScriptError:
        failure = ScriptError(message, remedy=remedy)
        self._failures.append(failure)
        return failure

    def _remedy(self) -> str:
        left = [
            f"stage {stage!r} has {len(queue.waiting)} left, next: {describe(queue.waiting[0])}"
            for stage, queue in self._queues.items()
            if queue.waiting
        ]
        said = "; ".join(left) or f"all {sum(queue.given for queue in self._queues.values())} replies were given"
        return f'add a reply, scripted_llm.add(text("...")), or find out why the agent asks once more ({said})'

    def _write(
        self, found: Classified, writer: AnswerWriter, asked: Asked, reply: Reply
    ) -> tuple[LocalAnswer, Schedule]:
        started = self.clock()
        if reply.failure is not None:
            return LocalAnswer(0, (), (), fault=reply.failure, answered_by="script"), Schedule(
                self.clock, started, reply.duration or 0.0
            )
        if reply.status >= 400:
            headers = [("content-type", "application/json")]
            if reply.retry_after is not None:
                headers.append(("retry-after", f"{reply.retry_after:g}"))
            schedule = Schedule(self.clock, started, reply.duration or 0.0)
            content = (encode(writer.error(reply.status, reply.message)),)
            return LocalAnswer(reply.status, tuple(headers), content, answered_by="script"), schedule
        usage, wrote = self._usage(found, asked.model, reply)
        written = ScriptedAnswer(asked.body, asked.model, asked.number, reply, usage)
        events = writer.events(written) if asked.stream else [Event(encode(writer.plain(written)), len(reply.written))]
        ttft, duration = self._times(reply, wrote, usage)
        sizes = [event.written for event in events]
        times = stream_times(sizes, ttft=ttft, duration=duration) if asked.stream else (duration,)
        kind = "text/event-stream; charset=utf-8" if asked.stream else "application/json"
        headers = [("content-type", kind), ("x-request-id", f"scripted-{asked.number}")]
        chunks = tuple(event.data for event in events)
        if reply.cut_after is not None:
            # A plain body has one piece: its connection breaks in the middle.
            chunks = chunks[: reply.cut_after] if asked.stream else (chunks[0][: len(chunks[0]) // 2],)
        schedule = Schedule(self.clock, started, times[0] if times else duration, times)
        given = LocalAnswer(
            200,
            tuple(headers),
            chunks,
            before_chunk=schedule.before_chunk,
            before_chunk_async=schedule.before_chunk_async,
            fault="protocol_error" if reply.cut_after is not None else None,
            answered_by="script",
        )
        return given, schedule

    def _usage(self, found: Classified, model: str, reply: Reply) -> tuple[Usage | None, int]:
        """Give the usage to tell, ``None`` where it is not known; and the tokens that were written, for the pace."""
        read, wrote = reply.usage.input_tokens, reply.usage.output_tokens
        if read is None and self.count is not None and (prompt := found.prompt()) is not None:
            read = self.count(prompt, found.provider)
        if wrote is None and self.count_text is not None:
            wrote = self.count_text(found.provider, model, reply.written)
        # Without a count the pace takes four characters for a token; that number is not told as usage.
        paced = wrote if wrote is not None else -(-len(reply.written) // 4)
        if read is None or wrote is None:
            return None, paced
        return replace(reply.usage, input_tokens=read, output_tokens=wrote), paced

    def _times(self, reply: Reply, wrote: int, usage: Usage | None) -> tuple[float, float]:
        """Give the time to the first content and the whole duration, virtual s."""
        speed = self.tokens_per_second if reply.tokens_per_second is None else reply.tokens_per_second
        ttft = reply.ttft
        if ttft is None:
            reading = self.input_tokens_per_second
            ttft = self.ttft + ((usage.input_tokens or 0) / reading if reading and usage is not None else 0.0)
            ttft = ttft if reply.duration is None else min(ttft, reply.duration)
        duration = reply.duration if reply.duration is not None else ttft + (wrote / speed if speed else 0.0)
        return min(ttft, duration), duration


def describe(reply: Reply | Respond) -> str:
    """Describe an answer of a script in a few words."""
    if not isinstance(reply, Reply):
        return f"function {getattr(reply, '__name__', 'answer')}"
    if reply.failure is not None:
        return reply.failure
    if reply.status >= 400:
        return f"error {reply.status}"
    if reply.calls:
        return "tool call " + ", ".join(call.name for call in reply.calls)
    return repr(reply.text if len(reply.text) <= 40 else reply.text[:37] + "...")


def _described(value: object) -> str:
    return str(getattr(value, "__name__", None) or repr(value))
