"""The prompt of a run as a tree: test, stages, parts, tools, and of each how much was sent again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_tokenbudget.records.advice import SchemaAnatomy
from pytest_tokenbudget.records.composition import Compositions, PartTotal, StageComposition, all_stages, within
from pytest_tokenbudget.records.sample import Sample, Values
from pytest_tokenbudget.records.verdict import Before
from pytest_tokenbudget.wording import plain

PART_ORDER = ("tools", "system", "user", "assistant", "tool_results", "images", "files", "framing")
PART_WORDS = {
    "tools": "tool schemas",
    "system": "system prompt",
    "user": "user messages",
    "assistant": "assistant messages",
    "tool_results": "tool results",
    "images": "images",
    "files": "files",
    "framing": "framing",
}
Key = tuple[str, str, str]
"""Stage path, part and name."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of the prompt and what it consists of.

    Attributes:
        key: Stage path, part and name: where the same thing is found in another run.
        kind: ``test``, ``stage``, the part, or ``schema`` for a piece of a tool's schema.
        repeated: Tokens that an earlier call of the stage had already sent.
        cached: Tokens that the provider read from its cache; known for stages only.
        calls: Calls that carried it.
        largest: Its tokens in the call in which it was largest.
    """

    key: Key
    kind: str
    label: str
    tokens: int
    repeated: int = 0
    cached: int = 0
    calls: int = 0
    largest: int = 0
    children: tuple[Node, ...] = ()


def tree(of: Sample | Before) -> Node | None:
    """The prompt of a run as a tree; ``None`` where its input is not known. Caches and schemas are known of a sample only."""
    composition = of.composition
    stages, schemas = (of.stages, of.schemas) if isinstance(of, Sample) else ({}, {})
    whole = within(composition, "")
    if whole is None or not whole.parts:
        return None
    top = [path for path in all_stages(composition) if "/" not in path]
    children = [_stage(composition, stages, schemas, path) for path in top]
    if len(children) == 1:
        # One stage for everything says nothing: its parts stand right below the test.
        children = list(children[0].children)
    return Node(("", "", ""), "test", "input", whole.input_tokens, calls=whole.calls, children=tuple(children))


def _stage(
    composition: Compositions, stages: Mapping[str, Values], schemas: Mapping[str, SchemaAnatomy], path: str
) -> Node:
    inner = [other for other in all_stages(composition) if other.rpartition("/")[0] == path]
    own = composition[path].parts if path in composition else ()
    children = [*_parts(own, path, schemas), *(_stage(composition, stages, schemas, child) for child in inner)]
    known = within(composition, path) or StageComposition(calls=0)
    return Node(
        (path, "", ""),
        "stage",
        plain(path.rpartition("/")[2]),
        known.input_tokens,
        cached=int(stages.get(path, {}).get("cached_input_tokens") or 0),
        calls=known.calls,
        children=tuple(children),
    )


def _parts(parts: Sequence[PartTotal], stage: str, schemas: Mapping[str, SchemaAnatomy]) -> list[Node]:
    nodes = []
    for name in PART_ORDER:
        mine = sorted((part for part in parts if part.part == name), key=lambda part: (-part.tokens, part.name))
        if not mine:
            continue
        named = tuple(
            Node(
                (stage, name, part.name),
                name,
                plain(part.name),
                part.tokens,
                part.repeated_tokens,
                calls=part.calls,
                largest=part.largest,
                children=_schema(part, stage, schemas.get(part.name) if name == "tools" else None),
            )
            for part in mine
            if part.name
        )
        nodes.append(
            Node(
                (stage, name, ""),
                name,
                PART_WORDS[name],
                sum(part.tokens for part in mine),
                sum(part.repeated_tokens for part in mine),
                calls=max(part.calls for part in mine),
                largest=max(part.largest for part in mine) if not named else 0,
                children=named,
            )
        )
    return nodes


def _schema(part: PartTotal, stage: str, anatomy: SchemaAnatomy | None) -> tuple[Node, ...]:
    """A tool's schema as its descriptions and its structure, in the proportion of one sending."""
    if anatomy is None or not anatomy.tokens:
        return ()
    text = min(part.tokens, round(part.tokens * anatomy.description_tokens / anatomy.tokens))
    again = part.repeated_tokens / part.tokens if part.tokens else 0.0
    sizes = (("descriptions", text), ("structure", part.tokens - text))
    return tuple(
        Node((stage, f"schema {label}", part.name), "schema", label, tokens, round(tokens * again), calls=part.calls)
        for label, tokens in sizes
        if tokens > 0
    )
