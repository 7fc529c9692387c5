"""``tokenbudget completion``: the script with which a shell completes commands, options and paths."""

from __future__ import annotations

import argparse

from pytest_tokenbudget.cli import Command


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'example: bash: eval "$(tokenbudget completion bash)" in ~/.bashrc; zsh: tokenbudget completion zsh > '
        '"${fpath[1]}/_tokenbudget". Exit codes: 0 printed, 2 an unknown shell.'
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="whose script is printed")


def _run(arguments: argparse.Namespace) -> int:
    import shtab

    from pytest_tokenbudget.cli.main import VERBS, command, make_parser

    print(shtab.complete(make_parser(map(command, VERBS)), arguments.shell))
    return 0


COMPLETION = Command("completion", "print the script with which a shell completes this command", _arguments, _run)
