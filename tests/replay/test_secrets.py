"""What looks like a secret, and what does not although it looks odd."""

from __future__ import annotations

import json
import time

import pytest
from secret_shapes import NEAR_MISSES, SECRETS, made

from pytest_tokenbudget.errors import SettingsError
from pytest_tokenbudget.replay.secrets import allowed_secrets, find_secret


def test_the_tables_are_large_enough():
    """Sixty of each at least."""
    assert min(len(SECRETS), len(NEAR_MISSES)) >= 60


WHERE = {
    "plain": lambda text: text,
    "behind blanks": lambda text: f"use it:\t{text}\r\nand go on",
    "in JSON": lambda text: json.dumps({"text": f"\u00a0{text} "}),
    "in JSON within JSON": lambda text: json.dumps({"arguments": json.dumps({"value": f"\n{text}"})}),
    "in a URL": lambda text: "see%20" + text.replace(" ", "%20"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_are_found(kind):
    """All kinds, wherever they stand and however they are escaped."""
    for where, hidden in WHERE.items():
        assert find_secret(hidden(SECRETS[kind])), where


@pytest.mark.parametrize("what", NEAR_MISSES)
def test_harmless_texts_are_not_taken_for_secrets(what):
    """Placeholders, ids, digests, images, names and prose."""
    assert find_secret(NEAR_MISSES[what]) is None


def test_a_finding_is_named_without_being_told():
    """The name has a fingerprint; the kind or the one finding can be allowed, and an unknown kind is an error."""
    text = "Authorization: Bearer " + made(40)
    found = find_secret(text)
    assert found is not None
    assert found.value not in found.name + found.shown
    assert find_secret(text, allowed_secrets([found.name])) is None
    assert find_secret(text, allowed_secrets(["bearer-token"])) is None
    assert find_secret(SECRETS["bearer"], allowed_secrets([found.name])) is not None
    with pytest.raises(SettingsError, match="no kind of secret; they are: age-key"):
        allowed_secrets(["bearer"])


@pytest.mark.parametrize(
    "text",
    ["api-key-", "key: ", "sk-", "eyJaaaaaaaaaaa.", "password: Please-enter-1! ", "a://b:c@", "8Q~", "\\u00a0", "%20"],
)
def test_the_time_grows_with_the_length(text):
    """A text that was made to be slow takes about four times as long at four times the length."""

    def seconds(count):
        began = time.process_time()
        assert find_secret(text * count) is None
        return time.process_time() - began

    seconds(1000)
    short = min(seconds(40_000) for _ in range(3))
    assert seconds(160_000) < 8 * short + 0.05
