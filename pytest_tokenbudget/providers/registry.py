"""All formats, and the one way from an exchange to a reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pytest_tokenbudget.providers.alephalpha import AlephAlphaComplete
from pytest_tokenbudget.providers.anthropic_complete import AnthropicComplete
from pytest_tokenbudget.providers.anthropic_messages import AnthropicMessages
from pytest_tokenbudget.providers.bedrock_converse import BedrockConverse
from pytest_tokenbudget.providers.bedrock_invoke import BedrockInvoke
from pytest_tokenbudget.providers.body import arrival, request_body
from pytest_tokenbudget.providers.cloudflare import CloudflareRun
from pytest_tokenbudget.providers.cohere import CohereChatV1, CohereChatV2, CohereEmbed, CohereGenerate
from pytest_tokenbudget.providers.format import Request, WireFormat
from pytest_tokenbudget.providers.google_embed import GoogleEmbed, VertexPredict
from pytest_tokenbudget.providers.google_generate import GoogleGenerate
from pytest_tokenbudget.providers.google_interactions import GoogleInteractions
from pytest_tokenbudget.providers.llamacpp import LlamaCppCompletion
from pytest_tokenbudget.providers.looks import unattributed
from pytest_tokenbudget.providers.mistral_conversations import MistralConversations
from pytest_tokenbudget.providers.ollama_native import OllamaChat, OllamaEmbed, OllamaGenerate
from pytest_tokenbudget.providers.openai_chat import OpenAIChat
from pytest_tokenbudget.providers.openai_completions import OpenAICompletions
from pytest_tokenbudget.providers.openai_embeddings import OpenAIEmbeddings
from pytest_tokenbudget.providers.openai_responses import OpenAIResponses, OpenAIResponsesCompact
from pytest_tokenbudget.providers.parsing import parse
from pytest_tokenbudget.providers.text_generation import HuggingFaceGeneration, SageMakerInvoke, SGLangGeneration
from pytest_tokenbudget.providers.uncounted import Uncounted
from pytest_tokenbudget.providers.watsonx import WatsonxChat, WatsonxGeneration
from pytest_tokenbudget.providers.writer import WriterChat
from pytest_tokenbudget.records.call import Reading
from pytest_tokenbudget.records.exchange import Exchange, Unattributed
from pytest_tokenbudget.records.prompt import Prompt


@dataclass(frozen=True, slots=True)
class ReadExchange:
    """An exchange that a format recognised.

    Attributes:
        reading: What it read.
        ttft: Time to the chunk in which the event ended that first carried generated content, s since the start;
            ``None`` where the answer was not streamed or carried none.
        request: The request, parsed: ``format.prompt(request)`` gives the prompt.
        format: The format.
    """

    reading: Reading
    ttft: float | None
    request: Request
    format: WireFormat


def builtin_formats() -> tuple[WireFormat, ...]:
    """The built-in formats in the order in which they are asked."""
    return (
        OpenAIChat(),
        OpenAIResponses(),
        AnthropicMessages(),
        GoogleGenerate(),
        BedrockConverse(),
        BedrockInvoke(),
        CohereChatV2(),
        CohereChatV1(),
        OllamaChat(),
        OllamaGenerate(),
        OllamaEmbed(),
        OpenAIEmbeddings(),
        OpenAICompletions(),
        OpenAIResponsesCompact(),
        GoogleInteractions(),
        GoogleEmbed(),
        VertexPredict(),
        CohereEmbed(),
        CohereGenerate(),
        WriterChat(),
        WatsonxChat(),
        WatsonxGeneration(),
        AnthropicComplete(),
        AlephAlphaComplete(),
        SageMakerInvoke(),
        MistralConversations(),
        CloudflareRun(),
        HuggingFaceGeneration(),
        SGLangGeneration(),
        LlamaCppCompletion(),
        Uncounted(),
    )


def read(exchange: Exchange, formats: Sequence[WireFormat]) -> ReadExchange | Unattributed | None:
    """Read one exchange.

    Args:
        exchange: The exchange.
        formats: The formats; the first that recognises the request reads it.

    Returns:
        The reading of a model call, whether it succeeded or not; traffic that looks like a model call and that no format
        recognises; ``None`` for everything else. Never raises, whatever the server sent: a format that fails makes its
        exchange unattributed, with the failure as the reason.
    """
    request = request_of(exchange)
    for wire_format in formats:
        try:
            if not wire_format.recognises(request):
                continue
            found = wire_format.read(request, exchange)
            if found is None:
                continue
        except Exception as error:
            return _failed(request, wire_format, error)
        return ReadExchange(found, _ttft(exchange, found), request, wire_format)
    return unattributed(request)


def format_of(request: Request, formats: Sequence[WireFormat]) -> WireFormat | None:
    """The format that recognises a request, before there is an answer; one that fails does not recognise it."""
    for wire_format in formats:
        try:
            if wire_format.recognises(request):
                return wire_format
        except Exception:
            continue
    return None


def request_prompt(found: ReadExchange) -> Prompt | None:
    """What the model was asked. Apart from :func:`read`, since it takes time and is not always needed."""
    try:
        return found.format.prompt(found.request)
    except Exception:
        return None


def request_of(exchange: Exchange) -> Request:
    """The request of an exchange as formats look at it."""
    body = None
    data = exchange.request_body
    if data and exchange.method != "GET":
        decoded = request_body(exchange).data
        if decoded.lstrip()[:1] == b"{":
            value = parse(decoded)
            body = value if isinstance(value, dict) else None
    headers = {name.lower(): value for name, value in exchange.request_headers}
    return Request(exchange.method.upper(), _split(exchange.url), headers, body)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        path = url.partition("://")[2].partition("/")[2].partition("?")[0]
        return SplitResult("", "", f"/{path}", "", "")


def _ttft(exchange: Exchange, reading: Reading) -> float | None:
    if reading.first_content_at is None or not reading.stream:
        return None
    arrived = arrival(exchange, reading.first_content_at)
    return None if arrived is None else arrived - exchange.started


def _failed(request: Request, wire_format: WireFormat, error: Exception) -> Unattributed:
    reason = f"{getattr(wire_format, 'api', type(wire_format).__name__)} failed: {type(error).__name__}"
    return Unattributed(host=request.url.netloc, path=request.url.path, reason=reason)
