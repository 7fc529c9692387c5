"""The endpoints beside the models of OpenAI's API, and of all who built theirs like it: lists, files, batches, sessions."""

from __future__ import annotations

from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, has


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
