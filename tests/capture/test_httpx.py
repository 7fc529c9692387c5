"""httpx and httpx2 against a loopback server: what is recorded of plain and of streamed responses, and of failures."""

from __future__ import annotations

import asyncio
import gc
import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_tokenbudget.capture.recorder import Recorder, hosts_of
from pytest_tokenbudget.capture.watch import watching
from pytest_tokenbudget.records.exchange import Exchange

BODY = b'{"model": "m", "messages": []}'
CHUNKS = (b"data: one\n\n", b"data: two\n\n", b"data: [DONE]\n\n")


def only(recorder: Recorder) -> Exchange:
    (exchange,) = recorder.exchanges()
    return exchange


def test_a_plain_call_is_recorded_whole(httpx: Any, server: Any, recorder: Recorder) -> None:
    """Method, URL, headers, bodies, status and times of a call that is not streamed."""
    with httpx.Client() as client:
        response = client.post(f"{server.url}/v1/chat?a=1", content=BODY, headers={"X-Mine": "yes"})
    exchange = only(recorder)
    assert response.json() == {"ok": True}
    assert exchange.client == f"{httpx.__name__} {httpx.__version__}"
    assert (exchange.method, exchange.url) == ("POST", f"{server.url}/v1/chat?a=1")
    assert ("x-mine", "yes") in exchange.request_headers
    assert exchange.request_body == BODY
    assert (exchange.status, exchange.end, exchange.error) == (200, "complete", None)
    assert ("content-type", "application/json") in exchange.response_headers
    assert exchange.chunks == (b'{"ok": true}',)
    assert exchange.started < exchange.chunk_times[0] <= exchange.ended
    assert (exchange.streamed, exchange.encoded, exchange.answered_by, exchange.sequence) == (
        False,
        False,
        "network",
        0,
    )
    assert exchange.chunks[0] is response.content, "the body is kept by reference"


def test_an_async_call_is_recorded_whole(httpx: Any, server: Any, recorder: Recorder) -> None:
    """The same through the asynchronous client."""

    async def call() -> None:
        async with httpx.AsyncClient() as client:
            await client.post(f"{server.url}/v1/chat", content=BODY)

    asyncio.run(call())
    exchange = only(recorder)
    assert (exchange.status, exchange.request_body, exchange.chunks) == (200, BODY, (b'{"ok": true}',))


def test_a_compressed_body_is_kept_as_the_client_decoded_it(httpx: Any, server: Any, recorder: Recorder) -> None:
    """A plain call's body is decoded by the client; a stream's chunks stay as they were on the wire."""
    packed = gzip.compress(b"hello")
    server.play(headers=[("content-encoding", "gzip")], chunks=[packed[:9], packed[9:]], chunked=True)
    with httpx.Client() as client:
        client.get(server.url)
        with client.stream("GET", server.url) as response:
            assert response.read() == b"hello"
    plain, streamed = recorder.exchanges()
    assert (plain.chunks, plain.encoded) == ((b"hello",), False)
    assert (b"".join(streamed.chunks), streamed.encoded) == (packed, True)


def test_a_stream_passes_chunk_by_chunk(httpx: Any, server: Any, recorder: Recorder) -> None:
    """The first chunk reaches the consumer while the server holds back the second."""
    server.play(chunks=CHUNKS, chunked=True, hold=1)
    with httpx.Client() as client, client.stream("POST", server.url, content=BODY) as response:
        chunks = response.iter_raw()
        assert next(chunks) == CHUNKS[0]
        now = only(recorder)
        assert (now.end, now.chunks) == ("open", CHUNKS[:1])
        server.release.set()
        assert b"".join(chunks) == b"".join(CHUNKS[1:])
        assert response.elapsed.total_seconds() > 0
    exchange = only(recorder)
    assert (exchange.end, exchange.streamed, b"".join(exchange.chunks)) == ("complete", True, b"".join(CHUNKS))
    assert len(exchange.chunk_times) == len(exchange.chunks)
    assert list(exchange.chunk_times) == sorted(exchange.chunk_times)
    assert exchange.started < exchange.chunk_times[0] < exchange.ended


def test_an_async_stream_passes_chunk_by_chunk(httpx: Any, server: Any, recorder: Recorder) -> None:
    """The same through the asynchronous client."""
    server.play(chunks=CHUNKS, chunked=True, hold=1)

    async def read() -> None:
        async with httpx.AsyncClient() as client, client.stream("POST", server.url, content=BODY) as response:
            chunks = response.aiter_raw()
            assert await anext(chunks) == CHUNKS[0]
            assert only(recorder).end == "open"
            server.release.set()
            assert b"".join([chunk async for chunk in chunks]) == b"".join(CHUNKS[1:])

    asyncio.run(read())
    exchange = only(recorder)
    assert (exchange.end, b"".join(exchange.chunks)) == ("complete", b"".join(CHUNKS))


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_error_statuses_are_recorded_like_others(httpx: Any, server: Any, recorder: Recorder, status: int) -> None:
    """4xx and 5xx are exchanges that were completed."""
    server.play(status=status, chunks=[b'{"error": {}}'])
    with httpx.Client() as client:
        client.post(server.url, content=BODY)
    exchange = only(recorder)
    assert (exchange.status, exchange.end, exchange.chunks) == (status, "complete", (b'{"error": {}}',))


