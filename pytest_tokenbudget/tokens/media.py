"""Fragments of what is no text: images and files, whose tokens are estimates unless a formula and a size are known."""

from __future__ import annotations

from pytest_tokenbudget.records.prompt import File, Image
from pytest_tokenbudget.tokens.fragments import MILLI, Fragment
from pytest_tokenbudget.tokens.images import anthropic_image, google_image, mistral_image, openai_image

_PAGE_BYTES = 30_000
_PAGE_TOKENS = 1_600
"""A page of a PDF as text and image: 1,500 to 3,000 tokens (Anthropic, "PDF support", read 2026-11-24)."""

_READ_BASE, _READ_BYTES = 100, 100
"""Tokens of a document that is read as text, and its bytes a further token: 105 for a PDF of 1.2 kB, 219 for one of 12.5 kB
(recorded requests to OpenAI). One whose size is not known is taken for a page."""


def image_fragment(image: Image, *, provider: str, model: str) -> Fragment:
    """An image, by the formula of the model's maker."""
    if "claude" in model or provider == "anthropic":
        tokens = anthropic_image(image, model)
    elif "gemini" in model or provider in ("gcp.gemini", "gcp.vertex_ai"):
        tokens = google_image(image, model)
    elif provider == "mistral_ai":
        tokens = mistral_image(image)
    else:
        tokens = openai_image(image, model)
    return Fragment("images", identity=image.reference or repr(image), fixed=tokens * MILLI)


def image_known(image: Image) -> bool:
    """Whether the formula has all that it needs."""
    return image.detail == "low" or (image.width is not None and image.height is not None)


def file_fragment(file: File, *, paged: bool) -> Fragment:
    """A document, audio or video: its text where the request has it, else a guess by its size.

    Args:
        file: The file.
        paged: Whether the model reads each page of a document as an image too.
    """
    if file.text is not None:
        return Fragment("files", text=file.text, identity=file.reference or file.text)
    size = file.size or 0
    if file.media_type.startswith("audio/"):
        tokens = max(1, size // 1_600)  # 16 kB a second of MP3 or so, 10 tokens a second
    elif file.media_type.startswith("text/"):
        tokens = size // 4
    elif paged or not size:
        tokens = _PAGE_TOKENS * max(1, -(-size // _PAGE_BYTES))
    else:
        tokens = _READ_BASE + size // _READ_BYTES
    return Fragment("files", identity=file.reference or repr(file), fixed=tokens * MILLI)
