"""Auxiliary requests: lists of models, counts of tokens, files, polls. No calls, but recorded and answered too.

They would go to the provider in every replay otherwise, with a key that a pull request does not have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

from pytest_tokenbudget.errors import Diverged
from pytest_tokenbudget.providers.request import Request
from pytest_tokenbudget.replay.interaction import Interaction
from pytest_tokenbudget.replay.matching import RECORD_AGAIN


class AuxiliaryAnswers:
    """Answers auxiliary requests: by method and path in the order of the recording, the last one over and over.

    Args:
        auxiliary: The recorded auxiliary requests.
        others: All other interactions of the cassette, whose hosts are those of models.
    """

    def __init__(self, auxiliary: Sequence[Interaction], others: Sequence[Interaction]) -> None:
        self._hosts = {urlsplit(one.url).netloc for one in (*auxiliary, *others)}
        self._left: dict[tuple[str, str], deque[Interaction]] = {}
        for one in auxiliary:
            self._left.setdefault((one.method, urlsplit(one.url).path), deque()).append(one)

    def match(self, request: Request) -> Interaction | None:
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
