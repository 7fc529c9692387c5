"""Vertex AI over gRPC: LangChain's ``ChatVertexAI`` and embeddings by ``Predict``, against a loopback server with its books."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
vertex = pytest.importorskip("google.cloud.aiplatform_v1.types", reason="google-cloud-aiplatform is not installed")
pytest.importorskip("langchain_google_vertexai", reason="langchain-google-vertexai is not installed")

AGENT = """
import asyncio, os
import google.auth.credentials, grpc
import pytest
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.services.prediction_service.transports import (
    PredictionServiceGrpcAsyncIOTransport, PredictionServiceGrpcTransport)
from langchain_google_vertexai import ChatVertexAI
from pytest_tokenbudget import stage, token_budget

SERVER = os.environ["SERVER"]


def chat(**clients):
    credentials = google.auth.credentials.AnonymousCredentials()
    return ChatVertexAI(
        model="gemini-2.5-flash", project="p", location="us-central1", credentials=credentials, max_retries=0,
        endpoint_version="v1", **clients)


@token_budget("10%")
def test_a_chat():
    llm = chat()
    channel = grpc.insecure_channel(SERVER)
    llm.client = aiplatform_v1.PredictionServiceClient(transport=PredictionServiceGrpcTransport(channel=channel))
    with stage("worker"):
        assert llm.invoke("Book a room.").text == "Booked."
    assert "".join(chunk.text for chunk in llm.stream("Book another.")) == "Booked."
    channel.close()


@token_budget("10%")
def test_b_async():
    async def main():
        async with grpc.aio.insecure_channel(SERVER) as channel:
            transport = PredictionServiceGrpcAsyncIOTransport(channel=channel)
            client = aiplatform_v1.PredictionServiceAsyncClient(transport=transport)
            name = "projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash"
            ask = {"model": name, "contents": [{"role": "user", "parts": [{"text": "Book a room."}]}]}
            await client.generate_content(ask)
            async for chunk in await client.stream_generate_content(ask):
                pass
    asyncio.run(main())


@token_budget("10%")
def test_c_embeddings():
    channel = grpc.insecure_channel(SERVER)
    client = aiplatform_v1.PredictionServiceClient(transport=PredictionServiceGrpcTransport(channel=channel))
    name = "projects/p/locations/us-central1/publishers/google/models/text-embedding-005"
    client.predict(endpoint=name, instances=[{"content": "a room"}])
    channel.close()
"""


class Service:
    """Answers with numbers that it writes down."""

    def __init__(self) -> None:
        self.books: list[tuple[int, int | None]] = []

    def generate(self, request: Any, context: Any) -> Any:
        """Answer a chat."""
        read = request.ByteSize()
        self.books.append((read, 5))
        usage = {"prompt_token_count": read, "candidates_token_count": 5, "total_token_count": read + 5}
        candidate = {"content": {"role": "model", "parts": [{"text": "Booked."}]}, "finish_reason": "STOP"}
        return vertex.GenerateContentResponse.pb(
            vertex.GenerateContentResponse({"candidates": [candidate], "usage_metadata": usage})
        )

    def stream(self, request: Any, context: Any) -> Iterator[Any]:
        """Answer a streamed chat."""
        yield self.generate(request, context)

    def predict(self, request: Any, context: Any) -> Any:
        """Answer with a vector."""
        self.books.append((7, None))
        vector = {"embeddings": {"values": [0.5], "statistics": {"token_count": 7, "truncated": False}}}
        from google.protobuf.json_format import ParseDict

        return ParseDict({"predictions": [vector]}, vertex.PredictResponse.pb()())


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The running server; its address is in the environment."""
    found, server = Service(), grpc.server(ThreadPoolExecutor(4))
    ask, predict = vertex.GenerateContentRequest.pb().FromString, vertex.PredictRequest.pb().FromString
    out = {"response_serializer": lambda message: message.SerializeToString()}
    methods = {
        "GenerateContent": grpc.unary_unary_rpc_method_handler(found.generate, ask, **out),
        "StreamGenerateContent": grpc.unary_stream_rpc_method_handler(found.stream, ask, **out),
        "Predict": grpc.unary_unary_rpc_method_handler(found.predict, predict, **out),
    }
    name = "google.cloud.aiplatform.v1.PredictionService"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, methods)])
    monkeypatch.setenv("SERVER", f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    yield found
    server.stop(None).wait()


def test_the_report_equals_the_books(pytester: pytest.Pytester, service: Service) -> None:
    """LangChain's chat plain and streamed, the asynchronous client, and embeddings."""
    pytester.makepyfile(test_agent=AGENT)
    options = ("--tokenbudget-report=report.json", "-p", "no:cacheprovider", "-Wignore")
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=3)
    tests = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))["tests"]
    calls = [call for test in sorted(tests, key=lambda test: test["nodeid"]) for call in test["calls"]]
    assert [(call["input_tokens"], call["output_tokens"]) for call in calls] == service.books
    assert len(calls) == 5
    assert calls[0]["stage"] == "worker"
    assert {call["provider"] for call in calls} == {"gcp.vertex_ai"}
