"""From older formats of a baseline file to the one of now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FORMAT = 1
"""The format that is written.

History:
    1: The first one. Per test the sessions and the origin of each metric, the composition by stage, the outcomes and
       how the numbers were obtained.

Every change of a file's keys, an added one too, is a new format: a reader knows all keys of its format and refuses
others, since it could only lose them when it writes. Add a step below that turns the document of format n into
one of n + 1, and write from then on a top-level key ``needs`` with the first version of the plugin that reads the
new format (``"needs": "2.0"``): it is what an older plugin tells the user to install.
"""

Document = dict[str, Any]
Step = Callable[[Document], Document]

STEPS: Mapping[int, Step] = {}
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
        document = {**steps[number](document), "format": number + 1}
    return document
