"""The turns of a WebSocket conversation with a model: which messages begin a response, and which one ends it.

Each turn is recorded as the HTTP request and streamed answer that the same API has, so that one wire format reads both:
OpenAI's Responses and Realtime as ``POST /v1/responses``, Gemini Live as ``POST ...:streamGenerateContent`` (the
providers' pages on each, read 2026-11-28).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

JsonObject = dict[str, Any]


class Received(NamedTuple):
    """The meaning of a message of the server.

    Attributes:
        begins: The body of a request that nobody has sent: the server began a response by itself.
        event: What is recorded of it; nothing where it is ``None``.
        ends: Whether it is the last of its response.
    """

    begins: JsonObject | None = None
    event: JsonObject | str | None = None
    ends: bool = False


@dataclass(slots=True)
class Conversation:
    """One connection to a model.

    Attributes:
        url: The URL of the HTTP API that has the same form.
        sent: Takes a message of the client; gives the body of a request where it begins a response.
        received: Takes a message of the server, as text.
    """

    url: str
    sent: Callable[[JsonObject], JsonObject | None]
    received: Callable[[str], Received]


def conversation_at(url: str) -> Conversation | None:
    """The conversation with a model at a URL, ``None`` where it is none."""
    parts = urlsplit(url)
    origin = f"{'https' if parts.scheme in ('wss', 'https') else 'http'}://{parts.netloc}"
    if parts.path.endswith("/responses"):
        return Conversation(f"{origin}{parts.path}", _responses_sent, _responses_received)
    if parts.path.endswith("/realtime"):
        model = (parse_qs(parts.query).get("model") or [""])[0]
        realtime = _Realtime({"model": model})
        path = parts.path.removesuffix("realtime") + "responses"
        return Conversation(f"{origin}{path}", realtime.sent, realtime.received)
    if parts.path.endswith("BidiGenerateContent"):
        live = _Live()
        conversation = Conversation(origin, live.sent, live.received)
        live.named = lambda model: setattr(
            conversation, "url", f"{origin}/v1beta/{model}:streamGenerateContent?alt=sse"
        )
        return conversation
    return None


_LAST_OF_RESPONSES = ("response.completed", "response.failed", "response.incomplete")


def _responses_sent(message: JsonObject) -> JsonObject | None:
    if message.get("type") != "response.create":
        return None
    nested = message.get("response")
    body = {**message, **nested} if isinstance(nested, dict) else dict(message)
    return {key: value for key, value in body.items() if key not in ("type", "response")} | {"stream": True}


def _responses_received(text: str) -> Received:
    # Only a message that may be the last is parsed: the others are read when the test has ended.
    if any(word in text for word in (*_LAST_OF_RESPONSES, '"error"')):
        kind = _object(text).get("type")
        return Received(event=text, ends=kind in _LAST_OF_RESPONSES or kind == "error")
    return Received(event=text)


@dataclass(slots=True)
class _Realtime:
    """OpenAI's Realtime: the session holds prompt and tools, items are the input, and the server may begin by itself."""

    session: JsonObject
    items: list[Any] = field(default_factory=list)

    def sent(self, message: JsonObject) -> JsonObject | None:
        kind = message.get("type")
        if kind == "session.update" and isinstance(message.get("session"), dict):
            self.session |= message["session"]
        elif kind == "conversation.item.create":
            self.items.append(message.get("item"))
        elif kind == "response.create":
            nested = message.get("response")
            return self._body(nested if isinstance(nested, dict) else {})
        return None

    def _body(self, asked: JsonObject) -> JsonObject:
        kept = ("model", "instructions", "tools", "tool_choice", "max_output_tokens")
        body = {key: value for key, value in {**self.session, **asked}.items() if key in kept}
        return {**body, "input": list(self.items), "stream": True}

    def received(self, text: str) -> Received:
        if '"response.' not in text:
            return Received()
        message = _object(text)
        kind = message.get("type")
        if kind == "response.created":
            return Received(begins=self._body({}), event=message)
        if kind != "response.done":
            return Received(event=text)
        response = message.get("response")
        response = dict(response) if isinstance(response, dict) else {}
        output = response.get("output")
        self.items += output if isinstance(output, list) else []
        response.setdefault("model", self.session.get("model"))
        ended = {"completed": "response.completed", "failed": "response.failed"}
        last = ended.get(str(response.get("status")), "response.incomplete")
        return Received(event={"type": last, "response": response}, ends=True)


@dataclass(slots=True)
class _Live:
    """Gemini Live: the setup holds prompt and tools, a turn ends with ``turnComplete`` or with calls of tools."""

    setup: JsonObject = field(default_factory=dict)
    contents: list[Any] = field(default_factory=list)
    named: Callable[[str], None] = lambda model: None

    def sent(self, message: JsonObject) -> JsonObject | None:
        if isinstance(setup := message.get("setup"), dict):
            self.setup = setup
            self.named(str(setup.get("model") or "models/unknown"))
            return None
        content = message.get("clientContent") or message.get("client_content")
        if isinstance(content, dict):
            turns = content.get("turns")
            self.contents += turns if isinstance(turns, list) else [turns] if turns else []
            return self._body() if content.get("turnComplete", content.get("turn_complete", True)) else None
        answers = message.get("toolResponse") or message.get("tool_response")
        if isinstance(answers, dict):
            given = answers.get("functionResponses") or answers.get("function_responses") or []
            self.contents.append({"role": "user", "parts": [{"functionResponse": one} for one in given]})
            return self._body()
        return None

    def _body(self) -> JsonObject:
        named = {"systemInstruction": "systemInstruction", "tools": "tools", "generationConfig": "generationConfig"}
        snake = {"system_instruction": "systemInstruction", "generation_config": "generationConfig"}
        body = {new: self.setup[old] for old, new in {**named, **snake}.items() if old in self.setup}
        if isinstance(body.get("systemInstruction"), str):
            body["systemInstruction"] = {"parts": [{"text": body["systemInstruction"]}]}
        return {**body, "contents": list(self.contents)}

    def received(self, text: str) -> Received:
        message = _object(text)
        content, call = message.get("serverContent"), message.get("toolCall")
        event: JsonObject = {}
        ends = False
        if isinstance(message.get("usageMetadata"), dict):
            usage = dict(message["usageMetadata"])
            if "responseTokenCount" in usage:
                usage["candidatesTokenCount"] = usage.pop("responseTokenCount")
            event["usageMetadata"] = usage
        if isinstance(content, dict):
            ends = bool(content.get("turnComplete") or content.get("interrupted"))
            candidate: JsonObject = {"index": 0}
            if isinstance(turn := content.get("modelTurn"), dict):
                candidate["content"] = turn
                self.contents.append(turn)
            if ends:
                candidate["finishReason"] = "STOP"
            event["candidates"] = [candidate]
        if isinstance(call, dict):
            parts = [{"functionCall": one} for one in call.get("functionCalls") or []]
            turn = {"role": "model", "parts": parts}
            self.contents.append(turn)
            event["candidates"] = [{"index": 0, "content": turn, "finishReason": "STOP"}]
            ends = True
        if not event:
            return Received()
        return Received(begins=self._body() if "candidates" in event else None, event=event, ends=ends)


def _object(text: str) -> JsonObject:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
