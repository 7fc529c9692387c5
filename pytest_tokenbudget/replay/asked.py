"""A request as a script or a cassette looks at it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_tokenbudget.providers.classify import Classified
from pytest_tokenbudget.providers.wire_format import WireFormat
from pytest_tokenbudget.records.prompt import Message, Part, Text, ToolResult

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


def asked_of(found: Classified, wire_format: WireFormat, *, stage: str, number: int) -> Asked:
    """A model call as a script looks at it.

    Args:
        found: What the request is.
        wire_format: The format that knows it.
        stage: Path of the innermost open stage.
        number: How many requests the script was asked before.
    """
    request, prompt = found.request, found.prompt()
    return Asked(
        found.api,
        request.url.geturl(),
        request.body or {},
        stage,
        model=wire_format.model_of(request),
        stream=wire_format.asks_stream(request),
        messages=() if prompt is None else tuple((_role(one), _text(one.parts)) for one in prompt.messages),
        tools=() if prompt is None else tuple(tool.name for tool in prompt.tools),
        number=number,
    )


def _role(message: Message) -> str:
    return "developer" if message.wire_role == "developer" else message.role


def _text(parts: Iterable[Part]) -> str:
    found = []
    for part in parts:
        if isinstance(part, Text):
            found.append(part.text)
        elif isinstance(part, ToolResult):
            found.append(_text(part.parts))
    return "".join(found)
