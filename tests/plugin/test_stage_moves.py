"""Calls that move to another stage: nothing is saved, and nothing reads as if it were."""

from __future__ import annotations

from typing import Any

TEST = """
@token_budget("10%")
def test_agent(ask):
    ask("plan")
    with stage({stage!r}):
        for _ in range(4):
            ask("look something up in the long list of orders " * 20)
"""


def test_a_new_stage_is_no_improvement(project: Any) -> None:
    """A ``with stage()`` around what was in ``main`` takes its tokens along; the whole test reads as much as before."""
    project.write(TEST.format(stage="main"))
    project.run().assert_outcomes(passed=1)
    project.write(TEST.format(stage="lookup"))
    result = project.run()
    result.assert_outcomes(passed=1)
    assert project.gate("input_tokens")["change"] == 0
    for name in ("input_tokens", "output_tokens", "calls"):
        gate = project.gate(f"main.{name}")
        assert gate["verdict"] == "ok", gate
        assert "moved to lookup, not saved" in gate["reason"]
        assert project.gate(f"lookup.{name}")["verdict"] == "new"
    assert project.test["verdict"] not in ("improved", "regression")


def test_the_causes_say_where_it_came_from(project: Any) -> None:
    """A test that fails for another reason beside a move does not read as if a stage had been added."""
    project.write(TEST.format(stage="main"))
    project.run().assert_outcomes(passed=1)
    project.write(TEST.format(stage="lookup") + '    ask("and something long at the end " * 60)\n')
    project.run().assert_outcomes(failed=1)
    texts = [cause["text"] for cause in project.test["causes"] if cause["metric"] == "input_tokens"]
    assert any(text.startswith("lookup appeared: 4 calls") and text.endswith(", moved from main") for text in texts)


def test_a_moved_call_meets_no_target(project: Any) -> None:
    """A wanted reduction of a stage is not reached by giving its work to another one."""
    project.write(TEST.format(stage="main"))
    project.run().assert_outcomes(passed=1)
    target = 'token_budget({}, reduce={"main.input_tokens": "50%"})'
    project.write(TEST.format(stage="lookup").replace('token_budget("10%")', target))
    project.run().assert_outcomes(failed=1)
    gate = project.gate("main.input_tokens")
    assert gate["verdict"] == "target_missed"
    assert "moved to lookup" in gate["reason"]


def test_what_is_saved_beside_a_move_is_an_improvement(project: Any) -> None:
    """Half of the calls moved and the other half went: the stage did become cheaper."""
    project.write(TEST.format(stage="main"))
    project.run().assert_outcomes(passed=1)
    project.write(TEST.format(stage="lookup").replace("range(4)", "range(1)"))
    project.run("--tokenbudget-samples=3").assert_outcomes(passed=1)
    assert project.gate("main.calls")["verdict"] == "improved"
    assert project.gate("calls")["verdict"] == "improved"
