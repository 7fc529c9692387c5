"""What changed between two states of the baselines."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from command import run_command
from own_process import only_this_plugin

from pytest_tokenbudget.baselines.format import dump
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.composition import PartTotal, StageComposition


def write(root: Path, tokens: int) -> Path:
    """A baseline of one test whose tool has so many tokens."""
    part = PartTotal("tools", "search_orders", tokens, 1, 1, tokens, f"d{tokens}")
    metrics = {"input_tokens": MetricRecord(((tokens,),), tokens), "calls": MetricRecord(((1,),), 1)}
    path = root / "tests" / "__budgets__" / "test_desk.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dump({"test_a": BaselineEntry(metrics, composition={"main": StageComposition(1, (part,))})}))
    return path


def command(root: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``tokenbudget compare`` in a folder."""
    return run_command("compare", *arguments, cwd=root)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose committed baseline has 100 tokens and whose working tree 150."""
    write(tmp_path, 100)
    who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false")
    for step in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-qm", "first")):
        subprocess.run(["git", *step], cwd=tmp_path, check=True, capture_output=True)
    write(tmp_path, 150)
    return tmp_path


def test_a_revision_is_compared_with_the_working_tree(repository: Path) -> None:
    """What a reviewer runs: the figure, its change and the cause; exit code 1 where it is more than allowed."""
    done = command(repository, "main:")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "main: → the working tree",
        "tests/test_desk.py::test_a",
        "  input_tokens  100 → 150  +50.0 %",
        "           +50  tool schemas   search_orders 100 → 150 in 1 call",
        "1 of 1 test changed",
    ]
    assert command(repository, "main:", "--max-increase", "60%").returncode == 0
    over = command(repository, "main:", "--max-increase", "10%", "--json")
    assert over.returncode == 1
    found = json.loads(over.stdout)
    (change,) = found["changes"]
    assert (change["metric"], change["before"], change["after"]) == ("input_tokens", 100, 150)
    assert (found["held"], change["held"], change["rule"]) == (False, False, "+10%")
    assert sum(cause["delta"] for cause in change["causes"]) == 50
    assert command(repository, "main:", "main:").stdout.endswith("nothing changed in 1 test\n")


@pytest.mark.parametrize("sides", [("main:tests",), ("main:tests/test_desk.py::test_a", "tests/test_desk.py::test_a")])
def test_a_part_of_a_revision_is_compared(repository: Path, sides: tuple[str, ...]) -> None:
    """A folder of it, or a test of it."""
    assert "  input_tokens  100 → 150  +50.0 %" in command(repository, *sides).stdout


def test_a_rule_for_one_figure_holds_for_it_alone(repository: Path) -> None:
    """A metric that no side has, or a stage that no test opened, is an error: it would be held against nothing."""
    assert command(repository, "main:", "--max-increase", "calls=0").returncode == 0
    done = command(repository, "main:", "--max-increase", "input_tokens=10%")
    assert (done.returncode, done.stderr) == (1, "")
    assert "OVER (+10 %)" in done.stdout
    for rule in ("cost=10%", "wrkr.input_tokens=10%", "nonsense=10%", "ten"):
        done = command(repository, "main:", "--max-increase", rule)
        assert (done.returncode, done.stdout) == (2, ""), rule
        assert "fix: " in done.stderr


def test_a_wanted_reduction_is_held_or_not(tmp_path: Path) -> None:
    """At the wanted share it is held; a side with no test in common holds nothing."""
    sides = write(tmp_path / "a", 100), write(tmp_path / "b", 70)
    assert command(tmp_path, *sides, "--reduce", "input_tokens=30%").returncode == 0
    missed = command(tmp_path, *sides, "--reduce", "input_tokens=31%")
    assert missed.returncode == 1
    assert "input_tokens  100 → 70  -30.0 %  OVER (-31 %)" in missed.stdout
    other = tmp_path / "c.json"
    other.write_bytes(dump({"test_b": BaselineEntry({"calls": MetricRecord(((1,),), 1)})}))
    assert "no test is on both sides" in command(tmp_path, sides[0], other).stdout
    assert command(tmp_path, sides[0], other, "--max-increase", "10%").returncode == 2


def test_two_folders_and_two_files_are_compared(tmp_path: Path) -> None:
    """Whatever they are called."""
    first, second = write(tmp_path / "a", 100), write(tmp_path / "b", 90)
    for sides in ((first, second), ("a", "b"), ("a/tests", second)):
        assert "  input_tokens  100 → 90  -10.0 %" in command(tmp_path, *sides).stdout, sides


def test_a_reference_and_a_report_are_sides(tmp_path: Path) -> None:
    """The reference by its name, the report by its path; what one side alone has is named."""
    from report_runs import exact_test

    from pytest_tokenbudget.records.verdict import RunView
    from pytest_tokenbudget.report.json_report import write as write_report

    path = write(tmp_path, 100)
    before = path.parent / "before" / path.name
    before.parent.mkdir()
    before.write_bytes(path.read_bytes())
    write(tmp_path, 120)
    assert "before → the working tree" in (shown := command(tmp_path, "before", "baseline").stdout)
    assert "  input_tokens  100 → 120  +20.0 %" in shown
    run = RunView("1", "gate", (exact_test("tests/test_desk.py::test_a"), exact_test("tests/test_desk.py::test_b")))
    write_report(run, tmp_path / "report.json")
    shown = command(tmp_path, "baseline", "report.json").stdout
    assert re.search(r"^  input_tokens +120 → ", shown, re.MULTILINE)
    assert "only in report.json: tests/test_desk.py::test_b" in shown


def test_a_test_is_told_how_it_is_unlike_production(tmp_path: Path) -> None:
    """Where the test's conversation has fewer calls, that is said; no rule is needed."""
    rows = [
        {"stage": "worker", "run": str(run), "input_tokens": 2480, "output_tokens": 20}
        for run in range(4)
        for _ in range(5)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    run_command("import", "--jsonl", "rows.jsonl", "--to", "tests", cwd=tmp_path).check_returncode()
    metrics = {"worker.input_tokens": MetricRecord(((7300,),), 7300), "worker.calls": MetricRecord(((3,),), 3)}
    path = tmp_path / "tests" / "__budgets__" / "test_desk.json"
    path.write_bytes(dump({"test_a": BaselineEntry(metrics)}))
    done = command(tmp_path, "production", "baseline")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"worker\.input_tokens +12,400 → 7,300 +-41\.1 %", done.stdout)
    assert "the scenario's conversations are too short: 5 calls in production, 3 in the test" in done.stdout


