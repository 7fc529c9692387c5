"""The command: how it is called, what it returns."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import pytest

from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli import main as entry
from pytest_tokenbudget.errors import BaselineError


@pytest.fixture
def with_command(monkeypatch: pytest.MonkeyPatch):
    """Adds a command ``try`` that does what it is given."""

    def add(run) -> None:
        command = Command("try", "try something", lambda parser: None, run)
        monkeypatch.setattr(entry, "COMMANDS", (*entry.COMMANDS, command))

    return add


@pytest.mark.parametrize("of", ["baseline", "report"])
def test_a_schema_is_printed(of: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON document on standard output, nothing else."""
    assert entry.main(["schema", of]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["type"] == "object"
    assert printed.err == ""


def test_the_schema_of_a_baseline_is_that_of_its_format(capsys: pytest.CaptureFixture[str]) -> None:
    """The one from which files are validated."""
    from pytest_tokenbudget.baselines.schema import json_schema

    entry.main(["schema", "baseline"])
    assert json.loads(capsys.readouterr().out) == json_schema()


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["schema"], ["schema", "cassette"]])
def test_arguments_that_are_not_understood_exit_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage is shown on standard error."""
    with pytest.raises(SystemExit) as caught:
        entry.main(arguments)
    assert caught.value.code == 2
    assert "usage: tokenbudget" in capsys.readouterr().err


def test_an_error_of_ours_is_shown_with_its_remedy(with_command, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, no traceback."""

    def run(_: argparse.Namespace) -> int:
        raise BaselineError("x.json: is empty", remedy="git checkout -- x.json")

    with_command(run)
    assert entry.main(["try"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("tokenbudget: x.json: is empty\n  fix: git checkout -- x.json\n")


def test_the_exit_code_is_the_commands(with_command) -> None:
    """1 is what a check that is not held returns."""
    with_command(lambda _: 1)
    assert entry.main(["try"]) == 1


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its line."""
    with pytest.raises(SystemExit) as caught:
        entry.main(["--help"])
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(command.name in shown and command.help in shown for command in entry.COMMANDS)


def test_the_module_is_the_command() -> None:
    """``python -m pytest_tokenbudget``."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest_tokenbudget", "schema", "baseline"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["title"] == "pytest-tokenbudget baseline"


def test_a_reader_that_has_enough_gets_no_traceback() -> None:
    """As in ``tokenbudget schema baseline | head -1``."""
    with subprocess.Popen(
        [sys.executable, "-m", "pytest_tokenbudget", "schema", "baseline"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
