"""The prompt of a run as a tree: test, stages, parts, tools, and of each how much was sent again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_tokenbudget.records.composition import PartTotal, StageComposition
from pytest_tokenbudget.records.sample import Values
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
        kind: ``test``, ``stage`` or the part, which decides the colour.
        label: What it is called.
        tokens: Its tokens over all calls.
        repeated: Tokens that an earlier call of the stage had already sent.
        cached: Tokens that the provider read from its cache; known for stages only.
        calls: Calls that carried it.
        largest: Its tokens in the call in which it was largest.
        children: What it consists of, in drawing order.
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


def own_parts(composition: Mapping[str, StageComposition], stage: str) -> list[PartTotal]:
    """The parts that a stage sent itself, without those of the stages inside it."""
    inner = [
        path
        for path in composition
        if path and path != stage and path.rpartition("/")[0] == stage and (stage or "/" not in path)
    ]
    left: dict[tuple[str, str], PartTotal] = {(part.part, part.name): part for part in composition[stage].parts}
    for path in inner:
        for part in composition[path].parts:
            whole = left.get((part.part, part.name))
            if whole is not None:
                left[part.part, part.name] = PartTotal(
                    part=whole.part,
                    name=whole.name,
                    tokens=max(0, whole.tokens - part.tokens),
                    calls=max(0, whole.calls - part.calls),
                    distinct=whole.distinct,
                    largest=whole.largest,
                    digest=whole.digest,
                    repeated_tokens=max(0, whole.repeated_tokens - part.repeated_tokens),
                )
    return [part for part in left.values() if part.tokens > 0]


def tree(composition: Mapping[str, StageComposition], stages: Mapping[str, Values]) -> Node | None:
    """The prompt of a run as a tree; ``None`` where its input is not known.

    Args:
        composition: By stage path; the whole test's under ``""``.
        stages: Metrics by stage path, for what came from a cache.
    """
    if "" not in composition or not composition[""].parts:
        return None
    top = sorted(path for path in composition if path and "/" not in path)
    children = [_stage(composition, stages, path) for path in top]
    children += _parts(own_parts(composition, ""), "")
    whole = composition[""]
    if len(top) == 1 and len(children) == 1:
        # One stage for everything says nothing: its parts stand right below the test.
        children = list(children[0].children)
    tokens = max(whole.input_tokens, sum(child.tokens for child in children))
    return Node(("", "", ""), "test", "input", tokens, calls=whole.calls, children=tuple(children))


def _stage(composition: Mapping[str, StageComposition], stages: Mapping[str, Values], path: str) -> Node:
    inner = sorted(other for other in composition if other.rpartition("/")[0] == path and other != path)
    children = [*_parts(own_parts(composition, path), path), *(_stage(composition, stages, child) for child in inner)]
    known = composition[path]
    return Node(
        (path, "", ""),
        "stage",
        plain(path.rpartition("/")[2]),
        max(known.input_tokens, sum(child.tokens for child in children)),
        cached=int(stages.get(path, {}).get("cached_input_tokens") or 0),
        calls=known.calls,
        children=tuple(children),
    )


def _parts(parts: list[PartTotal], stage: str) -> list[Node]:
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
