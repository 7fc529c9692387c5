"""Model endpoints that are no calls of a language model: images, audio, moderation, ranking, assistants, polls.

They are known, so that they are neither counted nor reported as unattributed. A poll's usage and id are read, since it
completes the background response that was asked for before.
"""

from __future__ import annotations

import re
from typing import Any

from pytest_tokenbudget.providers import openai_responses
from pytest_tokenbudget.providers import usage as usages
from pytest_tokenbudget.providers.accumulator import ResponseAccumulator, error_text, segment_after
from pytest_tokenbudget.providers.answer import Answer
from pytest_tokenbudget.providers.builtin import BuiltinFormat
from pytest_tokenbudget.providers.format import Request
from pytest_tokenbudget.providers.loose import as_dict
from pytest_tokenbudget.records.call import Usage

_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("images", re.compile(r"/images?([/_](generations?|generate|edits|variations))?$|/(text|image)[_-]to[_-]image$")),
    (
        "audio",
        re.compile(r"/audio/(speech|transcriptions|translations)$|/(text-to-speech|music_generation|t2a_v2)(/|$)"),
    ),
    ("videos", re.compile(r"/videos?([/_]generations?)?$|/(text|image)[_-]to[_-]video$|:predictLongRunning$")),
    ("pipeline", re.compile(r"/pipeline/[^/]+$")),
    ("moderations", re.compile(r"/moderations$|/guardrail/[^/]+/version/[^/]+/apply$")),
    ("rerank", re.compile(r"/(re-?rank|rerankings?)$")),
    ("classify", re.compile(r"/classif(y|ications?)$")),
    ("ocr", re.compile(r"/ocr$")),
    ("assistants_run", re.compile(r"/threads(/[^/]+)?/runs(/[^/]+/submit_tool_outputs)?$")),
    ("predictions", re.compile(r"/predictions$")),
    ("predict", re.compile(r":predict$")),
    ("async_invoke", re.compile(r"/async-invoke$")),
)
_POLLS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("responses_poll", re.compile(r"/responses/resp_[^/]+$|/v1/responses/[^/]+$")),
    ("run_poll", re.compile(r"/threads/[^/]+/runs/[^/]+$")),
)


class Uncounted(BuiltinFormat):
    """Everything that is known and not counted."""

    api = "other"
    operation = "other"

    def recognises(self, request: Request) -> bool:
        """By path."""
        return bool(_kind(request))

    def api_of(self, request: Request) -> str:
        """``other.`` and the kind."""
        return f"other.{_kind(request)}"

    def url_model(self, request: Request) -> str:
        """The deployment in the path."""
        return segment_after(request.path, "deployments")

    def parse(self, answer: Answer, accumulator: ResponseAccumulator) -> None:
        """Gather model, id and usage, in whichever of OpenAI's two dialects it is."""
        accumulator.read = True
        if any(document.get("object") == "response" or "response" in document for document in answer.documents):
            openai_responses.walk(answer.documents, accumulator)
            return
        for document in answer.documents:
            accumulator.named(document)
            accumulator.usage = _usage(as_dict(document.get("usage"))) or accumulator.usage
            if document.get("error"):
                accumulator.error = error_text(document["error"])


def _kind(request: Request) -> str:
    path = request.path
    for kind, pattern in _KINDS if request.method == "POST" else _POLLS if request.method == "GET" else ():
        if pattern.search(path):
            return kind
    return ""


def _usage(usage: dict[str, Any]) -> Usage | None:
    found = usages.openai_responses(usage) if "input_tokens" in usage else usages.openai_chat(usage)
    return found if found != Usage() else None
