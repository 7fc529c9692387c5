"""From a model to its encoding, and from an encoding's name to a function that counts texts. Nothing here reaches the network unasked."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_tokenbudget.errors import TokenizerError
from pytest_tokenbudget.tokens.counts import CountTexts, bare_model

BUNDLED = frozenset({"cl100k_base", "o200k_base", "o200k_harmony"})
"""Encodings that toktok-rs has compiled in."""

_ASKED = "tiktoken:"
"""Prefix of a configured encoding that tiktoken may download."""

_FILES = {
    "cl100k_base": ("cl100k_base", "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"),
    "o200k_base": ("o200k_base", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
    "o200k_harmony": ("o200k_base", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
    "p50k_base": ("p50k_base", "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069"),
    "p50k_edit": ("p50k_base", "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069"),
    "r50k_base": ("r50k_base", "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"),
}
"""tiktoken's file of an encoding and its SHA-256 (``tiktoken_ext/openai_public.py``, tiktoken 0.14)."""

ENCODINGS = tuple(sorted(_FILES))
"""The encodings of OpenAI's models."""

_URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


BYTES = "bytes/4"
"""The stand-in of last resort: a token for four bytes of UTF-8."""


def available(name: str) -> bool:
    """Tell whether an encoding of OpenAI's can be loaded without a download."""
    return name == BYTES or (name in BUNDLED and find_spec("toktok") is not None) or (name in _FILES and cached(name))


def stand_in() -> str:
    """The encoding that counts where a model's own is not available."""
    return "o200k_base" if available("o200k_base") else BYTES


