"""The HTML page, as text and in a real browser."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from chromium import Browser, chromium, executable
from report_runs import exact_test, many, showcase

from pytest_tokenbudget.baselines.format import dump
from pytest_tokenbudget.cli.main import main
from pytest_tokenbudget.errors import ReportError
from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.verdict import RunView, TestResult
from pytest_tokenbudget.report import json_report
from pytest_tokenbudget.report.from_json import parse_report
from pytest_tokenbudget.report.page.document import render, write

HOSTILE = "\"'><script>document.title='owned'</script><img src=x onerror=alert(1)><style>*{display:none}</style>{{7*7}}\x1b[31m\u202e"


class _Elements(HTMLParser):
    """All elements with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile_run() -> RunView:
    """A run in which every text that comes from outside is an attack."""
    result = exact_test(f"{HOSTILE}.py::test_{HOSTILE}", growth=3.0)
    sample = result.samples[0]
    calls = tuple(
        replace(call, stage=HOSTILE, model=HOSTILE, provider=HOSTILE, tool_calls=(HOSTILE,)) for call in sample.calls
    )
    failed = replace(calls[1], error=HOSTILE, status=None)
    composition = {
        stage and HOSTILE: replace(parts, counted=tuple(replace(part, name=HOSTILE) for part in parts.counted))
        for stage, parts in sample.composition.items()
    }
    hostile = replace(
        result,
        gates=tuple(replace(gate, metric=f"{HOSTILE}.input_tokens", reason=HOSTILE) for gate in result.gates),
        samples=(replace(sample, calls=(*calls, failed), composition=composition),),
        causes=tuple(
            replace(cause, text=HOSTILE, name=HOSTILE, stage=HOSTILE, part=HOSTILE) for cause in result.causes
        ),
        messages=(HOSTILE,),
        compared_with=HOSTILE,
        watched=(HOSTILE,),
    )
    advice = Advice("unused_tool", HOSTILE, HOSTILE, HOSTILE, 1, 0.1, 0.1, 0.1, "exact", HOSTILE)
    return RunView(HOSTILE, "gate", (hostile,), messages=(HOSTILE,), problems=(HOSTILE,), advice=(advice,))


