"""The list of built-in formats. Adding an API is one file beside this one, and one line here.

A rare API is a file in ``contrib`` and a line in its list. An API is imported when no API before it in the list knows a
request, so that a session pays for the APIs that it speaks.
"""

from __future__ import annotations

from functools import cached_property

from pytest_tokenbudget.providers.openai_chat import OpenAIChat
from pytest_tokenbudget.providers.wire_format import FormatGroup, WireFormat


class CommonFormats(FormatGroup):
    """The APIs that many speak, beside the most common one."""

    api = "common"

    @cached_property
    def hosts(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]  # a format declares them on its class
        """The hosts of all its formats."""
        return tuple(host for one in self.formats for host in one.hosts)

    @cached_property
    def formats(self) -> tuple[WireFormat, ...]:  # type: ignore[override]  # imported when it is asked for
        """The formats in the order in which they are asked."""
        from pytest_tokenbudget.providers.anthropic_messages import AnthropicMessages
        from pytest_tokenbudget.providers.bedrock_converse import BedrockConverse
        from pytest_tokenbudget.providers.bedrock_invoke import BedrockAgents, BedrockInvoke
        from pytest_tokenbudget.providers.cohere import CohereChatV1, CohereChatV2, CohereEmbed, CohereGenerate
        from pytest_tokenbudget.providers.google_embed import GoogleEmbed, VertexPredict
        from pytest_tokenbudget.providers.google_generate import GoogleGenerate
        from pytest_tokenbudget.providers.google_interactions import GoogleInteractions
        from pytest_tokenbudget.providers.mistral_conversations import MistralConversations
        from pytest_tokenbudget.providers.ollama import OllamaChat, OllamaEmbed, OllamaGenerate
        from pytest_tokenbudget.providers.openai_completions import OpenAICompletions
        from pytest_tokenbudget.providers.openai_embeddings import OpenAIEmbeddings
        from pytest_tokenbudget.providers.openai_responses import (
            OpenAIResponses,
            OpenAIResponsesCompact,
            OpenAIResponsesPoll,
        )

        return (
            BedrockAgents(),
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
        )


class RareFormats(FormatGroup):
    """The rare APIs of ``contrib``, and what stands beside models."""

    api = "rare"
    rare = True

    @cached_property
    def formats(self) -> tuple[WireFormat, ...]:  # type: ignore[override]  # imported when it is asked for
        """The formats in the order in which they are asked."""
        from pytest_tokenbudget.providers.contrib import CONTRIB_FORMATS
        from pytest_tokenbudget.providers.openai_platform import OpenAIPlatform

        return (*CONTRIB_FORMATS, OpenAIPlatform())


def builtin_formats() -> tuple[WireFormat, ...]:
    """The built-in formats in the order in which they are asked; it matters only where two know the same request."""
    return (OpenAIChat(), CommonFormats(), RareFormats())
