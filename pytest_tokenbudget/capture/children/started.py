"""The processes that this one starts: each is given what a child needs and is remembered, so that none is overlooked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.patching import Watched, put_in_place

_ENV_POSITION = 10
"""Position of ``env`` among the arguments of ``subprocess.Popen`` (``self`` not counted: 0 is ``args``)."""


@dataclass(frozen=True, slots=True)
class StartedProcess:
    """A process that was started.

    Attributes:
        pid: Its process id, 0 where it is not known.
        command: Its command line.
        goes_through_proxy: Whether it was given the address of the recording proxy.
    """

    pid: int
    command: tuple[str, ...]
    goes_through_proxy: bool = False


class StartedProcesses:
    """Notices processes that are started through ``subprocess`` (asyncio's among them), ``os.system``, ``os.posix_spawn``.

    Args:
        environment: Gives the environment that a child needs, from the one that it would have.
        before: Called before a process is started.
    """

    def __init__(self, environment: Callable[[Mapping[str, str]], dict[str, str]], before: Callable[[], None]) -> None:
        self.started: list[StartedProcess] = []
        self._environment = environment
        self._before = before
        self._undo: list[Callable[[], object]] = []

    def begin(self) -> None:
        """Notice them from now on."""
        for watched in (
            Watched(subprocess.Popen, "__init__", self._popen),
            Watched(os, "system", self._system),
            Watched(os, "posix_spawn", self._posix_spawn),
            Watched(os, "posix_spawnp", self._posix_spawn),
            *self._of_multiprocessing(),
        ):
            put_back = put_in_place(watched) if hasattr(watched.owner, watched.name) else None
            if put_back is not None:
                self._undo.append(put_back)

    def end(self) -> None:
        """Notice them no more."""
        while self._undo:
            self._undo.pop()()

    def _of_multiprocessing(self) -> tuple[Watched, ...]:
        """How multiprocessing starts processes that it does not fork; they run Python and say themselves that they are there."""
        try:
            import _posixsubprocess
        except ImportError:  # Windows
            return ()
        return (Watched(_posixsubprocess, "fork_exec", self._fork_exec),)

    def _fork_exec(self, original: Callable[..., int]) -> Callable[..., int]:
        def fork_exec(*args: Any) -> int:
            self._before()
            return original(*args)

        return fork_exec

    def _note(self, pid: int, command: tuple[str, ...], environment: Mapping[Any, Any] | None) -> None:
        given = os.environ if environment is None else environment
        texts = (*command, *(value for value in given.values() if isinstance(value, str)))
        through = bool(ACTIVE.forwarders) and any(map(ACTIVE.names_forwarder, texts))
        self.started.append(StartedProcess(pid, command, through))

    def _popen(self, original: Callable[..., None]) -> Callable[..., None]:
        def init(process: Any, *args: Any, **kwargs: Any) -> None:
            self._before()
            args, kwargs, given = self._with_environment(args, kwargs)
            original(process, *args, **kwargs)
            words = _words(args[0] if args else kwargs.get("args", ""))
            if kwargs.get("shell"):
                words = ("sh", "-c", " ".join(words))
            self._note(process.pid, words, given)

        return init

    def _system(self, original: Callable[[Any], int]) -> Callable[[Any], int]:
        def system(command: Any) -> int:
            self._before()
            self._note(0, ("sh", "-c", *_words(command)), None)
            return original(command)

        return system

    def _posix_spawn(self, original: Callable[..., int]) -> Callable[..., int]:
        def spawn(path: Any, argv: Any, env: Any, /, **options: Any) -> int:
            self._before()
            given = self._environment(env) if isinstance(env, Mapping) and _has_text_names(env) else None
            pid = original(path, argv, env if given is None else given, **options)
            self._note(pid, _words(argv), env if given is None else given)
            return pid

        return spawn

    def _with_environment(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], Mapping[Any, Any] | None]:
        """The arguments of ``Popen`` with what a child needs in the environment that they name, and that environment."""
        positional = len(args) > _ENV_POSITION
        given = args[_ENV_POSITION] if positional else kwargs.get("env")
        # A test may have replaced PYTHONPATH in this process's own environment.
        inherited = os.environ if given is None else given
        if not isinstance(inherited, Mapping) or not _has_text_names(inherited):
            return args, kwargs, None
        made = self._environment(inherited)
        if given is None and made == dict(os.environ):
            return args, kwargs, None
        if positional:
            return (*args[:_ENV_POSITION], made, *args[_ENV_POSITION + 1 :]), kwargs, made
        return args, {**kwargs, "env": made}, made


def _has_text_names(environment: Mapping[Any, Any]) -> bool:
    """Whether it can be added to; names may be bytes too."""
    return all(isinstance(name, str) for name in environment)


def _words(command: Any) -> tuple[str, ...]:
    if isinstance(command, str | bytes | os.PathLike):
        return tuple(os.fsdecode(command).split())
    if isinstance(command, Sequence):
        return tuple(
            os.fsdecode(word) if isinstance(word, str | bytes | os.PathLike) else str(word) for word in command
        )
    return (str(command),)
