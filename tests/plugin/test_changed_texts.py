"""The words that changed: the diff of a tool's schema or of a system prompt, where a recording has what it was before."""

from __future__ import annotations

import html
import json
import re
import subprocess
from typing import Any

import pytest
from ledger_server import Reply

from pytest_tokenbudget.cli.main import main

AGENT = """
SYSTEM = {system!r}
TOOL = {{"type": "function", "function": {{"name": "calendar_write", "description": {text!r}, "parameters": {{}}}}}}

@token_budget({{"input_tokens": "5%", "cost": "5%"}}, replay={replay!r})
def test_agent():
    with stage("worker"):
        messages = [{{"role": "system", "content": SYSTEM}}, {{"role": "user", "content": "Move my lunch."}}]
        httpx.post({url!r} + "/v1/chat/completions", json={{"model": "gpt-4o", "messages": messages, "tools": [TOOL]}})
"""
HEAD = "try:\n    import httpx\nexcept ImportError:\n    import httpx2 as httpx\n"
SYSTEM = "You keep a calendar.\nBe brief.\nNever delete an event."
LONGER = "Writes one event. " + "Ask before you move what others take part in. " * 12
REPORTS = ("--tokenbudget-report=page.html", "--tokenbudget-report=comment.md")


@pytest.fixture
def agent(project: Any) -> Any:
    """Writes the agent and runs its test; the model is the loopback server."""

    def run(
        *args: str, system: str = SYSTEM, text: str = "Writes one event.", replay: object = True, fails: bool = True
    ) -> Any:
        project.server.play([Reply("ok", output_tokens=7)])
        project.write(HEAD + AGENT.format(system=system, text=text, replay=replay, url=project.server.url))
        result = project.run(*REPORTS, *args)
        result.assert_outcomes(**({"failed": 1} if fails else {"passed": 1}))
        return result

    run("--tokenbudget-samples=1", fails=False)
    return run


def _diffs(project: Any) -> dict[tuple[str, str], list[str]]:
    causes = project.test["causes"]
    return {(one["part"], one["name"]): one["diff"] for one in causes if one["metric"] == "input_tokens"}


def _terminal(result: Any) -> list[str]:
    """The lines of diffs in the failure's text."""
    return [line for line in result.stdout.lines if re.match(r"E? {14,}[-+](?!\d)", line)]


def test_a_replay_shows_the_words_that_changed(project: Any, agent: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The schema and the prompt, cut to what changed: three lines each in the terminal, folded in the comment and the page.

    The cost rises for the same reason as the tokens: the diff stands below one of the gates.
    """
    result = agent(system=SYSTEM.replace("Be brief.", "Be brief, and say why. " * 20), text=LONGER)
    assert project.test["traffic"] == "replay"
    diffs = _diffs(project)
    schema = diffs["tools", "calendar_write"]
    assert schema[:3] == [
        '     "name": "calendar_write",',
        '-    "description": "Writes one event.",',
        '+    "description": "Writes one event.',
    ]
    assert "+Ask before you move what others take part in." in schema
    prompt = diffs["system", ""]
    assert prompt[:2] == [" You keep a calendar.", "-Be brief."]
    assert prompt[-1] == " Never delete an event."
    shown = _terminal(result)
    assert len(shown) == 6
    assert any(line.endswith('-    "description": "Writes one event.",') for line in shown)
    assert re.search(r"\(and \d+ more\)$", shown[2])
    assert '+    "description": "Writes one event.' in html.unescape((project.pytester.path / "page.html").read_text())
    comment = (project.pytester.path / "comment.md").read_text()
    assert "<summary>The words that changed: tool schemas calendar_write</summary>\n\n```diff\n" in comment
    assert comment.count("\n-Be brief.\n") == 1
    capsys.readouterr()
    assert main(["compare", "baseline", "report.json"]) == 0
    assert "-Be brief." in capsys.readouterr().out


def test_a_fresh_recording_is_compared_with_the_one_that_it_replaces(project: Any, agent: Any) -> None:
    """The old text is read before the file is written anew."""
    agent("--tokenbudget-traffic=record", text=LONGER)
    assert '-    "description": "Writes one event.",' in _diffs(project)["tools", "calendar_write"]


def test_the_committed_recording_has_the_text_of_the_baseline(project: Any, agent: Any) -> None:
    """A replay of a fresh recording has the same text on both sides: git knows what the baseline was measured with."""
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "a")):
        who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=project.pytester.path, check=True)
    agent("--tokenbudget-traffic=record", text=LONGER)
    agent(text=LONGER)
    assert '-    "description": "Writes one event.",' in _diffs(project)["tools", "calendar_write"]


def test_without_an_earlier_text_nothing_is_shown(project: Any, agent: Any) -> None:
    """Outside of git a replay of a fresh recording knows no other text, and a live run beside a baseline neither."""
    agent("--tokenbudget-traffic=record", text=LONGER)
    result = agent(text=LONGER)
    assert _diffs(project)["tools", "calendar_write"] == []
    assert not _terminal(result)
    agent("--tokenbudget-traffic=live", text=LONGER * 4, system="You keep a diary.")
    assert not any(_diffs(project).values())
    assert "Writes one" not in project.baseline
    assert "calendar." not in project.baseline


def test_what_is_redacted_in_a_cassette_is_redacted_here(project: Any, agent: Any) -> None:
    """The project's patterns hold for both sides; of a text with what looks like a key nothing is shown, and that is said."""
    project.pytester.makeini("[pytest]\ntokenbudget_redact = acct-\\d+\n")
    secret = "sk-proj-" + "Zq8Rk2Lw9Tn4Vb7Xc3Ms6Yd1Hf5Jg0Pa" * 2
    result = agent(text=LONGER + " Pay from acct-77120.", system=SYSTEM.replace("brief", f"brief, {secret}"))
    diffs = _diffs(project)
    assert any("Pay from [redacted]." in line for line in diffs["tools", "calendar_write"])
    (said,) = diffs["system", ""]
    assert "what looks like a key" in said
    assert said in result.stdout.str()
    written = "".join((project.pytester.path / name).read_text() for name in ("report.json", "page.html", "comment.md"))
    assert "77120" not in written
    assert secret[8:40] not in written


def test_hostile_words_stay_words(project: Any, agent: Any) -> None:
    """No escape code, no markup, no end of a fence, no hidden sign of a schema reaches an output as such."""
    hostile = "\x1b[31m<script>alert(1)</script>\u202e @team ![x](http://evil) ````\n```\n::error::x ##[group]x"
    result = agent(text=LONGER + hostile)
    page = (project.pytester.path / "page.html").read_text()
    comment = (project.pytester.path / "comment.md").read_text()
    report = (project.pytester.path / "report.json").read_text()
    for text in (
        page,
        comment,
        result.stdout.str(),
        json.dumps(json.loads(report)["tests"][0]["causes"], ensure_ascii=False),
    ):
        assert "\x1b[31m<" not in text
        assert "\u202e" not in text
        assert "##[" not in text
    assert "<script>alert" not in page
    fences = re.findall(r"^`{3,}", comment, re.MULTILINE)
    assert fences == ["`````", "`````"]


def test_a_long_diff_is_cut_and_quick(project: Any, agent: Any) -> None:
    """Ten thousand changed lines are not kept: the report says how many are left out."""
    agent(system="\n".join(f"Rule {number}: be brief." for number in range(10_000)))
    diff = _diffs(project)["system", ""]
    assert len(diff) == 61
    assert re.fullmatch(r"… [\d,]+ more lines", diff[-1])
