"""``tokenbudget schema``: the JSON Schema of a file that other programs read."""

from __future__ import annotations

import argparse
import json

from pytest_tokenbudget.baselines.schema import json_schema as baseline_schema
from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.report.json_shape import json_schema as report_schema

_SCHEMAS = {"baseline": baseline_schema, "report": report_schema}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: tokenbudget schema report > report.schema.json. It prints JSON. Exit codes: 0 printed, 2 an unknown kind."
    parser.add_argument("of", choices=sorted(_SCHEMAS), help="the kind of file")


def _run(arguments: argparse.Namespace) -> int:
    print(json.dumps(_SCHEMAS[arguments.of](), indent=2))
    return 0


SCHEMA = Command("schema", "print the JSON Schema of baselines or reports", _arguments, _run)
