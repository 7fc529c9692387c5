"""From observation to cause to cut to acceptance, and a regression that is caught: what `make demo` runs.

Everything happens in a copy, so that nothing in the working tree changes. No network, no key, no waiting. Exits 0 only
if the unchanged agent passes, the advice names what the team suspected, the improved agent reaches its targets, and the agent
that was made worse fails for the right reason.

`demo.py --svg PATH` also draws the failing run, for the project's front page.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ARGUMENTS = argparse.ArgumentParser(description=__doc__)
ARGUMENTS.add_argument("--svg", type=Path, help="draw the failing run here (needs rich)")

WIDTH = 100
"""Columns of the picture."""

# What a well-meant feature does to a schema: one more field, described at length.
REGRESSION = """

CALENDAR_WRITE["function"]["parameters"]["properties"]["travel"] = {
    "type": "object",
    "description": "Time to get there and back, blocked before and after the event. Work it out from the location and "
    "the event before it: on foot up to one kilometre, by public transport in town, by car or train beyond. Leave it out "
    "for calls, for all-day events, and where the event before takes place at the same address.",
    "properties": {
        "before_minutes": {"type": "integer", "minimum": 0, "description": "Blocked before the event, in steps of five."},
        "after_minutes": {"type": "integer", "minimum": 0, "description": "Blocked after the event, in steps of five."},
        "mode": _text(
            "How the owner travels. Prefer what the owner used for the last event at the same place; else walk, then "
            "bicycle in dry weather between April and October, then public transport.",
            enum=["walk", "bicycle", "transit", "car", "train", "plane"],
        ),
        "origin": _text("Where the owner sets out: the location of the event before, or the office in working hours."),
        "book_taxi": {"type": "boolean", "description": "Order a taxi; only if the user has asked for it in so many words."},
        "traffic_margin_percent": {"type": "integer", "description": "Added between 7:30 and 9:30 and from 17:00 to 19:00."},
    },
}
for _language in ("English", "Spanish", "French", "German", "Italian", "Portuguese", "Dutch", "Swedish", "Danish", "Polish", "Czech"):
    CALENDAR_WRITE["function"]["description"] += (
        f" If the user writes in {_language}, write title, description and reason in {_language}, "
        f"with the punctuation, capitals and date formats that are usual in {_language}."
    )
