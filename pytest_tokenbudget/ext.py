"""The public objects for the hooks of :mod:`pytest_tokenbudget.hookspecs`, for a conftest.py or a plugin of this plugin.

These names, those of :mod:`pytest_tokenbudget` itself, the hooks, and ``judge``, ``judge_improvement`` and
``judge_origin`` of :mod:`pytest_tokenbudget.compare` are public: they change only with a note in the changelog. All other
modules are private.
"""

from __future__ import annotations

from pytest_tokenbudget.baselines.store import BaselineStore, Change
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.measure.metrics import MetricSpec, StageView
from pytest_tokenbudget.providers.http_message import Request, Response
from pytest_tokenbudget.providers.loose import as_dict, as_str, count
from pytest_tokenbudget.providers.wire_format import Endpoint, ResponseAccumulator, WireFormat, has, holds
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.call import BilledUsage, Call, Reading, Usage
from pytest_tokenbudget.records.prompt import Message, Prompt, Text, Tool
from pytest_tokenbudget.records.reply import Reply
from pytest_tokenbudget.records.verdict import GateResult, RunView, TestResult
from pytest_tokenbudget.replay.replies import (
    cut,
    error,
    parallel,
    text,
    timeout,
    tool_call,
    unreachable,
)

__all__ = [
    "BaselineEntry",
    "BaselineStore",
    "BilledUsage",
    "Call",
    "Change",
    "Endpoint",
    "GateResult",
    "Message",
    "MetricRecord",
    "MetricSpec",
    "Prompt",
    "Reading",
    "Reply",
    "Request",
    "Response",
    "ResponseAccumulator",
    "RunView",
    "StageView",
    "TestResult",
    "Text",
    "TokenBudgetError",
    "Tool",
    "Usage",
    "WireFormat",
    "as_dict",
    "as_str",
    "count",
    "cut",
    "error",
    "has",
    "holds",
    "parallel",
    "text",
    "timeout",
    "tool_call",
    "unreachable",
]
