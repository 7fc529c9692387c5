"""Budgets without a model, through the front door: the ``footprint`` fixture and the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pytest_tokenbudget.cli.main import main
from pytest_tokenbudget.errors import FootprintError
from pytest_tokenbudget.measure.footprint import measure_footprint
from pytest_tokenbudget.tokens.counter import Counter

SCHEMA = {"type": "object", "properties": {"q": {"type": "string", "description": "the words to look for"}}}
FORMS = {
    "openai chat": {"type": "function", "function": {"name": "find", "description": "Finds.", "parameters": SCHEMA}},
    "openai responses": {"type": "function", "name": "find", "description": "Finds.", "parameters": SCHEMA},
    "anthropic": {"name": "find", "description": "Finds.", "input_schema": SCHEMA},
    "mcp": {"name": "find", "description": "Finds.", "inputSchema": SCHEMA},
    "google": {"functionDeclarations": [{"name": "find", "description": "Finds.", "parameters": SCHEMA}]},
    "bedrock": {"toolSpec": {"name": "find", "description": "Finds.", "inputSchema": {"json": SCHEMA}}},
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command's folder for counts, away from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pytest-tokenbudget"


SERVER = '''
from mcp.server.lowlevel import Server
try:
    from mcp.server.mcpserver import MCPServer as FastMCP
except ImportError:
    from mcp.server.fastmcp import FastMCP

server = FastMCP("desk", instructions="Use the tools with care.")


@server.tool()
def find_order(number: str) -> str:
    """Finds an order by its number."""
    return number


@server.prompt()
def greet(name: str) -> str:
    """Greets a customer."""
    return name


@server.resource("order://{number}")
def order(number: str) -> str:
    """One order."""
    return number


server.run()
'''


@pytest.mark.parametrize("model", ["gpt-4.1", "claude-sonnet-4-5", "gemini-2.5-flash", "deepseek-chat"])
def test_a_tool_costs_the_same_in_every_form(model: str) -> None:
    """The tool is written in the form of the model's own API, so the form in which it was given does not matter."""
    counter = Counter()
    found = {
        form: measure_footprint(counter, tools=[tool], system="Be kind.", model=model) for form, tool in FORMS.items()
    }
    totals = {form: each.input_tokens for form, each in found.items()}
    assert len(set(totals.values())) == 1, totals
    assert all(list(each.tools) == ["find"] for each in found.values())


@pytest.mark.parametrize("tool", [7, None, [], {}, {"name": 3, "parameters": {}}, {"name": "x", "parameters": []}])
def test_a_tool_without_a_known_form_is_an_error(tool: object) -> None:
    """The error shows the form that is understood."""
    with pytest.raises(FootprintError) as caught:
        measure_footprint(Counter(), tools=[tool])
    assert "parameters" in caught.value.remedy


PROJECT = """
import json
from pathlib import Path

TOOLS = json.loads(Path("tools.json").read_text())

@token_budget("5%")
def test_tools(footprint):
    found = footprint(tools=TOOLS, system="You are a desk.", model="gpt-4.1")
    assert set(found.tools) == {"find"}
"""


def write_tool(project, description: str) -> None:
    """Write the project's one tool."""
    tool = {"name": "find", "description": description, "parameters": SCHEMA}
    (project.pytester.path / "tools.json").write_text(json.dumps([tool]), encoding="utf-8")


def test_a_grown_tool_fails_without_a_model(project) -> None:
    """A footprint has the metrics, gates and causes of a live run, and needs one sample."""
    write_tool(project, "Finds things.")
    project.write(PROJECT)
    project.run().assert_outcomes(passed=1)
    project.run().assert_outcomes(passed=1)
    assert project.test["verdict"] == "ok"
    write_tool(project, "Finds things, " + "and says at length what it found " * 4)
    project.run().assert_outcomes(failed=1)
    gate = project.gate("input_tokens")
    assert gate["verdict"] == "regression"
    assert gate["exact"]
    assert project.test["samples"] == 1
    assert {each["metric"] for each in project.test["gates"] if "latency" in each["metric"]} == set()
    assert project.test["causes"][0]["name"] == "find"
    assert project.test["causes"][0]["delta"] == gate["value"] - gate["baseline"]


def test_a_file_is_measured_beside_the_test(project) -> None:
    """A relative path starts at the folder of the test file; what it costs is system prompt."""
    folder = project.pytester.mkdir("deep")
    (folder / "AGENTS.md").write_text("Read this first. " * 50, encoding="utf-8")
    (folder / "test_files.py").write_text(
        "from pytest_tokenbudget import token_budget\n"
        '@token_budget(limit={"system_tokens": 100})\n'
        "def test_agents_md(footprint):\n"
        '    assert footprint.file("AGENTS.md").part("system") == 201\n',
        encoding="utf-8",
    )
    project.run().assert_outcomes(failed=1)
    assert project.gate("system_tokens")["value"] == 201


def test_without_a_marker_the_numbers_are_returned(project) -> None:
    """An unmarked test may use the fixture to assert by itself; a file that is missing is named."""
    project.write(
        "def test_plain(footprint):\n"
        '    assert footprint(system="hello").part("system") == 1\n'
        "    from pytest_tokenbudget.errors import FootprintError\n"
        '    with pytest.raises(FootprintError, match="nowhere.md"):\n'
        '        footprint.file("nowhere.md")\n'
    )
    project.run().assert_outcomes(passed=1)


