"""Tokens of images by the providers' published formulas.

* OpenAI, "Images and vision", "Calculating costs" (platform.openai.com/docs/guides/images-vision, read 2026-11-24).
* Anthropic, "Vision", "Calculate image costs" (docs.claude.com/en/docs/build-with-claude/vision, read 2026-11-24):
  width * height / 750, after the longest edge has been brought to 1,568 pixels.
* Google, "Understand and count tokens" (ai.google.dev/gemini-api/docs/tokens, read 2026-11-24): 258 tokens for an image
  of at most 384 x 384 pixels, else 258 a tile of 768 x 768; Gemini 3: 1,120 by default.
"""

from __future__ import annotations

import math

from pytest_tokenbudget.records.prompt import Image
from pytest_tokenbudget.tokens.fragments import bare_model

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

_PATCHES: tuple[tuple[str, float], ...] = (
    ("gpt-5-mini", 1.62),
    ("gpt-5-nano", 2.46),
    ("gpt-4.1-mini", 1.62),
    ("gpt-4.1-nano", 2.46),
    ("o4-mini", 1.72),
)
"""Name's beginning and the factor on patches of 32 x 32 pixels, for models that count in patches."""

_MAX_PATCHES = 1_536


def openai_image(image: Image, model: str) -> int:
    """Tokens of an image for an OpenAI model."""
    name = bare_model(model)
    size = (image.width or ASSUMED[0], image.height or ASSUMED[1])
    for beginning, factor in _PATCHES:
        if name.startswith(beginning):
            return math.ceil(_patches(*size) * factor)
    base, tile = next(((base, tile) for beginning, base, tile in _TILES if name.startswith(beginning)), (85, 170))
    if image.detail == "low":
        return base
    return base + tile * _tiles(*size)


def _patches(width: int, height: int) -> int:
    """Patches of 32 x 32 pixels that cover an image, which is shrunk until they are at most 1,536."""
    count = math.ceil(width / 32) * math.ceil(height / 32)
    if count <= _MAX_PATCHES:
        return count
    shrink = math.sqrt(_MAX_PATCHES * 32 * 32 / (width * height))
    across, down = width * shrink / 32, height * shrink / 32
    shrink *= min(math.floor(across) / across if across >= 1 else 1.0, math.floor(down) / down if down >= 1 else 1.0)
    return min(_MAX_PATCHES, math.ceil(width * shrink / 32) * math.ceil(height * shrink / 32))


def _tiles(width: int, height: int) -> int:
    """Tiles of 512 x 512 pixels after the image is brought within 2,048 x 2,048 and its shorter side to 768."""
    shrink = min(1.0, 2_048 / max(width, height))
    shrink *= min(1.0, 768 / max(1.0, min(width, height) * shrink))
    return max(1, math.ceil(width * shrink / 512)) * max(1, math.ceil(height * shrink / 512))


def anthropic_image(image: Image) -> int:
    """Tokens of an image for a Claude model."""
    width, height = image.width or ASSUMED[0], image.height or ASSUMED[1]
    shrink = min(1.0, 1_568 / max(width, height))
    return min(1_600, max(1, math.ceil(width * shrink * height * shrink / 750)))


def google_image(image: Image, model: str) -> int:
    """Tokens of an image for a Gemini model."""
    if "gemini-3" in model:
        return 1_120
    width, height = image.width or ASSUMED[0], image.height or ASSUMED[1]
    if width <= 384 and height <= 384:
        return 258
    if "gemini-1" in model:
        return 258
    unit = max(256, min(768, math.floor(min(width, height) / 1.5)))
    return 258 * math.ceil(width / unit) * math.ceil(height / unit)
