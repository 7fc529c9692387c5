"""The accuracy benchmark in a short form: the gates are right as often as they must be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """The figures of a seeded run with a fiftieth of the repeats."""
    if not (ROOT / "benchmarks" / "gate_accuracy.py").is_file():
        pytest.skip("the benchmarks are not part of this installation")
    collected = tmp_path_factory.mktemp("accuracy") / "figures.jsonl"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.gate_accuracy", "--quick"],
        cwd=ROOT,
        env={**os.environ, "TOKENBUDGET_FIGURES": str(collected)},
        stdout=subprocess.PIPE,
        check=False,
        timeout=120,
    )
    rows = [json.loads(line) for line in collected.read_text(encoding="utf-8").splitlines()]
    return {row["name"]: row for row in rows}


def _number(figure: dict[str, object]) -> float:
    return float(str(figure["measured"]).split()[0])


# So few repeats move a share by about a per cent; the full benchmark holds the targets themselves.
@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("false alarms, A/B, worst family", 0.0, 2.0),
        ("false alarms, stored, worst family", 0.0, 2.0),
        ("false alarms, deterministic and +-3 % counts", 0.0, 0.0),
        ("false alarms, bimodal counts, worst", 0.0, 1.0),
        ("caught +60 %, A/B, sigma <= 0.2, worst", 96.0, 100.0),
        ("caught +60 %, A/B, sigma 0.4, worst", 74.0, 100.0),
        ("caught +100 %, A/B, sigma <= 0.4, worst", 95.0, 100.0),
        ("passed although +60 %, A/B, worst family", 0.0, 7.0),
        ("samples, unchanged counts", 1.0, 1.5),
        ("samples, unchanged, stored auto, sigma <= 0.2", 1.0, 2.0),
        ("samples, unchanged, stored, sigma <= 0.2", 1.0, 5.0),
        ("samples, unchanged, A/B learned, sigma <= 0.2", 3.0, 5.0),
        ("samples, unchanged, A/B, sigma <= 0.2", 3.0, 6.5),
        ("code's latency: false alarms", 0.0, 0.0),
        ("code's latency: one more call in four", 95.0, 100.0),
        ("code's latency: +60 % output", 90.0, 100.0),
        ("code's latency: fan-out made sequential", 90.0, 100.0),
        ("passed although dependent samples hide +40 %", 0.0, 0.0),
        ("samples, unchanged live code, token gates", 1.0, 1.0),
    ],
)
def test_the_gates_are_right(figures: dict[str, dict[str, object]], name: str, lowest: float, highest: float) -> None:
    """False alarms, misses and samples of simulated runs with known truth are near their targets."""
    assert lowest <= _number(figures[name]) <= highest


def test_a_clean_suite_is_quiet(figures: dict[str, dict[str, object]]) -> None:
    """Clean sessions of 1,200 gates raise no alarm."""
    alarms = [figure for name, figure in figures.items() if name.endswith("alarms a run")]
    assert len(alarms) == 2
    assert all(_number(figure) == 0.0 for figure in alarms)
