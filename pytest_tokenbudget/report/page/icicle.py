"""The prompt as an icicle: test, stages, parts, tools; the width of a box is its tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pytest_tokenbudget.report.prompt_tree import Key, Node

NARROWEST = 0.25
"""Per cent of the width below which a box is not drawn: less than 3 pixels."""

WIDE_PX = 1060
NARROW_PX = 340
"""Widths of the drawing on a desk's screen and on a telephone: a label is shown where it fits."""

LETTER_PX = 6.6


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of the icicle. Positions and widths are per cents of the drawing's width.

    Attributes:
        label: Text in the box; empty where there is no room.
        wide: Whether the label has room on wide screens only.
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
    """One run's prompt, drawn."""

    tokens: int
    rows: tuple[tuple[Box, ...], ...] = ()


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
        whole = any(child.kind == node.kind for child in node.children)
        if not self.marks or whole or node.kind in ("test", "stage", "schema"):
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
        if self.marks and node.kind != "schema" and self.before.get(node.key, 0) != node.tokens:
            text += f"; before: {self.before.get(node.key, 0):,}"
        return text


def _label(node: Node) -> str:
    return f"input {node.tokens:,}" if node.kind == "test" else node.label
