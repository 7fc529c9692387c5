"""The list of built-in formats. Adding an API is one file beside this one, and one line here.

A rare API is a file in ``contrib`` and a line in its list.
"""

from __future__ import annotations

from pytest_tokenbudget.providers.anthropic_messages import AnthropicMessages
from pytest_tokenbudget.providers.bedrock_converse import BedrockConverse
from pytest_tokenbudget.providers.bedrock_invoke import BedrockAgents, BedrockInvoke
from pytest_tokenbudget.providers.cohere import CohereChatV1, CohereChatV2, CohereEmbed, CohereGenerate
from pytest_tokenbudget.providers.google_embed import GoogleEmbed, VertexPredict
from pytest_tokenbudget.providers.google_generate import GoogleGenerate
from pytest_tokenbudget.providers.google_interactions import GoogleInteractions
from pytest_tokenbudget.providers.mistral_conversations import MistralConversations
from pytest_tokenbudget.providers.ollama import OllamaChat, OllamaEmbed, OllamaGenerate
from pytest_tokenbudget.providers.openai_chat import OpenAIChat
from pytest_tokenbudget.providers.openai_completions import OpenAICompletions
from pytest_tokenbudget.providers.openai_embeddings import OpenAIEmbeddings
from pytest_tokenbudget.providers.openai_responses import (
    OpenAIResponses,
    OpenAIResponsesCompact,
    OpenAIResponsesPoll,
)
from pytest_tokenbudget.providers.wire_format import FormatGroup, WireFormat


class LateFormats(FormatGroup):
    """The rare formats of ``contrib``, and what stands beside models: imported when no common API knows a request."""

    api = "late"

    @property
    def formats(self) -> tuple[WireFormat, ...]:
        """The formats in the order in which they are asked."""
        from pytest_tokenbudget.providers.contrib import CONTRIB_FORMATS
        from pytest_tokenbudget.providers.openai_platform import PLATFORM

        return (*CONTRIB_FORMATS, PLATFORM)


def builtin_formats() -> tuple[WireFormat, ...]:
    """The built-in formats in the order in which they are asked; it matters only where two know the same request."""
    return (
        BedrockAgents(),
        OpenAIChat(),
        OpenAIResponses(),
        AnthropicMessages(),
        GoogleGenerate(),
        BedrockConverse(),
        BedrockInvoke(),
        CohereChatV2(),
        CohereChatV1(),
        OllamaChat(),
        OllamaGenerate(),
        OllamaEmbed(),
        OpenAIEmbeddings(),
        OpenAICompletions(),
        OpenAIResponsesCompact(),
        OpenAIResponsesPoll(),
        GoogleInteractions(),
        GoogleEmbed(),
        VertexPredict(),
        CohereEmbed(),
        CohereGenerate(),
        MistralConversations(),
        LateFormats(),
    )