def test_an_empty_body_has_no_chunks(httpx: Any, server: Any, recorder: Recorder) -> None:
    """A response without a body is complete."""
    server.play(status=204, chunks=[])
    with httpx.Client() as client:
        client.get(server.url)
    exchange = only(recorder)
    assert (exchange.status, exchange.chunks, exchange.chunk_times, exchange.end) == (204, (), (), "complete")


def test_a_timeout_is_a_failure(httpx: Any, server: Any, recorder: Recorder) -> None:
    """No response in time: no status, the error's type name."""
    server.play(silent=True)
    with httpx.Client(timeout=0.05) as client, pytest.raises(httpx.ReadTimeout):
        client.post(server.url, content=BODY)
    exchange = only(recorder)
    assert (exchange.status, exchange.end, exchange.error) == (None, "failed", "ReadTimeout")
    assert exchange.request_body == BODY


def test_a_refused_connection_is_a_failure(httpx: Any, server: Any, recorder: Recorder) -> None:
    """Nobody listens."""
    server.close()
    with httpx.Client() as client, pytest.raises(httpx.ConnectError):
        client.get(server.url)
    assert (only(recorder).end, only(recorder).error) == ("failed", "ConnectError")


def test_a_stream_that_is_cut(httpx: Any, server: Any, recorder: Recorder) -> None:
    """The connection breaks while the body is read: what came is kept."""
    server.play(chunks=CHUNKS[:2], chunked=True, cut=True)
    with (
        httpx.Client() as client,
        client.stream("POST", server.url) as response,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        response.read()
    exchange = only(recorder)
    assert (exchange.status, exchange.end, exchange.error) == (200, "cut", "RemoteProtocolError")
    assert b"".join(exchange.chunks) == b"".join(CHUNKS[:2])


def test_a_plain_body_that_is_cut(httpx: Any, server: Any, recorder: Recorder) -> None:
    """It is told from a request that was never answered: there is a status."""
    server.play(cut=True)

    async def call() -> None:
        async with httpx.AsyncClient() as client:
            await client.get(server.url)

    with httpx.Client() as client, pytest.raises(httpx.RemoteProtocolError):
        client.get(server.url)
    with pytest.raises(httpx.RemoteProtocolError):
        asyncio.run(call())
    for exchange in recorder.exchanges():
        assert (exchange.status, exchange.end, exchange.error) == (200, "cut", "RemoteProtocolError")


def test_closing_a_stream_early(httpx: Any, server: Any, recorder: Recorder) -> None:
    """The consumer has enough: ``closed``, with what it got."""
    server.play(chunks=CHUNKS, chunked=True, hold=1)
    with httpx.Client() as client, client.stream("POST", server.url) as response:
        next(response.iter_bytes())
    exchange = only(recorder)
    assert (exchange.end, exchange.error, exchange.chunks) == ("closed", None, CHUNKS[:1])


def test_an_exception_in_the_consumer_of_an_async_stream(httpx: Any, server: Any, recorder: Recorder) -> None:
    """The consumer raises: ``closed``, and the connection is given back."""
    server.play(chunks=CHUNKS, chunked=True, hold=1)

    async def read() -> None:
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=1)) as client:
            with pytest.raises(LookupError):
                await consume(client)
            server.play()
            await client.get(server.url, timeout=2)

    async def consume(client: Any) -> None:
        async with client.stream("POST", server.url) as response:
            async for _ in response.aiter_bytes():
                raise LookupError

    asyncio.run(read())
    first, second = recorder.exchanges()
    assert (first.end, first.error, second.end) == ("closed", None, "complete")


