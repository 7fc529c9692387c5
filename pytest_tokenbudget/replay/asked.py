"""A request as a script or a cassette looks at it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pytest_tokenbudget.capture.local_answer import Outgoing

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A model call that is about to leave.

    Attributes:
        api: The wire format, ``"openai.chat"``.
        url: The whole URL.
        body: The parsed JSON object of the body.
        stage: Path of the innermost open stage, ``""`` for none.
        model: The model that was asked for.
        stream: Whether the answer is to be streamed.
        messages: Role and text of each message, the system prompt first.
        tools: Names of the tools that are offered.
        number: How many requests the script was asked before.
    """

    api: str
    url: str
    body: JsonObject
    stage: str = ""
    model: str = ""
    stream: bool = False
    messages: tuple[tuple[str, str], ...] = ()
    tools: tuple[str, ...] = ()
    number: int = 0

    @property
    def system(self) -> str:
        """All system text."""
        return "\n".join(said for role, said in self.messages if role in ("system", "developer"))

    @property
    def user(self) -> str:
        """The last message of the user."""
        return next((said for role, said in reversed(self.messages) if role == "user"), "")

    @property
    def last(self) -> str:
        """The last message, whoever sent it."""
        return self.messages[-1][1] if self.messages else ""

    def __str__(self) -> str:
        stage = f" in stage {self.stage!r}" if self.stage else ""
        offered = f", tools: {', '.join(self.tools)}" if self.tools else ""
        said = " ".join(self.last.split())
        said = said if len(said) <= 80 else said[:77] + "..."
        return f"{self.api} {self.model}{stage}, last message {said!r}{offered}"


def json_body(body: bytes | None) -> JsonObject | None:
    """The JSON object of a body, ``None`` where it is none."""
    if not body:
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def path_of(outgoing: Outgoing) -> str:
    """Path of a request's URL, ``""`` where the URL is malformed."""
    try:
        return urlsplit(outgoing.url).path
    except ValueError:
        return ""


_MODEL_PATHS = (
    "/completions",
    "/embeddings",
    "/responses",
    "/messages",
    ":generateContent",
    ":streamGenerateContent",
    ":embedContent",
    ":batchEmbedContents",
    ":rawPredict",
    ":streamRawPredict",
    "/api/chat",
    "/api/generate",
    "/v2/chat",
    "/v1/chat",
    "/converse",
    "/converse-stream",
    "/invoke",
    "/invoke-with-response-stream",
)
_PROMPTS = ("messages", "input", "prompt", "contents", "instances", "inputs")


def looks_like_a_model(outgoing: Outgoing, body: JsonObject | None) -> bool:
    """Whether a request is for a model, by path or by the body's shape, so that it may not leave unanswered."""
    if outgoing.method != "POST":
        return False
    if path_of(outgoing).rstrip("/").endswith(_MODEL_PATHS):
        return True
    return body is not None and isinstance(body.get("model"), str) and any(name in body for name in _PROMPTS)


def flat_text(content: object) -> str:
    """The text of a message's content, whatever shape the wire gives it."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(flat_text(part) for part in content)
    if isinstance(content, dict):
        for key in ("text", "content", "parts", "output", "thinking"):
            if content.get(key) is not None:
                return flat_text(content[key])
        found = content.get("functionResponse") or content.get("function_response")
        return json.dumps(found, ensure_ascii=False) if found is not None else ""
    return ""


@dataclass(slots=True)
class Numbering:
    """Deterministic ids: ``call_3_0`` is the first tool call of the fourth answer."""

    prefix: str
    answer: int
    given: int = field(default=0)

    def next(self) -> str:
        """The next id."""
        self.given += 1
        return f"{self.prefix}_{self.answer}_{self.given - 1}"
