"""Fragments of what is no text: images and files, whose tokens are estimates unless a formula and a size are known."""

from __future__ import annotations

import math
import re

from pytest_tokenbudget.records.prompt import File, Image
from pytest_tokenbudget.tokens.counts import MILLI, Fragment, bare_model

ASSUMED = (1024, 768)
"""Size, in pixels, that an image is taken to have which only its URL is known of."""

_TILES: tuple[tuple[str, int, int], ...] = (
    ("gpt-4o-mini", 2833, 5667),
    ("computer-use", 65, 129),
    ("gpt-5", 70, 140),
    ("o1", 75, 150),
    ("o3", 75, 150),
)
"""Name's beginning, base tokens, tokens a tile; other models with vision: 85 and 170."""

_PATCHES: tuple[tuple[re.Pattern[str], float, int], ...] = tuple(
    (re.compile(pattern), factor, budget)
    for pattern, factor, budget in (
        (r"gpt-5-mini", 1.62, 1_536),
        (r"gpt-5-nano", 2.46, 1_536),
        (r"gpt-4\.1-mini", 1.62, 1_536),
        (r"gpt-4\.1-nano", 2.46, 1_536),
        (r"o4-mini|codex-mini", 1.72, 1_536),
        (r"gpt-5\.[23]|gpt-5\.4-(?:mini|nano)", 1.2, 1_536),
        (r"gpt-5\.4", 1.2, 2_500),
        (r"gpt-5\.[5-9]|gpt-[6-9]", 1.2, 10_000),
    )
)
"""Beginning of the name, factor on patches of 32 x 32 pixels and how many they may be, for models that count in patches."""

_HIGH_BUDGET = 2_500
"""Patches of an image at ``high`` where ``auto`` allows more."""

_CLAUDE_LARGE = re.compile(r"claude-(?:opus-4[-.][7-9]|[a-z]+-(?:[5-9]|\d\d)\b)")
"""Claude 4.7 and later, which read images of a higher resolution."""


def openai_image(image: Image, model: str) -> int:
    """Tokens of an image for an OpenAI model."""
    name = bare_model(model)
    size = _size(image)
    for beginning, factor, budget in _PATCHES:
        if beginning.match(name):
            most = min(budget, _HIGH_BUDGET) if image.detail == "high" else budget
            return math.ceil(_patches(*size, most) * factor)
    base, tile = next(((base, tile) for beginning, base, tile in _TILES if name.startswith(beginning)), (85, 170))
    if image.detail == "low":
        return base
    return base + tile * _tiles(*size)


def _size(image: Image) -> tuple[int, int]:
    return image.width or ASSUMED[0], image.height or ASSUMED[1]


def _patches(width: int, height: int, most: int) -> int:
    """Patches of 32 x 32 pixels that cover an image, which is shrunk until they are few enough."""
    count = math.ceil(width / 32) * math.ceil(height / 32)
    if count <= most:
        return count
    shrink = math.sqrt(most * 32 * 32 / (width * height))
    across, down = width * shrink / 32, height * shrink / 32
    shrink *= min(math.floor(across) / across if across >= 1 else 1.0, math.floor(down) / down if down >= 1 else 1.0)
    return min(most, math.ceil(width * shrink / 32) * math.ceil(height * shrink / 32))


def _tiles(width: int, height: int) -> int:
    """Tiles of 512 x 512 pixels after the image is brought within 2,048 x 2,048 and its shorter side to 768."""
    shrink = min(1.0, 2_048 / max(width, height))
    shrink *= min(1.0, 768 / max(1.0, min(width, height) * shrink))
    return max(1, math.ceil(width * shrink / 512)) * max(1, math.ceil(height * shrink / 512))


def anthropic_image(image: Image, model: str) -> int:
    """Tokens of an image for a Claude model."""
    edge, most = (2_576, 4_784) if _CLAUDE_LARGE.search(model) else (1_568, 1_568)
    width, height = _size(image)
    shrink = min(1.0, edge / max(width, height))
    shrink = min(shrink, math.sqrt(most * 28 * 28 / (width * height)))
    return min(most, math.ceil(width * shrink / 28) * math.ceil(height * shrink / 28))


def google_image(image: Image, model: str) -> int:
    """Tokens of an image for a Gemini model."""
    if "gemini-3" in model:
        return 1_120
    width, height = _size(image)
    if width <= 384 and height <= 384:
        return 258
    if "gemini-1" in model:
        return 258
    unit = max(256, min(768, math.floor(min(width, height) / 1.5)))
    return 258 * math.ceil(width / unit) * math.ceil(height / unit)


def mistral_image(image: Image) -> int:
    """Tokens of an image for a model of Mistral's."""
    width, height = _size(image)
    shrink = min(1.0, 1_540 / max(width, height))
    return math.ceil(height * shrink / 28) * (math.ceil(width * shrink / 28) + 1)


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
