"""Real SDKs through the front door. Libraries that cannot be imported twice in one process run in their own."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
from ledger_server import LedgerServer, Reply, ToolCall

USER = '[{"role": "user", "content": "hello"}]'
NUMBERS: dict[str, Any] = {"input_tokens": 120, "output_tokens": 30, "cached": 40, "reasoning_tokens": 8}
OPENAI = "import openai\nclient = openai.OpenAI(base_url=SERVER + '/v1')\n"
ASYNC_OPENAI = "import openai\nclient = openai.AsyncOpenAI(base_url=SERVER + '/v1')\n"
TOOLS = [ToolCall("calendar_write", {"title": "a"}, "call_1"), ToolCall("calendar_read", {"day": 1}, "call_2")]


def needs(module: str) -> None:
    """Skip where a library is not installed; it is not imported here, but in the process of the inner run."""
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


@pytest.fixture
def openai(llm_server: LedgerServer) -> None:
    """The openai SDK is there; 3 and later send through httpx2, 2 through httpx."""
    pytest.importorskip("openai", reason="the openai SDK is not installed")


@pytest.mark.usefixtures("openai")
class TestOpenAI:
    """The openai SDK."""

    def test_chat(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """A plain call, with cached and reasoning tokens and parallel tool calls."""
        llm_server.play([Reply("", tool_calls=tuple(TOOLS), **NUMBERS)])
        test = against_the_books(OPENAI + f"client.chat.completions.create(model='gpt-4o', messages={USER})")
        (call,) = test["calls"]
        assert (call["api"], call["finish_reason"], call["ttft"]) == ("openai.chat", "tool_call", None)

    def test_chat_streamed(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """A stream that ends with usage."""
        llm_server.play([Reply("one two three four", **NUMBERS)])
        test = against_the_books(
            OPENAI + f"stream = client.chat.completions.create(model='gpt-4o', messages={USER}, stream=True,"
            " stream_options={'include_usage': True})\nassert 'one' in ''.join("
            "c.choices[0].delta.content or '' for c in stream if c.choices)"
        )
        (call,) = test["calls"]
        assert 0 < call["ttft"] <= call["latency"]

    def test_chat_streamed_without_usage_is_counted(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """A stream without usage is counted locally and labelled so."""
        llm_server.play([Reply("one two three four")])
        test = against_the_books(
            OPENAI + f"for _ in client.chat.completions.create(model='gpt-4o', messages={USER}, stream=True): pass"
        )
        (call,) = test["calls"]
        assert (call["input_tokens"], call["output_tokens"]) == (8, 4)

    def test_usage_can_be_requested(
        self, against_the_books: Any, llm_server: LedgerServer, pytester: pytest.Pytester
    ) -> None:
        """With tokenbudget_request_usage the numbers come, and the extra chunk stays hidden from the client."""
        llm_server.play([Reply("one two three four", **NUMBERS)])
        test = against_the_books(
            OPENAI + f"for c in client.chat.completions.create(model='gpt-4o', messages={USER}, stream=True):\n"
            "    assert c.choices",
            options=("-o", "tokenbudget_request_usage=true"),
        )
        assert test["calls"][0]["output_source"] == "provider"

    def test_chat_async(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """Concurrent calls of tasks, each in its stage."""
        llm_server.play([Reply(**NUMBERS), Reply(**NUMBERS)])
        test = against_the_books(
            ASYNC_OPENAI + "import asyncio\n"
            "async def one(name):\n"
            "    with stage(name):\n"
            f"        await client.chat.completions.create(model='gpt-4o', messages={USER})\n"
            "await asyncio.gather(one('a'), one('b'))",
            asynchronous=True,
            calls=2,
        )
        assert {call["stage"] for call in test["calls"]} == {"a", "b"}

    def test_chat_async_streamed(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """An asynchronous stream, left before its end: a call all the same, its output counted."""
        llm_server.play([Reply("one two three four", pieces=4), Reply("five six", **NUMBERS)])
        test = against_the_books(
            ASYNC_OPENAI
            + f"stream = await client.chat.completions.create(model='gpt-4o', messages={USER}, stream=True)\n"
            "async for chunk in stream:\n"
            "    if chunk.choices[0].delta.content: break\n"
            "await stream.close()\n"
            f"stream = await client.chat.completions.create(model='gpt-4o', messages={USER}, stream=True,"
            " stream_options={'include_usage': True})\n"
            "async for chunk in stream: pass",
            asynchronous=True,
            calls=2,
        )
        assert test["calls"][0]["error"] is None

    def test_a_stream_that_is_left_open_is_a_call(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """An agent that has read enough leaves the loop, and closes nothing: the model was used all the same."""
        llm_server.play([Reply("one two three four", pieces=4)])
        test = against_the_books(
            OPENAI + f"for chunk in client.chat.completions.create(model='gpt-4o', messages={USER}, stream=True):\n"
            "    if chunk.choices[0].delta.content: break"
        )
        assert (test["total"]["calls"], test["total"]["failed_attempts"]) == (1, 0)
        (call,) = test["calls"]
        assert (call["error"], call["input_source"], call["output_source"]) == (None, "counted", "counted")

    def test_retries_are_attempts_of_one_piece_of_work(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """The SDK's own retries show as attempts."""
        llm_server.play([Reply(status=429, retry_after=0.01), Reply(status=500, retry_after=0.01), Reply(**NUMBERS)])
        test = against_the_books(OPENAI + f"client.chat.completions.create(model='gpt-4o', messages={USER})", calls=3)
        assert [call["attempt"] for call in test["calls"]] == [0, 1, 2]
        assert (test["total"]["calls"], test["total"]["failed_attempts"]) == (1, 2)

    def test_responses(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """The Responses API, plain and streamed."""
        llm_server.play([Reply(tool_calls=tuple(TOOLS), **NUMBERS), Reply("streamed", **NUMBERS)])
        against_the_books(
            OPENAI + "client.responses.create(model='gpt-4o', input='hello')\n"
            "for _ in client.responses.create(model='gpt-4o', input='hello', stream=True): pass",
            calls=2,
        )

    def test_embeddings(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """Embeddings are calls with input tokens only."""
        llm_server.play([Reply(input_tokens=7)])
        test = against_the_books(OPENAI + "client.embeddings.create(model='text-embedding-3-small', input='hello')")
        assert test["total"]["input_tokens"] == 7
        assert test["total"]["output_tokens"] == 0

    def test_parse(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """Structured outputs."""
        llm_server.play([Reply('{"n": 3}', **NUMBERS)])
        against_the_books(
            OPENAI + "import pydantic\nclass Out(pydantic.BaseModel):\n    n: int\n"
            "parse = getattr(client.chat.completions, 'parse', None) or client.beta.chat.completions.parse\n"
            f"assert parse(model='gpt-4o', messages={USER}, response_format=Out).choices[0].message.parsed.n == 3"
        )

    def test_gzip(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """Compressed bodies are decoded afterwards, streams too."""
        llm_server.play([Reply(gzip=True, **NUMBERS), Reply("one two three four", gzip=True, **NUMBERS)])
        against_the_books(
            OPENAI + f"client.chat.completions.create(model='gpt-4o', messages={USER})\n"
            f"for _ in client.chat.completions.create(model='gpt-4o', messages={USER}, stream=True,"
            " stream_options={'include_usage': True}): pass",
            calls=2,
        )


class TestAnthropic:
    """The anthropic SDK."""

    SETUP = "import anthropic\nclient = anthropic.Anthropic(base_url=SERVER)\n"

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")

    def test_messages(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """Cached and cache-written tokens are parts of the input."""
        llm_server.play([Reply("hi", input_tokens=100, output_tokens=9, cached=30, cache_write=20)])
        test = against_the_books(
            self.SETUP + f"client.messages.create(model='claude-sonnet-4-5', max_tokens=50, messages={USER})"
        )
        assert test["calls"][0]["cache_write_tokens"] == 20

    def test_messages_streamed(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """``messages.stream``, with a tool call."""
        llm_server.play([Reply("hi there", tool_calls=tuple(TOOLS[:1]), input_tokens=100, output_tokens=9, cached=30)])
        test = against_the_books(
            self.SETUP
            + f"with client.messages.stream(model='claude-sonnet-4-5', max_tokens=50, messages={USER}) as stream:\n"
            "    stream.get_final_message()"
        )
        assert test["calls"][0]["ttft"] > 0

    def test_messages_async(self, against_the_books: Any, llm_server: LedgerServer) -> None:
        """The asynchronous client."""
        llm_server.play([Reply("hi", input_tokens=100, output_tokens=9)])
        against_the_books(
            "import anthropic\nclient = anthropic.AsyncAnthropic(base_url=SERVER)\n"
            f"await client.messages.create(model='claude-sonnet-4-5', max_tokens=50, messages={USER})",
            asynchronous=True,
        )


def test_google_genai(against_the_books: Any, llm_server: LedgerServer) -> None:
    """google-genai, plain and streamed: thoughts are outside the candidates and inside the output."""
    pytest.importorskip("google.genai", reason="google-genai is not installed")
    llm_server.play([Reply("hi", **NUMBERS), Reply("one two three", **NUMBERS)])
    against_the_books(
        "from google import genai\n"
        "client = genai.Client(api_key='none', http_options={'base_url': SERVER})\n"
        "client.models.generate_content(model='gemini-2.5-flash', contents='hello')\n"
        "for _ in client.models.generate_content_stream(model='gemini-2.5-flash', contents='hello'): pass",
        calls=2,
    )


def test_mistralai(against_the_books: Any, llm_server: LedgerServer) -> None:
    """mistralai, plain and streamed."""
    pytest.importorskip("mistralai", reason="mistralai is not installed")
    llm_server.play(
        [Reply("hi", input_tokens=10, output_tokens=3), Reply("one two three", input_tokens=11, output_tokens=4)]
    )
    against_the_books(
        "try:\n    from mistralai import Mistral\nexcept ImportError:\n    from mistralai.client import Mistral\n"
        "client = Mistral(api_key='none', server_url=SERVER)\n"
        f"client.chat.complete(model='mistral-small-latest', messages={USER})\n"
        f"for _ in client.chat.stream(model='mistral-small-latest', messages={USER}): pass",
        calls=2,
    )


def test_cohere(against_the_books: Any, llm_server: LedgerServer) -> None:
    """cohere v2."""
    pytest.importorskip("cohere", reason="cohere is not installed")
    llm_server.play(
        [Reply("hi", input_tokens=10, output_tokens=3), Reply("one two three", input_tokens=11, output_tokens=4)]
    )
    against_the_books(
        "import cohere\nclient = cohere.ClientV2(api_key='none', base_url=SERVER)\n"
        f"client.chat(model='command-a-03-2025', messages={USER})\n"
        f"for _ in client.chat_stream(model='command-a-03-2025', messages={USER}): pass",
        calls=2,
    )


def test_groq(against_the_books: Any, llm_server: LedgerServer) -> None:
    """groq."""
    pytest.importorskip("groq", reason="groq is not installed")
    llm_server.play([Reply("hi", input_tokens=10, output_tokens=3)])
    against_the_books(
        "import groq\nclient = groq.Groq(base_url=SERVER)\n"
        f"client.chat.completions.create(model='llama-3.1-8b-instant', messages={USER})"
    )


def test_ollama(against_the_books: Any, llm_server: LedgerServer) -> None:
    """ollama's native API, plain and streamed."""
    pytest.importorskip("ollama", reason="ollama is not installed")
    llm_server.play(
        [Reply("hi", input_tokens=10, output_tokens=3), Reply("one two three", input_tokens=11, output_tokens=4)]
    )
    against_the_books(
        "import ollama\nclient = ollama.Client(host=SERVER)\n"
        f"client.chat(model='llama3', messages={USER})\n"
        f"for _ in client.chat(model='llama3', messages={USER}, stream=True): pass",
        calls=2,
    )


def test_boto3(against_the_books: Any, llm_server: LedgerServer) -> None:
    """Bedrock through botocore's own HTTP session, plain and as a binary event stream.

    First Converse, then InvokeModel in the dialect of the model.
    """
    needs("boto3")
    llm_server.play(
        [
            Reply("hi", input_tokens=10, output_tokens=3),
            Reply("one two three", input_tokens=11, output_tokens=4),
            Reply("hi", input_tokens=10, output_tokens=3, cached=4),
            Reply("one two three", tool_calls=tuple(TOOLS), input_tokens=11, output_tokens=4),
        ]
    )
    conversed = (
        "modelId='anthropic.claude-3-haiku-20240307-v1:0', messages=[{'role': 'user', 'content': [{'text': 'hello'}]}]"
    )
    invoked = f"modelId='anthropic.claude-3-haiku-20240307-v1:0', body=json.dumps({{'anthropic_version': 'bedrock-2023-05-31', 'max_tokens': 9, 'messages': {USER}}})"
    against_the_books(
        "import boto3, json\nclient = boto3.client('bedrock-runtime', endpoint_url=SERVER, region_name='us-east-1')\n"
        f"client.converse({conversed})\n"
        f"for _ in client.converse_stream({conversed})['stream']: pass\n"
        f"assert json.loads(client.invoke_model({invoked})['body'].read())['content'][0]['text'] == 'hi'\n"
        f"for _ in client.invoke_model_with_response_stream({invoked})['body']: pass",
        calls=4,
        subprocess=True,
    )


def test_litellm(against_the_books: Any, llm_server: LedgerServer) -> None:
    """litellm in front of an OpenAI-compatible server and of Anthropic's, plain and streamed, synchronous and not."""
    needs("litellm")
    numbers: dict[str, Any] = {"input_tokens": 120, "output_tokens": 30, "cached": 40}
    llm_server.play([Reply("one two three", **numbers), Reply("four five", tool_calls=tuple(TOOLS[:1]), **numbers)] * 3)
    asked = f"messages={USER}, api_key='none'"
    openai = f"{asked}, model='openai/gpt-4o', api_base=SERVER + '/v1'"
    claude = f"{asked}, model='anthropic/claude-sonnet-4-5', api_base=SERVER"
    streamed = "stream=True, stream_options={'include_usage': True}"
    against_the_books(
        f"import litellm\nlitellm.completion({openai})\n"
        f"for _ in litellm.completion({openai}, {streamed}): pass\n"
        f"await litellm.acompletion({openai})\n"
        f"async for _ in await litellm.acompletion({openai}, {streamed}): pass\n"
        f"for _ in litellm.completion({claude}, {streamed}): pass",
        asynchronous=True,
        calls=5,
        subprocess=True,
    )


def test_pydantic_ai(against_the_books: Any, llm_server: LedgerServer) -> None:
    """An agent of pydantic-ai on OpenAI's chat completions, and one on Anthropic's messages, streamed."""
    needs("pydantic_ai")
    pytest.importorskip("openai", reason="the openai SDK is not installed")
    pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")
    llm_server.play([Reply("hi", input_tokens=10, output_tokens=3), Reply("ho", input_tokens=120, output_tokens=30)])
    against_the_books(
        "import anthropic\n"
        "from pydantic_ai import Agent\n"
        "from pydantic_ai.models.anthropic import AnthropicModel\n"
        "from pydantic_ai.models.openai import OpenAIChatModel\n"
        "from pydantic_ai.providers.anthropic import AnthropicProvider\n"
        "from pydantic_ai.providers.openai import OpenAIProvider\n"
        "model = OpenAIChatModel('gpt-4o', provider=OpenAIProvider(base_url=SERVER + '/v1', api_key='none'))\n"
        "assert (await Agent(model).run('hello')).output == 'hi'\n"
        "provider = AnthropicProvider(anthropic_client=anthropic.AsyncAnthropic(base_url=SERVER, api_key='none'))\n"
        "async with Agent(AnthropicModel('claude-sonnet-4-5', provider=provider)).run_stream('hello') as run:\n"
        "    assert await run.get_output() == 'ho'",
        asynchronous=True,
        calls=2,
        subprocess=True,
    )


def test_requests(against_the_books: Any, llm_server: LedgerServer) -> None:
    """Plain requests."""
    needs("requests")
    llm_server.play([Reply("hi", input_tokens=10, output_tokens=3)])
    against_the_books(
        f"import requests\nrequests.post(SERVER + '/v1/chat/completions', json={{'model': 'gpt-4o', 'messages': {USER}}})",
        subprocess=True,
    )


def test_aiohttp(against_the_books: Any, llm_server: LedgerServer) -> None:
    """Plain aiohttp."""
    needs("aiohttp")
    llm_server.play([Reply("hi", input_tokens=10, output_tokens=3)])
    against_the_books(
        "import aiohttp\nasync with aiohttp.ClientSession() as session:\n"
        f"    async with session.post(SERVER + '/v1/chat/completions', json={{'model': 'gpt-4o', 'messages': {USER}}}) as answer:\n"
        "        await answer.json()",
        asynchronous=True,
        subprocess=True,
    )