def load(name: str, *, configured: bool = False) -> CountTexts:
    """Load a vocabulary.

    Args:
        name: An encoding's name for which :func:`available` holds; where configured also the path of a
            ``tokenizer.json``, its folder, a package that holds one, or ``tiktoken:NAME`` to let tiktoken download.
        configured: Whether the name is the project's own wish.

    Raises:
        TokenizerError: If it cannot be loaded.
    """
    if name == BYTES:
        return lambda texts: [-(-len(_clean(text).encode()) // 4) for text in texts]
    if name in BUNDLED and find_spec("toktok") is not None:
        return _toktok(name)
    if name.startswith(_ASKED):
        return _tiktoken(name.removeprefix(_ASKED), asked=True)
    if name in _FILES and cached(name):
        return _tiktoken(name, asked=False)
    if name in _FILES:
        raise TokenizerError(
            f"The encoding {name!r} is not on this machine, and tiktoken would download it",
            remedy=f"write 'tiktoken:{name}' to allow the download, or set TIKTOKEN_CACHE_DIR to a folder that has it",
        )
    return _tokenizers(name)


def fingerprint(name: str) -> str:
    """Give the key of an encoding's counts across sessions: a file's name and state, else the name."""
    if name in _FILES or name.startswith(_ASKED):
        return name
    path = tokenizer_file(name)
    if path is None:
        return name
    state = path.stat()
    return f"{name}@{state.st_size}-{state.st_mtime_ns}"


def cached(name: str) -> bool:
    """Tell whether tiktoken has an encoding's file on this machine, whole, so that it will not download it."""
    stem, sha256 = _FILES[name]
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    if folder is None:
        folder = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    if not folder:
        return False
    path = Path(folder) / hashlib.sha1(_URL.format(stem).encode(), usedforsecurity=False).hexdigest()
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def tokenizer_file(source: str) -> Path | None:
    """The ``tokenizer.json`` behind a path, a folder or a package's name; the package is not imported."""
    path = Path(source).expanduser()
    for candidate in (path, path / "tokenizer.json"):
        if candidate.is_file():
            return candidate
    try:
        spec = find_spec(source) if source.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        found = sorted(Path(folder).rglob("tokenizer.json"))
        if found:
            return found[0]
    return None


def _toktok(name: str) -> CountTexts:
    import toktok

    def count(texts: Sequence[str]) -> list[int]:
        try:
            return list(toktok.batch_count(texts, name, 1))
        except UnicodeEncodeError:
            return list(toktok.batch_count([_clean(text) for text in texts], name, 1))

    return count


def _tiktoken(name: str, *, asked: bool) -> CountTexts:
    try:
        import tiktoken

        encoding = tiktoken.get_encoding(name)
    except Exception as error:  # tiktoken raises what its downloader raises
        raise TokenizerError(
            f"The encoding {name!r} cannot be loaded: {error}",
            remedy=f"set TIKTOKEN_CACHE_DIR to a folder that has its file, or remove 'tiktoken:{name}'"
            if asked
            else f"remove the damaged file of {name!r} from tiktoken's cache",
        ) from error
    return lambda texts: [len(ids) for ids in (encoding.encode_ordinary(_clean(text)) for text in texts)]


def _tokenizers(source: str) -> CountTexts:
    path = tokenizer_file(source)
    if path is None:
        raise TokenizerError(
            f"tokenbudget_encodings names {source!r}, which is no file, no folder with a tokenizer.json and no package "
            "that holds one",
            remedy="give the path of the model's tokenizer.json, relative to the rootdir",
        )
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise TokenizerError(
            f"tokenbudget_encodings names {source!r}, but the package tokenizers is not installed",
            remedy="pip install 'pytest-tokenbudget[tokenizers]'",
        ) from error
    try:
        tokenizer: Any = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise TokenizerError(
            f"{path} is no tokenizer.json that can be read: {error}", remedy="download the model's tokenizer.json again"
        ) from error
    tokenizer.encode_special_tokens = True

    def count(texts: Sequence[str]) -> list[int]:
        found = tokenizer.encode_batch([_clean(text) for text in texts], add_special_tokens=False)
        return [len(encoded.ids) for encoded in found]

    return count


def _clean(text: str) -> str:
    """A text without lone surrogates, which no encoding can take."""
    return text.encode("utf-8", "replace").decode("utf-8")


FALLBACK = "o200k_base"
"""The encoding in which texts of models without a public vocabulary are counted; their profiles know the ratio to it."""

_OPENAI: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"gpt-oss", "o200k_harmony"),
        (r"gpt-3\.5|gpt-35|gpt-4$|gpt-4-|gpt-4:|ft:gpt-4$|ft:gpt-4-|ft:gpt-3\.5", "cl100k_base"),
        (r"text-embedding-|davinci-002|babbage-002|ft:davinci-002|ft:babbage-002", "cl100k_base"),
        (r"gpt-|chatgpt-|ft:gpt-|o[1-9](?:$|-)|codex-|computer-use|omni-", "o200k_base"),
        (r"text-davinci-00[23]|text-davinci-edit|code-(?:davinci|cushman)|(?:davinci|cushman)-codex", "p50k_base"),
        (r"(?:text-)?(?:davinci|curie|babbage|ada)(?:-001)?$", "r50k_base"),
    )
)
"""Patterns of OpenAI's models. ``tiktoken.model`` (tiktoken 0.14, read 2026-11-24) names the models that it knows; these
are the same and hold for the names that came later. The legacy ``text-embedding-ada-002`` is cl100k_base too.
"""


@dataclass(frozen=True, slots=True)
class EncodingChoice:
    """The encoding of a model.

    Attributes:
        name: ``o200k_base``, or the configured path, package or encoding.
        exact: Whether it is the model's own.
        configured: Whether the project's configuration names it.
    """

    name: str
    exact: bool
    configured: bool = False


def encoding_of(model: str, configured: Sequence[tuple[str, str]] = ()) -> EncodingChoice:
    """The encoding of a model.

    Args:
        model: The model's name, with or without vendor or region.
        configured: Pattern of model names (``*`` and ``?``, any case) and what counts them, the first match wins.

    Returns:
        The configured one, else OpenAI's, else ``o200k_base`` as a stand-in.
    """
    whole, name = model.lower(), bare_model(model)
    for pattern, source in configured:
        wanted = pattern.lower()
        if fnmatchcase(whole, wanted) or fnmatchcase(name, wanted):
            return EncodingChoice(source, exact=True, configured=True)
    for compiled, encoding in _OPENAI:
        if compiled.match(name):
            return EncodingChoice(encoding, exact=True)
    return EncodingChoice(FALLBACK, exact=False)
