"""Models that are no language models: images, sound, films, ranking, classification, moderation, text recognition.

They are known, so that they are neither counted as calls nor reported as unknown. They cost money, so that what their
answers say of their usage is read. Applications have paths such as ``/images`` too, so that the body must fit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from pytest_tokenbudget.providers.billing import billed, openai_billed
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import as_dict, count
from pytest_tokenbudget.providers.openai_chat import DEPLOYMENTS, chat_usage
from pytest_tokenbudget.providers.openai_responses import responses_usage
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, holds
from pytest_tokenbudget.records.call import BilledUsage, Operation, Reading, Usage
from pytest_tokenbudget.records.exchange import Exchange


class OtherModel(WireFormat):
    """An API whose answers have model, id and usage in one of OpenAI's two shapes."""

    operation: ClassVar[Operation] = "other"
    model_markers = DEPLOYMENTS

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather model, id and usage."""
        accumulator.read = True
        for document in response.documents:
            accumulator.named(document)
            usage = as_dict(document.get("usage"))
            if usage:
                accumulator.note_usage(responses_usage(usage) if "input_tokens" in usage else chat_usage(usage))
                accumulator.billed = openai_billed(usage, tools=self.quantities(document, usage))
            elif quantities := self.quantities(document, usage):
                accumulator.billed = billed(quantities)
            accumulator.note_error(document.get("error"))

    def quantities(self, document: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
        """Read what has a price of its own in an answer, by the name of its price."""
        return {}


class Images(OtherModel):
    """Images: generated, changed, varied."""

    api = "openai.images"
    endpoints = (
        Endpoint("paid", r"/images?[/_](generations?|generate|edits|variations)$|/(text|image)[_-]to[_-]image$"),
        Endpoint("paid", r"/images?$", when=holds("prompt")),
    )

    def quantities(self, document: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
        """Count images: an image model writes nothing else."""
        wrote = as_dict(usage.get("output_tokens_details"))
        return {} if "image_tokens" in wrote else {"output_image_tokens": usage.get("output_tokens")}


class Audio(OtherModel):
    """Speech, transcription, translation, music."""

    api = "openai.audio"
    endpoints = (
        Endpoint(
            "paid",
            r"/audio/(speech|transcriptions|translations)$|/(text-to-speech|music_generation|t2a_v2)(/|$)",
        ),
    )

    def quantities(self, document: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
        """Transcription is billed by tokens or by seconds, as its usage says."""
        return {"input_audio_seconds": usage.get("seconds")} if usage.get("type") == "duration" else {}


class Videos(OtherModel):
    """Films."""

    api = "openai.videos"
    endpoints = (
        Endpoint("paid", r"/videos?[/_]generations?$|/(text|image)[_-]to[_-]video$|:predictLongRunning$"),
        Endpoint("paid", r"/videos?$", when=holds("prompt")),
    )


class Moderation(OtherModel):
    """Moderation, which OpenAI gives away, and Bedrock's guardrails."""

    api = "openai.moderations"
    endpoints = (
        Endpoint("paid", r"/moderations$", when=holds("input")),
        Endpoint("paid", r"/guardrail/[^/]+/version/[^/]+/apply$"),
    )

    def read_answer(self, request: Request, exchange: Exchange, provider: str) -> Reading | None:
        """Read what it costs: nothing at OpenAI (platform.openai.com/docs/guides/moderation, read 2026-11)."""
        found = super().read_answer(request, exchange, provider)
        if found is None or not request.host.endswith("openai.com"):
            return found
        return replace(found, billed=BilledUsage(cost=0.0))


class Rerank(OtherModel):
    """Ranking of documents: Cohere, Voyage, Jina and others."""

    api = "cohere.rerank"
    endpoints = (Endpoint("paid", r"/(re-?rank|rerankings?)$", when=holds("query")),)

    def quantities(self, document: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
        """Cohere counts searches, of up to 100 documents each; the others tokens."""
        return {"rerank_searches": as_dict(as_dict(document.get("meta")).get("billed_units")).get("search_units")}


class Classification(OtherModel):
    """Classification of texts."""

    api = "cohere.classify"
    endpoints = (
        Endpoint("paid", r"/classif(y|ications?)$", when=holds("inputs")),
        Endpoint("paid", r"/classif(y|ications?)$", when=holds("input", "model")),
    )


class TextRecognition(OtherModel):
    """Text recognition."""

    api = "mistral.ocr"
    endpoints = (Endpoint("paid", r"/ocr$", when=holds("document")),)

    def quantities(self, document: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
        """Pages are what is billed."""
        return {"input_document_pages": as_dict(document.get("usage_info")).get("pages_processed")}


class ReplicatePredictions(OtherModel):
    """Predictions of Replicate, of whatever model; language models count their tokens in ``metrics``."""

    api = "replicate.predictions"
    endpoints = (
        Endpoint("paid", r"/predictions$", when=holds("input")),
        Endpoint("auxiliary", r"/predictions/[^/]+$", methods=("GET",), reads=True),
    )

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather model, id and metrics."""
        super().parse(response, accumulator)
        for document in response.documents:
            metrics = as_dict(document.get("metrics"))
            read, written = count(metrics.get("input_token_count")), count(metrics.get("output_token_count"))
            accumulator.note_usage(Usage(input_tokens=read, output_tokens=written))


class OtherPredictions(OtherModel):
    """Predictions of any model at Vertex AI, SageMaker's asynchronous endpoints and Hugging Face's pipelines."""

    api = "other.predictions"
    endpoints = (
        Endpoint("paid", r":predict$", when=holds("instances")),
        Endpoint("paid", r"/pipeline/[^/]+$", when=holds("inputs")),
        Endpoint("paid", r"/endpoints/[^/]+/async-invocations$|/async-invoke$"),
    )


class AssistantRuns(OtherModel):
    """Runs of OpenAI's Assistants, which go on after their answer: the last event, or a poll, tells their usage."""

    api = "openai.assistants_run"
    endpoints = (
        Endpoint("paid", r"/threads(/[^/]+)?/runs(/[^/]+/submit_tool_outputs)?$"),
        Endpoint("auxiliary", r"/threads/[^/]+/runs/[^/]+$", methods=("GET",), reads=True),
    )


OTHER_MODELS = (
    Images(),
    Audio(),
    Videos(),
    ReplicatePredictions(),
    OtherPredictions(),
    Moderation(),
    Rerank(),
    Classification(),
    TextRecognition(),
    AssistantRuns(),
)
