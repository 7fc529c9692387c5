"""The list of built-in formats. Adding an API is one file beside this one, and one line here."""

from __future__ import annotations

from pytest_tokenbudget.providers.anthropic_messages import AnthropicMessages
from pytest_tokenbudget.providers.bedrock_converse import BedrockConverse
from pytest_tokenbudget.providers.bedrock_invoke import BedrockInvoke
from pytest_tokenbudget.providers.cohere import CohereChatV1, CohereChatV2, CohereEmbed, CohereGenerate
from pytest_tokenbudget.providers.contrib.alephalpha import AlephAlphaComplete
from pytest_tokenbudget.providers.contrib.anthropic_complete import AnthropicComplete
from pytest_tokenbudget.providers.contrib.cloudflare import CloudflareRun
from pytest_tokenbudget.providers.contrib.dashscope import DashScopeEmbeddings, DashScopeGeneration
from pytest_tokenbudget.providers.contrib.llamacpp import LlamaCppCompletion
from pytest_tokenbudget.providers.contrib.other_models import OTHER_MODELS, BedrockAgents
from pytest_tokenbudget.providers.contrib.text_generation import (
    HuggingFaceGeneration,
    SageMakerInvoke,
    SGLangGeneration,
)
from pytest_tokenbudget.providers.contrib.watsonx import WatsonxChat, WatsonxGeneration
from pytest_tokenbudget.providers.contrib.writer import WriterChat
from pytest_tokenbudget.providers.google_embed import GoogleEmbed, VertexPredict
from pytest_tokenbudget.providers.google_generate import GoogleGenerate
from pytest_tokenbudget.providers.google_interactions import GoogleInteractions
from pytest_tokenbudget.providers.mistral_conversations import MistralConversations
from pytest_tokenbudget.providers.ollama import OllamaChat, OllamaEmbed, OllamaGenerate
from pytest_tokenbudget.providers.openai_chat import OpenAIChat
from pytest_tokenbudget.providers.openai_completions import OpenAICompletions
from pytest_tokenbudget.providers.openai_embeddings import OpenAIEmbeddings
from pytest_tokenbudget.providers.openai_platform import OpenAIPlatform
from pytest_tokenbudget.providers.openai_responses import (
    OpenAIResponses,
    OpenAIResponsesCompact,
    OpenAIResponsesPoll,
)
from pytest_tokenbudget.providers.wire_format import WireFormat


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
        WriterChat(),
        WatsonxChat(),
        WatsonxGeneration(),
        AnthropicComplete(),
        AlephAlphaComplete(),
        SageMakerInvoke(),
        MistralConversations(),
        CloudflareRun(),
        HuggingFaceGeneration(),
        SGLangGeneration(),
        LlamaCppCompletion(),
        DashScopeGeneration(),
        DashScopeEmbeddings(),
        *OTHER_MODELS,
        OpenAIPlatform(),
    )
