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

_REASONING = re.compile(r"o[1-9](?:$|-)|gpt-[5-9]|codex|computer-use")
_GPT5 = re.compile(r"gpt-[5-9]")
_EARLY = re.compile(r"o[1-9](?:$|-)|codex|computer-use|gpt-5(?:$|-)")
_BEFORE_HARMONY = re.compile(r"o1(?:$|-)|o3-mini")

MESSAGE = 4
"""Start, role, separator and end of a message."""

NAMESPACE = 7
"""``namespace functions`` in front of the tools, ``;``, ``} // namespace functions`` behind them."""


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models by the format that its prompts are written in.

    Attributes:
        reasoning: Harmony rather than ChatML: messages of the assistant name their channel.
        gpt5: A GPT-5 model or a later one, which has its own preamble for tools.
        early: A reasoning model before GPT-5.1: in Responses, a call that is sent back does not name its arguments' format.
        harmony: Whether chat completions name channel and recipient of tool messages too; o1 and o3-mini are older than that.
    """

    reasoning: bool
    gpt5: bool
    early: bool
    harmony: bool

    @property
    def response_tools(self) -> int:
        """Tokens in front of the tools in Responses."""
        if self.gpt5:
            return 8
        return 5 if self.reasoning else 3

    @property
    def prime(self) -> int:
        """Tokens that prime the answer; reasoning models choose the channel themselves."""
        return 2 if self.reasoning else 3

    @property
    def assistant(self) -> int:
        """Tokens of the channel in the header of an assistant's message."""
        return 2 if self.reasoning else 0

    def response_calls(self, count: int, *, stored: bool) -> int:
        """Tokens of the headers of calls that stand side by side in Responses, and of their results, beside the names.

        Args:
            count: Number of calls.
            stored: Whether the server puts what the model wrote in the place of a single call: it named the format.
        """
        if self.reasoning and not self.early:
            return 18 if count == 1 else 19 * count + 8
        return (15 if self.reasoning else 9) * count + (3 if stored and count == 1 else 0)


def family(model: str) -> Family:
    """The family of a model, by its name."""
    name = bare_model(model)
    reasoning = _REASONING.match(name) is not None
    return Family(
        reasoning=reasoning,
        gpt5=_GPT5.match(name) is not None,
        early=_EARLY.match(name) is not None,
        harmony=reasoning and _BEFORE_HARMONY.match(name) is None,
    )


_HOSTED = re.compile(r"(?:ft:)?(?:gpt-|chatgpt-|o[1-9](?:$|-)|codex-|computer-use)")


def is_openai(api: str, model: str) -> bool:
    """Whether a prompt is read by a model of OpenAI's own API, so that these rules apply and not a profile."""
    name = bare_model(model)
    hosted = _HOSTED.match(name) is not None and not name.startswith("gpt-oss")
    return hosted and api.startswith(("openai.chat", "openai.responses"))
