"""Reads scripts from files: YAML, or JSON where YAML is not installed.

pace: {ttft: 0.4, tokens_per_second: 60}
replies:
  - Hello.                                     # text
  - {text: Booked., usage: [1200, 40]}
  - {tool: calendar_read, arguments: {day: 2026-03-17}}
  - {tools: [{name: weather, arguments: {city: Rome}}, {name: weather, arguments: {city: Oslo}}]}
  - {error: 429, retry_after: 2}
  - {timeout: 30}
  - {text: Half of it is lost, cut_after: 3}
stages:
  worker: [...]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_tokenbudget.errors import ScriptError
from pytest_tokenbudget.records.reply import Called, Reply, dump, usage_of
from pytest_tokenbudget.replay.replies import error, timeout


@dataclass(frozen=True, slots=True)
class Script:
    """A script that was read.

    Attributes:
        replies: Answers by stage; those for any stage stand under ``""``.
        pace: What it says of its pace, see :meth:`.script.ScriptedModel.pace`.
    """

    replies: Mapping[str, tuple[Reply, ...]]
    pace: Mapping[str, float | None]


def load_document(path: Path, purpose: str) -> object:
    """Read the content of a YAML or JSON file: whatever it holds, either values that JSON has, or one clear error.

    Args:
        path: The file; ``.json`` is read as JSON, anything else as YAML.
        purpose: What it is, for messages: ``"script"``.

    Raises:
        ScriptError: If it cannot be read, or YAML is not installed.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise ScriptError(f"{purpose} {path} cannot be read: {problem}", remedy="check its path and encoding") from None
    kind = "JSON" if path.suffix == ".json" else "YAML"
    load: Callable[[str], object] = json.loads if kind == "JSON" else _yaml_loader(path, purpose)
    try:
        return _as_json(load(content), [_MOST_VALUES])
    except Exception as problem:
        # PyYAML's constructors raise whatever int(), date() and others raise on a tag with a malformed value.
        said = " ".join(str(problem).split())[:300] or type(problem).__name__
        raise ScriptError(f"{purpose} {path} is no {kind} that can be used: {said}", remedy="fix that line") from None


def _yaml_loader(path: Path, purpose: str) -> Callable[[str], object]:
    try:
        import yaml
    except ImportError:
        raise ScriptError(
            f"{purpose} {path} is YAML, which needs PyYAML",
            remedy="pip install 'pytest-tokenbudget[yaml]', or write it as .json",
        ) from None
    # BaseLoader would keep numbers as strings; SafeLoader turns dates into dates, which JSON arguments cannot hold.
    return yaml.safe_load


_MOST_VALUES = 1_000_000
"""Values of one file: YAML can name a list of lists a few times and so hold more than memory."""

_LARGEST_NUMBER = 10**15


def _as_json(value: object, remaining: list[int]) -> object:
    remaining[0] -= 1
    if remaining[0] < 0:
        raise ValueError(f"it holds more than {_MOST_VALUES:,} values")
    if isinstance(value, dict):
        return {str(key): _as_json(one, remaining) for key, one in value.items()}
    if isinstance(value, list):
        return [_as_json(one, remaining) for one in value]
    isoformat = getattr(value, "isoformat", None)
    if isoformat is not None:
        return isoformat()
    if isinstance(value, int | float) and not -_LARGEST_NUMBER < value < _LARGEST_NUMBER:
        raise ValueError("a number is too large, or none")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"a {type(value).__name__} is nothing that JSON has")


