"""Stages by configuration, with no change to the agent: the ini option ``tokenbudget_stages``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

from pytest_tokenbudget.capture.stage import checked_path
from pytest_tokenbudget.errors import SettingsError, TokenBudgetError

RuleKind = Literal["function", "model", "url", "system"]
KINDS: tuple[RuleKind, ...] = get_args(RuleKind)

_EXAMPLES = {
    "function": "worker = function:app.agents.Worker.run",
    "model": "router = model:deepseek-router*",
    "url": "judge = url:*/v1/messages",
    "system": "finalize = system:*Turn the answer into JSON*",
}


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

    Returns:
        The rules in their order: the first that fits wins.

    Raises:
        SettingsError: If a line cannot be understood; it names the line and shows one that can.
    """
    return tuple([_parse(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#")])


def _parse(line: str) -> StageRule:
    path, equals, rule = (part.strip() for part in line.partition("="))
    kind, colon, pattern = (part.strip() for part in rule.partition(":"))
    if not equals or not colon:
        raise _error(line, "it is not of the form STAGE = KIND:PATTERN", "function")
    known = next((known for known in KINDS if known == kind), None)
    if known is None:
        raise _error(line, f"{kind!r} is not one of {', '.join(KINDS)}", _nearest(kind))
    if not pattern:
        raise _error(line, f"nothing stands behind {known}:", known)
    try:
        checked_path(path)
    except TokenBudgetError as error:
        raise _error(line, error.message, known) from None
    if known == "function" and not ("." in pattern and all(part.isidentifier() for part in pattern.split("."))):
        raise _error(line, f"{pattern!r} is not a dotted name of a module and a function in it", known)
    return StageRule(path, known, pattern)


def _nearest(kind: str) -> RuleKind:
    from difflib import get_close_matches

    near = get_close_matches(kind, KINDS, n=1, cutoff=0.4)
    return next((known for known in KINDS if near and known == near[0]), "function")


def _error(line: str, problem: str, kind: RuleKind) -> SettingsError:
    return SettingsError(
        f"tokenbudget_stages: the line {line!r} cannot be understood: {problem}",
        remedy=f"write it like this: {_EXAMPLES[kind]}",
    )


def resolve_stage(rules: Sequence[StageRule], *, code_stage: str, url: str, model: str, system_text: str) -> str | None:
    """The stage of a call.

    Args:
        rules: The rules; the first that matches wins. Upper and lower case matter.
        code_stage: The stage that code has opened (``function:`` rules open theirs), ``""`` for none.
        url: The whole URL.
        model: Name of the model.
        system_text: The system prompt.

    Returns:
        Its path, ``None`` where nothing says one.
    """
    if code_stage:
        return code_stage
    asked = {"model": model, "url": url, "system": system_text}
    for rule in rules:
        if rule.kind != "function" and fnmatchcase(asked[rule.kind], rule.pattern):
            return rule.stage
    return None
