"""The processes that this one starts: each is given what a child needs and is remembered, so that none is overlooked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.patching import Patch, Watched

_ENV_POSITION = 10
"""Position of ``env`` among the arguments of ``subprocess.Popen`` (``self`` not counted: 0 is ``args``)."""


_NO_MODEL = frozenset({
    "cat", "chmod", "cp", "date", "df", "du", "echo", "find", "gcc", "head", "hostname", "id", "ldconfig", "ldd", "ls",
    "lsb_release", "mkdir", "mv", "nproc", "objdump", "ps", "pwd", "rm", "sleep", "sort", "stat", "stty", "tail", "tar",
    "test", "touch", "tput", "true", "tty", "uname", "wc", "which", "whoami",
})  # fmt: skip
"""Programs of the system that connect to nothing; the standard library starts some by itself."""


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
    """Notices processes that are started: through ``subprocess`` (asyncio's too), ``os.system``, ``os.posix_spawn``.

    ``environment`` gives what a child needs, and ``before`` is called before one is started.
    """

    def __init__(self, environment: Callable[[Mapping[str, str]], dict[str, str]], before: Callable[[], None]) -> None:
        self.started: list[StartedProcess] = []
        self._environment = environment
        self._before = before
        self._standing: list[Patch] = []

    def begin(self) -> None:
        """Notice them from now on."""
        doors: list[tuple[Any, str, Callable[..., Any]]] = [
            (subprocess.Popen, "__init__", self._popen),
            (os, "system", self._system),
            (os, "posix_spawn", self._posix_spawn),
            (os, "posix_spawnp", self._posix_spawn),
        ]
        with suppress(ImportError):  # Windows
            # multiprocessing starts processes with it that it does not fork; they run Python and announce themselves.
            import _posixsubprocess

            doors.append((_posixsubprocess, "fork_exec", self._fork_exec))
        patches = [
            Patch(Watched(owner, name, door, always=True)) for owner, name, door in doors if hasattr(owner, name)
        ]
        self._standing = [patch for patch in patches if patch.put_in_place()]

    def end(self) -> None:
        """Notice them no more."""
        while self._standing:
            self._standing.pop().put_back()

    def may_call_models(self) -> list[StartedProcess]:
        """The processes that were started, without those of which it is known that they connect to nothing."""
        return [process for process in self.started if program_of(process.command) not in _NO_MODEL]

    def _fork_exec(self, original: Callable[..., int], *args: Any) -> int:
        self._before()
        return original(*args)

    def _note(self, pid: int, command: tuple[str, ...], environment: Mapping[Any, Any] | None) -> None:
        through = False
        if ACTIVE.forwarders:
            given = os.environ if environment is None else environment
            texts = (*command, *(value for value in given.values() if isinstance(value, str)))
            through = any(map(ACTIVE.names_forwarder, texts))
        self.started.append(StartedProcess(pid, command, through))

    def _popen(self, original: Callable[..., None], process: Any, *args: Any, **kwargs: Any) -> None:
        self._before()
        args, kwargs, given = self._with_environment(args, kwargs)
        original(process, *args, **kwargs)
        words = _words(args[0] if args else kwargs.get("args", ""))
        if kwargs.get("shell"):
            words = ("sh", "-c", " ".join(words))
        self._note(process.pid, words, given)

    def _system(self, original: Callable[[Any], int], command: Any) -> int:
        self._before()
        self._note(0, ("sh", "-c", *_words(command)), None)
        return original(command)

    def _posix_spawn(self, original: Callable[..., int], path: Any, argv: Any, env: Any, /, **options: Any) -> int:
        self._before()
        given = self._environment(env) if isinstance(env, Mapping) and _has_text_names(env) else None
        pid = original(path, argv, env if given is None else given, **options)
        self._note(pid, _words(argv), env if given is None else given)
        return pid

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


def with_descendants(pids: Iterable[int]) -> frozenset[int]:
    """Processes that still run, and those that they have started, where the system tells (Linux)."""
    found: set[int] = set()
    left = list(pids)
    while left:
        pid = left.pop()
        with suppress(OSError):
            threads = os.listdir(f"/proc/{pid}/task")
            found.add(pid)
            for thread in threads:
                with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                    left += (child for child in map(int, file.read().split()) if child not in found)
    return frozenset(found)


def _has_text_names(environment: Mapping[Any, Any]) -> bool:
    """Tell whether it can be added to; names may be bytes too."""
    return all(isinstance(name, str) for name in environment)


def _words(command: Any) -> tuple[str, ...]:
    if isinstance(command, str | bytes | os.PathLike):
        return tuple(os.fsdecode(command).split())
    if isinstance(command, Sequence):
        return tuple(
            [os.fsdecode(word) if isinstance(word, str | bytes | os.PathLike) else str(word) for word in command]
        )
    return (str(command),)


def program_of(command: Sequence[str]) -> str:
    """The name of the program that a command line runs."""
    return PurePath(command[0]).name.lower().removesuffix(".exe") if command else ""
