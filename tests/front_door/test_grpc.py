"""Models over gRPC: Google's and xAI's real clients against a loopback server with its own books; nothing is replayed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from reported import run_reported

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
google = pytest.importorskip(
    "google.ai.generativelanguage_v1beta.types", reason="google-ai-generativelanguage is absent"
)
chat_pb2 = pytest.importorskip("xai_sdk.proto", reason="xai-sdk is not installed").chat_pb2

Books = list[tuple[int, int]]


class Server:
    """Answers with numbers that it writes down: as many input tokens as the request has bytes."""

    def __init__(self) -> None:
        self.books: Books = []

    def _google(self, request: Any) -> Any:
        self.books.append((request.ByteSize(), 5))
        return google.GenerateContentResponse.pb(
            google.GenerateContentResponse(
                {
                    "candidates": [
                        {"content": {"role": "model", "parts": [{"text": "Booked."}]}, "finish_reason": "STOP"}
                    ],
                    "usage_metadata": {
                        "prompt_token_count": request.ByteSize(),
                        "candidates_token_count": 5,
                        "total_token_count": request.ByteSize() + 5,
                    },
                    "model_version": "gemini-2.5-flash",
                }
            )
        )

    def _xai(self, request: Any, kind: Any) -> Any:
        self.books.append((request.ByteSize(), 6))
        answer = kind(id="1", model="grok-4")
        output = answer.outputs.add()
        said = output.message if kind is chat_pb2.GetChatCompletionResponse else output.delta
        said.content = "Booked."
        call = said.tool_calls.add()
        call.id, call.function.name, call.function.arguments = "c1", "calendar_write", "{}"
        usage = answer.usage
        usage.prompt_tokens, usage.completion_tokens, usage.total_tokens = request.ByteSize(), 6, request.ByteSize() + 6
        return answer

    def handlers(self) -> tuple[Any, ...]:
        """The services."""
        ask = google.GenerateContentRequest.pb()
        xai = chat_pb2.GetCompletionsRequest
        options = {"response_serializer": lambda message: message.SerializeToString()}
        service = "google.ai.generativelanguage.v1beta.GenerativeService"

        def many(request: Any, context: Any) -> Iterator[Any]:
            yield self._google(request)

        def failing(request: Any, context: Any) -> Any:
            if request.model == "models/none":
                context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
            return self._google(request)

        def chunks(request: Any, context: Any) -> Iterator[Any]:
            yield self._xai(request, chat_pb2.GetChatCompletionChunk)

        return (
            grpc.method_handlers_generic_handler(
                service,
                {
                    "GenerateContent": grpc.unary_unary_rpc_method_handler(failing, ask.FromString, **options),
                    "StreamGenerateContent": grpc.unary_stream_rpc_method_handler(many, ask.FromString, **options),
                },
            ),
            grpc.method_handlers_generic_handler(
                "xai_api.Chat",
                {
                    "GetCompletion": grpc.unary_unary_rpc_method_handler(
                        lambda request, context: self._xai(request, chat_pb2.GetChatCompletionResponse),
                        xai.FromString,
                        **options,
                    ),
                    "GetCompletionChunk": grpc.unary_stream_rpc_method_handler(chunks, xai.FromString, **options),
                },
            ),
        )


@pytest.fixture
def grpc_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The running server; its address is in the environment."""
    books = Server()
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(books.handlers())
    monkeypatch.setenv("SERVER", f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    yield books
    server.stop(None).wait()


CLIENTS = """
import asyncio, os
import pytest
import grpc
from google.ai.generativelanguage_v1beta import GenerativeServiceAsyncClient, GenerativeServiceClient
from google.ai.generativelanguage_v1beta.services.generative_service.transports import (
    GenerativeServiceGrpcAsyncIOTransport, GenerativeServiceGrpcTransport)
import xai_sdk
from xai_sdk.chat import user
from pytest_tokenbudget import stage, token_budget

SERVER = os.environ["SERVER"]
ASK = {"model": "models/gemini-2.5-flash", "contents": [{"role": "user", "parts": [{"text": "Book a room."}]}]}

def google():
    return GenerativeServiceClient(transport=GenerativeServiceGrpcTransport(channel=grpc.insecure_channel(SERVER)))
"""


def run(pytester: pytest.Pytester, body: str, **outcomes: int) -> dict[str, Any]:
    """Run a test module and give the calls of each test."""
    pytester.makepyfile(test_agent=CLIENTS + body)
    quiet = ("-W", "ignore::DeprecationWarning", "-W", "ignore::FutureWarning", "-W", "ignore::ResourceWarning")
    result, tests = run_reported(pytester, *quiet)
    result.assert_outcomes(**outcomes)
    return tests


def test_real_clients(pytester: pytest.Pytester, grpc_server: Server) -> None:
    """Google's client and xAI's SDK, sync and async, plain and streamed: the report equals the books."""
    tests = run(
        pytester,
        """
@token_budget("10%")
def test_google():
    client = google()
    with stage("worker"):
        client.generate_content(ASK)
    for chunk in client.stream_generate_content(ASK):
        pass
    with pytest.raises(Exception):
        client.generate_content({**ASK, "model": "models/none"}, retry=None)

@token_budget("10%")
def test_google_async():
    async def main():
        async with grpc.aio.insecure_channel(SERVER) as channel:
            client = GenerativeServiceAsyncClient(transport=GenerativeServiceGrpcAsyncIOTransport(channel=channel))
            await client.generate_content(ASK)
            async for chunk in await client.stream_generate_content(ASK):
                pass
    asyncio.run(main())

def asked(client):
    chat = client.chat.create(model="grok-4")
    chat.append(user("Book a room."))
    return chat

@token_budget("10%")
def test_xai():
    client = xai_sdk.Client(api_key="none", api_host=SERVER, use_insecure_channel=True)
    asked(client).sample()
    for response, chunk in asked(client).stream():
        pass

@token_budget("10%")
def test_xai_async():
    async def main():
        client = xai_sdk.AsyncClient(api_key="none", api_host=SERVER, use_insecure_channel=True)
        await asked(client).sample()
        async for response, chunk in asked(client).stream():
            pass
        await client.close()
    asyncio.run(main())
""",
        passed=4,
    )
    seen = [
        (call["input_tokens"], call["output_tokens"])
        for name in ("test_google", "test_google_async", "test_xai", "test_xai_async")
        for call in tests[name]["calls"]
        if call["error"] is None
    ]
    assert seen == grpc_server.books
    assert len(seen) == 8
    calls = tests["test_google"]["calls"]
    assert [(call["stage"], call["stream"], call["status"]) for call in calls] == [
        ("worker", False, 200),
        ("main", True, 200),
        ("main", False, 404),
    ]
    assert [call["tool_calls"] for call in tests["test_xai"]["calls"]] == [["calendar_write"]] * 2
    assert tests["test_xai"]["calls"][1]["ttft"] is not None


LATE_STATUS = """
from grpc.aio import _call

class StatusComesLate:
    # The status of a call arrives apart from its last message: on a loaded machine after it.
    def __init__(self, call):
        self.call, self.known = call, False

    def __getattr__(self, name):
        return getattr(self.call, name)

    def done(self):
        return self.known and self.call.done()

    def is_ok(self):
        return self.known and self.call.is_ok()

    async def status(self):
        status = await self.call.status()
        self.known = True
        return status

made = _call.UnaryStreamCall.__init__

def make(self, *args, **options):
    made(self, *args, **options)
    self._cython_call = StatusComesLate(self._cython_call)

_call.UnaryStreamCall.__init__ = make
"""


def test_the_status_of_a_stream_comes_after_its_end(pytester: pytest.Pytester, grpc_server: Server) -> None:
    """A stream that was read to its end is a whole call, however late gRPC tells its status."""
    tests = run(
        pytester,
        LATE_STATUS
        + """
@token_budget("10%")
def test_agent():
    async def main():
        async with grpc.aio.insecure_channel(SERVER) as channel:
            client = GenerativeServiceAsyncClient(transport=GenerativeServiceGrpcAsyncIOTransport(channel=channel))
            async for chunk in await client.stream_generate_content(ASK):
                pass
    asyncio.run(main())
""",
        passed=1,
    )
    hold_against_books(tests["test_agent"], grpc_server.books)


def test_streams_and_futures_that_nobody_reads_to_the_end(pytester: pytest.Pytester, grpc_server: Server) -> None:
    """Read by ``read``, left after the last message, or a future whose callbacks come late: each is one whole call."""
    tests = run(
        pytester,
        """
from grpc import _channel
from google.ai.generativelanguage_v1beta.types import GenerateContentRequest, GenerateContentResponse

PATH = "/google.ai.generativelanguage.v1beta.GenerativeService/"
KIND = {"request_serializer": GenerateContentRequest.serialize,
        "response_deserializer": GenerateContentResponse.deserialize}

@token_budget("10%")
def test_agent(monkeypatch):
    async def main():
        channel = grpc.aio.insecure_channel(SERVER)
        ask = channel.unary_stream(PATH + "StreamGenerateContent", **KIND)
        call = ask(GenerateContentRequest(ASK))
        assert await call.read() is not grpc.aio.EOF
        await call.code()
        assert await call.read() is grpc.aio.EOF
        left = ask(GenerateContentRequest(ASK))
        await left.read()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()

    with grpc.insecure_channel(SERVER) as channel:
        for chunk in channel.unary_stream(PATH + "StreamGenerateContent", **KIND)(GenerateContentRequest(ASK)):
            break
        # A future tells its reader first, and its callbacks in another thread.
        monkeypatch.setattr(_channel._MultiThreadedRendezvous, "add_done_callback", lambda future, told: None)
        channel.unary_unary(PATH + "GenerateContent", **KIND).future(GenerateContentRequest(ASK)).result()
""",
        passed=1,
    )
    hold_against_books(tests["test_agent"], grpc_server.books)
    assert len(grpc_server.books) == 4


def hold_against_books(test: dict[str, Any], books: Books) -> None:
    """Each call of a test succeeded and equals its entry in the books."""
    assert [(call["error"], call["input_tokens"], call["output_tokens"]) for call in test["calls"]] == [
        (None, *entry) for entry in books
    ]


def test_a_scripted_run_refuses_it(pytester: pytest.Pytester, grpc_server: Server) -> None:
    """A clear refusal, also where the agent swallows it, and nothing reaches the server."""
    run(
        pytester,
        """
@token_budget("10%")
def test_agent(scripted_llm):
    try:
        google().generate_content(ASK)
    except Exception:
        pass
""",
        failed=1,
    )
    assert grpc_server.books == []


OTHERS = """
def call(kind, path, target=SERVER):
    with grpc.insecure_channel(target) as channel:
        method = getattr(channel, kind)(path)
        requests = iter([b""]) if kind.startswith("stream") else b""
        try:
            answer = method(requests, timeout=1)
            list(answer) if kind.endswith("stream") else answer
        except grpc.RpcError:
            pass

def call_async(path, target=SERVER):
    async def main():
        async with grpc.aio.insecure_channel(target) as channel:
            try:
                await channel.unary_unary(path)(b"", timeout=1)
            except grpc.RpcError:
                pass
    asyncio.run(main())
"""


def test_what_is_not_read_is_said(pytester: pytest.Pytester, grpc_server: Server) -> None:
    """An unknown method of a model service, and a service that nobody knows, fail a test with no other call, by name."""
    tests = run(
        pytester,
        OTHERS
        + """
@token_budget("10%")
@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_unknown_method(kind):
    call(kind, "/google.cloud.aiplatform.v1.PredictionService/ServerStreamingPredict")

@token_budget("10%")
@pytest.mark.parametrize("how", ["sync", "async"])
def test_unknown_service(how):
    (call_async if how == "async" else lambda path: call("unary_unary", path))("/inference.GRPCInferenceService/ModelInfer")

@token_budget("10%")
def test_no_model():
    google().generate_content(ASK)
    call("unary_unary", "/google.cloud.aiplatform.v1.PredictionService/CountTokens")
    call("unary_unary", "/qdrant.Points/Search")
""",
        failed=6,
        passed=1,
    )
    for name, test in tests.items():
        if name.startswith("test_unknown_method"):
            assert any("PredictionService/ServerStreamingPredict is not read" in text for text in test["messages"])
        elif name.startswith("test_unknown_service"):
            assert any("connections of no watched client: 127.0.0.1:" in text for text in test["messages"])
    assert not any("is not read" in text for text in tests["test_no_model"]["messages"])


def test_a_scripted_run_refuses_channels_to_models(pytester: pytest.Pytester, grpc_server: Server) -> None:
    """Whatever the method: gRPC opens its connections by itself, where no socket of Python's is seen."""
    run(
        pytester,
        OTHERS
        + """
@token_budget("off")
@pytest.mark.parametrize("how", ["sync", "async", "stream"])
def test_agent(scripted_llm, how):
    path, target = "/inference.GRPCInferenceService/ModelInfer", "dns:///api.x.ai:443"
    with pytest.raises(Exception, match="a connection to api.x.ai was refused"):
        if how == "async":
            call_async(path, target)
        else:
            call("stream_stream" if how == "stream" else "unary_unary", path, target)

@token_budget("off")
def test_database(scripted_llm):
    call("unary_unary", "/qdrant.Points/Search")
    scripted_llm.allow_unconsumed = True
""",
        failed=4,
    )
