"""The command: how it is called, what it returns."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_tokenbudget.baselines.format import dump
from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli import main as entry
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord


@pytest.fixture
def with_command(monkeypatch: pytest.MonkeyPatch):
    """Adds a command ``try`` that does what it is given."""

    def add(run) -> None:
        command = Command("try", "try something", lambda parser: None, run)
        monkeypatch.setattr(entry, "VERBS", {"try": ""})
        monkeypatch.setattr(entry, "command", {"try": command}.__getitem__)

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


def test_arguments_of_pytest_without_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    """The message says where they belong, for a command that hands arguments on; for others it does not."""
    for arguments, is_said in ((["calibrate", "test_desk.py"], True), (["show", "--nope"], False)):
        with pytest.raises(SystemExit):
            entry.main(arguments)
        assert ("stands at the end: -- test_desk.py" in capsys.readouterr().err) is is_said


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
    assert all(command.name in shown and command.help in shown for command in map(entry.command, entry.VERBS))


FOR_PROGRAMS = {"completion", "merge-driver", "schema", "textconv"}
"""Commands whose output is for programs already."""


@pytest.mark.parametrize("command", list(entry.VERBS))
def test_each_command_helps(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With an example, its exit codes, and a way to have JSON."""
    with pytest.raises(SystemExit) as caught:
        entry.main([command, "--help"])
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"tokenbudget {command}" in shown
    assert "example" in shown
    assert "Exit codes: 0" in shown
    assert ("--json" in shown) is (command not in FOR_PROGRAMS)
    assert "%%" not in shown


@pytest.mark.parametrize(
    ("variables", "terminal", "coloured"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
@pytest.mark.parametrize("command", ["show", "compare", "doctor"])
def test_colour_is_for_terminals(
    command: str,
    variables: dict[str, str],
    terminal: bool,
    coloured: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """NO_COLOR takes it away, FORCE_COLOR brings it everywhere."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for side, tokens in (("a", 100), ("b", 150)):
        stored = BaselineEntry({"input_tokens": MetricRecord(((tokens,),), tokens)})
        (tmp_path / f"{side}.json").write_bytes(dump({"test_a": stored}))
    arguments = {"show": ["a.json"], "compare": ["a.json", "b.json"], "doctor": []}[command]
    if command == "doctor":
        monkeypatch.setattr("pytest_tokenbudget.cli.doctor._collected", lambda arguments: (None, []))
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    entry.main([command, *arguments])
    assert ("\x1b[" in capsys.readouterr().out) is coloured


def test_bash_completes_commands_options_and_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed script runs in bash."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    assert entry.main(["completion", "bash"]) == 0
    (tmp_path / "completion.bash").write_text(capsys.readouterr().out)
    (tmp_path / "tests").mkdir()
    for words, expected in (
        (["tokenbudget", "merge-d"], "merge-driver"),
        (["tokenbudget", "compare", "--max"], "--max-increase"),
        (["tokenbudget", "show", "tes"], "tests"),
        (["tokenbudget", "schema", "rep"], "report"),
    ):
        script = f"""source ./completion.bash; COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}
            _shtab_tokenbudget; echo "${{COMPREPLY[@]}}" """
        done = subprocess.run([bash, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert expected in done.stdout.split(), words
    for shell in ("zsh", "tcsh"):
        assert entry.main(["completion", shell]) == 0
        assert "merge-driver" in capsys.readouterr().out


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