"""


SUSPECTS = [
    ("repeated_schemas", "worker", ""),
    ("large_tool", "worker", "calendar_write"),
    ("extra_call", "worker/finalize", ""),
]
"""What the team suspected: all tools in every call, one of them above all, and the call that makes JSON of the answer."""


def main() -> int:
    """Run the five acts; 0 if all went as it should."""
    svg = ARGUMENTS.parse_args().svg
    with tempfile.TemporaryDirectory(prefix="tokenbudget-demo-") as place:
        copy = Path(place) / "calendar_agent"
        shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
        acts = (_keep, _import, _advise, _improve, lambda copy: _break(copy, svg))
        for act in acts:
            if problem := act(copy):
                print(f"The demo went wrong: {problem}.", file=sys.stderr)
                return 1
    return 0


def _keep(copy: Path) -> str:
    _say("1", "The agent as it is, against the budget that is committed beside its test.")
    baseline = copy / "__budgets__" / "test_calendar.json"
    stored = baseline.read_bytes()
    code, _ = _pytest(copy, "test_calendar.py", "--tokenbudget-report=report.json")
    changed = baseline.read_bytes() != stored
    return "the unchanged agent should have passed and left its baseline as it was" if code or changed else ""


def _import(copy: Path) -> str:
    _say("2", "What production recorded of it, a table of messages: the worker reads nearly all of it.")
    subprocess.run([sys.executable, "production.py", "messages.db"], cwd=copy, check=True)
    code, _ = _run(copy, "tokenbudget", "import", "--sql", "sqlite:///messages.db", "--query", "messages.sql")
    return "production should have been imported" if code else ""


def _advise(copy: Path) -> str:
    _say("3", "Where the tokens go, and what could be cut:")
    code, _ = _run(copy, "tokenbudget", "advise", "report.json", "--top", "3")
    done = subprocess.run(
        _command("tokenbudget", "advise", "report.json", "--json"),
        cwd=copy,
        check=False,
        capture_output=True,
        text=True,
    )
    found = [(each["kind"], each["stage"], each["name"]) for each in json.loads(done.stdout)["advice"]]
    return (
        "the first three of the advice should have been the suspects"
        if code or sorted(found[:3]) != sorted(SUSPECTS)
        else ""
    )


def _improve(copy: Path) -> str:
    _say(
        "4",
        "The improved agent: 30 % less input and 25 % less time are wanted of the worker, against the reference `before`,\n"
        "  and the same calendar in the end.",
    )
    code, _ = _pytest(copy, "test_improved.py")
    return "the improved agent should have passed" if code else ""


def _break(copy: Path, svg: Path | None) -> str:
    _say(
        "5", "Now somebody adds a field to calendar_write, and rules for eleven languages. Every answer stays right ..."
    )
    schemas = copy / "schemas.py"
    schemas.write_text(schemas.read_text() + REGRESSION)
    code, output = _pytest(copy, "test_calendar.py")
    if code != 1 or "calendar_write" not in output:
        return "the regression should have been caught, and calendar_write named as its cause"
    if svg:
        _draw(output, svg)
    _say("✓", "Caught: which stage grew, by how much, and why. Had it been wanted, `pytest --tokenbudget-update` would")
    print("  store the new numbers, and the reviewer would see them in the diff of one JSON file.\n")
    return ""


def _pytest(place: Path, *arguments: str) -> tuple[int, str]:
    """Run pytest without the plugins that happen to be installed."""
    quiet = ("-p", "tokenbudget", "-p", "no:cacheprovider", "--no-header")
    color = "--color=yes" if _color() else "--color=no"
    return _run(place, "pytest", *arguments, hidden=(*quiet, color))


def _run(place: Path, program: str, *arguments: str, hidden: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run a program as at a desk: not as in CI, where annotations would be written for a failure that is on purpose."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name != "CI" and not name.startswith(("GITHUB_", "PYTEST_"))
    }
    clean["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    if ARGUMENTS.parse_args().svg is not None:
        clean["COLUMNS"] = str(WIDTH)
    print(_dim(f"  $ {program} {' '.join(arguments)}") + "\n", flush=True)
    done = subprocess.run(
        _command(program, *hidden, *arguments),
        cwd=place,
        env=clean,
        text=True,
        encoding="utf-8",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    print(done.stdout, flush=True)
    return done.returncode, done.stdout


def _command(program: str, *arguments: str) -> list[str]:
    """The command line of a program of this environment."""
    module = {"pytest": "pytest", "tokenbudget": "pytest_tokenbudget"}[program]
    return [sys.executable, "-m", module, *arguments]


def _draw(output: str, path: Path) -> None:
    """What the run says of its failure as a picture, without the fonts that it would load from elsewhere."""
    import io
    import re

    from rich.console import Console
    from rich.text import Text

    lines = output.splitlines()
    first = next(number for number, line in enumerate(lines) if "= FAILURES =" in line)
    last = next(number for number, line in enumerate(lines) if "short test summary" in line)
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print("[bold]$ pytest[/bold]", highlight=False)
    console.print(Text.from_ansi("\n".join(lines[first:last])))
    drawn = console.export_svg(title="a pull request that makes the agent dearer", unique_id="run")
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL), encoding="utf-8")


def _color() -> bool:
    return "NO_COLOR" not in os.environ and (sys.stdout.isatty() or ARGUMENTS.parse_args().svg is not None)


def _say(number: str, text: str) -> None:
    print(f"\033[1;36m{number}\033[0m \033[1m{text}\033[0m" if _color() else f"{number} {text}", flush=True)


def _dim(text: str) -> str:
    return f"\033[2m{text}\033[0m" if _color() else text


if __name__ == "__main__":
    sys.exit(main())
