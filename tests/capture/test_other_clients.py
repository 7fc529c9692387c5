"""requests, aiohttp and botocore against a loopback server: plain and streamed, left early, cut, and not answered."""

from __future__ import annotations

import asyncio
import gzip
import io
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import watching
from pytest_tokenbudget.records.exchange import Exchange

BODY = b'{"model": "m", "messages": []}'
CHUNKS = (b"data: one\n\n", b"data: two\n\n", b"data: [DONE]\n\n")


def only(recorder: Recorder) -> Exchange:
    (exchange,) = recorder.exchanges()
    return exchange


class TestRequests:
    """requests' Session."""

    @pytest.fixture
    def requests(self) -> Any:
        return pytest.importorskip("requests", reason="requests is not installed")

    def test_a_plain_call(self, requests: Any, server: Any, recorder: Recorder) -> None:
        """Method, URL, bodies and status; compressed bodies as the library decoded them."""
        server.play(headers=[("content-encoding", "gzip")], chunks=[gzip.compress(b"hello")])
        assert requests.post(f"{server.url}/v1?a=1", data=BODY).content == b"hello"
        exchange = only(recorder)
        assert (exchange.method, exchange.url, exchange.request_body) == ("POST", f"{server.url}/v1?a=1", BODY)
        assert (exchange.status, exchange.chunks, exchange.encoded, exchange.end) == (
            200,
            (b"hello",),
            False,
            "complete",
        )

    @pytest.mark.parametrize("how", ["iter_lines", "content", "raw"])
    def test_a_stream(self, requests: Any, server: Any, recorder: Recorder, how: str) -> None:
        """Whichever way it is read, it is recorded whole and once."""
        server.play(chunks=CHUNKS, chunked=True)
        with requests.post(server.url, data=BODY, stream=True) as response:
            if how == "iter_lines":
                assert b"data: one" in list(response.iter_lines())
            elif how == "content":
                assert response.content == response.content == b"".join(CHUNKS)
            else:
                while response.raw.read(7):
                    pass
        exchange = only(recorder)
        assert (exchange.end, b"".join(exchange.chunks), exchange.streamed) == ("complete", b"".join(CHUNKS), True)

    def test_a_stream_that_is_left(self, requests: Any, server: Any, recorder: Recorder) -> None:
        """What was read until then is kept."""
        server.play(chunks=CHUNKS, chunked=True, hold=1)
        with requests.post(server.url, data=BODY, stream=True) as response:
            assert next(response.iter_content(None)) == CHUNKS[0]
        assert (only(recorder).end, only(recorder).chunks) == ("closed", CHUNKS[:1])

    def test_arguments_by_name(self, requests: Any, server: Any, recorder: Recorder) -> None:
        """A prepared request may be given by name, as may method and URL."""
        with requests.Session() as session:
            session.request(method="POST", url=server.url, data=BODY)
            session.send(request=session.prepare_request(requests.Request("POST", server.url, data=BODY)), stream=False)
        assert [(one.method, one.request_body) for one in recorder.exchanges()] == [("POST", BODY)] * 2

    def test_a_body_has_what_it_had_before(self, requests: Any, server: Any, recorder: Recorder) -> None:
        """What stands in front of a body has its attributes and no others, takes its arguments, and may be set."""
        server.play(chunks=CHUNKS, chunked=True)
        with watching(Recorder()), requests.post(server.url, data=BODY, stream=True) as response:
            raw = response.raw
            assert isinstance(raw, requests.packages.urllib3.HTTPResponse)
            raw.decode_content = True
            assert raw.decode_content is True
            assert next(raw.stream(amt=5, decode_content=False)) == CHUNKS[0][:5]
            assert not hasattr(raw, "getvalue")
            with pytest.raises(TypeError):
                raw.read1(no_such_argument=True)

        class InMemory(requests.adapters.BaseAdapter):  # type: ignore[misc, name-defined]
            def send(self, request: Any, **options: Any) -> Any:
                response = requests.Response()
                response.status_code, response.raw = 200, io.BytesIO(b"".join(CHUNKS))
                return response

            def close(self) -> None:
                pass

        with requests.Session() as session:
            session.mount("mem://", InMemory())
            response = session.get("mem://agent", stream=True)
            assert not hasattr(response.raw, "stream")
            with pytest.raises(TypeError):
                response.raw.read(1, True)
            assert response.content == b"".join(CHUNKS)
        assert [(one.end, b"".join(one.chunks)) for one in recorder.exchanges()][1] == ("complete", b"".join(CHUNKS))

    def test_failures(self, requests: Any, server: Any, recorder: Recorder) -> None:
        """A cut stream, a timeout, and nobody there."""
        server.play(chunks=CHUNKS[:1], chunked=True, cut=True)
        with pytest.raises(requests.exceptions.RequestException), requests.get(server.url, stream=True) as response:
            response.content  # noqa: B018  # it reads
        server.play(silent=True)
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(server.url, timeout=0.05)
        server.close()
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(server.url)
        assert [(e.status, e.end) for e in recorder.exchanges()] == [(200, "cut"), (None, "failed"), (None, "failed")]


