"""The plugin's side of a command that runs pytest: which tests to run is read from a file, what they measured goes into another.

The command starts pytest in a process of its own for each sample, and says where the files are in an environment variable.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_tokenbudget.baselines.paths import baseline_path
from pytest_tokenbudget.option_table import MARKER
from pytest_tokenbudget.plugin.context import read_settings
from pytest_tokenbudget.plugin.controller import attached_to
from pytest_tokenbudget.plugin.marker import has_budget
from pytest_tokenbudget.plugin.pytest_internals import plain_nodeid
from pytest_tokenbudget.plugin.traffic import cassette_path
from pytest_tokenbudget.plugin.writing import same_code_key

_LONGEST = 6000
"""Characters of a failure that travel; its end says most."""


class ArmSide:
    """Runs the wanted tests alone, and writes down what became of them."""

    def __init__(self, config: pytest.Config, place: Path) -> None:
        self._config = config
        self._transcript = place / "transcript.jsonl"
        wanted = json.loads((place / "wanted.json").read_text(encoding="utf-8"))
        self._only: frozenset[str] | None = None if wanted["tests"] is None else frozenset(wanted["tests"])
        self._own, self._other = wanted["own"], wanted["other"]
        self._reports: list[str] = wanted["reports"]
        self._place = place
        self._writes = not hasattr(config, "workerinput")
        config.stash[same_code_key] = wanted["same_code"]
        if wanted["stored"]:
            config.pluginmanager.register(CollectedTests(config, self._write), "tokenbudget-collected-tests")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the wanted tests; one that has no budget on this side is measured all the same."""
        if self._only is None:
            return
        wanted = [item for item in items if plain_nodeid(item) in self._only]
        rest = [item for item in items if plain_nodeid(item) not in self._only]
        for item in wanted:
            if not has_budget(item):
                item.add_marker(MARKER)
        if rest:
            self._config.hook.pytest_deselected(items=rest)
            items[:] = wanted

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Say which tests there are, and which metrics and report formats the project adds."""
        if not self._config.option.collectonly:
            return
        further = [spec for specs in self._config.hook.pytest_tokenbudget_metrics() for spec in specs]
        self._write(
            collected=[[plain_nodeid(item), has_budget(item)] for item in session.items],
            metrics=[[spec.name, spec.unit, spec.help, spec.pooled is not None] for spec in further],
            formats=sorted(
                {suffix for given in self._config.hook.pytest_tokenbudget_report_formats() for suffix in given}
            ),
        )
        if self._reports:
            self._write_reports()

    def _write_reports(self) -> None:
        """Write the reports of the whole comparison whose formats only this project knows."""
        from pytest_tokenbudget.plugin.writing import report_formats
        from pytest_tokenbudget.report.formats import write_reports
        from pytest_tokenbudget.report.transport import decode_run

        run = decode_run((self._place / "run.json").read_text(encoding="ascii"))
        formats, here = report_formats(self._config), self._config.invocation_params.dir
        told = write_reports(run, self._reports, formats, option="--report", directory=here, summary="")
        self._write(problems=list(told.problems[len(run.problems) :]))

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hand over what was measured, and what failed."""
        result = attached_to(report)
        nodeid = result.nodeid if result is not None else report.nodeid
        if result is not None and report.outcome in ("passed", "failed"):
            from pytest_tokenbudget.report.transport import encode

            self._write(result=encode(result))
        if report.outcome == "failed":
            self._write(failure=[nodeid, report.when, report.longreprtext[-_LONGEST:]])
        elif report.outcome == "skipped":
            self._write(skipped=nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Say which code came from the other side's tree: then what was measured is not this side's."""
        other = self._other + os.sep
        # One tree may lie in the other, and the environment in either.
        mine = (self._own + os.sep, os.path.realpath(sys.prefix) + os.sep)
        foreign = []
        for name, module in sorted(sys.modules.copy().items()):
            file = getattr(module, "__dict__", {}).get("__file__")
            path = os.path.realpath(file) if isinstance(file, str) else ""
            if path.startswith(other) and not path.startswith(mine):
                foreign.append([name, path])
        if foreign:
            self._write(foreign=foreign)

    def _write(self, **line: Any) -> None:
        if self._writes:
            # Line by line, so that what was measured before a crash is there.
            with self._transcript.open("a", encoding="ascii") as file:
                file.write(json.dumps(line) + "\n")


class CollectedTests:
    """Writes down the tests as they are collected, before any option or plugin deselects some.

    Args:
        config: pytest's configuration.
        write: Takes what was found.
    """

    def __init__(self, config: pytest.Config, write: Callable[..., None]) -> None:
        self._config = config
        self._write = write
        self._files: dict[Path, bool] = {}
        self._items: dict[pytest.Item, None] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        """Remember which files pytest looked into; one that is skipped or broken hides its tests."""
        report = yield
        self._files[collector.path] = self._files.get(collector.path, True) and report.passed
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, Any, Any]:
        """Keep all tests, those that an option deselects too."""
        self._items.update(dict.fromkeys(items))
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down all that was seen."""
        self._items.update(dict.fromkeys(session.items))
        settings = read_settings(self._config)
        self._write(
            stored={
                "tests": [_stored(item) for item in self._items],
                "files": [[str(path), complete] for path, complete in self._files.items() if path.is_file()],
                "narrowed": self._narrowed(),
                "patterns": list(self._config.getini("python_files")),
                "redact": list(settings.redact),
                "allow_secret": list(settings.allow_secret),
                "encodings": list(settings.encodings),
                "cassette_limit": settings.cassette_limit,
            }
        )

    def _narrowed(self) -> str:
        """The argument that hid tests while they were collected, ``""`` where none did."""
        if self._config.getoption("lf", False):
            return "--last-failed"
        return next((argument for argument in self._config.args if "::" in argument), "")


def _stored(item: pytest.Item) -> list[str]:
    """The baseline, the key and the cassette of a test."""
    named = next((mark.kwargs["replay"] for mark in item.iter_markers(MARKER) if "replay" in mark.kwargs), None)
    nodeid = plain_nodeid(item)
    return [
        str(baseline_path(item.path)),
        nodeid.partition("::")[2] or nodeid,
        str(cassette_path(item, named if isinstance(named, str) else "")),
    ]
