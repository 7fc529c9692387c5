"""Processes that are forked from the session: they have all of its memory, and are children from then on."""

from __future__ import annotations

import os
from typing import Protocol


class Forked(Protocol):
    """Who is told about forks."""

    def before_fork(self) -> None:
        """Take note that this process is about to be forked."""

    def in_forked_child(self) -> None:
        """Take note that this process is the fork."""


class Forks:
    """Tells the session that watches now about forks.

    Python cannot be told to forget who wants to know about forks, so there is one such object for each process.
    """

    def __init__(self) -> None:
        self._told: list[Forked] = []
        self._registered = False

    def add(self, forked: Forked) -> None:
        """Tell this one; where sessions are nested, the innermost is told alone."""
        self._told.append(forked)
        if not self._registered and hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_child=self._in_child)
            self._registered = True

    def remove(self, forked: Forked) -> None:
        """Tell it no more."""
        self._told.remove(forked)

    def _before(self) -> None:
        if self._told:
            self._told[-1].before_fork()

    def _in_child(self) -> None:
        told, self._told = self._told, []
        if told:
            told[-1].in_forked_child()


FORKS = Forks()
