"""Takes the schemas of tools apart: descriptions against structure, and sentences that are sent twice."""

from __future__ import annotations

import json
import re
from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_tokenbudget.records.advice import SchemaAnatomy
from pytest_tokenbudget.records.prompt import Prompt, Text, Tool
from pytest_tokenbudget.tokens.counter import Counter
from pytest_tokenbudget.tokens.counts import Memo

SMALLEST = 800
"""Characters of a definition from which on it is looked at: about 200 tokens."""

SHORTEST_SENTENCE = 40
"""Characters of a sentence from which on its repetition counts."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_DEEPEST = 40
_ENUMS = frozenset({"enum", "const"})
_EXAMPLES = frozenset({"examples", "example", "default"})


@dataclass(slots=True)
class SchemaReader:
    """Looks at the schemas of a prompt, each set of tools once.

    Attributes:
        counter: Counts texts.
    """

    counter: Counter
    _known: dict[tuple[str, ...], dict[str, SchemaAnatomy]] = field(default_factory=dict)
    _memo: Memo = field(default_factory=Memo)

    def read(self, prompt: Prompt, *, provider: str) -> Mapping[str, SchemaAnatomy]:
        """The anatomy of each larger tool of a prompt, by its name."""
        if not any(tool.definition for tool in prompt.tools):
            return {}
        texts = tuple([self._memo.compact(tool.definition) for tool in prompt.tools])
        large = [(tool, text) for tool, text in zip(prompt.tools, texts, strict=True) if len(text) >= SMALLEST]
        if not large:
            return {}
        key = (prompt.model, *texts)
        found = self._known.get(key)
        if found is None:
            twice = _repeated_sentences(prompt)
            found = {tool.name: self._anatomy(tool, text, twice, prompt.model, provider) for tool, text in large}
            self._known[key] = found
        return found

    def _anatomy(self, tool: Tool, text: str, twice: frozenset[str], model: str, provider: str) -> SchemaAnatomy:
        def tokens(part: str) -> int:
            return self.counter.count_text(part, provider=provider, model=model).tokens

        descriptions = list(_descriptions(tool.definition))
        again = [sentence for each in descriptions for sentence in _sentences(each) if sentence in twice]
        fields = (tool.parameters or {}).get("properties")
        sizes = {}
        if isinstance(fields, dict):
            sizes = {
                str(name): tokens(json.dumps(value, separators=(",", ":"), ensure_ascii=False))
                for name, value in fields.items()
            }
        largest = max(sizes, key=lambda name: sizes[name], default="")
        whole = tokens(text)
        return SchemaAnatomy(
            tokens=whole,
            description_tokens=min(whole, sum(map(tokens, descriptions))),
            repeated_tokens=min(whole, sum(map(tokens, again))),
            enum_tokens=min(whole, sum(map(tokens, _values_under(tool.definition, _ENUMS)))),
            example_tokens=min(whole, sum(map(tokens, _values_under(tool.definition, _EXAMPLES)))),
            largest_field=largest,
            largest_field_tokens=sizes.get(largest, 0),
        )


def _descriptions(value: Any, depth: int = 0) -> Iterator[str]:
    """All texts under the key ``description``, at any depth."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "description" and isinstance(inner, str):
                yield inner
            else:
                yield from _descriptions(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _descriptions(inner, depth + 1)


def _values_under(value: Any, keys: frozenset[str], depth: int = 0, *, of_fields: bool = False) -> Iterator[str]:
    """Collect what stands under some keywords of JSON Schema, as JSON; a field that has the name of one is none."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in keys and not of_fields:
                yield json.dumps(inner, separators=(",", ":"), ensure_ascii=False)
            else:
                yield from _values_under(inner, keys, depth + 1, of_fields=key == "properties" and not of_fields)
    elif isinstance(value, list):
        for inner in value:
            yield from _values_under(inner, keys, depth + 1)


def _sentences(text: str) -> list[str]:
    return [each for sentence in _SENTENCE_END.split(text) if len(each := sentence.strip()) >= SHORTEST_SENTENCE]


def _repeated_sentences(prompt: Prompt) -> frozenset[str]:
    """Sentences that stand more than once in the tools and the system prompt."""
    tally: Tally[str] = Tally()
    for tool in prompt.tools:
        for text in _descriptions(tool.definition):
            tally.update(_sentences(text))
    for message in prompt.messages:
        if message.role == "system":
            for part in message.parts:
                if isinstance(part, Text):
                    tally.update(_sentences(part.text))
    return frozenset(sentence for sentence, count in tally.items() if count > 1)