def test_cancellation_before_the_response(httpx: Any, server: Any, recorder: Recorder) -> None:
    """A task that is cancelled while it waits for the model."""
    server.play(silent=True)

    async def call() -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.wait_for(client.post(server.url, content=BODY), 0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(call())
    exchange = only(recorder)
    assert (exchange.status, exchange.end, exchange.error) == (None, "cancelled", "CancelledError")


def test_cancellation_while_streaming(httpx: Any, server: Any, recorder: Recorder) -> None:
    """A task that is cancelled while it reads."""
    server.play(chunks=CHUNKS, chunked=True, hold=1)

    async def call() -> None:
        async with httpx.AsyncClient() as client, client.stream("POST", server.url) as response:
            async with asyncio.timeout(0.05):
                async for _ in response.aiter_bytes():
                    pass

    with pytest.raises(TimeoutError):
        asyncio.run(call())
    exchange = only(recorder)
    assert (exchange.status, exchange.end, exchange.error) == (200, "cancelled", "CancelledError")
    assert exchange.chunks == CHUNKS[:1]


def test_trio_and_its_cancellation(httpx: Any, server: Any, recorder: Recorder) -> None:
    """Under trio: a call, a stream, and a stream that is cancelled."""
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def call() -> None:
        async with httpx.AsyncClient() as client:
            await client.get(server.url)
            server.play(chunks=CHUNKS, chunked=True, hold=1)
            with trio.move_on_after(0.05):
                async with client.stream("POST", server.url) as response:
                    async for _ in response.aiter_bytes():
                        pass

    trio.run(call)
    plain, streamed = recorder.exchanges()
    assert (plain.end, streamed.end, streamed.error) == ("complete", "cancelled", "Cancelled")


def test_a_response_that_nobody_closes(httpx: Any, server: Any, recorder: Recorder) -> None:
    """The garbage collector ends the exchange: the recorder does not keep the response alive."""
    server.play(chunks=CHUNKS, chunked=True)
    client = httpx.Client()
    response = client.send(client.build_request("POST", server.url), stream=True)
    chunks = response.iter_raw()
    next(chunks)
    assert only(recorder).end == "open"
    del response, chunks
    gc.collect()
    assert (only(recorder).end, only(recorder).chunks[0]) == ("closed", CHUNKS[0])
    client.close()


def test_what_runs_at_the_end_is_open(httpx: Any, server: Any) -> None:
    """An exchange that still runs when it is asked for ends then."""
    ticks = iter(range(100))
    recorder = Recorder(clock=lambda: float(next(ticks)))
    server.play(chunks=CHUNKS, chunked=True, hold=1)
    with watching(recorder), httpx.Client() as client, client.stream("POST", server.url):
        exchange = only(recorder)
    assert (exchange.end, exchange.started, exchange.ended) == ("open", 0.0, 1.0)


def test_a_streamed_request_body_is_left_alone(httpx: Any, server: Any, recorder: Recorder) -> None:
    """A body that is a generator is sent and not kept."""
    with httpx.Client() as client:
        client.post(server.url, content=(part for part in (b"a", b"b")))
    assert only(recorder).request_body is None
    assert server.requests[0][2] == b"ab"


def test_a_response_hook_that_reads_a_stream(httpx: Any, server: Any, recorder: Recorder) -> None:
    """Loggers read responses in hooks; the body is recorded all the same."""
    server.play(chunks=CHUNKS, chunked=True)
    hooks = {"response": [lambda response: response.read()]}
    with httpx.Client(event_hooks=hooks) as client, client.stream("POST", server.url) as response:
        assert b"".join(response.iter_bytes()) == b"".join(CHUNKS)
    exchange = only(recorder)
    assert (exchange.end, exchange.chunks) == ("complete", (b"".join(CHUNKS),))


def test_redirects_are_one_exchange(httpx: Any, server: Any, recorder: Recorder) -> None:
    """What the client does underneath belongs to the exchange that the caller asked for."""

    def handler(request: Any) -> Any:
        if request.url.path == "/":
            return httpx.Response(307, headers={"location": "/there"})
        return httpx.Response(200, json={})

    with httpx.Client(transport=httpx.MockTransport(handler), follow_redirects=True) as client:
        client.post("http://model.test/", content=BODY)
    assert (only(recorder).status, only(recorder).url) == (200, "http://model.test/")


def test_threads_and_several_loops(httpx: Any, server: Any, recorder: Recorder) -> None:
    """Every call of eight threads, half of them with an event loop of its own, is recorded once."""
    start = threading.Barrier(8)

    def sync(number: int) -> None:
        with httpx.Client() as client:
            start.wait()
            for _ in range(5):
                client.post(f"{server.url}/{number}", content=BODY)

    async def calls(number: int) -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.gather(*(client.post(f"{server.url}/{number}", content=BODY) for _ in range(5)))

    def loop(number: int) -> None:
        start.wait()
        asyncio.run(calls(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: (sync if number % 2 else loop)(number), range(8)))
    exchanges = recorder.exchanges()
    assert sorted(exchange.url.rpartition("/")[2] for exchange in exchanges) == sorted("01234567" * 5)
    assert [exchange.sequence for exchange in exchanges] == list(range(40))
    assert hosts_of(recorder.exchanges()) == {server.url.removeprefix("http://"): 40}


def test_the_module_functions(httpx: Any, server: Any, recorder: Recorder) -> None:
    """``httpx.post`` passes through a client, too."""
    httpx.post(server.url, content=BODY)
    assert only(recorder).request_body == BODY
