"""``tokenbudget comment REPORT.json``: the sticky comment on the pull request that this CI job is about."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli.code_hosts import NoPullRequest, code_host, is_from_fork, publish
from pytest_tokenbudget.report.from_json import read_report
from pytest_tokenbudget.report.markdown import changes_anything, markdown, marker


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("report", type=Path, metavar="REPORT.json", help="what --tokenbudget-report=report.json wrote")
    parser.add_argument(
        "--pull-request", type=int, metavar="N", help="number of the pull or merge request (default: the job's)"
    )
    parser.add_argument("--link", default="", metavar="URL", help="address of the whole report, shown in the comment")
    parser.add_argument("--name", default="", help="tells the comments of several jobs apart; default: one for all")
    parser.add_argument("--always", action="store_true", help="write a comment also where nothing changed")
    parser.add_argument("--json", action="store_true", help="print what became of it as JSON")
    parser.epilog = (
        "On GitHub it needs GITHUB_TOKEN, on GitLab GITLAB_TOKEN. Exit codes: 0 written, or nothing to write; 2 an error. "
        "example: tokenbudget comment report.json"
    )


def _run(arguments: argparse.Namespace) -> int:
    run = read_report(arguments.report)
    if is_from_fork(os.environ):
        return _say(
            arguments,
            "The pull request comes from a fork, so this job may not comment. Use the recipe with workflow_run.",
        )
    try:
        host = code_host(os.environ, arguments.pull_request)
    except NoPullRequest as reason:
        return _say(arguments, f"No comment is written: {reason}.")
    create = arguments.always or changes_anything(run)
    body = markdown(run, link=arguments.link, name=arguments.name)
    written = publish(host, body, marker(arguments.name), create=create)
    return _say(
        arguments, "No comment is written: nothing changed." if written is None else f"Commented: {written}", written
    )


def _say(arguments: argparse.Namespace, text: str, comment: str | None = None) -> int:
    """Say what became of the comment, whose address is given where one was written."""
    print(json.dumps({"comment": comment, "text": text}) if arguments.json else text)
    return 0


COMMENT = Command("comment", "comment on the pull request that this CI job is about", _arguments, _run)