def test_the_page_tells_the_worst_first() -> None:
    """The verdict and the first cause stand on top, then the tests: those that fail, those that changed, those that hold."""
    page = _Elements(render(showcase())).text.partition("How to read it")[2]
    places = [
        page.index(text)
        for text in (
            "+5,360",
            "test_calls_nobody",
            "test_survives_a_busy_provider",
            "test_books_moves_and_cancels",
            "test_breaks_by_itself",
            "test_answers_in_time",
            "test_does_the_same_with_less",
            "test_answers_mail[angry]",
            "Where the tokens and the money go",
            "What could be saved",
            "617 tokens of schemas are sent again in 27 of 37 calls",
            "max_tokens is never reached",
        )
    ]
    assert places == sorted(places)
    assert "+$154 a month" in page
    head = render(showcase()).partition("<main>")[0]
    assert "<h1>4 of 11 tests are over budget</h1>" in head
    assert "worker reads 54.9 % more: the schema of calendar_write 335 → 871 in each of 4 calls</p>" in head


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    """No script, no address, no event handler, no style but the one that the policy names."""
    text = render(showcase())
    elements = _Elements(text).found
    assert {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & {
        tag for tag, _ in elements
    } == set()
    attributes = {(name, value) for _, attrs in elements for name, value in attrs.items()}
    assert [name for name, _ in attributes if name.startswith("on") or name in ("style", "src", "srcset")] == []
    assert {value[0] for name, value in attributes if name == "href" and value} == {"#"}
    assert text.count("<style>") == 1


def test_hostile_text_stays_text() -> None:
    """Names from models, servers and files make no elements."""
    hostile, harmless = (
        {tag for tag, _ in _Elements(render(run)).found}
        for run in (hostile_run(), replace(showcase(), problems=("x",)))
    )
    assert hostile <= harmless


def test_a_report_that_was_read_makes_the_same_page() -> None:
    """The JSON report holds all that the page shows."""
    run = showcase()
    data = json.dumps(json_report.run_json(run)).encode()
    assert render(parse_report(data, "report.json")) == render(run)


def test_a_report_tells_what_was_sent_and_whether_it_is_the_same() -> None:
    """A baseline is compared with it: how many contents a part had, and their digest, come back as they were."""

    def contents(run: RunView) -> list[tuple[object, ...]]:
        return [
            (result.nodeid, stage, part.part, part.name, part.calls, part.distinct, part.digest)
            for result in run.results
            for sample in result.samples[-1:]
            for stage, parts in sample.composition.items()
            for part in parts.parts
        ]

    run = showcase()
    found = contents(parse_report(json.dumps(json_report.run_json(run)).encode(), "report.json"))
    assert any(distinct and digest for *_, distinct, digest in found)
    assert set(found) == set(contents(run))


def test_a_report_of_an_older_version_is_read() -> None:
    """What it does not tell is none, or unknown; a gate without its metric is no gate."""
    data = json_report.run_json(showcase())
    for test in data["tests"]:
        for part in (part for parts in test["parts"].values() for part in parts):
            for name in ("distinct", "largest", "digest", "repeated_tokens"):
                del part[name]
        for gate in test["gates"]:
            for name in ("unit", "allowed", "drift", "learning", "exact_part"):
                del gate[name]
        for call in test["calls"]:
            for name in ("provider", "started", "ttft", "cost", "server_tool_calls"):
                del call[name]
        for cause in test["causes"]:
            del cause["diff"]
            del cause["delta"]
    run = parse_report(json.dumps(data).encode(), "report.json")
    assert "are over budget" in render(run)
    assert {gate.unit for result in run.results for gate in result.gates if gate.metric == "latency"} == {"s"}
    del data["tests"][0]["gates"][0]["metric"]
    with pytest.raises(ReportError, match="metric is no text"):
        parse_report(json.dumps(data).encode(), "report.json")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not JSON"),
        (b"[]", "the report is no object"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"format": 2}', "format 2, which this version does not know"),
        (b'{"format": 1, "generator": "x", "mode": "gate", "verdict": "great"}', "verdict is 'great'"),
        (
            b'{"format": 1, "generator": "x", "mode": "gate", "verdict": "ok", "tests": [{"nodeid": 1}]}',
            "nodeid is no text",
        ),
        (b'{"format": 1, "generator": "x", "mode": "gate", "verdict": "ok", "tests": {}}', "tests is no list"),
        (b'{"format": 1, "generator": "x", "mode": "gate", "verdict": NaN}', "verdict is nan"),
    ],
)
def test_what_is_no_report_is_refused(data: bytes, said: str) -> None:
    """The error names the field."""
    with pytest.raises(ReportError, match=r"report\.json") as caught:
        parse_report(data, "report.json")
    assert said in str(caught.value)


def test_a_report_is_rendered_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``tokenbudget render`` writes other formats of an earlier run; what it cannot do is an error with a remedy."""
    report, page = tmp_path / "report.json", tmp_path / "new" / "report.html"
    json_report.write(showcase(), report)
    assert main(["render", str(report), "-o", str(page), "-o", str(tmp_path / "comment.md")]) == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (tmp_path / "comment.md").exists()
    assert main(["render", str(report), "-o", str(tmp_path / "report.pdf")]) == 2
    assert main(["render", str(tmp_path / "none.json"), "-o", str(page)]) == 2
    assert main(["render", str(report), "-o", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "known suffixes: .bmf.json, .html, .json, .md" in said
    assert "--tokenbudget-report=report.json" in said


def test_a_page_of_many_tests_stays_small() -> None:
    """200 tests take less than 300 kB, whether they hold or all fail; each unfolds."""
    failing = RunView("1", "gate", tuple(exact_test(f"t.py::test_{index}", growth=3.0) for index in range(200)))
    for run in (many(200), failing):
        text = render(run)
        assert len(text.encode()) < 300_000
        assert text.count('<details class="test') == 200


def test_2000_tests_are_written_in_3_s(tmp_path: Path) -> None:
    """Of the processor's time, so that a busy machine does not count."""
    run = many(2000)
    started = time.process_time()
    write(run, tmp_path / "report.html")
    assert time.process_time() - started < 3


def test_a_run_without_tests_has_a_page() -> None:
    """Nothing is divided by nothing."""
    assert "No budgeted test ran" in render(RunView("1", "gate", ()))
    assert "No budgeted test came to its end" in render(RunView("1", "gate", (), ended_ok=False))
    assert "1 of 1 test is over budget" in render(
        RunView("1", "gate", (TestResult("t.py::t", "no_baseline", failed=True),))
    )


