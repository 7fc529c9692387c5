"""The entry point of ``tokenbudget`` and of ``python -m pytest_tokenbudget``."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path

from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.errors import TokenBudgetError

VERBS = {
    "ab": "ab",
    "advise": "advise",
    "calibrate": "calibrate",
    "comment": "comment",
    "compare": "compare",
    "completion": "completion",
    "doctor": "doctor",
    "footprint": "footprint",
    "history": "show_history",
    "import": "import_rows",
    "init": "init",
    "merge": "merge_files",
    "merge-driver": "merge_files",
    "prune": "prune",
    "render": "render_report",
    "schema": "schemas",
    "show": "show",
    "textconv": "textconv",
    "whatif": "whatif",
}
"""The verbs in the order of ``--help``, and the module of each, which is imported where the verb is meant."""

_PATHS = ("PATH", "PATH|NODEID|NAME", "NODEID", "NODEID|CASSETTE", "A", "B", "BASE", "FILE", "FOLDER")
"""Names of arguments that may be paths."""

EXIT_ERROR = 2
"""Exit code of an error that the user can fix; argparse has the same for arguments that it does not understand."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; those of the process where ``None``.

    Returns:
        The exit code: 0 all is well, 1 what was checked is not held, 2 an error.
    """
    if argv is None:
        # A character that the terminal's encoding lacks is no error.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
    argv = list(sys.argv[1:] if argv is None else argv)
    commands = [command(argv[0])] if argv and argv[0] in VERBS else list(map(command, VERBS))
    own, passed_on = _split(argv, commands)
    parser = make_parser(commands)
    arguments, unknown = parser.parse_known_args(own, argparse.Namespace(passed_on=passed_on))
    if unknown:
        shown = " ".join(unknown)
        for_pytest = f"; what is meant for pytest stands at the end: -- {shown}" if arguments.command.passes_on else ""
        parser.error(f"unrecognized arguments: {shown}{for_pytest}")
    try:
        code: int = arguments.command.run(arguments)
        sys.stdout.flush()
    except TokenBudgetError as error:
        print(f"tokenbudget: {error}", file=sys.stderr)
        return EXIT_ERROR
    except BrokenPipeError:
        # Whoever read the output (`| head`) has enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def command(verb: str) -> Command:
    """The command of a verb."""
    module = import_module(f"pytest_tokenbudget.cli.{VERBS[verb]}")
    found: Command = getattr(module, verb.upper().replace("-", "_"))
    return found


def _split(argv: list[str], commands: Sequence[Command]) -> tuple[list[str], list[str]]:
    """Split the arguments into ours and those after `--`, for the program that a command runs.

    Not left to argparse, which takes a positional argument's values once, in the first place where it finds any.
    """
    if "--" not in argv or argv[0] not in {command.name for command in commands if command.passes_on}:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def make_parser(commands: Iterable[Command]) -> argparse.ArgumentParser:
    """The command line of some commands; arguments that are paths are completed as such by a shell."""
    from pytest_tokenbudget import __version__

    parser = argparse.ArgumentParser(prog="tokenbudget", description="What an agent's tests cost, and what changed.")
    parser.add_argument("--version", action="version", version=f"pytest-tokenbudget {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for each in commands:
        subparser = verbs.add_parser(each.name, help=each.help, description=_sentence(each.help))
        each.arguments(subparser)
        for action in subparser._actions:
            if action.type is Path or action.metavar in _PATHS:
                action.complete = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # type: ignore[attr-defined]  # as shtab reads it
        subparser.set_defaults(command=each)
    return parser


def command_help(name: str) -> str:
    """Give the text of a command's ``--help``, 100 columns wide, for the docs."""
    found = command(name)
    parser = argparse.ArgumentParser(
        prog=f"tokenbudget {name}",
        description=_sentence(found.help),
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=100),
    )
    found.arguments(parser)
    return parser.format_help()


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
