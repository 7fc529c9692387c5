"""What the families of OpenAI's models have in common, and the numbers that are no text.

The chat format is ChatML and, for reasoning models, Harmony (cookbook.openai.com/articles/openai-harmony, read
2026-11-24): ``<|im_start|>role<|im_sep|>text<|im_end|>``, an answer primed by ``<|im_start|>assistant<|im_sep|>``. The
numbers below that no document gives were fitted on recorded requests with the provider's own ``prompt_tokens``
(2023-2026) and checked on repositories that were left out; ``docs/token-counts.md`` has the errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_tokenbudget.tokens.fragments import bare_model

_REASONING = re.compile(r"o[134](?:$|-)|gpt-5|codex|computer-use")
_GPT5 = re.compile(r"gpt-5|codex")
_FIRST_GPT5 = re.compile(r"gpt-5(?:$|-)")

MESSAGE = 4
"""Start, role, separator and end of a message."""

NAMESPACE = 7
"""``namespace functions`` in front of the tools, ``;``, ``} // namespace functions`` behind them."""


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models by the format that its prompts are written in.

    Attributes:
        reasoning: Harmony rather than ChatML: messages of the assistant name their channel.
        gpt5: A GPT-5 model, which has its own preamble for tools in chat completions.
        first_gpt5: A GPT-5 of 2025-08, before 5.1.
        escapes: Whether the results of parallel calls are ASCII-only JSON. All models but gpt-4o-2024-08-06 write them so.
    """

    reasoning: bool
    gpt5: bool
    first_gpt5: bool
    escapes: bool

    @property
    def harmony(self) -> bool:
        """Whether tool messages name their channel and recipient too; the o-series is older than that."""
        return self.gpt5

    @property
    def response_call(self) -> int:
        """Tokens of the headers of a call and its result in Responses, beside the two names."""
        if not self.reasoning:
            return 9
        return 15 if self.first_gpt5 else 18

    @property
    def prime(self) -> int:
        """Tokens that prime the answer; reasoning models choose the channel themselves."""
        return 2 if self.reasoning else 3

    @property
    def assistant(self) -> int:
        """Tokens of the channel in the header of an assistant's message."""
        return 2 if self.reasoning else 0


def family(model: str) -> Family:
    """The family of a model, by its name."""
    name = bare_model(model)
    return Family(
        reasoning=_REASONING.match(name) is not None,
        gpt5=_GPT5.match(name) is not None,
        first_gpt5=_FIRST_GPT5.match(name) is not None,
        escapes=name not in ("gpt-4o-2024-08-06", "gpt-4o"),
    )


_HOSTED = re.compile(r"(?:ft:)?(?:gpt-|chatgpt-|o[134](?:$|-)|codex-|computer-use)")


def is_openai(api: str, model: str) -> bool:
    """Whether a prompt is read by a model of OpenAI's own API, so that these rules apply and not a profile."""
    name = bare_model(model)
    hosted = _HOSTED.match(name) is not None and not name.startswith("gpt-oss")
    return hosted and api.startswith(("openai.chat", "openai.responses"))
