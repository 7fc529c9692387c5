"""``tokenbudget doctor``: what works in this project and environment, and what to do where something does not."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pytest_tokenbudget.baselines.format import format_of
from pytest_tokenbudget.baselines.migrations import FORMAT
from pytest_tokenbudget.baselines.production_file import read_production
from pytest_tokenbudget.baselines.store import JsonStore
from pytest_tokenbudget.capture.watch import UNWATCHED_PACKAGES, WATCHED_PACKAGES
from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli.stored_files import StoredFiles, find_stale, find_stored, shown
from pytest_tokenbudget.cli.terminal_text import Colour, paint
from pytest_tokenbudget.errors import BaselineError, TokenBudgetError
from pytest_tokenbudget.processes.collected import Collection, collect
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.providers.wire_format import each_format
from pytest_tokenbudget.replay.cassette import DEFAULT_LIMIT, read_cassette
from pytest_tokenbudget.replay.recording import LeakCheck
from pytest_tokenbudget.replay.redaction import Redactor, compile_patterns
from pytest_tokenbudget.replay.secrets import allowed_secrets
from pytest_tokenbudget.settings import is_ci, pairs
from pytest_tokenbudget.tokens.vocabularies import ENCODINGS, FALLBACK, available, load
from pytest_tokenbudget.wording import counted, plain

Level = Literal["ok", "note", "finding", "error"]

_COLOURS: Mapping[Level, Colour] = {"ok": "green", "note": "cyan", "finding": "yellow", "error": "red"}

_CI_SERVICES = {
    "GITHUB_ACTIONS": "GitHub Actions",
    "GITLAB_CI": "GitLab CI",
    "JENKINS_URL": "Jenkins",
    "TF_BUILD": "Azure Pipelines",
    "CIRCLECI": "CircleCI",
    "BUILDKITE": "Buildkite",
    "TRAVIS": "Travis CI",
    "BITBUCKET_BUILD_NUMBER": "Bitbucket Pipelines",
    "TEAMCITY_VERSION": "TeamCity",
    "CODEBUILD_BUILD_ID": "AWS CodeBuild",
    "DRONE": "Drone",
}
"""Variables that CI services set, and the services' names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer.

    Attributes:
        check: What was looked at.
        level: ``ok``; ``note``: worth knowing; ``finding``: to be improved; ``error``: tests cannot run, or a secret is out.
        text: What was found.
        remedy: What to do about it; ``""`` where nothing is to be done.
    """

    check: str
    level: Level
    text: str
    remedy: str = ""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget doctor --migrate. Run it with the Python of the tests; it asks pytest which tests there are, and "
        "what follows -- is passed to pytest. Exit codes: 0 all is well (notes may be shown), 1 findings, 2 errors: something "
        "cannot be read, tests cannot be collected, or a cassette holds a secret."
    )
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATHS", help="folders that are looked into (default: this one)"
    )
    parser.add_argument(
        "--migrate", action="store_true", help="write baselines of format 1 in format 2; their figures stay"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(arguments: argparse.Namespace) -> int:
    stored = find_stored(arguments.paths)
    collection, failed = _collected(arguments)
    entries, of_baselines = _baselines(stored, migrate=arguments.migrate)
    found = [
        *_versions(),
        *_clients(),
        *_wire_formats(),
        *_encodings(collection),
        *of_baselines,
        *_cassettes(stored, collection),
        *failed,
        *(_stored_for_no_test(stored, entries, collection) if collection is not None else ()),
        _ci(os.environ),
    ]
    levels = {finding.level for finding in found}
    code = 2 if "error" in levels else 1 if "finding" in levels else 0
    if arguments.json:
        verdict = ("ok", "findings", "errors")[code]
        print(json.dumps({"verdict": verdict, "findings": [asdict(finding) for finding in found]}, indent=2))
    else:
        print("\n".join(_lines(found)))
    return code


def _lines(found: list[Finding]) -> Iterator[str]:
    for finding in found:
        level = paint(f"{finding.level:<7}", _COLOURS[finding.level])
        first, *further = finding.text.splitlines() or [""]
        yield f"{level}  {finding.check}: {plain(first, limit=2000)}"
        yield from (f"         {plain(line)}" for line in further)
        if finding.remedy:
            yield f"         fix: {plain(finding.remedy)}"
    errors, findings = (sum(finding.level == level for finding in found) for level in ("error", "finding"))
    yield f"{counted(errors, 'error')}, {counted(findings, 'finding')}" if errors or findings else "all is well"


def _version(package: str, distribution: str = "") -> str:
    """Name and version of a package, ``""`` where it is not installed."""
    try:
        return f"{package} {version(distribution or package)}"
    except PackageNotFoundError:
        return ""


def _versions() -> Iterator[Finding]:
    python = f"Python {sys.version.split()[0]} ({sys.executable})"
    packages = ("pytest", "pytest-tokenbudget", "pytest-xdist")
    yield Finding("versions", "ok", ", ".join([python, *filter(None, map(_version, packages))]))
    if not any(point.value == "pytest_tokenbudget.plugin" for point in entry_points(group="pytest11")):
        remedy = "install it with the Python of the tests: python -m pip install pytest-tokenbudget"
        yield Finding("versions", "error", "pytest does not find the plugin: the package is not installed", remedy)


def _clients() -> Iterator[Finding]:
    watched = [label for label in map(_client, WATCHED_PACKAGES) if label]
    if watched:
        yield Finding("clients", "ok", f"installed and watched: {', '.join(watched)}")
    else:
        yield Finding(
            "clients",
            "finding",
            f"none of {', '.join(WATCHED_PACKAGES)} is installed for this Python: no call of its code is seen",
            "run doctor with the Python of the tests: python -m pytest_tokenbudget doctor; "
            "agents in other languages go through the fixture llm_proxy",
        )
    if unwatched := [label for label in map(_client, UNWATCHED_PACKAGES) if label]:
        yield Finding(
            "clients",
            "note",
            f"installed and not watched: {', '.join(unwatched)}",
            "if the agent calls its model with one of them, send these calls through the fixture llm_proxy",
        )


def _client(package: str) -> str:
    """Name and version of a client library, ``""`` where it is not installed."""
    # The distribution of a module may have another name (`grpc` is of grpcio): the module decides.
    if find_spec(package) is None:
        return ""
    return _version(package, {"grpc": "grpcio"}.get(package, "")) or package


def _wire_formats() -> Iterator[Finding]:
    names = dict.fromkeys(one.api for one in each_format(builtin_formats()))
    yield Finding("wire formats", "ok", f"{len(names)} known: {', '.join(names)}")


def _encodings(collection: Collection | None) -> Iterator[Finding]:
    here = [name for name in ENCODINGS if available(name)]
    elsewhere = [name for name in ENCODINGS if name not in here]
    if FALLBACK in here:
        more = f"; not on this machine: {', '.join(elsewhere)} (models before 2023)" if elsewhere else ""
        yield Finding("encodings", "ok", f"available offline: {', '.join(here)}{more}")
    else:
        yield Finding(
            "encodings",
            "finding",
            f"{FALLBACK} is not available offline: what no provider counts is counted as bytes",
            "python -m pip install --force-reinstall toktok-rs",
        )
    try:
        configured = pairs(
            collection.encodings if collection is not None else (),
            option="tokenbudget_encodings",
            example="deepseek-* = path/to/tokenizer.json",
        )
        for pattern, source in configured:
            if source.startswith("tiktoken:"):
                text = f"{pattern}: {source} may be downloaded"
                yield Finding("encodings", "note", text, "set TIKTOKEN_CACHE_DIR to a folder that has its file")
                continue
            load(source, configured=True)
            yield Finding("encodings", "ok", f"{pattern}: {source} can be loaded")
    except TokenBudgetError as error:
        yield Finding("encodings", "error", error.message, error.remedy)


def _baselines(stored: StoredFiles, *, migrate: bool) -> tuple[dict[Path, tuple[str, ...]], list[Finding]]:
    """The keys of each readable baseline, and what is to be said of all of them."""
    store = JsonStore()
    entries: dict[Path, tuple[str, ...]] = {}
    found: list[Finding] = []
    migrated = 0
    for path in (*stored.baselines, *stored.production):
        try:
            if path in stored.production:
                read_production(path)
                continue
            entries[path] = tuple(store.read(path))
            number = format_of(path.read_bytes())
            if number != FORMAT and migrate:
                migrated += store.migrate(path)
            elif number != FORMAT:
                text = f"{shown(path)} has format {number}"
                found.append(Finding("baselines", "finding", text, "tokenbudget doctor --migrate"))
        except BaselineError as error:
            found.append(Finding("baselines", "error", error.message, error.remedy))
    tests = sum(map(len, entries.values()))
    files = counted(len(entries), "readable file")
    done = f"; {migrated} written in format {FORMAT}" if migrated else ""
    if not stored.baselines:
        found.append(
            Finding("baselines", "note", "there is none yet", "run pytest once with a marked test, and commit")
        )
    else:
        found.insert(0, Finding("baselines", "ok", f"{files} with {counted(tests, 'entry', 'entries')}{done}"))
    return entries, found


def _cassettes(stored: StoredFiles, collection: Collection | None) -> Iterator[Finding]:
    if not stored.cassettes:
        return
    try:
        redactor = Redactor(compile_patterns(collection.redact if collection is not None else ()))
        allowed = allowed_secrets(collection.allow_secret if collection is not None else ())
    except TokenBudgetError as error:
        yield Finding("cassettes", "error", error.message, error.remedy)
        return
    limit = collection.cassette_limit if collection is not None else DEFAULT_LIMIT
    good = 0
    for path in stored.cassettes:
        try:
            interactions = read_cassette(path, limit=limit)
            LeakCheck(redactor, allowed, about=shown(path)).refuse(interactions)
            good += 1
        except TokenBudgetError as error:
            yield Finding("cassettes", "error", error.message, error.remedy)
    if good:
        yield Finding("cassettes", "ok", f"{counted(good, 'file')} readable and without a secret")


def _collected(arguments: argparse.Namespace) -> tuple[Collection | None, list[Finding]]:
    try:
        return collect([*map(str, arguments.paths), *arguments.passed_on], place=Path.cwd()), []
    except TokenBudgetError as error:
        return None, [Finding("tests", "error", error.message, error.remedy)]


def _stored_for_no_test(
    stored: StoredFiles, entries: Mapping[Path, tuple[str, ...]], collection: Collection
) -> Iterator[Finding]:
    """Name the entries and cassettes of tests that no longer exist."""
    stale = find_stale(stored, entries, collection)
    remedy = "tokenbudget prune --dry-run shows what tokenbudget prune removes"
    for path, gone in stale.entries.items():
        text = f"{shown(path)} holds {counted(len(gone), 'entry', 'entries')} without a test: {', '.join(gone)}"
        yield Finding("tests", "finding", text, remedy)
    for path in stale.cassettes:
        yield Finding("tests", "finding", f"{shown(path)} is a cassette that no test plays", remedy)
    for path, reason in stale.kept:
        yield Finding("tests", "note", f"{shown(path)}: {reason}", "name the folder of these tests: doctor PATHS")
    if not stale.entries and not stale.cassettes:
        yield Finding("tests", "ok", f"{counted(len(collection.tests), 'test')} collected; no entry without a test")


def _ci(environment: Mapping[str, str]) -> Finding:
    service = next((name for variable, name in _CI_SERVICES.items() if environment.get(variable)), "")
    if is_ci(environment):
        return Finding(
            "CI", "ok", f"{service or 'a CI service'}: missing baselines and cassettes fail, none is written"
        )
    if service and not environment.get("CI"):
        text = (
            f"{service} is detected, but the variable CI is not set: a test without a baseline would pass and write one"
        )
        return Finding("CI", "finding", text, "set CI=true in the job")
    value = environment.get("CI", "")
    return Finding("CI", "ok", f"none: CI is {value!r}" if value else "none is detected: missing baselines are written")


DOCTOR = Command(
    "doctor", "check that everything works here, and say what to do where it does not", _arguments, _run, passes_on=True
)
