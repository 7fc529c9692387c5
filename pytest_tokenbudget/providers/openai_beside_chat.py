"""OpenAI's endpoints beside chat and responses, and of all who built theirs alike: completions, embeddings, lists, files, batches."""

from __future__ import annotations

from typing import Any

from pytest_tokenbudget.providers.billing import openai_billed
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import as_dict, count, first_count
from pytest_tokenbudget.providers.openai_chat import DEPLOYMENTS, ask_for_usage, parse_chat
from pytest_tokenbudget.providers.prompt_parts import completion_prompt, embedding_prompt
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, has, holds
from pytest_tokenbudget.records.call import Usage


class OpenAICompletions(WireFormat):
    """Text completions: OpenAI's, vLLM's, Together's, Writer's. Chat formats are asked before, as some paths are shared."""

    api = "openai.completions"
    operation = "text_completion"
    endpoints = (
        Endpoint("call", r"/completions$", when=has("prompt", "model", "suffix")),
        Endpoint("call", r"/invocations$", when=holds("prompt")),
    )
    read_prompt = staticmethod(completion_prompt)
    model_markers = DEPLOYMENTS

    def ask_for_usage(self, request: Request, body: bytes) -> bytes | None:
        """Ask in ``stream_options``."""
        return ask_for_usage(request, body)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from a completion or its chunks; Writer streams ``value``."""
        parse_chat(response.documents, accumulator)
        for index, document in enumerate(response.documents):
            if "choices" not in document and isinstance(document.get("value"), str):
                accumulator.read = True
                accumulator.text(document["value"], index)


def _embedding_usage(usage: dict[str, Any]) -> Usage:
    """Embeddings; Voyage sends ``total_tokens`` only, which is the input."""
    read = first_count(usage.get("prompt_tokens"), usage.get("input_tokens"), usage.get("total_tokens"))
    details = as_dict(usage.get("prompt_tokens_details"))
    return Usage(
        input_tokens=read,
        output_tokens=count(usage.get("completion_tokens")),
        cached_input_tokens=count(details.get("cached_tokens")),
    )


def _has_texts(request: Request) -> bool:
    return isinstance((request.body or {}).get("input"), str | list)


class OpenAIEmbeddings(WireFormat):
    """Embeddings: OpenAI's, Azure's, Mistral's, OpenRouter's, Perplexity's, Voyage's, local servers'. Ollama's own have a ``prompt``."""

    api = "openai.embeddings"
    operation = "embeddings"
    endpoints = (
        Endpoint("call", r"/(multimodal|contextualized)?embeddings$", when=has("input", "inputs", "model")),
        Endpoint("call", r"/invocations$", when=_has_texts),
    )
    hosts = (
        ("voyageai.com", "voyage"),
        ("jina.ai", "jina"),
    )
    read_prompt = staticmethod(embedding_prompt)
    model_markers = DEPLOYMENTS

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather from the one document."""
        for document in response.documents:
            accumulator.named(document)
            accumulator.read = accumulator.read or "data" in document
            accumulator.note_error(document.get("error"))
            usage = as_dict(document.get("usage"))
            if usage:
                accumulator.note_usage(_embedding_usage(usage))
                accumulator.billed = openai_billed(usage)


def _opens_a_session(request: Request) -> bool:
    upgrades = request.url.scheme in ("ws", "wss") or request.headers.get("upgrade", "").lower() == "websocket"
    return request.method == "POST" or upgrades


class OpenAIPlatform(WireFormat):
    """Model lists, token counts, files, stored conversations, tuning; batches and realtime sessions. It has no calls."""

    api = "openai.platform"
    operation = "other"
    endpoints = (
        Endpoint("realtime", r"/realtime(/|$)", when=_opens_a_session, methods=()),
        Endpoint(
            "batch",
            r"/batches(/[^/]+/requests)?$|/batch/jobs$|/batch_jobs$|/batch-inference$",
            when=has("requests", "batch", "batch_requests", "input_file_id", "input_files", "completion_window"),
        ),
        Endpoint("auxiliary", r"/batches(/|$)", methods=()),
        Endpoint("auxiliary", r"/models(/[^/:]+)?$", methods=("GET", "DELETE")),
        Endpoint("auxiliary", r"(?i)[:/]count[-_]?tokens$|/(de)?tokenize$|/apply-template$|/input_tokens$"),
        Endpoint("auxiliary", r"/files(/|$)|/vector_stores(/|$)|/cached_contents(/|$)", methods=()),
        Endpoint("auxiliary", r"/conversations(/|$)|/assistants(/|$)|/threads(/|$)", methods=()),
        Endpoint("auxiliary", r"/fine[-_]tuning(/|$)|/finetun|/evals(/|$)", methods=()),
    )

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Nothing of it is read."""