@pytest.mark.parametrize(
    ("in_test", "said"),
    [
        ((240, 2), "too short, or its prompts are others: a call reads 4,000 tokens in production, 120 in the test"),
        ((400, 0.1), "too short: 1 call in production, 0.1 in the test"),
        ((8000, 1), "too long, or its prompts are others: a call reads 4,000 tokens in production, 8,000 in the test"),
        ((12000, 4), "too long: 1 call in production, 4 in the test"),
    ],
)
def test_the_larger_factor_tells_how_a_test_is_unlike_production(
    in_test: tuple[int, float], said: str, tmp_path: Path
) -> None:
    """More calls never say that a conversation is too short, whatever their number."""
    (tmp_path / "rows.jsonl").write_text('{"stage": "worker", "input_tokens": 4000}', encoding="utf-8")
    run_command("import", "--jsonl", "rows.jsonl", "--to", "tests", cwd=tmp_path).check_returncode()
    tokens, calls = in_test
    metrics = {
        "worker.input_tokens": MetricRecord(((tokens,),), tokens),
        "worker.calls": MetricRecord(((calls,),), calls),
    }
    path = tmp_path / "tests" / "__budgets__" / "test_desk.json"
    path.write_bytes(dump({"test_a": BaselineEntry(metrics)}))
    assert f"the scenario's conversations are {said}\n" in command(tmp_path, "production", "baseline").stdout