def read_script(path: Path) -> Script:
    """Read a script.

    Raises:
        ScriptError: If the file cannot be read; the message names the reply.
    """
    document = load_document(path, "script")
    if isinstance(document, list):
        document = {"replies": document}
    if not isinstance(document, dict):
        raise ScriptError(f"script {path} holds no mapping and no list", remedy="begin with 'replies:'")
    unknown = set(document) - {"pace", "replies", "stages"}
    if unknown:
        raise _wrong(path, ", ".join(sorted(unknown)), "unknown key")
    stages = document.get("stages") or {}
    if not isinstance(stages, dict):
        raise _wrong(path, "stages", "no mapping of stages to replies")
    lists: dict[str, Any] = {"": document.get("replies") or [], **stages}
    replies = {
        stage: tuple(
            _reply(path, f"{stage or 'replies'}[{number}]", one) for number, one in enumerate(_list(path, stage, those))
        )
        for stage, those in lists.items()
    }
    pace = document.get("pace") or {}
    if not isinstance(pace, dict) or set(pace) - set(_PACE):
        raise _wrong(path, "pace", "not of the form {ttft: 0.4, tokens_per_second: 60, input_tokens_per_second: 4000}")
    return Script(replies, {name: _number(path, "pace", pace.get(name)) for name in _PACE})


def _list(path: Path, stage: str, those: object) -> list[object]:
    if not isinstance(those, list):
        raise _wrong(path, stage or "replies", "no list of replies")
    return those


def _wrong(path: Path, where: str, what: str) -> ScriptError:
    return ScriptError(f"script {path}, {where[:200]}: {what[:300]}", remedy="see 'Scripts as files' in docs/replay.md")


_PACE = ("ttft", "tokens_per_second", "input_tokens_per_second")

_KEYS = {
    *("text", "tool", "arguments", "tools", "reasoning", "usage", "finish", "model"),
    *("ttft", "tokens_per_second", "duration", "cut_after", "error", "message", "retry_after", "timeout"),
}


def _reply(path: Path, where: str, given: object) -> Reply:
    if isinstance(given, str):
        return Reply(text=given)
    if not isinstance(given, dict):
        raise _wrong(path, where, f"{_shown(given)} is no reply")
    unknown = set(given) - _KEYS
    if unknown:
        raise _wrong(path, where, f"unknown key {', '.join(sorted(unknown))}")
    times = {name: _number(path, where, given.get(name)) for name in ("ttft", "tokens_per_second", "duration")}
    if "error" in given:
        status = given["error"]
        if type(status) is not int or not 400 <= status < 600:
            raise _wrong(
                path,
                where,
                f"error {_shown(status)} is no HTTP status of an error: no HTTP error is below 400 or above 599",
            )
        failed = error(
            status, str(given.get("message") or ""), retry_after=_number(path, where, given.get("retry_after"))
        )
        return failed.taking(**times)
    if "timeout" in given:
        return timeout(_number(path, where, given["timeout"]) or 0.0)
    said = given.get("text", "")
    try:
        usage = usage_of(given.get("usage"))
    except ScriptError as problem:
        raise _wrong(path, where, problem.message) from None
    reply = Reply(
        text=said if isinstance(said, str) else dump(said),
        calls=_calls(path, where, given),
        reasoning=str(given.get("reasoning") or ""),
        usage=usage,
        model=str(given.get("model") or ""),
        finish=str(given.get("finish") or ""),
    )
    cut_after = given.get("cut_after")
    if cut_after is not None and (type(cut_after) is not int or cut_after < 0):
        raise _wrong(path, where, f"cut_after {_shown(cut_after)} is no whole number")
    return replace(reply, cut_after=cut_after).taking(**times)


def _calls(path: Path, where: str, given: Mapping[str, Any]) -> tuple[Called, ...]:
    listed = given.get("tools") or []
    if "tool" in given:
        listed = [{"name": given["tool"], "arguments": given.get("arguments")}]
    if not isinstance(listed, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in listed
    ):
        raise _wrong(path, where, "tools is no list of {name: ..., arguments: {...}}")
    wrong = [one["name"] for one in listed if not isinstance(one.get("arguments") or {}, dict)]
    if wrong:
        raise _wrong(path, where, f"arguments of {wrong[0]} are no mapping")
    return tuple(Called(one["name"], one.get("arguments") or {}) for one in listed)


def _number(path: Path, where: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise _wrong(path, where, f"{_shown(value)} is no number of 0 or more")
    return float(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
