"""What is asked of a model's API beside its model: lists of models, counts of tokens, files. No calls, but recorded too.

They would go to the provider in every replay otherwise, with a key that a pull request does not have.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

from pytest_tokenbudget.capture.local_answer import Outgoing
from pytest_tokenbudget.errors import Diverged
from pytest_tokenbudget.replay.asked import path_of
from pytest_tokenbudget.replay.interaction import Interaction
from pytest_tokenbudget.replay.matching import RECORD_AGAIN

API = "beside"
"""The ``api`` of their takes."""

_PATHS = re.compile(
    r"/models(/[^/:]+)?$|[:/]count_?tokens$|/input_tokens$|/(de)?tokenize$|/files(/|$)|/cached_?contents(/|$)"
    r"|/responses/[^/]+/(cancel|input_items)$|/vector_stores(/|$)|/conversations(/|$)",
    re.IGNORECASE,
)


def is_beside(path: str) -> bool:
    """Whether a path is one of theirs."""
    return _PATHS.search(path) is not None


class Beside:
    """Answers them: by method and path in the order of the recording, the last one over and over.

    Args:
        takes: All takes of a cassette.
    """

    def __init__(self, takes: Sequence[Interaction]) -> None:
        self._hosts = {urlsplit(take.url).netloc for take in takes}
        self._left: dict[tuple[str, str], deque[Interaction]] = {}
        for take in takes:
            if take.api == API:
                self._left.setdefault((take.method, urlsplit(take.url).path), deque()).append(take)

    def match(self, outgoing: Outgoing) -> Interaction | None:
        """The answer to a request; ``None`` for other traffic.

        Raises:
            Diverged: If it asks a recorded API for what was not recorded.
        """
        path = path_of(outgoing)
        if not is_beside(path):
            return None
        left = self._left.get((outgoing.method, path))
        if left:
            return left.popleft() if len(left) > 1 else left[0]
        if urlsplit(outgoing.url).netloc not in self._hosts:
            return None
        raise Diverged(
            f"the run asks {outgoing.method} {path} beside its model, and the cassette has no answer to it",
            remedy=RECORD_AGAIN,
        )
