"""Auxiliary requests: lists of models, counts of tokens, files, polls. No calls, but recorded and answered too.

They would go to the provider in every replay otherwise, with a key that a pull request does not have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

from pytest_tokenbudget.errors import Diverged
from pytest_tokenbudget.providers.request import Request
from pytest_tokenbudget.replay.matching import RECORD_AGAIN
from pytest_tokenbudget.replay.take import Take


class AuxiliaryAnswers:
    """Answers auxiliary requests: by method and path in the order of the recording, the last one over and over.

    Args:
        auxiliary: The recorded auxiliary requests.
        others: All other takes of the cassette, whose hosts are those of models.
    """

    def __init__(self, auxiliary: Sequence[Take], others: Sequence[Take]) -> None:
        self._hosts = {urlsplit(take.url).netloc for take in (*auxiliary, *others)}
        self._left: dict[tuple[str, str], deque[Take]] = {}
        for take in auxiliary:
            self._left.setdefault((take.method, urlsplit(take.url).path), deque()).append(take)

    def match(self, request: Request) -> Take | None:
        """The answer to an auxiliary request; ``None`` where it goes to a host that no recorded call went to.

        Raises:
            Diverged: If a recorded API is asked for what was not recorded.
        """
        path = request.url.path
        left = self._left.get((request.method, path))
        if left:
            return left.popleft() if len(left) > 1 else left[0]
        if request.url.netloc not in self._hosts:
            return None
        raise Diverged(
            f"the run asks {request.method} {path} beside its model, and the cassette has no answer to it",
            remedy=RECORD_AGAIN,
        )
