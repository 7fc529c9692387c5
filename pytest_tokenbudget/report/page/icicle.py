"""The prompt as an icicle: test, stages, parts, tools; the width of a box is its tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

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
NARROWEST = 0.25
"""Per cent of the width below which a box is not drawn: less than 3 pixels."""

WIDE_PX = 1060
NARROW_PX = 340
"""Widths of the drawing on a desk's screen and on a telephone: a label is shown where it fits."""

LETTER_PX = 6.6

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


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of the icicle. Positions and widths are per cents of the drawing's width.

    Attributes:
        x: Left edge.
        width: Width.
        kind: As in :class:`Node`.
        label: Text in the box; empty where there is no room.
        wide: Whether the label has room on wide screens only.
        title: Text of the tooltip.
        repeated: Per cent of the box's own width that was sent again.
        cached: Per cent of the box's own width that came from the provider's cache.
        moved: ``grew``, ``shrank`` or nothing, against the run before.
    """

    x: float
    width: float
    kind: str
    label: str
    wide: bool
    title: str
    repeated: float = 0.0
    cached: float = 0.0
    moved: str = ""


@dataclass(frozen=True, slots=True)
class Icicle:
    """One run's prompt, drawn.

    Attributes:
        tokens: All input tokens.
        rows: The rectangles, row by row from the top.
    """

    tokens: int
    rows: tuple[tuple[Box, ...], ...] = ()


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


def draw(root: Node | None, other: Node | None, *, compare: bool) -> Icicle:
    """Draw one run on the scale of the larger of two.

    Args:
        root: The run; ``None`` draws nothing.
        other: The run that it is set beside.
        compare: Whether what differs from ``other`` is marked.
    """
    if root is None or not root.tokens:
        return Icicle(0)
    scale = 100 / max(root.tokens, other.tokens if other else 0)
    before = dict(_index(other)) if other is not None and compare else {}
    drawing = _Drawing(scale, before, marks=bool(before), least=root.tokens / 200)
    drawing.add(root, 0.0, 0)
    return Icicle(root.tokens, tuple(tuple(row) for row in drawing.rows))


def _index(node: Node) -> Iterator[tuple[Key, int]]:
    yield node.key, node.tokens
    for child in node.children:
        yield from _index(child)


@dataclass(slots=True)
class _Drawing:
    """The boxes so far."""

    scale: float
    before: Mapping[Key, int]
    marks: bool
    least: float
    rows: list[list[Box]] = field(default_factory=list)

    def add(self, node: Node, x: float, depth: int) -> None:
        """Add a node and, in the rows below it, what it consists of."""
        width = node.tokens * self.scale
        if width < NARROWEST:
            return
        label = _label(node)
        needed = len(label) * LETTER_PX + 6
        if depth == len(self.rows):
            self.rows.append([])
        self.rows[depth].append(
            Box(
                x=round(x, 1),
                width=round(width, 1),
                kind=node.kind,
                label=label if width * WIDE_PX >= needed * 100 else "",
                wide=width * NARROW_PX < needed * 100,
                title=self._title(node),
                repeated=round(100 * node.repeated / node.tokens, 1) if not node.children else 0.0,
                cached=round(100 * min(node.cached, node.tokens) / node.tokens, 1),
                moved=self._moved(node),
            )
        )
        for child in node.children:
            self.add(child, x, depth + 1)
            x += child.tokens * self.scale

    def _moved(self, node: Node) -> str:
        if not self.marks or node.children or node.kind == "test":
            return ""
        delta = node.tokens - self.before.get(node.key, 0)
        return "" if abs(delta) < self.least else "grew" if delta > 0 else "shrank"

    def _title(self, node: Node) -> str:
        said = [f"{node.label}: {node.tokens:,} tokens"]
        if node.calls:
            said.append(f"in {node.calls:,} call{'' if node.calls == 1 else 's'}")
        text = " ".join(said)
        if node.largest and node.calls > 1:
            text += f", up to {node.largest:,} each"
        if node.repeated:
            text += f", {node.repeated:,} sent again"
        if node.cached:
            text += f", {node.cached:,} from the cache"
        if self.marks and self.before.get(node.key, 0) != node.tokens:
            text += f"; before: {self.before.get(node.key, 0):,}"
        return text


def _label(node: Node) -> str:
    return f"input {node.tokens:,}" if node.kind == "test" else node.label
