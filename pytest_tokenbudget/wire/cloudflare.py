"""Cloudflare's Workers AI by its own path; its OpenAI-compatible one is read as chat completions."""

from __future__ import annotations

from pytest_tokenbudget.wire import usage as usages
from pytest_tokenbudget.wire.answer import Answer
from pytest_tokenbudget.wire.builtin import BuiltinFormat
from pytest_tokenbudget.wire.format import Request
from pytest_tokenbudget.wire.harvest import Harvest, error_text
from pytest_tokenbudget.wire.loose import as_dict, dicts


class CloudflareRun(BuiltinFormat):
    """A run of a text model."""

    api = "cloudflare.run"

    def recognises(self, request: Request) -> bool:
        """By the model in the path, whose name begins with ``@`` and messages; image models take none."""
        body = request.body
        return request.method == "POST" and "/@" in request.path and body is not None and "messages" in body

    def url_model(self, request: Request) -> str:
        """The model in the path, ``@cf/meta/llama-3.1-8b-instruct``."""
        return f"@{request.path.partition('/@')[2]}"

    def gather(self, answer: Answer, harvest: Harvest) -> None:
        """Gather from a result, or from the events of a stream."""
        for index, document in enumerate(answer.documents):
            held = as_dict(document.get("result")) or document
            harvest.read = harvest.read or "response" in held
            harvest.text(held.get("response"), index)
            for call in dicts(held.get("tool_calls")):
                harvest.call(call.get("name"), call.get("arguments"), index)
            usage = as_dict(held.get("usage"))
            if usage:
                harvest.usage = usages.openai_chat(usage)
            for error in dicts(document.get("errors")):
                harvest.error = error_text(error)
