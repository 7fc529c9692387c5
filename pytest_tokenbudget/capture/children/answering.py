"""The session's side of a question: it says whether a child's request may leave, or answers it.

It runs only while a sample is being taken that refuses or answers calls, and only where there is a child to ask.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.children.channel import Channel, connect, listen
from pytest_tokenbudget.capture.children.frames import Frame, pairs
from pytest_tokenbudget.capture.children.spool_directory import Address
from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.errors import TokenBudgetError

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.local_answer import LocalAnswer, Outgoing

THREAD_NAME = "tokenbudget-children"


class Answering:
    """Answers the questions of child processes; URL and body of requests that may leave are added to ``let_out``."""

    def __init__(self, address: Address, let_out: list[tuple[str, bytes | None]]) -> None:
        self._listener, self.address = listen(address)
        self.asked_by: frozenset[int] = frozenset()
        self._recorder: Recorder | None = None
        self._thread: threading.Thread | None = None
        self._let_out = let_out

    def begin(self, recorder: Recorder) -> None:
        """Answer for this sample from now on, in a thread."""
        if self._recorder is not recorder:
            self.asked_by = frozenset()
            self._recorder = recorder
            self._thread = threading.Thread(target=self._accept, name=THREAD_NAME, daemon=True)
            self._thread.start()

    def end(self) -> None:
        """The sample is over: whatever is asked from now on may leave, unrecorded."""
        self._recorder = None
        thread, self._thread = self._thread, None
        if thread is not None:
            with suppress(OSError):
                connect(self.address).close()  # the thread waits for somebody to connect
            thread.join()

    def close(self) -> None:
        """Listen no more."""
        self.end()
        self._listener.close()

    def in_forked_child(self) -> None:
        """Leave the socket to the session that it belongs to."""
        self._listener.close()

    def _accept(self) -> None:
        while self._recorder is not None:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connected,), name=f"{THREAD_NAME}-call", daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        channel = Channel(connected)
        # The child may be killed at any time, and anything may connect to a port.
        with suppress(OSError, ValueError, KeyError, TypeError):
            if channel.is_allowed(self.address.secret):
                question = channel.receive()
                self.asked_by |= {int(question.head["pid"])}
                if "connection" in question.head:
                    self._check_connection(channel, *question.head["connection"])
                else:
                    self._answer(channel, _outgoing(question))
        channel.close()

    def _check_connection(self, channel: Channel, host: str, port: int | None, opened_by: str) -> None:
        recorder = self._recorder
        try:
            if recorder is not None:
                recorder.connections.check(host, port, lambda: opened_by)
        except TokenBudgetError as error:
            _refuse(channel, error)
        else:
            channel.send({"live": True})

    def _answer(self, channel: Channel, outgoing: Outgoing) -> None:
        from pytest_tokenbudget.capture.remote import begin_remote

        recorder, sent = self._recorder, outgoing.url
        url, stage = ACTIVE.meant_address(outgoing.url, outgoing.stage)
        outgoing = replace(outgoing, url=url, stage=stage)
        if recorder is None or not recorder.recording:
            channel.send({"live": True})
            return
        try:
            builder, answer = begin_remote(recorder, outgoing)
        except TokenBudgetError as error:
            _refuse(channel, error)
            return
        if answer is None:
            # The child itself tells about it when it has ended.
            recorder.forget(builder)
            self._let_out.append((sent, outgoing.body))
            channel.send({"live": True})
            return
        _play(channel, builder, answer)


def _refuse(channel: Channel, error: TokenBudgetError) -> None:
    channel.send({"error": type(error).__name__, "message": error.message, "remedy": error.remedy})


def _play(channel: Channel, builder: ExchangeBuilder, answer: LocalAnswer) -> None:
    """Hand an answer to the child; each chunk may go when the child asks for it and it is due."""
    try:
        if answer.status:
            builder.arrived(answer.status, answer.headers)
        channel.send(
            {
                "status": answer.status,
                "headers": answer.headers,
                "lengths": [len(chunk) for chunk in answer.chunks],
                "fault": answer.fault,
                "answered_by": answer.answered_by,
            },
            b"".join(answer.chunks),
        )
        if not answer.status:
            builder.fail(_played_error(answer))
            return
        for number, chunk in enumerate(answer.chunks):
            channel.receive()
            if answer.before_chunk is not None:
                answer.before_chunk(number)
            builder.chunk(chunk)
            channel.send({"chunk": number})
    except (OSError, ValueError):
        builder.finish("closed")  # the child went away, or has read enough
        return
    if answer.fault is not None:
        builder.cut(_played_error(answer))
    else:
        builder.finish("complete")


def _played_error(answer: LocalAnswer) -> Exception:
    """The failure that the answer plays, as the exchange names it: ``ReadTimeout``, ``ConnectError``."""
    name = "".join(part.title() for part in (answer.fault or "no_response").split("_"))
    error: Exception = type(name, (Exception,), {})(answer.says)
    return error


def _outgoing(frame: Frame) -> Outgoing:
    from pytest_tokenbudget.capture.local_answer import Outgoing

    head, blob = frame
    return Outgoing(
        client=str(head["client"]),
        method=str(head["method"]),
        url=str(head["url"]),
        headers=pairs(head["headers"]),
        body=blob if head["body"] else None,
        stage=str(head["stage"]),
        streamed=bool(head["streamed"]),
    )
