"""How often the gates are right: simulated runs with known truth, our rules beside those of others.

    python -m benchmarks.gate_accuracy             # the table of docs/statistics.md, under two minutes on two cores
    python -m benchmarks.gate_accuracy --quick     # a few seconds, as the test suite runs it
    python -m benchmarks.gate_accuracy --write     # and put the table into docs/statistics.md

Seeded, so every run gives the same figures. Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
if __package__ in (None, ""):
    sys.path.insert(0, str(ROOT))

from benchmarks.accuracy import code_latency, families  # noqa: E402 - after the path, so that it runs as a plain script
from benchmarks.accuracy.rivals import RIVALS  # noqa: E402 - after the path, so that it also runs as a plain script
from benchmarks.accuracy.studies import (  # noqa: E402
    LIMIT,
    RIVAL_VALUES,
    Cell,
    Outcome,
    Suite,
    simulate,
    simulate_suite,
)
from benchmarks.accuracy.traces import COUNTS, FAMILIES  # noqa: E402
from benchmarks.figures import Figure, report  # noqa: E402
from pytest_tokenbudget.compare import judge  # noqa: E402

SEED = 6
DOCUMENT = ROOT / "docs" / "statistics.md"
BEGIN, END = "<!-- gate_accuracy: begin -->", "<!-- gate_accuracy: end -->"
CHANGES = (1.0, 1.1, 1.4, 1.6, 2.0)
INCIDENTS = ("lognormal 0.2", "lognormal 0.4, 3 % x5", "trimodal (untuned)")
NARROW = ("lognormal 0.1", "lognormal 0.2", "lognormal 0.2, 3 % x5")
MEDIUM = ("lognormal 0.4", "lognormal 0.4, 3 % x5")
COLUMNS = (
    "false at 0",
    "false at +10 %",
    "+40 %",
    "+60 %",
    "+100 %",
    "passed at +60 %",
    "undecided at 0",
    "samples at 0",
)
SUITE_GATES = 1200

Results = dict[tuple[str, str, float], Outcome]


def cells(scale: float) -> list[Cell]:
    """All cells, with ``scale`` times the usual repeats."""
    found = []
    rows = [
        *((family, "A/B") for family in FAMILIES),
        *((family, "A/B incidents") for family in INCIDENTS),
        *((family, "A/B learned") for family in NARROW),
        *((family, "stored") for family in FAMILIES),
        *((family, "stored auto") for family in FAMILIES),
    ]
    for family, design in rows:
        rivals = 0 if design in ("A/B learned", "stored auto") else round(800 * scale)
        for change in CHANGES:
            repeats = round({1.0: 11000, 1.6: 4500}.get(change, 2200) * scale)
            found.append(Cell(family, design, change, repeats, rivals=rivals))
    for family in COUNTS:
        many = 100_000 if family in ("deterministic", "+-3 %") else 20_000
        found += [
            Cell(family, "counts", change, round((many if change == 1.0 else 3000) * scale)) for change in CHANGES
        ]
    return found


@dataclass(frozen=True)
class Findings:
    """Everything that was simulated.

    Attributes:
        results: The cells by design, family and change.
        alarms: False alarms of clean sessions by design.
        code: The code's latency by change.
        families: Token gates on whole samples by family.
    """

    results: Results
    alarms: dict[str, list[int]]
    code: dict[str, code_latency.Outcome]
    families: dict[str, families.FamilyOutcome]


def run(scale: float, processes: int) -> Findings:
    """Simulate everything: the cells, and the clean sessions by design."""
    runs = max(2, round(120 * scale))
    part = max(1, runs // 20)
    suites = [
        Suite(SUITE_GATES, min(part, runs - first), design, first)
        for design in ("A/B", "stored auto")
        for first in range(0, runs, part)
    ]
    tasks = [(cell, SEED) for cell in cells(scale)]
    changes = [
        code_latency.Cell(change, round((10_000 if change.startswith("provider") else 2000) * scale))
        for change in code_latency.CHANGES
    ]
    kinds = [families.FamilyCell(name, round((1000 if "loop" in name else 300) * scale)) for name in families.FAMILIES]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        slow = pool.map_async(simulate_suite, [(suite, SEED) for suite in suites], chunksize=1)
        by_change = pool.map_async(code_latency.simulate, [(cell, SEED) for cell in changes], chunksize=1)
        by_kind = pool.map_async(families.simulate_family, [(cell, SEED) for cell in kinds], chunksize=1)
        outcomes = pool.map(simulate, sorted(tasks, key=lambda task: -task[0].repeats), chunksize=1)
        alarms: dict[str, list[int]] = {"A/B": [], "stored auto": []}
        for suite, found in zip(suites, slow.get(), strict=True):
            alarms[suite.design] += found
        code, token_gates = by_change.get(), by_kind.get()
    return Findings(
        {(o.cell.design, o.cell.family, o.cell.change): o for o in outcomes},
        alarms,
        {o.cell.change: o for o in code},
        {o.cell.family: o for o in token_gates},
    )


def our_row(results: Results, design: str, family: str) -> list[str]:
    """Our figures for one family and design, in per cent."""
    by_change = {change: results[design, family, change] for change in CHANGES}
    alarms = [by_change[change].share("regression") for change in CHANGES]
    return [
        *(f"{share:.2f}" if index < 2 else f"{share:.1f}" for index, share in enumerate(alarms)),
        f"{by_change[1.6].share('ok', 'improved'):.1f}",
        f"{by_change[1.0].share('inconclusive'):.1f}",
        f"{by_change[1.0].mean_samples:.1f}",
    ]


def rival_rows(results: Results, design: str) -> list[list[str]]:
    """The other rules on the same kind of data: the mean over the families, and the worst of them."""
    families = [family for kind, family, change in results if kind == design and change == 1.0]
    rows = []
    for name in RIVALS:
        cells_of = [[results[design, f, change].rival_share(name) for f in families] for change in CHANGES]
        worst = [*(max(column) for column in cells_of[:2]), *(min(column) for column in cells_of[2:])]
        shown = [f"{sum(c) / len(c):.1f} ({w:.1f})" for c, w in zip(cells_of, worst, strict=True)]
        passed = [100.0 - share for share in cells_of[3]]
        rows.append([name, *shown, f"{sum(passed) / len(passed):.1f} ({max(passed):.1f})", "0.0", f"{RIVAL_VALUES}"])
    return rows


def code_table(code: dict[str, code_latency.Outcome]) -> list[str]:
    """The code's latency, beside the rule for measured times on the same runs."""
    lines = [
        "**The code's latency**: a baseline of one run, agents of 6 to 20 calls, sigma 0.4 a call, +-30 % a session, one new run",
        "",
        "| change | regression | passed | provider told | measured time: regression | undecided |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for change, o in code.items():
        shares = (
            o.share(o.code, "regression"),
            o.share(o.code, "ok") + o.share(o.code, "improved"),
            100.0 * o.provider_said / o.cell.repeats,
            o.share(o.stored, "regression"),
            o.share(o.stored, "inconclusive"),
        )
        lines.append(f"| {change} | {' | '.join(f'{share:.2f}' for share in shares)} |")
    return [*lines, ""]


def family_table(found: dict[str, families.FamilyOutcome]) -> list[str]:
    """Token gates of whole samples, under a gate of 10 %, with a baseline of one sample."""
    lines = [
        "**Token gates on whole samples**: a baseline of one sample, a gate of 10 %, sampled until decided",
        "",
        "| family | regression | on one sample | improved | undecided | samples |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for family, o in found.items():
        n = max(1, o.cell.repeats)
        shares = (o.verdicts["regression"], o.at_once, o.verdicts["improved"], o.verdicts["inconclusive"])
        lines.append(f"| {family} | {' | '.join(f'{100.0 * s / n:.2f}' for s in shares)} | {o.samples / n:.2f} |")
    return [*lines, ""]


def markdown(found: Findings) -> str:
    """All tables, as they stand in the documentation."""
    results = found.results
    titles = {
        "A/B": "Interleaved arms (A/B), drift of ±30 %",
        "A/B incidents": "Interleaved arms (A/B), drift of ±30 % and incidents of the provider",
        "stored": "Stored baseline (20 values, 5 sessions), drift of ±15 %, sampled until decided",
        "stored auto": 'The same, `samples="auto"`: sampled only while suspected',
        "A/B learned": "Interleaved arms (A/B), the spread learned from other gates (s0 0.2, d0 20)",
        "counts": "Live counts against a stored baseline",
    }
    lines = [*code_table(found.code), *family_table(found.families)]
    for design, title in titles.items():
        lines += [f"**{title}**", "", f"| rule or family | {' | '.join(COLUMNS)} |", f"|---|{'---:|' * len(COLUMNS)}"]
        families = [family for kind, family, change in results if kind == design and change == 1.0]
        ordered = [f for f in (*FAMILIES, *COUNTS) if f in families]
        lines += [f"| {family} | {' | '.join(our_row(results, design, family))} |" for family in ordered]
        if any(results[design, f, 1.0].cell.rivals for f in ordered):
            lines += [f"| *{row[0]}* | {' | '.join(row[1:])} |" for row in rival_rows(results, design)]
        lines.append("")
    return "\n".join(lines).rstrip()


def seconds_for_gates(gates: int = 10_000, rounds: int = 5) -> float:
    """CPU time of judging many latency gates, 20 baseline values against 1 to 5 new ones: the fastest of some rounds."""
    rng = Random(SEED)
    drawn = [
        ([[rng.lognormvariate(0.0, 0.3) for _ in range(4)] for _ in range(5)], [rng.lognormvariate(0.0, 0.3)] * new)
        for new in (1, 3, 5)
        for _ in range(gates // 3)
    ]
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        for sessions, values in drawn:
            judge(sessions, values, max_increase=LIMIT)
        taken.append(time.process_time() - started)
    return min(taken) * gates / len(drawn)


def code_figures(found: Findings) -> list[Figure]:
    """The quantities of what the code decides."""
    code, kinds = found.code, found.families

    def count(name: str, value: int, limit: int) -> Figure:
        return Figure(name, f"{value}", f"<= {limit}", value <= limit)

    clean, slow = code["none"], code["provider 1.6 times slower"]
    alarms = clean.share(clean.code, "regression")
    shown = [Figure("code's latency: false alarms", f"{alarms:.2f} %", "<= 1 %", alarms <= 1.0)]
    for change in code_latency.CHANGES[1:4]:
        caught = code[change].share(code[change].code, "regression")
        shown.append(Figure(f"code's latency: {change}", f"{caught:.2f} %", ">= 95 %", caught >= 95))
    name = f"code's latency: regressions of a provider 1.6 times slower, of {slow.cell.repeats:,}"
    shown.append(count(name, slow.code["regression"], 0))
    told = 100.0 * slow.provider_said / slow.cell.repeats
    shown.append(Figure("code's latency: a provider 1.6 times slower is told", f"{told:.2f} %", ">= 95 %", told >= 95))
    grown, loop = kinds["prompt +12 %, loop of 3 to 6 calls"], kinds["unchanged loop of 3 to 6 calls"]
    missed = grown.cell.repeats - grown.at_once
    shown.append(count(f"prompt +12 % not caught on one sample, of {grown.cell.repeats:,}", missed, 0))
    shown.append(count(f"false alarms, unchanged loop, of {loop.cell.repeats:,}", loop.verdicts["regression"], 0))
    shown.append(count(f"called improved, unchanged loop, of {loop.cell.repeats:,}", loop.verdicts["improved"], 0))
    dependent = [o for family, o in kinds.items() if family.startswith(("carried", "memo"))]
    passed = sum(o.cell.repeats - o.verdicts["regression"] for o in dependent)
    shown.append(count("passed although dependent samples hide +40 %", passed, 0))
    samples = [kinds[f"unchanged, {name}"] for name in ("deterministic", "+-3 %")]
    mean = sum(o.samples for o in samples) / sum(o.cell.repeats for o in samples)
    shown.append(Figure("samples, unchanged live code, token gates", f"{mean:.2f}", "<= 1.0", mean <= 1.0))
    shown.append(
        Figure("samples, unchanged loop of 3 to 6 calls, baseline of one", f"{loop.samples / loop.cell.repeats:.2f}")
    )
    return shown


def figures(findings: Findings) -> list[Figure]:
    """The quantities that have a target."""
    results, alarms = findings.results, findings.alarms

    def over(designs: Sequence[str], families: Sequence[str], change: float, *verdicts: str) -> list[float]:
        return [
            o.share(*verdicts)
            for (design, family, true), o in results.items()
            if design in designs and family in families and true == change
        ]

    def samples(design: str, families: Sequence[str]) -> float:
        return sum(results[design, family, 1.0].mean_samples for family in families) / len(families)

    def most(name: str, value: float, limit: float, unit: str = " %", digits: int = 2) -> Figure:
        return Figure(name, f"{value:.{digits}f}{unit}", f"<= {limit:g}{unit}", value <= limit)

    def least(name: str, value: float, limit: float) -> Figure:
        return Figure(name, f"{value:.2f} %", f">= {limit:g} %", value >= limit)

    ab, every = ("A/B", "A/B incidents"), tuple(FAMILIES)
    quiet = ("deterministic", "+-3 %")
    loops = tuple(family for family in COUNTS if family not in quiet)
    false_quiet = sum(results["counts", family, 1.0].verdicts["regression"] for family in quiet)
    seconds = seconds_for_gates()
    found = [
        most("false alarms, A/B, worst family", max(over(ab, every, 1.0, "regression")), 1.0),
        most("false alarms, stored, worst family", max(over(("stored", "stored auto"), every, 1.0, "regression")), 1.0),
        most("false alarms, deterministic and +-3 % counts", false_quiet, 0, "", 0),
        most("false alarms, bimodal counts, worst", max(over(("counts",), loops, 1.0, "regression")), 0.3),
        least("caught +60 %, A/B, sigma <= 0.2, worst", min(over(("A/B",), NARROW, 1.6, "regression")), 99),
        least("caught +60 %, A/B, sigma 0.4, worst", min(over(("A/B",), MEDIUM, 1.6, "regression")), 80),
        least(
            "caught +100 %, A/B, sigma <= 0.4, worst", min(over(("A/B",), (*NARROW, *MEDIUM), 2.0, "regression")), 98
        ),
        most("passed although +60 %, A/B, worst family", max(over(ab, every, 1.6, "ok", "improved")), 3),
        most("samples, unchanged counts", samples("counts", ("deterministic", "+-3 %", loops[0])), 1.5, ""),
        most("samples, unchanged, stored auto, sigma <= 0.2", samples("stored auto", NARROW), 5, ""),
        most("samples, unchanged, stored, sigma <= 0.2", samples("stored", NARROW), 5, ""),
        most("samples, unchanged, A/B learned, sigma <= 0.2", samples("A/B learned", NARROW), 5, ""),
        Figure("samples, unchanged, A/B, sigma <= 0.2", f"{samples('A/B', NARROW):.2f}"),
        most("10,000 gates decided, CPU", seconds, 0.3, " s"),
    ]
    for design, counts in alarms.items():
        name = f"clean suite of {SUITE_GATES:,} gates, {design}, {len(counts)} runs"
        found.append(most(f"{name}: alarms a run", sum(counts) / len(counts), 0.05, "", 3))
        found.append(most(f"{name}: P(any)", 100.0 * sum(c > 0 for c in counts) / len(counts), 5))
    return [*found, *code_figures(findings)]


def write(table: str, found: Sequence[Figure]) -> None:
    """Put the tables between the marks of the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    targets = ["| quantity | measured | target | |", "|---|---:|---:|---|"]
    targets += [
        f"| {f.name} | {f.measured} | {f.target} | {'' if not f.target else 'ok' if f.held else 'missed'} |"
        for f in found
    ]
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    block = "\n".join(targets)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{block}\n\n{table}\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulations and print the tables; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the repeats")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {DOCUMENT.relative_to(ROOT)}")
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args(arguments)
    started = time.perf_counter()
    findings = run(0.02 if chosen.quick else 1.0, chosen.processes)
    table = markdown(findings)
    found = figures(findings)
    print(table, end="\n\n")
    if chosen.write:
        write(table, found)
    code = report(found)
    print(f"took {time.perf_counter() - started:.0f} s, seed {SEED}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
