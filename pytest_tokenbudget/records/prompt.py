"""The prompt of a model call, in one shape whatever the provider: the input of counting and composition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the prompt.

    Attributes:
        width: Width in pixels, ``None`` if it cannot be told without fetching it.
        height: Height in pixels, likewise.
        detail: The provider's detail level (OpenAI: ``low``, ``high``, ``auto``), ``None`` if not given.
        reference: URL, file id or a digest of the bytes: what identifies it.
    """

    width: int | None = None
    height: int | None = None
    detail: str | None = None
    reference: str = ""

    @property
    def is_sized(self) -> bool:
        """Tell whether a formula for its tokens has all that it needs."""
        return self.detail == "low" or (self.width is not None and self.height is not None)


@dataclass(frozen=True, slots=True)
class File:
    """A document, audio or video in the prompt.

    Attributes:
        media_type: MIME type as far as known.
        size: Size in bytes, ``None`` where only a reference was sent.
        text: Its text where the request carries it as text.
        reference: URL, file id or a digest of the bytes.
    """

    media_type: str = ""
    size: int | None = None
    text: str | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that the model made (in the history of a prompt, or in an answer).

    ``arguments`` is the JSON text as it stands on the wire; where the wire has an object, its compact dump. ``stored``:
    whether the item has an id of its own beside the call's, so that the server puts what it stored in its place.
    """

    name: str
    arguments: str = ""
    id: str = ""
    stored: bool = False


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool. ``name`` is resolved from the call with the same id where the wire leaves it out."""

    parts: tuple[Text | Image | File, ...] = ()
    name: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Reasoning that is sent back. ``opaque`` where it is encrypted, so that its tokens can only be estimated."""

    text: str = ""
    opaque: bool = False
    size: int = 0


Part = Text | Image | File | ToolCall | ToolResult | Reasoning


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``name`` is the participant's name where the API has one; ``kind`` the wire's own item type."""

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    wire_role: str = ""

    @property
    def plain(self) -> bool:
        """Tell whether it is one text and nothing else, as most messages are."""
        return len(self.parts) == 1 and type(self.parts[0]) is Text


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the request offers.

    Attributes:
        name: Its name.
        description: Its description, ``None`` where there is none.
        parameters: JSON schema of the arguments, key order as on the wire; ``None`` where there is none.
        definition: The whole definition as on the wire.
        kind: ``"function"``, or the wire's own type for built-in and custom tools (``"web_search"``).
    """

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    definition: dict[str, Any] = field(default_factory=dict)
    kind: str = "function"


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The JSON schema of a structured output."""

    name: str = ""
    description: str | None = None
    schema: dict[str, Any] = field(default_factory=dict)
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt of one model call.

    Attributes:
        api: The wire format's name, ``"openai.chat"``.
        model: Model name as requested (the deployment's response may resolve it).
        messages: All messages in order, the system prompt first where the API sends it apart.
        tools: The tools that are offered, in order.
        tool_choice: Name of the one tool that is forced, or ``"auto"``, ``"none"``, ``"required"``; ``None`` if unset.
        output_schema: Schema of the structured output, if any.
        opaque_reasoning: Whether the input holds encrypted reasoning or state kept by the server
            (``previous_response_id``, cached content), so that a local count can only be an estimate.
        extra: Further fields of the request that cost tokens, by their wire name.
    """

    api: str
    model: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    output_schema: OutputSchema | None = None
    opaque_reasoning: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PromptText:
    """A system prompt or a tool's schema as the calls of a stage carried it, redacted as cassettes are.

    Attributes:
        stage: Path of the stage.
        part: ``system`` or ``tools``.
        name: Name of the tool, ``""`` for a system prompt.
        texts: The different texts, in the order in which they were first sent; none where they may not be shown.
    """

    stage: str
    part: Literal["system", "tools"]
    name: str
    texts: tuple[str, ...]
