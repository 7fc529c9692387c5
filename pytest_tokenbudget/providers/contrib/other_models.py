"""Models that are no language models: images, sound, films, ranking, classification, moderation, text recognition.

They are known, so that they are neither counted as calls nor reported as unknown. They cost money, so that what their
answers say of their usage is read.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text
from pytest_tokenbudget.providers.loose import as_dict
from pytest_tokenbudget.providers.openai_chat import chat_usage, deployment
from pytest_tokenbudget.providers.openai_responses import parse_responses, responses_usage
from pytest_tokenbudget.providers.request import Request
from pytest_tokenbudget.providers.response import Response
from pytest_tokenbudget.providers.wire_format import Endpoint, WireFormat
from pytest_tokenbudget.records.call import Operation, Usage


class OtherModel(WireFormat):
    """What these APIs share: model, id and usage, in whichever of OpenAI's two shapes it is."""

    operation: ClassVar[Operation] = "other"

    def url_model(self, request: Request) -> str:
        """The deployment in the path."""
        return deployment(request)

    def parse(self, response: Response, accumulator: ResponseAccumulator) -> None:
        """Gather model, id and usage."""
        accumulator.read = True
        if any(document.get("object") == "response" or "response" in document for document in response.documents):
            parse_responses(response.documents, accumulator)
            return
        for document in response.documents:
            accumulator.named(document)
            accumulator.usage = _usage(as_dict(document.get("usage"))) or accumulator.usage
            if document.get("error"):
                accumulator.error = error_text(document["error"])


def _usage(usage: dict[str, Any]) -> Usage | None:
    found = responses_usage(usage) if "input_tokens" in usage else chat_usage(usage)
    return found if found != Usage() else None


class Images(OtherModel):
    """Images: generated, changed, varied."""

    api = "openai.images"
    endpoints = (
        Endpoint("paid", r"/images?([/_](generations?|generate|edits|variations))?$|/(text|image)[_-]to[_-]image$"),
    )


class Audio(OtherModel):
    """Speech, transcription, translation, music."""

    api = "openai.audio"
    endpoints = (
        Endpoint(
            "paid",
            r"/audio/(speech|transcriptions|translations)$|/(text-to-speech|music_generation|t2a_v2)(/|$)",
        ),
    )


class Videos(OtherModel):
    """Films."""

    api = "openai.videos"
    endpoints = (Endpoint("paid", r"/videos?([/_]generations?)?$|/(text|image)[_-]to[_-]video$|:predictLongRunning$"),)


class Moderation(OtherModel):
    """Moderation, which is free at OpenAI and Mistral, and Bedrock's guardrails, which are not."""

    api = "openai.moderations"
    endpoints = (Endpoint("paid", r"/moderations$|/guardrail/[^/]+/version/[^/]+/apply$"),)


class Rerank(OtherModel):
    """Ranking of documents: Cohere, Voyage, Jina and others."""

    api = "cohere.rerank"
    endpoints = (Endpoint("paid", r"/(re-?rank|rerankings?)$"),)


class Classification(OtherModel):
    """Classification of texts."""

    api = "cohere.classify"
    endpoints = (Endpoint("paid", r"/classif(y|ications?)$"),)


class TextRecognition(OtherModel):
    """Text recognition."""

    api = "mistral.ocr"
    endpoints = (Endpoint("paid", r"/ocr$"),)


class Predictions(OtherModel):
    """Predictions of any model: Replicate, Vertex AI, SageMaker's asynchronous ones, Hugging Face's pipelines."""

    api = "replicate.predictions"
    endpoints = (Endpoint("paid", r"/predictions$|:predict$|/async-invoke$|/pipeline/[^/]+$"),)
    hosts = (("replicate.com", "replicate"),)


class AssistantRuns(OtherModel):
    """Runs of OpenAI's Assistants, which end after their answer: a poll tells their usage."""

    api = "openai.assistants_run"
    endpoints = (
        Endpoint("paid", r"/threads(/[^/]+)?/runs(/[^/]+/submit_tool_outputs)?$"),
        Endpoint("auxiliary", r"/threads/[^/]+/runs/[^/]+$", methods=("GET",), reads=True),
    )


OTHER_MODELS = (
    Images(),
    Audio(),
    Videos(),
    Predictions(),
    Moderation(),
    Rerank(),
    Classification(),
    TextRecognition(),
    AssistantRuns(),
)
