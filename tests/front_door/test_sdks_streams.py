"""The asynchronous clients of the SDKs, and the helpers that they have for streams."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_server import LedgerServer, Reply, ToolCall

USER = '[{"role": "user", "content": "hello"}]'
OPENAI = "import openai\nclient = openai.OpenAI(base_url=SERVER + '/v1')\n"
ASYNC_OPENAI = "import openai\nclient = openai.AsyncOpenAI(base_url=SERVER + '/v1')\n"
ASYNC_CLAUDE = "import anthropic\nclient = anthropic.AsyncAnthropic(base_url=SERVER)\n"
ASKED = f"model='claude-sonnet-4-5', max_tokens=50, messages={USER}"
TOOL = ToolCall("calendar_write", {"title": "a"}, "call_1")


@pytest.fixture
def two(llm_server: LedgerServer) -> None:
    """Two answers, the second one with a tool call."""
    numbers: dict[str, Any] = {"input_tokens": 120, "output_tokens": 30, "cached": 40}
    llm_server.play([Reply("one two three", **numbers), Reply("four five", tool_calls=(TOOL,), **numbers)])


@pytest.fixture
def one(llm_server: LedgerServer) -> None:
    """One answer that is JSON."""
    llm_server.play([Reply('{"n": 3}', input_tokens=120, output_tokens=30)])


@pytest.mark.usefixtures("two")
class TestTwoCalls:
    """Two calls each, of which one is streamed at least."""

    def test_openai_responses_async(self, against_the_books: Any) -> None:
        """The Responses API, asynchronous, plain and streamed."""
        pytest.importorskip("openai", reason="the openai SDK is not installed")
        against_the_books(
            ASYNC_OPENAI + "await client.responses.create(model='gpt-4o', input='hello')\n"
            "async for _ in await client.responses.create(model='gpt-4o', input='hello', stream=True): pass",
            asynchronous=True,
            calls=2,
        )

    def test_openai_stream_helpers(self, against_the_books: Any) -> None:
        """``responses.stream`` and ``chat.completions.stream``, which gather the events."""
        pytest.importorskip("openai", reason="the openai SDK is not installed")
        against_the_books(
            OPENAI + "with client.responses.stream(model='gpt-4o', input='hello') as stream:\n"
            "    assert stream.get_final_response().output_text == 'one two three'\n"
            "chat = client.chat.completions if hasattr(client.chat.completions, 'stream') else client.beta.chat.completions\n"
            f"with chat.stream(model='gpt-4o', messages={USER}, stream_options={{'include_usage': True}}) as stream:\n"
            "    stream.until_done()",
            calls=2,
        )

    def test_anthropic_streams(self, against_the_books: Any) -> None:
        """``messages.create(stream=True)`` and ``messages.stream``, asynchronous."""
        pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")
        against_the_books(
            ASYNC_CLAUDE + f"async for _ in await client.messages.create({ASKED}, stream=True): pass\n"
            f"async with client.messages.stream({ASKED}) as stream:\n"
            "    assert (await stream.get_final_message()).stop_reason == 'tool_use'",
            asynchronous=True,
            calls=2,
        )

    def test_google_genai_async(self, against_the_books: Any) -> None:
        """google-genai's ``aio``."""
        pytest.importorskip("google.genai", reason="google-genai is not installed")
        against_the_books(
            "from google import genai\n"
            "client = genai.Client(api_key='none', http_options={'base_url': SERVER})\n"
            "await client.aio.models.generate_content(model='gemini-2.5-flash', contents='hello')\n"
            "async for _ in await client.aio.models.generate_content_stream(model='gemini-2.5-flash', contents='hello'): pass",
            asynchronous=True,
            calls=2,
        )

    def test_mistralai_async(self, against_the_books: Any) -> None:
        """mistralai's ``_async`` methods."""
        pytest.importorskip("mistralai", reason="mistralai is not installed")
        against_the_books(
            "try:\n    from mistralai import Mistral\nexcept ImportError:\n    from mistralai.client import Mistral\n"
            "client = Mistral(api_key='none', server_url=SERVER)\n"
            f"await client.chat.complete_async(model='mistral-small-latest', messages={USER})\n"
            f"async for _ in await client.chat.stream_async(model='mistral-small-latest', messages={USER}): pass",
            asynchronous=True,
            calls=2,
        )

    def test_cohere_async(self, against_the_books: Any) -> None:
        """cohere's asynchronous client of version 2."""
        pytest.importorskip("cohere", reason="cohere is not installed")
        against_the_books(
            "import cohere\nclient = cohere.AsyncClientV2(api_key='none', base_url=SERVER)\n"
            f"await client.chat(model='command-a-03-2025', messages={USER})\n"
            f"async for _ in client.chat_stream(model='command-a-03-2025', messages={USER}): pass",
            asynchronous=True,
            calls=2,
        )

    def test_groq_async(self, against_the_books: Any) -> None:
        """groq's asynchronous client, plain and streamed."""
        pytest.importorskip("groq", reason="groq is not installed")
        asked = f"model='llama-3.1-8b-instant', messages={USER}"
        against_the_books(
            "import groq\nclient = groq.AsyncGroq(base_url=SERVER)\n"
            f"await client.chat.completions.create({asked})\n"
            f"async for _ in await client.chat.completions.create({asked}, stream=True,"
            " extra_body={'stream_options': {'include_usage': True}}): pass",
            asynchronous=True,
            calls=2,
        )

    def test_ollama_async(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """ollama's asynchronous client: ``generate`` and a streamed chat."""
        pytest.importorskip("ollama", reason="ollama is not installed")
        llm_server.play([Reply("hi", input_tokens=10, output_tokens=3), Reply("ho", input_tokens=11, output_tokens=4)])
        against_the_books(
            "import ollama\nclient = ollama.AsyncClient(host=SERVER)\n"
            "await client.generate(model='llama3', prompt='hello')\n"
            f"async for _ in await client.chat(model='llama3', messages={USER}, stream=True): pass",
            asynchronous=True,
            calls=2,
        )


@pytest.mark.usefixtures("one")
class TestOneCall:
    """A call each."""

    def test_openai_parse_async(self, against_the_books: Any) -> None:
        """Structured outputs, asynchronous."""
        pytest.importorskip("openai", reason="the openai SDK is not installed")
        against_the_books(
            ASYNC_OPENAI + "import pydantic\nclass Out(pydantic.BaseModel):\n    n: int\n"
            "chat = client.beta.chat.completions if hasattr(client.beta, 'chat') else client.chat.completions\n"
            f"found = await chat.parse(model='gpt-4o', messages={USER}, response_format=Out)\n"
            "assert found.choices[0].message.parsed.n == 3",
            asynchronous=True,
        )

    def test_openai_embeddings_async(self, against_the_books: Any) -> None:
        """Embeddings, asynchronous."""
        pytest.importorskip("openai", reason="the openai SDK is not installed")
        test = against_the_books(
            ASYNC_OPENAI + "await client.embeddings.create(model='text-embedding-3-small', input='hello')",
            asynchronous=True,
        )
        assert test["total"]["output_tokens"] == 0

    def test_a_stream_that_is_left_behind_its_last_event_is_a_call(self, against_the_books: Any) -> None:
        """Some SDKs go away once they know why the model stopped, and close nothing."""
        pytest.importorskip("httpx2", reason="httpx2 is not installed")
        asked = f"{{'model': 'claude-sonnet-4-5', 'max_tokens': 9, 'stream': True, 'messages': {USER}}}"
        test = against_the_books(
            "import builtins, httpx2, time\nclient = httpx2.Client()\n"
            f"asked = client.build_request('POST', SERVER + '/v1/messages', json={asked})\n"
            "builtins.kept = answer = client.send(asked, stream=True)\n"
            "next(line for line in answer.iter_lines() if line.startswith('data') and 'message_delta' in line)\n"
            "time.sleep(0.2)"
        )
        (call,) = test["calls"]
        assert call["latency"] < test["total"]["latency"] - 0.2
