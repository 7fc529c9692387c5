"""APIs that few speak, and models that are no language models; made of the same base class, in a list of their own."""

from __future__ import annotations

from pytest_tokenbudget.providers.contrib.chat_dialects import CloudflareRun, WatsonxChat, WatsonxGeneration, WriterChat
from pytest_tokenbudget.providers.contrib.dashscope import DashScopeEmbeddings, DashScopeGeneration
from pytest_tokenbudget.providers.contrib.other_models import OTHER_MODELS
from pytest_tokenbudget.providers.contrib.text_completions import (
    AlephAlphaComplete,
    AnthropicComplete,
    HuggingFaceGeneration,
    LlamaCppCompletion,
    SageMakerInvoke,
    SGLangGeneration,
)
from pytest_tokenbudget.providers.wire_format import WireFormat

CONTRIB_FORMATS: tuple[WireFormat, ...] = (
    WriterChat(),
    WatsonxChat(),
    WatsonxGeneration(),
    AnthropicComplete(),
    AlephAlphaComplete(),
    SageMakerInvoke(),
    CloudflareRun(),
    HuggingFaceGeneration(),
    SGLangGeneration(),
    LlamaCppCompletion(),
    DashScopeGeneration(),
    DashScopeEmbeddings(),
    *OTHER_MODELS,
)
"""The formats of this folder in the order in which they are asked."""