needs_browser = pytest.mark.skipif(executable() is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


def _written(run: RunView, tmp_path: Path) -> str:
    path = tmp_path / "report.html"
    write(run, path)
    return path.as_uri()


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_renders(browser: Browser, tmp_path: Path, width: int, dark: bool) -> None:
    """On wide and narrow screens, light and dark: nothing is logged, nothing else is asked for, nothing is cut off."""
    url = _written(showcase(), tmp_path)
    page = browser.open(url, width=width, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    assert page.logged == []
    assert page.requested == [url]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(
        "[...document.querySelectorAll('.gates')].every(t => t.scrollWidth <= t.parentElement.clientWidth)"
    )
    assert page.evaluate("[...document.querySelectorAll('rect')].filter(r => r.getBBox().width > 0).length") > 300
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] > 128")
    assert light is not dark


@needs_browser
def test_hostile_text_does_nothing_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    """It is shown as it is: no script ran, no element came of it, nothing was asked for."""
    url = _written(hostile_run(), tmp_path)
    page = browser.open(url)
    assert page.evaluate("document.title").endswith("token budget")
    assert page.evaluate("document.querySelectorAll('script, img').length") == 0
    assert "<script>document.title='owned'</script>" in page.evaluate("document.body.textContent")
    assert "{{7*7}}" in page.evaluate("document.body.textContent")
    assert page.evaluate("document.body.offsetHeight") > 500
    assert (page.logged, page.requested) == ([], [url])


@contextmanager
def _served(text: str, policy: str) -> Iterator[str]:
    """A server on loopback that sends one page under a content security policy."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/report.html" else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(text.encode() if self.path == "/report.html" else b"")

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/report.html"
    finally:
        server.shutdown()
        server.server_close()


@needs_browser
def test_the_page_opens_under_a_strict_policy(browser: Browser) -> None:
    """An artifact viewer that allows inline styles and nothing else shows all of it."""
    with _served(render(showcase()), "default-src 'none'; style-src 'unsafe-inline'") as url:
        page = browser.open(url)
        assert [said for said in page.logged if "favicon" not in said] == []
        assert page.evaluate("getComputedStyle(document.querySelector('.tiles')).display") == "grid"


@needs_browser
def test_the_page_can_be_read_without_its_style(browser: Browser) -> None:
    """Jenkins refuses inline styles unless it is told otherwise: text and drawings are still there."""
    with _served(
        render(showcase()), "sandbox allow-same-origin allow-scripts; default-src 'none'; style-src 'self'"
    ) as url:
        page = browser.open(url)
        assert page.evaluate("getComputedStyle(document.querySelector('.tiles')).display") == "block"
        assert page.evaluate("[...document.querySelectorAll('rect')].filter(r => r.getBBox().height > 0).length") > 30


@needs_browser
def test_2000_tests_open_in_2_s(browser: Browser, tmp_path: Path) -> None:
    """The page of a large suite is no waiting room, and all tests are there."""
    url = _written(many(2000), tmp_path)
    page = browser.open(url)
    assert page.seconds < 2
    assert page.evaluate("document.querySelectorAll('.test').length") == 2000


def test_the_trend_names_the_commits_that_accepted_more(tmp_path: Path) -> None:
    """The stored values of the past and the value of this run, with the subjects of the commits as text."""

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    path = tmp_path / "test_a.json"
    git("init", "-q")
    for tokens, subject in ((3000, "Add it"), (3010, "Hardly more"), (3998, f"Accept {HOSTILE}")):
        record = MetricRecord(((tokens,),), tokens)
        path.write_bytes(dump({"test_a": replace(BaselineEntry(), metrics={"input_tokens": record})}))
        git("add", ".")
        git("commit", "-qm", subject)
    result = replace(exact_test("test_a.py::test_a", growth=1.1), baseline_file=str(path), key="test_a")
    page = _Elements(render(RunView("1", "gate", (result,))))
    assert "3,000" in page.text
    assert "+37.7 %" in page.text
    assert "Accept \"'><script>" in page.text
    assert "Hardly more" not in page.text
    assert "script" not in {tag for tag, _ in page.found}


def test_a_footprint_shows_where_its_tokens_go() -> None:
    """A test that measured tools and prompts without a model has parts and no calls."""
    result = exact_test("t.py::test_footprint")
    footprint = replace(result, samples=(replace(result.samples[0], calls=()),))
    page = _Elements(render(RunView("1", "gate", (footprint,)))).text
    assert "The most expensive parts of the prompts" in page
    assert "calendar_write (tool schema)" in page
    assert "Where it goes" in page
