"""Fragments of what is no text: images and files, whose tokens are estimates unless a formula and a size are known."""

from __future__ import annotations

from pytest_tokenbudget.records.prompt import File, Image
from pytest_tokenbudget.tokens.fragments import MILLI, Fragment
from pytest_tokenbudget.tokens.images import anthropic_image, google_image, openai_image

_PAGE_BYTES = 3_000
_PAGE_TOKENS = 1_500
"""A text page of a PDF: 1,500 to 3,000 tokens (Anthropic, "PDF support", read 2026-11-24); a page has a few kB."""


def image_fragment(image: Image, *, provider: str, model: str) -> Fragment:
    """An image, by the formula of the model's maker."""
    if "claude" in model or provider == "anthropic":
        tokens = anthropic_image(image)
    elif "gemini" in model or provider in ("google", "vertex"):
        tokens = google_image(image, model)
    else:
        tokens = openai_image(image, model)
    return Fragment("images", identity=image.reference or repr(image), fixed=tokens * MILLI)


def image_known(image: Image) -> bool:
    """Whether the formula has all that it needs."""
    return image.detail == "low" or (image.width is not None and image.height is not None)


def file_fragment(file: File) -> Fragment:
    """A document, audio or video: its text where the request has it, else a guess by its size."""
    if file.text is not None:
        return Fragment("files", text=file.text, identity=file.reference or file.text)
    size = file.size or 0
    if file.media_type.startswith("audio/"):
        tokens = max(1, size // 1_600)  # 16 kB a second of MP3 or so, 10 tokens a second
    elif file.media_type.startswith("text/"):
        tokens = size // 4
    else:
        tokens = _PAGE_TOKENS * max(1, -(-size // (_PAGE_BYTES * 10)))
    return Fragment("files", identity=file.reference or repr(file), fixed=tokens * MILLI)
