"""The ``footprint`` fixture: budgets of tools and prompts, without a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from pytest_tokenbudget.capture.stage import checked_path, current_path
from pytest_tokenbudget.errors import FootprintError
from pytest_tokenbudget.measure.footprint import DEFAULT_MODEL, Footprint, footprint_call, measure_footprint, read_text
from pytest_tokenbudget.plugin.running_sample import RunningSample
from pytest_tokenbudget.tokens.counter import Counter


class Footprints:
    """Measures footprints; in a marked test each one becomes a call of the running sample, so that gates hold it.

    Args:
        counter: Counts tokens.
        running: The running sample; ``None`` in a test without the marker.
        directory: Folder that relative paths start from: that of the test file.
    """

    def __init__(self, counter: Counter, running: RunningSample | None, directory: Path) -> None:
        self._counter = counter
        self._running = running
        self._directory = directory

    def __call__(
        self,
        *,
        tools: Iterable[Any] = (),
        system: str | Sequence[str] = (),
        messages: Iterable[Mapping[str, Any]] = (),
        model: str = DEFAULT_MODEL,
        stage: str | None = None,
    ) -> Footprint:
        """Measure tools, a system prompt and messages.

        Args:
            tools: Tool definitions in the form of any API (OpenAI, Anthropic, Google, Bedrock, MCP), or objects with
                ``model_dump`` such as ``mcp.types.Tool``.
            system: The system prompt, or several texts that stand in it.
            messages: Messages in the chat form.
            model: The model whose tokenizer counts.
            stage: Stage of the footprint; by default the one that is open, else ``main``.

        Returns:
            The footprint, in tokens.

        Raises:
            FootprintError: If a tool or message has no known form.
        """
        found = measure_footprint(self._counter, tools=tools, system=system, messages=messages, model=model)
        running = self._running
        if running is not None:
            path = (checked_path(stage) if stage else current_path()) or "main"
            call = footprint_call(found, stage=path, started=running.clock() - running.origin)
            cost = running.reader.prices.price(call.provider, call.model, call.usage).usd
            running.record(replace(call, cost=cost))
        return found

    def file(self, path: str | PathLike[str], *, model: str = DEFAULT_MODEL, stage: str | None = None) -> Footprint:
        """Measure a text file that an agent reads before it begins, such as ``AGENTS.md``.

        Args:
            path: The file; a relative path starts at the folder of the test file.
            model: The model whose tokenizer counts.
            stage: Stage of the footprint; by default the one that is open, else ``main``.

        Raises:
            FootprintError: If the file cannot be read as UTF-8 text.
        """
        return self(system=read_text(self._directory / path), model=model, stage=stage)

    async def mcp(
        self,
        session: Any = None,
        *,
        command: Sequence[str] = (),
        model: str = DEFAULT_MODEL,
        stage: str | None = None,
    ) -> Footprint:
        """Measure an MCP server: its instructions, tools, prompts and resource templates.

        Args:
            session: An ``mcp.ClientSession`` or a connected ``mcp.Client``.
            command: Instead of a session: the program and arguments of a server to start (extra ``mcp``).
            model: The model whose tokenizer counts.
            stage: Stage of the footprint; by default the one that is open, else ``main``.

        Raises:
            FootprintError: If neither or both are given, or the server cannot be read.
        """
        from pytest_tokenbudget.measure.mcp_server import read_command, read_session

        if (session is None) is (not command):
            raise FootprintError(
                "footprint.mcp takes a session or a command", remedy='await footprint.mcp(command=["mcp-server-time"])'
            )
        found = await read_session(session) if session is not None else await read_command(command)
        return self(tools=found.tools, system=[text for _, text in found.texts], model=model, stage=stage)
