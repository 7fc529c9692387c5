"""The entry point of ``tokenbudget`` and of ``python -m pytest_tokenbudget``."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli.ab import AB
from pytest_tokenbudget.cli.advise import ADVISE
from pytest_tokenbudget.cli.calibrate import CALIBRATE
from pytest_tokenbudget.cli.comment import COMMENT
from pytest_tokenbudget.cli.compare import COMPARE
from pytest_tokenbudget.cli.completion import COMPLETION
from pytest_tokenbudget.cli.doctor import DOCTOR
from pytest_tokenbudget.cli.footprint import FOOTPRINT
from pytest_tokenbudget.cli.import_rows import IMPORT
from pytest_tokenbudget.cli.init import INIT
from pytest_tokenbudget.cli.merge_files import MERGE, MERGE_DRIVER
from pytest_tokenbudget.cli.prune import PRUNE
from pytest_tokenbudget.cli.render_report import RENDER
from pytest_tokenbudget.cli.schemas import SCHEMA
from pytest_tokenbudget.cli.show import SHOW
from pytest_tokenbudget.cli.show_history import HISTORY
from pytest_tokenbudget.cli.textconv import TEXTCONV
from pytest_tokenbudget.cli.whatif import WHATIF
from pytest_tokenbudget.errors import TokenBudgetError

COMMANDS: tuple[Command, ...] = (
    AB,
    ADVISE,
    CALIBRATE,
    COMMENT,
    COMPARE,
    COMPLETION,
    DOCTOR,
    FOOTPRINT,
    HISTORY,
    IMPORT,
    INIT,
    MERGE,
    MERGE_DRIVER,
    PRUNE,
    RENDER,
    SCHEMA,
    SHOW,
    TEXTCONV,
    WHATIF,
)
"""All commands, in the order of ``--help``."""

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
    own, passed_on = _split(sys.argv[1:] if argv is None else argv)
    parser = make_parser()
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


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the arguments into ours and those after `--`, for the program that a command runs.

    Not left to argparse, which takes a positional argument's values once, in the first place where it finds any.
    """
    passing = {command.name for command in COMMANDS if command.passes_on}
    if not argv or argv[0] not in passing or "--" not in argv:
        return list(argv), []
    at = argv.index("--")
    return list(argv[:at]), list(argv[at + 1 :])


def make_parser() -> argparse.ArgumentParser:
    """The whole command line; arguments that are paths are completed as such by a shell."""
    from pytest_tokenbudget import __version__

    parser = argparse.ArgumentParser(prog="tokenbudget", description="What an agent's tests cost, and what changed.")
    parser.add_argument("--version", action="version", version=f"pytest-tokenbudget {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = commands.add_parser(command.name, help=command.help, description=_sentence(command.help))
        command.arguments(subparser)
        for action in subparser._actions:
            if action.type is Path or action.metavar in _PATHS:
                action.complete = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # type: ignore[attr-defined]  # as shtab reads it
        subparser.set_defaults(command=command)
    return parser


def command_help(name: str) -> str:
    """Give the text of a command's ``--help``, 100 columns wide, for the docs."""
    command = next(command for command in COMMANDS if command.name == name)
    parser = argparse.ArgumentParser(
        prog=f"tokenbudget {name}",
        description=_sentence(command.help),
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=100),
    )
    command.arguments(parser)
    return parser.format_help()


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
