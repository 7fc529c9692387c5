"""Gives the texts of prompts as a cassette may hold them, so that what changed in them can be shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_tokenbudget.measure.reading import Reader
from pytest_tokenbudget.providers.classify import classify
from pytest_tokenbudget.providers.http_message import request_of
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.prompt import Message, Prompt, PromptText, Text
from pytest_tokenbudget.replay.interaction import Interaction, exchange_of
from pytest_tokenbudget.replay.redaction import Redactor, compile_patterns, readable_lines
from pytest_tokenbudget.replay.secrets import allowed_secrets, find_secret
from pytest_tokenbudget.settings import Settings

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class TextRules:
    """The texts that a project keeps out of its cassettes.

    Attributes:
        patterns: What they match is replaced (``tokenbudget_redact``).
        allowed: Kinds and names of findings that are no secrets (``tokenbudget_allow_secret``).
    """

    patterns: tuple[re.Pattern[str], ...] = ()
    allowed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> TextRules:
        """Read the rules from the settings.

        Raises:
            SettingsError: If one cannot be understood.
        """
        return cls(compile_patterns(settings.redact), allowed_secrets(settings.allow_secret))


def texts_of_calls(calls: Iterable[Call], rules: TextRules) -> tuple[PromptText, ...]:
    """Give the texts of calls that still hold their prompts."""
    return _texts(((call.stage, call.prompt) for call in calls if call.prompt is not None), rules)


def texts_of_cassette(interactions: Sequence[Interaction], reader: Reader, rules: TextRules) -> tuple[PromptText, ...]:
    """Give the texts of recorded requests, by the stages that their calls have."""
    asked: list[tuple[str, Prompt]] = []
    for number, one in enumerate(sorted(interactions, key=lambda each: each.started)):
        exchange = exchange_of(one, number)
        call = reader.read(exchange, origin=0.0, compose=False)
        if isinstance(call, Call) and call.succeeded:
            prompt = classify(request_of(exchange), reader.formats).prompt()
            asked += [] if prompt is None else [(call.stage, prompt)]
    return _texts(asked, rules)


def _texts(asked: Iterable[tuple[str, Prompt]], rules: TextRules) -> tuple[PromptText, ...]:
    """Collect the different texts; those of a part that holds what looks like a key are not given: no cassette may hold them."""
    redactor = Redactor(rules.patterns)
    found: dict[_Key, dict[str, None]] = {}
    hidden: set[_Key] = set()

    def note(key: _Key, value: object) -> None:
        redacted = redactor.value(value)
        text = redacted if isinstance(redacted, str) else json.dumps(redacted, indent=2, ensure_ascii=False)
        known = found.setdefault(key, {})
        if text not in known:
            known[text] = None
            if find_secret("\n".join((text, *readable_lines(redacted))), rules.allowed) is not None:
                hidden.add(key)

    for stage, prompt in asked:
        if system := "\n".join(_said(message) for message in prompt.messages if message.role == "system"):
            note((stage, "system", ""), system)
        for tool in prompt.tools:
            note((stage, "tools", redactor.text(tool.name)), tool.definition)
    return tuple(
        PromptText(
            stage,
            "system" if part == "system" else "tools",
            name,
            () if (stage, part, name) in hidden else tuple(texts),
        )
        for (stage, part, name), texts in found.items()
    )


def _said(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, Text))
