"""A simulated agent: loops over tools, with a provider that counts a little otherwise than the local tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.composition import Composition, PartName, Piece, StageComposition
from pytest_tokenbudget.tokens.aggregate import stage_composition


@dataclass(frozen=True)
class Step:
    """One turn of the loop: what the model says, and the tools that it calls with the sizes of their results."""

    says: int = 40
    results: tuple[tuple[str, int], ...] = (("search", 300),)


@dataclass(frozen=True)
class Loop:
    """A stage of the agent. Sizes are local tokens; a text is known by its name and size."""

    system: tuple[tuple[str, int], ...] = (("You book meetings.", 800),)
    tools: tuple[tuple[str, int], ...] = (("calendar_write", 1150), ("search", 420), ("send_mail", 310))
    question: tuple[str, int] = ("Move my meetings.", 90)
    steps: tuple[Step, ...] = (
        Step(45, (("search", 280),)),
        Step(52, (("calendar_write", 130),)),
        Step(38, (("search", 350),)),
    )
    answer: int = 160
    examples: tuple[int, ...] = ()
    images: tuple[int, ...] = ()
    files: tuple[int, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    copies_of_history: int = 1
    keep_last: int | None = None
    clock: int = 0
    clock_in_tool: str = ""
    tools_in_first: int | None = None
    reasoning: int | None = None
    echo_reasoning: int = 0
    failed: int = 0
    model: str = "gpt-4o"
    ratio: float = 1.0


Agent = Mapping[str, Loop]
AGENT: Agent = {
    "router": Loop(
        system=(("Choose who answers.", 350),), tools=(), steps=(), answer=8, question=("Move my meetings.", 90)
    ),
    "worker": Loop(),
    "worker/finalize": Loop(system=(("Turn the answer into JSON.", 210),), tools=(), steps=(), answer=120),
}
RATIOS: Mapping[str, float] = {"tools": 0.93, "tool_results": 1.04, "images": 1.0, "files": 1.0}
"""The provider's tokens per local token, by part: what makes the scale of a call move with its mix."""

Raw = tuple[PartName, str, int, str]


def _raw(part: PartName, name: str, text: str, tokens: int) -> Raw:
    return part, name, tokens, hashlib.blake2b(f"{part}{name}{text}{tokens}".encode(), digest_size=6).hexdigest()


def _opening(loop: Loop, turn: int) -> list[Raw]:
    clock = [_raw("system", "", f"It is 10:0{turn}.", loop.clock)] if loop.clock else []
    offered = loop.tools if loop.tools_in_first is None or turn < loop.tools_in_first else ()
    tools = [
        _raw("tools", name, loop.versions.get(name, "") + (str(turn) if name == loop.clock_in_tool else ""), size)
        for name, size in offered
    ]
    system = [_raw("system", "", loop.versions.get("system", "") + text, size) for text, size in loop.system]
    shots = [_raw("assistant", "", f"example {number}", size) for number, size in enumerate(loop.examples)]
    question = _raw("user", "", *loop.question)
    images = [_raw("images", "", f"image {number}", size) for number, size in enumerate(loop.images)]
    files = [_raw("files", "", f"file {number}", size) for number, size in enumerate(loop.files)]
    return [*clock, *tools, *system, *shots, *files, *images, question]


def _history(loop: Loop, turn: int) -> list[Raw]:
    turns = []
    for number, step in enumerate(loop.steps[:turn]):
        said = _raw("assistant", "", f"turn {number}", step.says + loop.echo_reasoning)
        results = [
            _raw("tool_results", tool, f"turn {number} {i}", size) for i, (tool, size) in enumerate(step.results)
        ]
        turns.append([said, *results])
    kept = turns if loop.keep_last is None else turns[len(turns) - min(len(turns), loop.keep_last) :]
    return [raw for each in kept for raw in each] * loop.copies_of_history


def _framed(raws: list[Raw]) -> list[Raw]:
    """With the tokens around every message, which are alike everywhere, and those that open the answer."""
    around = _raw("framing", "", "around a message", 4)
    return [*(each for raw in raws for each in (around, raw)), _raw("framing", "", "answer", 3)]


def _composed(raws: list[Raw], ratio: float) -> Composition:
    """Pieces scaled to what the provider counts, by largest remainder, as a composition is made."""
    counted = sum(tokens for _, _, tokens, _ in raws)
    total = round(sum(tokens * RATIOS.get(part, 1.02) for part, _, tokens, _ in raws) * ratio)
    floors = [tokens * total // counted for _, _, tokens, _ in raws]
    order = sorted(range(len(raws)), key=lambda i: (-(raws[i][2] * total % counted), i))
    for index in order[: total - sum(floors)]:
        floors[index] += 1
    pieces = tuple(Piece(p, name, size, digest) for (p, name, _, digest), size in zip(raws, floors, strict=True))
    return Composition(pieces, total, counted, "o200k_base")


def _calls(stage: str, loop: Loop) -> list[Call]:
    calls = [Call(stage=stage, provider="openai", api="openai.chat", error="http 429")] * loop.failed
    for turn in range(len(loop.steps) + 1):
        history = _history(loop, turn)
        composition = _composed(_framed([*_opening(loop, turn), *history]), loop.ratio)
        written = (loop.steps[turn].says if turn < len(loop.steps) else loop.answer) + (loop.reasoning or 0)
        usage = Usage(composition.input_tokens, written, reasoning_tokens=loop.reasoning)
        calls.append(
            Call(
                stage=stage,
                provider="openai",
                api="openai.chat",
                model=loop.model,
                usage=usage,
                composition=composition,
            )
        )
    return calls


def run(agent: Agent) -> dict[str, StageComposition]:
    """The compositions of one run by stage path, as a sample holds them."""
    return {stage: stage_composition(_calls(stage, loop)) for stage, loop in agent.items()}


@pytest.fixture
def agent() -> Agent:
    """The agent before any change."""
    return dict(AGENT)


@pytest.fixture
def simulate() -> Callable[[Agent], dict[str, StageComposition]]:
    """Runs an agent and returns its compositions by stage path."""
    return run


@pytest.fixture
def new_loop() -> type[Loop]:
    """The class of a stage."""
    return Loop


@pytest.fixture
def new_step() -> type[Step]:
    """The class of a turn."""
    return Step
