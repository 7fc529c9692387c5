"""Refuses a cassette that still holds something secret: it is read back, decoded, and looked through."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from pytest_tokenbudget.errors import CassetteError
from pytest_tokenbudget.providers.response import response_of
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.replay.interaction import Interaction
from pytest_tokenbudget.replay.redaction import Redactor, documents, dump, nested_json, readable_lines, stream_pieces
from pytest_tokenbudget.replay.secrets import find_secret


class LeakCheck:
    """Looks through the interactions of a cassette that was read back.

    Args:
        redactor: Holds the project's patterns; none of them may match any more.
        allowed: Kinds and names of findings that are no secrets.
    """

    def __init__(self, redactor: Redactor, allowed: frozenset[str] = frozenset()) -> None:
        self._redactor = redactor
        self._syntax = Redactor(tuple(one for one in redactor.patterns if '"' in one.pattern))
        self._allowed = allowed
        self._seen: set[int] = set()

    def refuse(self, interactions: Sequence[Interaction]) -> None:
        """Look through all interactions; a message that many requests share is looked at once.

        Raises:
            CassetteError: If a pattern still matches, or something looks like a secret; it says in which call.
        """
        for number, one in enumerate(interactions, start=1):
            names = (one.stage, one.provider, one.model, one.api, one.method, *one.tool_calls)
            self._check(f"the names of call {number}", "\n".join(names))
            self._check(f"the URL of call {number}", one.url)
            self._check(f"the headers of call {number}", "\n".join(f"{name}: {text}" for name, text in one.headers))
            self._check_request(f"the request of call {number}", one)
            self._check_answer(f"the answer of call {number}", one)

    def _check_request(self, where: str, one: Interaction) -> None:
        for key, value in (one.body or {}).items():
            self._check(where, key)
            for part in value if isinstance(value, list) else (value,):
                # Contents are stored once and shared, so what was looked at has the same identity.
                if isinstance(part, dict | list):
                    if id(part) in self._seen:
                        continue
                    self._seen.add(id(part))
                self._check(where, "\n".join(readable_lines(part, key)), raw=part)

    def _check_answer(self, where: str, one: Interaction) -> None:
        body = b"".join(one.chunks)
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            text = body.decode("utf-8", "replace")
            values: list[object] = list(_binary_documents(one))
            gaps = text
        else:
            spans = documents(text)
            values = [value for _, _, value in spans]
            ends = [0, *(end for _, end, _ in spans)]
            gaps = "\n".join(
                text[end:start] for end, start in zip(ends, [*(s for s, _, _ in spans), None], strict=True)
            )
        self._check(where, gaps, raw=text)
        for value in values:
            self._check(where, "\n".join(readable_lines(value)))
        self._check(where, "\n".join(_joined(values)))

    def _check(self, where: str, text: str, *, raw: object = None) -> None:
        pattern = self._redactor.match(text) or (
            self._syntax.match(raw if isinstance(raw, str) else dump(raw))
            if self._syntax.patterns and raw is not None
            else None
        )
        if pattern is not None:
            raise CassetteError(
                f"the cassette is not written: {where} still holds what {pattern!r} of tokenbudget_redact matches",
                remedy="make the pattern match within one text, or keep it out of what the model is told and says",
            )
        secret = find_secret(text, self._allowed)
        if secret is not None:
            raise CassetteError(
                f"the cassette is not written: {where} holds what looks like a key ({secret.kind}, {secret.shown})",
                remedy="keep it out of prompts and answers, add a pattern to tokenbudget_redact that matches it, or, if it"
                f" is none, tokenbudget_allow_secret = {secret.name}",
            )


def _binary_documents(one: Interaction) -> Iterator[object]:
    """Read the documents of a binary event stream; those of Bedrock hold others in base64."""
    response = response_of(Exchange("", one.method, one.url, response_headers=one.headers, chunks=one.chunks))
    for found in (response, response.inner):
        for document in found.documents if found is not None else ():
            yield document
            for holder in (document, *document.values()):
                inner = _nested_base64(holder.get("bytes") if isinstance(holder, dict) else None)
                if inner is not None:
                    yield inner


def _nested_base64(value: object) -> object:
    if not isinstance(value, str):
        return None
    try:
        return nested_json(base64.b64decode(value).decode("utf-8", "replace"))
    except ValueError:
        return None


def _joined(values: Sequence[object]) -> Iterator[str]:
    """Give the texts that a stream says piece by piece."""
    for path, pieces in stream_pieces(values).items():
        if len(pieces) > 1:
            text = "".join(piece.text for piece in pieces)
            yield f"{path[-1] if path else ''}: {text}"
            nested = nested_json(text)
            if nested is not None:
                yield from readable_lines(nested)
