"""Tells a secret, which is made by chance, from what stands in its place in examples: words and fillers."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise

PLACEHOLDERS = frozenset(
    re.findall(
        r"\w+",
        "bar change changeme dummy enter example fake foo here hidden insert my none null obtained passwd password"
        " placeholder redacted replace sample secret test todo xxx your",
    )
)
"""Words that say that a value is none."""

_ANYWHERE_IN_IT = ("example", "placeholder", "redacted", "changeme", "yourkey", "your_", "...")
_SHORT_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and api app at aws by db dev for from gcp get go id in is it key llm log my new no not of old on one or our"
        " own pre prod put qa run set sk sql ssh the to two url use user via web with",
    )
)
_COMMON_PAIRS = frozenset(
    re.findall(
        "..",
        "thheineranrendatonnthaesstenedtoitoueahiisortiasteetngofaldeselesasiarveraldurrorioicmelicocemaneomelfolllutawhcl"
        "ilamirutecchospeotrurspnoetrtratplivmodiusnsiecaigunssacrdpruewevillesgemibeabsucpodleiftcttefivoabaccgeakeygapkiow"
        "nspaedlynanickimbinsnftwtyodgobllddlictrugialvispyrdofpcexksaymscypiccbuneoragaicstiodirfipahouietpafailoopxpagr",
    )
)
"""Pairs of letters that are common in English words, and rare where letters are chosen by chance."""

_SEGMENT = re.compile(r"[A-Z]?[a-z]{1,40}|[A-Z]{1,40}(?![a-z])|[0-9]{1,40}")
_REPEATED = re.compile(r"(.)\1{6}")
"""One character seven times in a row: one of a thousand million keys has it by chance."""

_LEAST_SHARE_OF_WORDS = 0.6
_LEAST_ENTROPY_BITS = 3.0
"""Shannon entropy of a value's characters, bits a character: 32 hexadecimal digits have about 3.6, words about 2.8."""


def is_filler(value: str) -> bool:
    """Tell whether a value is filled with one character or dots, or says that it is an example.

    Sequences such as ``abcdefgh`` are no filler: who makes a key by hand for a test wants it to be taken for one.
    """
    lower = value.lower()
    return (
        any(word in lower for word in _ANYWHERE_IN_IT)
        or len(set(value)) < min(6, len(value))
        or _REPEATED.search(lower) is not None
    )


def is_placeholder(value: str) -> bool:
    """Tell whether a value is a filler, or made of words."""
    if is_filler(value):
        return True
    in_words, letters, says_so = 0, 0, False
    for segment in _SEGMENT.findall(value):
        if segment.isdigit():
            letters += len(segment) if len(segment) > 4 else 0  # a year or a version is part of a name
            continue
        word = segment.lower()
        letters += len(word)
        in_words += len(word) if _is_word(word) else 0
        says_so = says_so or word in PLACEHOLDERS
    share = in_words / letters if letters else 1.0
    return share >= (_LEAST_SHARE_OF_WORDS / 2 if says_so else _LEAST_SHARE_OF_WORDS)


def is_random(value: str) -> bool:
    """Tell whether a value is made by chance: of many different characters, and not of words."""
    is_hex = re.fullmatch("[0-9a-f]{32,}", value) is not None
    is_mixed = any(map(str.isdigit, value)) or value not in (value.lower(), value.upper())
    if not is_mixed or (is_filler(value) if is_hex else is_placeholder(value)):
        return False
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts) >= _LEAST_ENTROPY_BITS


def _is_word(word: str) -> bool:
    if len(word) < 4 or word in PLACEHOLDERS:
        return word in _SHORT_WORDS or word in PLACEHOLDERS
    pairs = [one + other for one, other in pairwise(word)]
    return sum(pair in _COMMON_PAIRS for pair in pairs) >= 0.6 * len(pairs)
