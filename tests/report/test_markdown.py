"""The comment on a pull request."""

from __future__ import annotations

import re
from dataclasses import replace

from markdown_it import MarkdownIt
from report_runs import exact_test, many, showcase

from pytest_tokenbudget.records.verdict import RunView
from pytest_tokenbudget.report.markdown import LONGEST, changes_anything, markdown, marker

HOSTILE = (
    "@everyone #1 GH-2 a/b#3 [x](http://evil.example) ![y](https://evil.example/z.png) www.evil.example http://evil.example "
    "`|` </details><script>alert(1)</script> **b** $x$ <!-- --> \x1b[31m \u202e"
)


def rendered(text: str) -> str:
    """The comment as HTML, raw HTML let through as GitHub does before it sanitises."""
    html: str = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    return html


def test_the_first_line_says_it_all() -> None:
    """The verdict and the first cause stand in the first line, the marker of the comment in the last."""
    lines = markdown(showcase()).splitlines()
    assert lines[0] == (
        "❌ **Token budget: 4 of 11 tests are over budget.** worker reads 54.9 % more: "
        r"the schema of calendar\_write 335 → 871 in each of 4 calls"
    )
    assert lines[-1] == marker()


def test_the_table_holds_what_changed_and_nothing_else() -> None:
    """Failing tests first; a stage that moved as much as the whole test is not told twice; what holds is not told."""
    html = rendered(markdown(showcase()))
    rows = [re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL) for row in html.split("<tr>")[2:]]
    told = [(sign, re.sub("<.*?>", "", test), metric) for sign, test, metric, *_ in rows]
    assert told == [
        ("❌", "test_new.py::test_calls_nobody", "no model call was seen"),
        ("❌", "test_calendar.py::test_survives_a_busy_provider", "cost"),
        ("❌", "test_calendar.py::test_finds_a_free_room", "input tokens"),
        ("❌", "test_calendar.py::test_books_moves_and_cancels", "input tokens"),
        ("❔", "test_live.py::test_answers_in_time[gpt-4.1-mini]", "latency"),
        ("🎉", "test_cut.py::test_does_the_same_with_less", "worker.input tokens"),
    ]
    assert rows[2][3:] == ["3,998 → <strong>6,142</strong>", "+53.6 %", "+10 %"]


def test_a_small_growth_within_the_budget_is_shown() -> None:
    """What changed and is allowed stands in the table without a sign, because a reviewer wants to know."""
    text = markdown(RunView("1", "gate", (exact_test("t.py::test_a", growth=1.1),)))
    assert text.startswith("✅ **Token budget: 1 test within budget.**")
    assert "| input tokens | 3,998 → 4,130 | \\+3.3 % | \\+10 % |" in text


def test_a_run_in_which_nothing_changed_is_two_lines() -> None:
    """The verdict, and what a run costs."""
    text = markdown(RunView("1", "gate", (exact_test("t.py::test_a"),)))
    assert text.splitlines()[0] == "✅ **Token budget: 1 test within budget.**"
    assert "|" not in text
    assert len(text.splitlines()) == 5


def test_a_link_and_a_name_stand_at_the_end() -> None:
    """The whole report is one click away, and each job of several finds its own comment."""
    text = markdown(showcase(), link="https://ci.example/1?a=b)](x", name="py 3.12 -->")
    assert "- [the whole report](https://ci.example/1?a=b%29]%28x)" in text
    assert text.splitlines()[-1] == marker("py 3.12 -->") == "<!-- pytest-tokenbudget:py-3.12 -->"


def test_nothing_to_see_is_known() -> None:
    """A run in which nothing changed needs no comment."""
    assert changes_anything(showcase())
    assert changes_anything(RunView("1", "gate", (exact_test("t.py::test_a", growth=1.1),)))
    assert not changes_anything(RunView("1", "gate", (exact_test("t.py::test_a"),)))


def test_money_a_month_is_an_estimate() -> None:
    """Where the project says how often it runs, the change is shown as money."""
    assert r"**+\$48.91 a month** (estimate)" in markdown(showcase())


def test_the_command_that_accepts_it_comes_last() -> None:
    """The last visible line is what to run where the growth is wanted."""
    last = markdown(showcase()).splitlines()[-3]
    assert "<code>pytest --tokenbudget-update</code>" in last


def test_a_comment_fits_whatever_happens() -> None:
    """2,000 failing tests with long names: at most 65,000 characters, folded parts closed, the marker still there."""
    results = [replace(result, failed=True, notices=("n" * 300,)) for result in many(500).results]
    results += [exact_test(f"t.py::test_{'x' * 300}_{index}", growth=3.0) for index in range(500)]
    text = markdown(RunView("1", "gate", tuple(results)))
    assert len(text) <= LONGEST
    assert text.endswith(f"{marker()}\n")
    assert text.count("<details>") == text.count("</details>")
    assert "more in the report" in text
    assert "--tokenbudget-update" in text


def test_hostile_text_is_harmless() -> None:
    """No element, no link, no mention of a person or issue, no escape from table or fold comes of a name."""
    result = exact_test(f"t/{HOSTILE}.py::test_{HOSTILE}", growth=3.0)
    hostile = replace(
        result,
        gates=tuple(replace(gate, metric=f"{HOSTILE}.input_tokens") for gate in result.gates),
        causes=tuple(replace(cause, text=HOSTILE, stage=HOSTILE, part=HOSTILE) for cause in result.causes),
        notices=(HOSTILE,),
        messages=(HOSTILE,),
        against=HOSTILE,
    )
    text = markdown(RunView(HOSTILE, "gate", (hostile,), messages=(HOSTILE,), problems=(HOSTILE,)))
    html = rendered(text)
    tags = {tag.lower() for tag in re.findall(r"</?([a-zA-Z]+)", html)}
    assert tags <= {
        "p",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "details",
        "summary",
        "ul",
        "li",
    }
    assert html.count("<details>") == html.count("</details>") == 2
    shown = re.sub(r"<.*?>", "", html)
    assert re.search(r"@\w|#\d|gh-\d", shown, re.IGNORECASE) is None
    assert "\x1b" not in text
    # GitHub links bare addresses in the source.
    assert re.search(r"https?://|www\.", text) is None
