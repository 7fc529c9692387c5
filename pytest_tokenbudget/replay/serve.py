"""Serves a scripted model over HTTP on the loopback, for clients that are not Python or not httpx."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.local_answer import Answerer, LocalAnswer, Outgoing
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.remote import RemoteLibrary
from pytest_tokenbudget.errors import ScriptError

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.exchange_builder import ExchangeBuilder
    from pytest_tokenbudget.replay.timing import Schedule

START_SECONDS = 10.0
"""How long the server may take to start and to stop."""


class Model(Answerer, Protocol):
    """A scripted model."""

    def prepare(self, outgoing: Outgoing) -> tuple[LocalAnswer, Schedule] | None:
        """Give the answer to a request and when it is due; ``None`` for what is no model call."""


class Served:
    """A running server; a context manager.

    Chunks are sent one by one, each when it is due on the script's clock. What it is asked is recorded with the running
    sample, in the stage that was opened last: a client in another process cannot say which is its own.

    Args:
        model: The scripted model that answers.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self.port = 0

    @property
    def host_url(self) -> str:
        """Give the server's URL without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """Give a base URL for SDKs of OpenAI's shape."""
        return f"{self.host_url}/v1"

    def __enter__(self) -> Served:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Served:
        """Start it on a free port.

        Raises:
            ScriptError: If the extra is not installed, or the server does not start.
        """
        import socket

        try:
            import uvicorn
            from starlette.applications import Starlette
            from starlette.routing import Route
        except ImportError:
            raise ScriptError(
                "scripted_llm.serve() needs uvicorn and starlette", remedy="pip install 'pytest-tokenbudget[serve]'"
            ) from None
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        app = Starlette(routes=[Route("/{path:path}", self._respond, methods=methods)])
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="tokenbudget-scripted-llm", daemon=True
        )
        self._thread.start()
        self._wait_until_started()
        return self

    def _wait_until_started(self) -> None:
        import time

        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not (self._thread and self._thread.is_alive()) or time.monotonic() > deadline:
                raise ScriptError("the scripted server did not start", remedy="check that 127.0.0.1 can be listened on")
            threading.Event().wait(0.005)

    def stop(self) -> None:
        """Stop it."""
        if self._thread is not None:
            self._server.should_exit = True
            self._thread.join(START_SECONDS)
            self._thread = None

    async def _respond(self, request: Any) -> Any:
        from starlette.responses import JSONResponse, StreamingResponse

        recorder = self._recorder()
        outgoing = Outgoing(
            client="http",
            method=request.method,
            url=str(request.url),
            headers=tuple((name.lower(), value) for name, value in request.headers.items()),
            body=await request.body(),
            stage="" if recorder is None else recorder.open_stage(),
            streamed=True,
        )
        try:
            prepared = self._model.prepare(outgoing)
        except ScriptError as problem:
            return JSONResponse({"error": {"message": str(problem), "type": "script"}}, status_code=400)
        if prepared is None:
            said = f"{request.method} {request.url.path} is no model call"
            return JSONResponse({"error": {"message": said, "type": "script"}}, status_code=404)
        answer, schedule = prepared
        builder = None if recorder is None else _begun(recorder, outgoing, answer)
        await asyncio.to_thread(schedule.before_head)
        if not answer.status:
            if builder is not None:
                builder.fail(ConnectionDropped())
            # No response at all: the connection is dropped.
            raise ConnectionDropped
        headers = dict(answer.headers)
        if answer.fault is not None:
            headers["content-length"] = str(sum(map(len, answer.chunks)) + 1)
        elif not headers["content-type"].startswith("text/event-stream"):
            headers["content-length"] = str(sum(map(len, answer.chunks)))
        if builder is not None:
            builder.arrived(answer.status, answer.headers)
        return StreamingResponse(_chunks(answer, builder), status_code=answer.status, headers=headers)

    def _recorder(self) -> Recorder | None:
        """Find the recorder of what this script answers, if there is one."""
        mine = [one for one in ACTIVE.recorders if isinstance(one, Recorder) and one.answerer is self._model]
        return next((one for one in mine if one.recording), None)

    def in_process(self, sender: object, request: Outgoing) -> bool:
        """Say no: it came over the loopback."""
        return False


def _begun(recorder: Recorder, outgoing: Outgoing, answer: LocalAnswer) -> ExchangeBuilder:
    builder = recorder.begin(RemoteLibrary(outgoing.client), outgoing, streamed=True)
    builder.surrounding_stage, builder.answer = outgoing.stage, answer
    return builder


class ConnectionDropped(Exception):
    """Raised where the script breaks the connection; uvicorn closes it with a 500 at the latest."""


async def _chunks(answer: LocalAnswer, builder: ExchangeBuilder | None) -> AsyncIterator[bytes]:
    try:
        for number, chunk in enumerate(answer.chunks):
            if answer.before_chunk is not None:
                await asyncio.to_thread(answer.before_chunk, number)
            if builder is not None:
                builder.chunk(chunk)
            yield chunk
        if answer.fault is not None:
            raise ConnectionDropped
    except BaseException as error:
        if builder is not None:
            builder.cut(error)
        raise
    if builder is not None:
        builder.finish("complete")