def test_an_mcp_server_is_measured(project) -> None:
    """Instructions, tools, prompts and resource templates of a real server count, by command and by session."""
    pytest.importorskip("mcp")
    (project.pytester.path / "server.py").write_text(SERVER, encoding="utf-8")
    project.write(f"""
import asyncio
COMMAND = [{sys.executable!r}, "server.py"]

@token_budget(limit={{"tool_schema_tokens": 1000}})
def test_server(footprint):
    async def by_session():
        from mcp import ClientSession, StdioServerParameters
        from mcp.client.stdio import stdio_client
        server = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:])
        async with stdio_client(server) as streams, ClientSession(*streams) as session:
            return await footprint.mcp(session, stage="session")

    found = asyncio.run(footprint.mcp(command=COMMAND, stage="command"))
    assert list(found.tools) == ["find_order"]
    assert found.part("system") > 20
    assert asyncio.run(by_session()) == found
""")
    project.run(subprocess=True).assert_outcomes(passed=1)
    stages = project.test["stages"]
    assert stages["command"]["input_tokens"] == stages["session"]["input_tokens"] > 0


def test_the_command_ranks_the_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parts add up to the total; ``--limit`` decides the exit code."""
    tools = [{"name": f"tool_{n}", "description": "word " * n, "inputSchema": SCHEMA} for n in (5, 40, 10)]
    (tmp_path / "tools.json").write_text(json.dumps({"tools": tools}), encoding="utf-8")
    arguments = ["footprint", "--tools", str(tmp_path / "tools.json")]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [part["name"] for part in found["parts"] if part["part"] == "tool"]
    assert names == ["tool_40", "tool_10", "tool_5"]
    assert sum(part["tokens"] for part in found["parts"]) == found["input_tokens"]
    assert main([*arguments, "--limit", str(found["input_tokens"])]) == 0
    assert main([*arguments, "--limit", str(found["input_tokens"] - 1)]) == 1
    assert "tool_40" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to measure"),
        (["--mcp", "/nowhere/at-all"], "cannot be read"),
        (["--mcp", "'"], "No closing quotation"),
        (["--tools", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_input_of_the_command_is_an_error(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 with the reason and a remedy, no traceback."""
    if "--mcp" in arguments:
        pytest.importorskip("mcp")
    assert main(["footprint", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_each_tool_has_a_metric_of_its_own(project) -> None:
    """``tools.NAME`` and ``tools.*`` are gated by limits and by the baseline, of the whole test and of a stage."""
    source = PROJECT.replace('"5%"', RULES)
    write_tool(project, "Finds things.")
    project.write(source)
    project.run().assert_outcomes(passed=1)
    assert {gate["verdict"] for gate in project.test["gates"]} <= {"ok", "new"}
    write_tool(project, "Finds things, " + "and says at length what it found " * 20)
    project.run().assert_outcomes(failed=1)
    verdicts = {gate["metric"]: gate["verdict"] for gate in project.test["gates"] if gate["kind"] == "max_increase"}
    assert verdicts == {"tools.find": "regression", "main.tools.find": "regression"}
    limits = {gate["metric"]: gate["verdict"] for gate in project.test["gates"] if gate["kind"] == "limit"}
    assert limits == {"tools.find": "over_limit"}
    assert {cause["name"] for cause in project.test["causes"]} == {"find"}


def test_a_limit_of_a_tool_that_is_not_offered_holds_nothing(project) -> None:
    """A tool that was renamed is not within its limit: the failure names those that are offered; a footprint has a cost."""
    write_tool(project, "Finds things.")
    project.write(PROJECT.replace('"5%"', 'limit={"tools.search": 60}'))
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no request offers a tool 'search'; offered: find*"])
    assert project.test["total"]["cost"] > 0


RULES = '{"tools.find": "10%", "main.tools.*": "10%"}, limit={"tools.*": 60}'


def test_the_standard_metrics_are_those_of_the_table() -> None:
    """A stage may be called ``tools``: its ``calls`` are no tool."""
    from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS, metric_table, parse_metric
    from pytest_tokenbudget.records.gate import STANDARD_METRICS, split_key

    assert {spec.name for spec in BUILTIN_METRICS} <= STANDARD_METRICS
    assert split_key("tools.calls") == ("tools", "calls")
    assert split_key("worker.tools.find") == ("worker", "tools.find")
    assert str(parse_metric("tools.calls", metric_table())) == "tools.calls"
    assert parse_metric("tools.calls", metric_table()).stage == "tools"


def test_a_second_run_of_the_command_counts_nothing_anew(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts are kept by digests, never by texts, and loading a vocabulary takes most of the command's time."""
    (tmp_path / "tools.json").write_text(json.dumps([FORMS["mcp"]]), encoding="utf-8")
    arguments = ["footprint", "--tools", str(tmp_path / "tools.json"), "--json"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    kept = (cache / "counts.json").read_text(encoding="utf-8")
    assert "o200k" in kept
    assert "Finds" not in kept
    monkeypatch.setattr(
        "pytest_tokenbudget.tokens.counter.load", lambda *_, **__: pytest.fail("a vocabulary was loaded")
    )
    assert main(arguments) == 0
    assert capsys.readouterr().out == first
