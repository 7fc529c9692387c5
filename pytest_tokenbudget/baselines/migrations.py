"""Brings a baseline file of an older format to the one of now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FORMAT = 2
"""The format that is written.

History:
    1: The first one (0.1). Per test the sessions and the origin of each metric, the composition by stage with the stages
       inside it, the outcomes and how the numbers were obtained.
    2: What follows from other figures is no longer stored. A metric is a row with its values by stage; the composition is
       that of each stage's own calls, a line a part; times are rounded; ``attempts`` is ``failed_attempts``.

A reader knows all keys of its format and refuses others, since it could only lose them when it writes. So a key that is
added after the format was released makes a new format: add a step below that turns the document of format n into one of
n + 1, and set ``NEEDS``.
"""

NEEDS = "0.2"
"""The first version of the plugin that reads the format: what an older plugin tells the user to install."""

Document = dict[str, Any]
Step = Callable[[Document], Document]


def _from_format_1(document: Document) -> Document:
    from pytest_tokenbudget.baselines import format_1

    return format_1.migrate(document)


STEPS: Mapping[int, Step] = {1: _from_format_1}
"""Steps by the format that they start from. They get the parsed file and may change it in place."""


def migrate(document: Document, *, steps: Mapping[int, Step] = STEPS, target: int = FORMAT) -> Document:
    """Bring a document to a newer format.

    Args:
        document: The parsed file, with an integer ``format``.
        steps: Steps by the format that they start from.
        target: The wanted format.

    Returns:
        The document in the wanted format.

    Raises:
        KeyError: If there is no step from one of the formats in between; its argument is that format.
    """
    while (number := document["format"]) < target:
        document = {**steps[number](document), "format": number + 1, "needs": NEEDS}
    return document
