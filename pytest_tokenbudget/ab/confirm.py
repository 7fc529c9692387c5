"""Reads which tests and gates an earlier report suspects, so that a confirmation runs them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_tokenbudget.ab.paired_test import GateKey
from pytest_tokenbudget.errors import ABError
from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS
from pytest_tokenbudget.stats.statistic import SCREENING_LEVEL

_TIMED = frozenset(spec.name for spec in BUILTIN_METRICS if spec.timed and spec.name != "latency")


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The tests and gates that a report suspects.

    Attributes:
        gates: Suspected gates by node id.
        family: Number of gates of the whole report that compared live times: the level is shared out among them.
    """

    gates: Mapping[str, frozenset[GateKey]]
    family: int


def suspicion(path: Path) -> Suspicion:
    """Read what is to be confirmed from a JSON report.

    A gate is suspected where it was called a regression, or where it was left undecided with a value above what is
    allowed and a p-value at which screening stops (0.05).

    Raises:
        ABError: If the report cannot be read.
    """
    try:
        tests = json.loads(path.read_text(encoding="utf-8"))["tests"]
        gates: dict[str, frozenset[GateKey]] = {}
        family = 0
        for test in tests:
            judged = test["gates"]
            family += sum(_timed(gate) for gate in judged)
            suspected = frozenset((str(gate["metric"]), str(gate["statistic"])) for gate in judged if _suspected(gate))
            if suspected:
                gates[str(test["nodeid"])] = suspected
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"is no report of pytest-tokenbudget ({type(error).__name__}: {str(error)[:200]})"
        if isinstance(error, OSError):
            what = error.strerror or "cannot be read"
        raise ABError(
            f"--confirm {path}: {what}", remedy="write it with `pytest --tokenbudget-report=report.json`"
        ) from None
    return Suspicion(gates, max(1, family))


def _timed(gate: Mapping[str, Any]) -> bool:
    return gate["kind"] == "max_increase" and not gate["exact"] and gate["metric"].rpartition(".")[2] in _TIMED


def _suspected(gate: Mapping[str, Any]) -> bool:
    if gate["kind"] != "max_increase":
        return False
    if gate["verdict"] == "regression":
        return True
    value, allowed, p = gate["value"], gate["allowed"], gate["p"]
    above = value is not None and allowed is not None and value > allowed
    return bool(gate["verdict"] == "inconclusive" and above and (p is None or p < SCREENING_LEVEL))