def test_a_stage_that_tells_no_more_than_the_total_is_not_over_once_more(tmp_path: Path) -> None:
    """The figure is told and counted once; ``--all`` shows both, and an unknown stage is named with those that are."""
    for name, tokens in (("old", 100), ("new", 150)):
        metrics = {key: MetricRecord(((tokens,),), tokens) for key in ("input_tokens", "worker.input_tokens")}
        folder = tmp_path / name / "__budgets__"
        folder.mkdir(parents=True)
        (folder / "test_desk.json").write_bytes(dump({"test_a": BaselineEntry(metrics)}))
    done = command(tmp_path, "old", "new", "--max-increase", "10%")
    assert done.returncode == 1
    assert "worker" not in done.stdout
    assert done.stdout.endswith("1 of 1 test changed, 1 figure over\n")
    assert "worker.input_tokens" in command(tmp_path, "old", "new", "--max-increase", "10%", "--all").stdout
    shown = command(tmp_path, "old", "new", "--max-increase", "10%", "--max-increase", "worker.input_tokens=5%").stdout
    assert "OVER (+5 %)" in shown, "another rule is told for itself"
    assert "; opened: worker\n" in command(tmp_path, "old", "new", "--max-increase", "wrkr.calls=5%").stderr


def test_the_last_run_that_failed_is_compared_by_default(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the closing hint of a red run names shows that run's change, and nothing once it is accepted."""
    source = """
        import pytest
        from pytest_tokenbudget import token_budget

        @token_budget("10%")
        def test_a(budget):
            budget.record(model="gpt-4o", input_tokens={tokens}, output_tokens=10)
    """
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]")
    pytester.makepyfile(test_desk=source.format(tokens=100))
    pytester.runpytest_inprocess("-p", "no:asyncio").assert_outcomes(passed=1)
    assert command(pytester.path).returncode == 2
    pytester.makepyfile(test_desk=source.format(tokens=150))
    shutil.rmtree(pytester.path / "__pycache__", ignore_errors=True)
    pytester.runpytest_inprocess("-p", "no:asyncio").stdout.fnmatch_lines(
        ["wanted? *   what changed: tokenbudget compare"]
    )
    done = command(pytester.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the working tree → the last run\ntest_desk.py::test_a\n  input_tokens")
    assert command(pytester.path, "baseline", "last", "--max-increase", "10%").returncode == 1
    pytester.runpytest_inprocess("-p", "no:asyncio", "--tokenbudget-update").assert_outcomes(passed=1)
    gone = command(pytester.path)
    assert (gone.returncode, gone.stdout) == (2, "")


def test_names_from_outside_are_made_plain(tmp_path: Path) -> None:
    """A stage, a tool and a test that hold control characters print none of them."""
    evil = "evil\x1b[31m\u202e"
    for side, tokens in (("a", 100), ("b", 150)):
        part = PartTotal("tools", evil, tokens, 1, 1, tokens, f"d{tokens}")
        metrics = {
            f"{evil}.input_tokens": MetricRecord(((tokens,),), tokens),
            f"{evil}.calls": MetricRecord(((1,),), 1),
        }
        path = tmp_path / f"{side}.json"
        path.write_bytes(
            dump({f"test_{evil}": BaselineEntry(metrics, composition={evil: StageComposition(1, (part,))})})
        )
    done = command(tmp_path, "a.json", "b.json", "--all")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "100 → 150" in done.stdout


@pytest.mark.parametrize("side", ["none.json", "no-such-branch:", "main:nowhere"])
def test_a_side_that_is_not_there_is_an_error(side: str, repository: Path) -> None:
    """Exit code 2 and one sentence."""
    done = command(repository, side)
    assert done.returncode == 2
    assert side.rstrip(":") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_baseline_is_shown_as_lines_for_git_diff(tmp_path: Path) -> None:
    """One figure a line, with those that no file holds."""
    done = run_command("textconv", write(tmp_path, 1500))
    assert (done.returncode, done.stderr) == (0, "")
    assert "test_a input_tokens 1,500\n" in done.stdout
    assert "test_a tool_schema_tokens 1,500\n" in done.stdout
    assert "main." not in done.stdout, "the only stage says nothing of its own"


def test_both_sides_of_a_diff_of_production_are_figures(tmp_path: Path) -> None:
    """Git puts the older side into a temporary folder, which has no name of ours."""
    (tmp_path / "rows.jsonl").write_text('{"stage": "worker", "input_tokens": 2480}', encoding="utf-8")
    run_command("import", "--jsonl", "rows.jsonl", "--to", ".", cwd=tmp_path).check_returncode()
    moved = (tmp_path / "__budgets__" / "production.json").rename(tmp_path / "production.json")
    done = run_command("textconv", moved)
    assert (done.returncode, done.stderr) == (0, "")
    assert "production worker.input_tokens 2,480\n" in done.stdout
    assert "{" not in done.stdout


def record(root: Path, name: str, words: str) -> None:
    """A cassette of one call, whose tool has these words."""
    from pytest_tokenbudget.replay.interaction import Interaction
    from pytest_tokenbudget.replay.recording import save

    function = {"name": "search_orders", "description": f"Finds orders. {words}", "parameters": {"type": "object"}}
    body = {"model": "gpt-4.1", "tools": [{"type": "function", "function": function}]}
    body |= {"messages": [{"role": "user", "content": "Where is my order?"}]}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Sent."}, "finish_reason": "stop"}
    answer = {"object": "chat.completion", "model": "gpt-4.1", "choices": [choice]}
    answer |= {"usage": {"prompt_tokens": 100, "completion_tokens": 2}}
    one = Interaction(
        api="openai.chat",
        provider="openai",
        model="gpt-4.1",
        body=body,
        url="https://api.openai.com/v1/chat/completions",
        headers=(("content-type", "application/json"),),
        chunks=(json.dumps(answer).encode(),),
        times=(1.0,),
        duration=1.0,
        input_tokens=100,
    )
    save(root / "tests" / "__budgets__" / "cassettes" / name, [one])


@pytest.mark.parametrize("name", ["test_desk.test_a.jsonl", "orders.jsonl"])
def test_the_words_that_changed_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Revisions and the working tree have cassettes, also where the marker names them; they are redacted anew."""
    only_this_plugin(monkeypatch)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntokenbudget_redact = acct-\\d+\n", encoding="utf-8")
    marker = "@token_budget(replay='orders')" if name == "orders.jsonl" else "@token_budget(replay=True)"
    source = f"from pytest_tokenbudget import token_budget\n\n{marker}\ndef test_a(): pass\n"
    write(tmp_path, 100)
    (tmp_path / "tests" / "test_desk.py").write_text(source, encoding="utf-8")
    path = tmp_path / "tests" / "__budgets__" / "test_desk.json"
    record(tmp_path, name, "By number.")
    who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false")
    for tokens, words, step in ((150, "By number, and by acct-4711 too.", "second"), (170, "By name.", "")):
        path.write_text(path.read_text().replace('"live"', '"replay"'), encoding="utf-8")
        for git in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-qm", step or "third")):
            subprocess.run(["git", *git], cwd=tmp_path, check=True, capture_output=True)
        write(tmp_path, tokens)
        record(tmp_path, name, words)
    path.write_text(path.read_text().replace('"live"', '"replay"'), encoding="utf-8")
    found = json.loads(command(tmp_path, "main:", "--json").stdout)["changes"][0]["causes"][0]["diff"]
    assert [line.strip() for line in found if line[0] in "+-"] == [
        '-    "description": "Finds orders. By number, and by [redacted] too.",',
        '+    "description": "Finds orders. By name.",',
    ]
    shown = command(tmp_path, "main~1:", "main:").stdout
    assert '-    "description": "Finds orders. By number.",' in shown
    assert "4711" not in shown