class TestAiohttp:
    """aiohttp's ClientSession."""

    @pytest.fixture
    def aiohttp(self) -> Any:
        return pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    def test_a_plain_call(self, aiohttp: Any, server: Any, recorder: Recorder) -> None:
        """The JSON body is recorded as it was sent, also where the caller changes its objects afterwards."""
        body: dict[str, Any] = {"model": "m", "messages": []}

        async def call() -> None:
            async with aiohttp.ClientSession(base_url=server.url) as session:
                async with session.post("/v1/chat", json=body, params={"a": "1"}) as response:
                    assert await response.json() == {"ok": True}
                body["messages"].append("later")

        asyncio.run(call())
        exchange = only(recorder)
        assert (exchange.method, exchange.url, exchange.request_body) == ("POST", f"{server.url}/v1/chat?a=1", BODY)
        assert (exchange.status, exchange.chunks, exchange.end) == (200, (b'{"ok": true}',), "complete")

    @pytest.mark.parametrize("how", ["lines", "any", "chunked", "read"])
    def test_a_stream(self, aiohttp: Any, server: Any, recorder: Recorder, how: str) -> None:
        """Whichever way it is read, it is recorded whole and once."""
        server.play(chunks=CHUNKS, chunked=True)

        async def call() -> None:
            async with aiohttp.ClientSession() as session, session.post(server.url, data=BODY) as response:
                ways = {"lines": lambda: response.content, "any": response.content.iter_any}
                if how == "read":
                    assert await response.read() == await response.read() == b"".join(CHUNKS)
                    return
                read = [piece async for piece in ways.get(how, lambda: response.content.iter_chunked(5))()]
                assert b"".join(read) == b"".join(CHUNKS)

        asyncio.run(call())
        assert (only(recorder).end, b"".join(only(recorder).chunks)) == ("complete", b"".join(CHUNKS))

    def test_what_is_left_cancelled_or_refused(self, aiohttp: Any, server: Any, recorder: Recorder) -> None:
        """Left early, cancelled while it waits, and nobody there."""

        async def calls() -> None:
            async with aiohttp.ClientSession() as session:
                server.play(chunks=CHUNKS, chunked=True, hold=1)
                async with session.get(server.url) as response:
                    await response.content.readany()
                server.play(silent=True)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(session.get(server.url), 0.05)
                server.close()
                with pytest.raises(aiohttp.ClientError):
                    await session.get(server.url)

        asyncio.run(calls())
        ends = [(exchange.status, exchange.end) for exchange in recorder.exchanges()]
        assert ends == [(200, "closed"), (None, "cancelled"), (None, "failed")]

    def test_arguments_by_name(self, aiohttp: Any, server: Any, recorder: Recorder) -> None:
        """Method and URL may be given by place or by name, to each of the ways to send a request."""

        async def calls() -> None:
            async with aiohttp.ClientSession() as session:
                for manager in (
                    session.request("POST", url=server.url, data=BODY),
                    session.request(method="POST", url=server.url, data=BODY),
                    session.post(url=server.url, data=BODY),
                    aiohttp.request(method="POST", url=server.url, data=BODY),
                ):
                    async with manager as response:
                        await response.read()
                await (await session._request(method="POST", str_or_url=server.url, data=BODY)).read()
                with pytest.raises(TypeError):
                    session.post(data=BODY)

        asyncio.run(calls())
        assert [(one.method, one.url.rstrip("/"), one.request_body) for one in recorder.exchanges()] == [
            ("POST", server.url, BODY)
        ] * 5
        assert {line for line, _, _ in server.requests} == {"POST / HTTP/1.1"}

    def test_a_body_that_was_read_beneath(self, aiohttp: Any, server: Any, tmp_path: Any) -> None:
        """vcrpy reads while it records, and makes responses up while it plays: the body is recorded in both."""
        vcr = pytest.importorskip("vcr", reason="vcrpy is not installed")

        async def call() -> None:
            async with aiohttp.ClientSession() as session, session.post(server.url, data=BODY) as response:
                await response.read()

        for _ in ("recorded", "played"):
            recorder = Recorder()
            with watching(recorder), vcr.use_cassette(str(tmp_path / "cassette.yaml")):
                asyncio.run(call())
            assert (only(recorder).end, only(recorder).chunks) == ("complete", (b'{"ok": true}',))
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "made_up", [SimpleNamespace(status=200, headers={}), MagicMock(status=200)], ids=["object", "mock"]
    )
    def test_a_response_that_a_test_made_up(
        self, aiohttp: Any, monkeypatch: Any, recorder: Recorder, made_up: Any
    ) -> None:
        """A stand-in for a response reaches the agent as it is, and the request is the one that was made."""

        async def answer(*args: Any, **options: Any) -> Any:
            return made_up

        async def call() -> Any:
            async with aiohttp.ClientSession() as session:
                return await session.post("http://model.example/", data=BODY)

        monkeypatch.setattr(aiohttp.ClientSession, "_request", answer)
        assert asyncio.run(call()) is made_up
        exchange = only(recorder)
        assert (exchange.status, exchange.url, exchange.request_body) == (200, "http://model.example/", BODY)

    def test_httpx_over_aiohttp_is_one_exchange(self, aiohttp: Any, server: Any, recorder: Recorder) -> None:
        """A transport that sends through aiohttp is watched at the client that the agent calls, once."""
        openai = pytest.importorskip("openai", reason="the openai SDK is not installed")
        if not hasattr(openai, "DefaultAioHttpClient"):
            pytest.skip("this openai SDK has no transport over aiohttp")

        async def call() -> None:
            async with openai.DefaultAioHttpClient() as client:
                await client.post(server.url, content=BODY)

        try:
            asyncio.run(call())
        except RuntimeError as error:
            pytest.skip(str(error))
        assert only(recorder).client.startswith("httpx")
        assert only(recorder).request_body == BODY


def test_botocore(server: Any, recorder: Recorder) -> None:
    """botocore's session, plain and as a stream that is read in pieces."""
    awsrequest = pytest.importorskip("botocore.awsrequest", reason="botocore is not installed")
    session = pytest.importorskip("botocore.httpsession").URLLib3Session()
    with_stream = {"stream_output": True}
    for options in ({}, with_stream):
        server.play(chunks=CHUNKS, chunked=True)
        request = awsrequest.AWSPreparedRequest(
            "POST", server.url + "/model/m/converse", {}, BODY, **{"stream_output": False, **options}
        )
        response = session.send(request)
        if options:
            while response.raw.read(9):
                pass
    plain, streamed = recorder.exchanges()
    for exchange in (plain, streamed):
        assert (exchange.status, exchange.end, exchange.request_body) == (200, "complete", BODY)
        assert b"".join(exchange.chunks) == b"".join(CHUNKS)
    assert (plain.streamed, streamed.streamed, plain.client.partition(" ")[0]) == (False, True, "botocore")
