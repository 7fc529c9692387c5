"""Stages by configuration, with no change to the agent: the ini option ``tokenbudget_stages``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from pytest_tokenbudget.capture.stages import check_name
from pytest_tokenbudget.errors import SettingsError, TokenBudgetError

RuleKind = Literal["function", "model", "url", "system"]
KINDS: tuple[RuleKind, ...] = ("function", "model", "url", "system")


@dataclass(frozen=True, slots=True)
class StageRule:
    """One line of ``tokenbudget_stages``.

    Attributes:
        stage: The stage's path.
        kind: What the pattern is held against.
        pattern: The dotted name of a function, or an ``fnmatch`` pattern.
    """

    stage: str
    kind: RuleKind
    pattern: str


def parse_stage_rules(lines: Sequence[str]) -> tuple[StageRule, ...]:
    """Parse the lines of the option.

    Args:
        lines: Such as ``worker = function:app.agents.Worker.run``; empty ones and comments (``#``) are passed over.

    Raises:
        SettingsError: If a line cannot be understood; it names the line.
    """
    return tuple(_parse(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _parse(line: str) -> StageRule:
    stage, equals, rule = (part.strip() for part in line.partition("="))
    kind, colon, pattern = (part.strip() for part in rule.partition(":"))
    remedy = "worker = function:app.agents.Worker.run (or model:, url:, system: and a pattern)"
    if not equals or not colon or not pattern or kind not in KINDS:
        raise SettingsError(f"tokenbudget_stages: {line!r} cannot be understood", remedy=remedy)
    try:
        check_name(stage)
    except TokenBudgetError as error:
        raise SettingsError(f"tokenbudget_stages: {line!r}: {error.message}", remedy=remedy) from None
    if kind == "function" and not all(part.isidentifier() for part in pattern.split(".")):
        raise SettingsError(f"tokenbudget_stages: {line!r}: {pattern!r} is no dotted name", remedy=remedy)
    if kind == "function" and "." not in pattern:
        raise SettingsError(f"tokenbudget_stages: {line!r}: {pattern!r} names no module", remedy=remedy)
    return StageRule(stage, kind, pattern)


def resolve_stage(
    rules: Sequence[StageRule], *, code_stage: str, url: str, model: str, system_text: str
) -> str | None:
    """The stage of a call.

    Args:
        rules: The rules; the first that matches wins.
        code_stage: The stage that code has opened (``function:`` rules too), ``""`` for none.
        url: The whole URL.
        model: Name of the model.
        system_text: The system prompt.

    Returns:
        Its path, ``None`` where nothing says one.
    """
    if code_stage:
        return code_stage
    held = {"model": model, "url": url, "system": system_text}
    for rule in rules:
        if rule.kind != "function" and fnmatchcase(held[rule.kind], rule.pattern):
            return rule.stage
    return None
