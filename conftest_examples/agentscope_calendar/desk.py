"""A calendar agent on AgentScope: a router, a worker that reasons and acts, and a last call that makes JSON of the answer.

It knows nothing of the plugin. The stages are named in pytest.ini, by the functions below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from agentscope.agent import Agent, InjectionConfig
from agentscope.credential import DeepSeekCredential
from agentscope.message import UserMsg
from agentscope.model import DeepSeekChatModel
from agentscope.permission import PermissionBehavior, PermissionDecision
from agentscope.tool import FunctionTool, Toolkit

MODEL = "deepseek-chat"
ROUTER = "Answer with one word: create, move, cancel or question."
WORKER = "You are a careful calendar assistant. Today is Wednesday, 2026-03-11. Read a day before you write to it."
FINALIZE = 'Turn the answer into JSON with the keys "reply" and "changed". Answer with the JSON and nothing else.'


def build_model(base_url: str = "https://api.deepseek.com", api_key: str = "unused") -> DeepSeekChatModel:
    """Make the model of every step; answers are streamed, as AgentScope does by default."""
    return DeepSeekChatModel(DeepSeekCredential(api_key=api_key, base_url=base_url), MODEL)


@dataclass
class CalendarDesk:
    """Answers one request at a time.

    Args:
        model: The chat model.
        events: The calendar: what is written for each day.
    """

    model: DeepSeekChatModel
    events: dict[str, list[str]] = field(default_factory=dict)

    async def ask(self, request: str) -> dict[str, Any]:
        """Answer one request -> ``{"reply": ..., "changed": ...}``."""
        kind = await self.route(request)
        answer = await self.work(f"({kind}) {request}")
        return await self.finalize(answer)

    async def route(self, request: str) -> str:
        """Say in one word what the request is about."""
        return await self._reply("router", ROUTER, request)

    async def work(self, request: str) -> str:
        """Do what is asked, with tools -> what was done, in words."""
        tools = [self.calendar_read, self.calendar_write]
        allowed = PermissionDecision(behavior=PermissionBehavior.ALLOW, message="the desk may use its calendar")
        return await self._reply(
            "worker", WORKER, request, Toolkit([FunctionTool(t, permission=allowed) for t in tools])
        )

    async def finalize(self, answer: str) -> dict[str, Any]:
        """Make JSON of the worker's words."""
        result: dict[str, Any] = json.loads(await self._reply("finalize", FINALIZE, answer))
        return result

    async def _reply(self, name: str, system: str, request: str, tools: Toolkit | None = None) -> str:
        # The time of day in a prompt would make each run read other tokens, and would break the provider's cache.
        steady = InjectionConfig(inject_runtime_state=False)
        agent = Agent(name, system, self.model, toolkit=tools, injection_config=steady)
        return (await agent.reply(UserMsg("user", request))).get_text_content() or ""

    def calendar_read(self, day: str) -> str:
        """Read the events of a day.

        Args:
            day (str): The day, as 2026-03-17.
        """
        return "\n".join(self.events.get(day, [])) or "no events"

    def calendar_write(self, day: str, title: str, start: str, minutes: int) -> str:
        """Write an event into the calendar.

        Args:
            day (str): The day, as 2026-03-17.
            title (str): A short title.
            start (str): The time at which it begins, as 14:30.
            minutes (int): How long it lasts.
        """
        self.events.setdefault(day, []).append(f"{start} {title} ({minutes} min)")
        return "written"
