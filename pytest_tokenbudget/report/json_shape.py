"""The shape of the JSON report: what other programs may rely on. Fields may be added, none goes away in format 1."""

from __future__ import annotations

from typing import Any, Literal

# pydantic makes the JSON Schema of these; it asks for this TypedDict before Python 3.12.
from typing_extensions import NotRequired, TypedDict  # noqa: UP035  # see above

from pytest_tokenbudget.records.advice import AdviceKind, Certainty
from pytest_tokenbudget.records.call import Operation, Source
from pytest_tokenbudget.records.composition import PartName
from pytest_tokenbudget.records.gate import GateKind, Unit
from pytest_tokenbudget.records.sample import Traffic
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.settings import Mode

Number = float | int | None


class PaceJson(TypedDict):
    """The speed of a model beside the baseline's: measured over expected duration of its calls, with a 95 % interval."""

    model: str
    provider: str
    ratio: float
    lower: float
    upper: float
    calls: int


class ExactPartJson(TypedDict):
    """The part of a token metric that the code alone decides, at the baseline's number of calls."""

    baseline: int
    value: int
    calls: int


class GateJson(TypedDict):
    """One gate and what it says."""

    metric: str
    statistic: str
    unit: Unit
    rule: str
    kind: GateKind
    baseline: Number
    value: Number
    allowed: Number
    change: float | None
    verdict: Verdict
    exact: bool
    lower: float | None
    upper: float | None
    detectable: float | None
    samples: int
    sigma: float | None
    p: float | None
    reason: str
    source: str
    creep: float | None  # the name of drift in 0.1
    drift: float | None
    exact_part: ExactPartJson | None
    learning: bool


class CauseJson(TypedDict):
    """One reason why a metric changed; those of a metric add up to its difference.

    ``diff`` holds lines of a unified diff of the tool's schema or of the system prompt, redacted as cassettes are; it is empty
    where there is no recording of both sides.
    """

    metric: str
    stage: str
    part: str
    name: str
    delta: float | int
    text: str
    diff: list[str]


class CallJson(TypedDict):
    """One model call, or one attempt that failed (``error`` says why, its tokens are null). Times in s."""

    stage: str
    provider: str
    api: str
    operation: Operation
    model: str
    stream: bool
    status: int | None
    error: str | None
    attempt: int
    started: float
    latency: float
    ttft: float | None
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    input_source: Source | None
    output_source: Source | None
    offered_tools: int | None
    max_output_tokens: int | None
    tool_calls: list[str]
    server_tool_calls: list[str]
    finish_reason: str | None
    cost: float | None
    estimated: bool


class SampleJson(TypedDict):
    """One sample of a test that ran several times."""

    stages: dict[str, dict[str, Number]]
    total: dict[str, Number]
    outcomes: dict[str, Any]
    calls: list[CallJson]


class UnattributedJson(TypedDict):
    """Traffic that looks like a model call and that no format reads."""

    host: str
    path: str
    reason: str
    count: int


class PartJson(TypedDict):
    """One part of a stage's input over one sample. ``repeated_tokens`` were sent by an earlier call of the stage too.

    It had so many ``distinct`` contents, the ``largest`` of them of so many tokens, and ``digest`` tells whether they are the same.
    """

    part: PartName
    name: str
    tokens: int
    calls: int
    distinct: int
    largest: int
    digest: str
    repeated_tokens: int


class SchemaJson(TypedDict):
    """The parts of one larger tool's schema, in tokens."""

    tokens: int
    description_tokens: int
    repeated_tokens: int
    enum_tokens: int
    example_tokens: int
    largest_field: str
    largest_field_tokens: int


class CacheBreakJson(TypedDict):
    """A piece that differs from call to call, and the unchanged tokens behind it that no cache can serve."""

    part: str
    tokens: int
    text: str


class BeforeJson(TypedDict):
    """The stored run that a test was compared with: means, and the parts of its input by stage."""

    total: dict[str, Number]
    stages: dict[str, dict[str, Number]]
    parts: dict[str, list[PartJson]]


class TestJson(TypedDict):
    """One marked test."""

    nodeid: str
    verdict: Verdict
    passed: bool
    failed: bool
    samples: int
    traffic: Traffic
    against: str
    compared_with: str
    line: int | None
    runs_per_month: float | None
    gates: list[GateJson]
    stages: dict[str, dict[str, Number]]
    total: dict[str, Number]
    composition: dict[str, dict[str, int | dict[str, int]]]
    parts: dict[str, list[PartJson]]
    schemas: dict[str, SchemaJson]
    cache_breaks: dict[str, CacheBreakJson]
    before: BeforeJson | None
    causes: list[CauseJson]
    provider_pace: list[PaceJson]
    calls: list[CallJson]
    outcomes: dict[str, Any]
    turns: list[dict[str, Number]]
    own_time: float | None
    paid: list[CallJson]
    unattributed: list[UnattributedJson]
    messages: list[str]
    samples_detail: NotRequired[list[SampleJson]]


class AdviceJson(TypedDict):
    """One thing that could be saved in a run of all tests. ``cost`` in USD, ``seconds`` in s, null where not known.

    ``recounted``: counted on the recorded requests with the cut made; else a sum of measured parts.
    """

    kind: AdviceKind
    stage: str
    part: str
    name: str
    tokens: int
    cost: float | None
    seconds: float | None
    share: float
    sure: Certainty
    text: str
    tests: list[str]
    recounted: bool


class RunJson(TypedDict):
    """The whole report."""

    format: Literal[1]
    generator: str
    mode: Mode
    verdict: Verdict
    exit_ok: bool
    tests: list[TestJson]
    unattributed: list[UnattributedJson]
    watched: list[str]
    advice: list[AdviceJson]
    messages: list[str]


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the report, as ``tokenbudget schema report`` prints it."""
    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema

    return {
        **TypeAdapter(RunJson).json_schema(),
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "pytest-tokenbudget report",
    }
