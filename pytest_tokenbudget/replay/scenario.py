"""Runs conversations of several turns, from Python or a file, against a synchronous or asynchronous agent."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from pytest_tokenbudget.errors import ScriptError

Agent = Callable[[Any], Any]
TurnMark = Callable[[int], AbstractContextManager[None]]
"""Opened around each turn with its number, from 1: what its calls cost is kept for that turn."""


def _unmarked(_: int) -> AbstractContextManager[None]:
    return nullcontext()


class Scenario:
    """Runs a conversation turn by turn and returns the replies.

    Args:
        mark_turn: Opened around each turn, so that its numbers can be told.
        turns: What the user says; ``scenario.load`` gives a scenario that has its turns already.
        directory: Where relative file names are looked for.
    """

    def __init__(
        self,
        mark_turn: TurnMark = _unmarked,
        *,
        turns: Sequence[Any] = (),
        directory: Path | None = None,
    ) -> None:
        self._mark_turn = mark_turn
        self._directory = directory
        self.turns = tuple(turns)

    def __call__(self, agent: Agent, turns: Iterable[Any] | None = None) -> list[Any]:
        """Run a conversation against a synchronous agent.

        Args:
            agent: Called with each turn; what it returns is the reply.
            turns: What the user says, in order; by default the turns of the file that was loaded.

        Returns:
            The replies.

        Raises:
            ScriptError: If there are no turns, or the agent is asynchronous.
        """
        replies = []
        for number, said in enumerate(self._wanted(turns), start=1):
            with self._mark_turn(number):
                reply = agent(said)
                if inspect.isawaitable(reply):
                    if inspect.iscoroutine(reply):
                        reply.close()
                    raise ScriptError(
                        "scenario: the agent is asynchronous", remedy="await scenario.arun(agent, turns=[...])"
                    )
                replies.append(reply)
        return replies

    async def arun(self, agent: Callable[[Any], Awaitable[Any] | Any], turns: Iterable[Any] | None = None) -> list[Any]:
        """Run a conversation against an asynchronous (or synchronous) agent; otherwise as a plain call does."""
        replies = []
        for number, said in enumerate(self._wanted(turns), start=1):
            with self._mark_turn(number):
                reply = agent(said)
                replies.append(await reply if inspect.isawaitable(reply) else reply)
        return replies

    def load(self, path: str | Path) -> Scenario:
        """Read a scenario with the turns of a YAML or JSON file: a list, or a mapping with the key ``turns``.

        Args:
            path: The file; a relative one is looked for beside the test.

        Raises:
            ScriptError: If it cannot be read or holds no turns.
        """
        from pytest_tokenbudget.replay.script_file import load_document

        file = Path(path) if self._directory is None else self._directory / path
        document = load_document(file, "scenario")
        turns = document.get("turns") if isinstance(document, dict) else document
        if not isinstance(turns, list) or not turns:
            raise ScriptError(f"{file}: holds no turns", remedy="write a list of texts under the key turns")
        return Scenario(self._mark_turn, turns=turns, directory=self._directory)

    def _wanted(self, turns: Iterable[Any] | None) -> tuple[Any, ...]:
        wanted = self.turns if turns is None else tuple(turns)
        if not wanted:
            raise ScriptError("scenario: there are no turns", remedy='scenario(agent, turns=["...", "..."])')
        return wanted
