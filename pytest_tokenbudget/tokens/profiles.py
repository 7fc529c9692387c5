"""Measured profiles of model families whose tokenizer or prompt format is not public.

Each was fitted on recorded requests with the provider's own input tokens: least absolute relative error, the ratios and
amounts held within what a chat template can be, plain prompts first and tools on top; ``n`` is the number of requests.
Their errors stand in ``docs/token-counts.md``. What is known beforehand agrees: Anthropic's pricing page names tool
prompts of 264 to 530 tokens (docs.claude.com, "Pricing", "Tool use pricing", read 2026-11-24); Gemini, Mistral's Tekken
and Qwen split numbers into single digits, which the fit finds to the token.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """What a prompt costs a family of models, against its texts counted in ``o200k_base``.

    Attributes:
        name: Name of the family.
        n: Requests that it was fitted on.
        text: Tokens a token of text.
        start: Tokens of every prompt (hidden system prompt, begin, prime of the answer).
        message: Tokens a message.
        system: Tokens more where there is a system prompt.
        schema_start: Tokens more where the answer is to be JSON, whatever its schema.
        schema: Tokens a token of its schema's compact JSON.
        thinking: Tokens more where thinking is asked for.
        tools: Tokens of the tool prompt.
        forced: Tokens more where a tool must be called.
        tool: Tokens a tool.
        tool_text: Tokens a token of the tools' compact JSON.
        tool_words: Tokens a token of the words of the tools' declarations, for families that count these and not their
            JSON; 0 for all others.
        parameter: Tokens a parameter of such a declaration.
        call: Tokens a tool call in the history, beside its name and arguments.
        result: Tokens a tool result, beside its text.
        sealed: Tokens a character of encrypted reasoning; 0 where the model does not read it.
        splits_digits: Whether each digit of a number is a token (``o200k_base``: three).
        keeps_reasoning: Whether the model reads the reasoning of earlier turns too.
        drops_unused_tools: Whether tools cost nothing where none may be called.
    """

    name: str
    n: int = 0
    text: float = 1.0
    start: float = 3
    message: float = 4
    system: float = 0
    schema_start: float = 0
    schema: float = 1.0
    thinking: float = 0
    tools: float = 0
    forced: float = 0
    tool: float = 0
    tool_text: float = 1.0
    tool_words: float = 0
    parameter: float = 0
    call: float = 5
    result: float = 5
    sealed: float = 0
    splits_digits: bool = False
    keeps_reasoning: bool = False
    drops_unused_tools: bool = False
