"""Time to count and split the prompts of a ReAct run: 40 calls, each repeating 12,000 tokens of history and tools.

Two targets: the run costs at most 1.2 times the tokens that counting its distinct texts alone costs (what reaches the
tokenizer is counted here, which no clock disturbs), and under 150 ms once the tokenizer is loaded. The time of counting
the distinct texts alone is shown beside.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_tokenbudget.records.prompt import Message, Prompt, Text, Tool, ToolCall, ToolResult
from pytest_tokenbudget.tokens.counter import Counter
from pytest_tokenbudget.tokens.vocabularies import load

CALLS, REPEATED_TOKENS = 40, 12_000
TARGET_RATIO, TARGET_MS = 1.2, 150
MODEL = "gpt-4o-2024-08-06"


@dataclass
class Spy:
    """Counts as ``o200k_base`` does and notes what it was asked to."""

    characters: int = 0
    texts: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> int:
        """Tokens of a text."""
        self.characters += len(text)
        self.texts.append(text)
        return COUNT([text])[0]


COUNT = load("o200k_base")
WORDS = (
    "the",
    "agent",
    "moves",
    "a",
    "meeting",
    "and",
    "cancels",
    "two",
    "more",
    "because",
    "user",
    "asked",
    "for",
    "it",
)


def prose(seed: int, tokens: int) -> str:
    """About so many tokens of text."""
    made = random.Random(seed)
    return " ".join(made.choice(WORDS) for _ in range(tokens))


def tools() -> tuple[Tool, ...]:
    """12 tools of about 250 tokens."""
    found = []
    for at in range(12):
        properties = {f"argument_{n}": {"type": "string", "description": prose(at * 100 + n, 24)} for n in range(8)}
        schema = {"type": "object", "properties": properties, "required": ["argument_1"]}
        found.append(Tool(f"calendar_tool_{at}", prose(at, 20), schema, {"name": f"calendar_tool_{at}"}))
    return tuple(found)


def run() -> list[Prompt]:
    """The prompts of the run, each made anew, as parsed bodies are: equal texts are not the same objects."""
    made: list[Prompt] = []
    for call in range(CALLS):
        history = [
            Message("system", (Text(prose(1, 1_500)),), None, "system"),
            Message("user", (Text(prose(2, 7_000)),), None, "user"),
        ]
        for step in range(call):
            asked = ToolCall("calendar_tool_1", f'{{"argument_1":"{prose(step, 10)}"}}', f"call_{step}")
            answer = ToolResult((Text(prose(9_000 + step, 60)),), "calendar_tool_1", f"call_{step}")
            history += [Message("assistant", (asked,), None, "assistant"), Message("tool", (answer,), None, "tool")]
        made.append(Prompt("openai.chat", MODEL, tuple(history), tools()))
    return made


def main() -> int:
    """Print both figures; exit status 1 where a target is missed."""
    prompts = run()
    spy = Spy()
    watched = Counter(tokenizers=[lambda **_: spy])
    sizes = [watched.compose(prompt, provider="openai", input_tokens=None).input_tokens for prompt in prompts]
    distinct = sum(len(text) for text in set(spy.texts))
    ratio = spy.characters / distinct
    alone = best(lambda: COUNT(list(dict.fromkeys(spy.texts))))
    whole = best(lambda: compose_all(prompts))
    print(f"{CALLS} calls of {sizes[0]:,} to {sizes[-1]:,} tokens, {sum(sizes):,} in all")
    print(f"read by the tokenizer: {ratio:.3f} times the distinct texts (target at most {TARGET_RATIO})")
    print(f"time: {whole:.1f} ms (target under {TARGET_MS}), the tokenizer alone on the distinct texts {alone:.1f} ms")
    return int(ratio > TARGET_RATIO or whole > TARGET_MS)


def compose_all(prompts: Sequence[Prompt]) -> None:
    """Compose a run with a counter that knows nothing yet."""
    counter = Counter()
    for prompt in prompts:
        counter.compose(prompt, provider="openai", input_tokens=15_000)


def best(work: object, rounds: int = 5) -> float:
    """The shortest of some rounds, ms."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()  # type: ignore[operator]  # a callable without arguments
        times.append(time.perf_counter() - begun)
    return min(times) * 1_000


if __name__ == "__main__":
    sys.exit(main())
