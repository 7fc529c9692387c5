"""``report.speedscope.json``: where the input tokens go, for https://www.speedscope.app and viewers that read its format.

The format: https://github.com/jlfwong/speedscope/wiki/Importing-from-custom-sources (read 2026-11-28). Weights are tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_tokenbudget.files import write_atomically
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import RunView
from pytest_tokenbudget.report.prompt_tree import Node, tree
from pytest_tokenbudget.wording import plain

Stack = tuple[str, ...]


def write(run: RunView, path: Path) -> None:
    """Write the profile; folders are made as needed."""
    write_atomically(path, json.dumps(speedscope(run), separators=(",", ":")).encode())


def speedscope(run: RunView) -> dict[str, Any]:
    """A run's input tokens as stacks of test, stage, part and tool: now, and before where something was compared."""
    now: list[tuple[Stack, int]] = []
    before: list[tuple[Stack, int]] = []
    for result in run.results:
        last = result.samples[-1] if result.samples else Sample()
        name = plain(result.nodeid)
        now += _stacks(tree(last), (name,))
        if result.before is not None:
            before += _stacks(tree(result.before), (name,))
    frames: dict[str, int] = {}
    profiles = [
        _profile(name, stacks, frames) for name, stacks in (("input now", now), ("input before", before)) if stacks
    ]
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": f"pytest-tokenbudget {plain(run.version, limit=40)}",
        "name": "token budget",
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": name} for name in frames]},
        "profiles": profiles or [_profile("input now", [], frames)],
    }


def _stacks(node: Node | None, stack: Stack) -> Iterator[tuple[Stack, int]]:
    """The leaves of a prompt with all that is above them; what was sent again stands apart."""
    if node is None:
        return
    if node.kind != "test":
        stack = (*stack, node.label)
    for child in node.children:
        yield from _stacks(child, stack)
    own = node.tokens - sum(child.tokens for child in node.children)
    if node.children:
        if own > 0:
            yield stack, own
        return
    again = min(node.repeated, own)
    if own - again > 0:
        yield stack, own - again
    if again > 0:
        yield (*stack, "sent again"), again


def _profile(name: str, stacks: list[tuple[Stack, int]], frames: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "sampled",
        "name": name,
        "unit": "none",
        "startValue": 0,
        "endValue": sum(tokens for _, tokens in stacks),
        "samples": [[frames.setdefault(frame, len(frames)) for frame in stack] for stack, _ in stacks],
        "weights": [tokens for _, tokens in stacks],
    }
