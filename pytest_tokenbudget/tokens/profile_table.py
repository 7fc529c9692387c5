"""The measured profiles, the first whose pattern is found in ``provider api model`` counts."""

from __future__ import annotations

import re

from pytest_tokenbudget.tokens.profiles import Profile

FITTED = "2026-11-24"
"""Date of the fit."""

DEFAULT = Profile("default", tools=40, call=9, schema_start=15)
"""Of all families that are not in the table: a template like most, no ratio."""

TABLE: tuple[tuple[str, Profile], ...] = (
    (
        r"claude-(3-(haiku|opus|sonnet|5)|3\.5|instant|v2)",
        Profile(
            "Claude 3, 3.5",
            n=88,
            text=1.104,
            start=3.2,
            message=3.4,
            system=-4.1,
            schema=0.816,
            tools=120.6,
            forced=159.4,
            tool=59.9,
            tool_text=1.709,
            call=114.1,
        ),
    ),
    (
        r"claude-3[-.]7",
        Profile(
            "Claude Sonnet 3.7",
            n=22,
            text=1.083,
            start=3.2,
            message=2.8,
            schema_start=375.4,
            thinking=29.8,
            tools=301.7,
            tool=5,
            tool_text=1.509,
            call=36.7,
        ),
    ),
    (
        r"claude-((sonnet|opus)-4(-20|@|$|-0|:)|opus-4[-.]1|4-(sonnet|opus))",
        Profile(
            "Claude 4.0, 4.1",
            n=126,
            text=1.146,
            start=2.6,
            message=3.8,
            system=-5,
            thinking=28.6,
            tools=305.7,
            forced=-28.8,
            tool=7.7,
            tool_text=1.258,
            result=43.4,
        ),
    ),
    (
        r"claude-((sonnet|haiku|opus)-4[-.][56]|4\.[56])",
        Profile(
            "Claude 4.5, 4.6",
            n=372,
            text=1.148,
            start=3.8,
            message=2.2,
            system=-1.6,
            schema_start=97.3,
            schema=1.972,
            thinking=29,
            tools=496.5,
            forced=97.8,
            tool_text=1.33,
            result=46.1,
        ),
    ),
    (
        r"claude-",
        Profile(
            "Claude 4.7 on",
            n=44,
            text=1.25,
            start=5.2,
            message=2.5,
            system=-0.3,
            thinking=1.5,
            tools=341.8,
            tool_text=2,
            call=43,
            keeps_reasoning=True,
        ),
    ),
    (
        r"gemini-(1|2\.0)",
        Profile(
            "Gemini 1.5, 2.0",
            n=49,
            start=0,
            message=0,
            schema=0,
            forced=-41.5,
            tool_text=0.56,
            call=0,
            result=3.2,
            splits_digits=True,
        ),
    ),
    (
        r"vertex.*gemini-2",
        Profile(
            "Gemini 2.5 on Vertex",
            n=41,
            start=-0.5,
            message=0.5,
            system=-1.5,
            schema=0.214,
            tool_text=0.516,
            result=3.3,
            sealed=0.111,
            splits_digits=True,
        ),
    ),
    (
        r"gemini-2",
        Profile(
            "Gemini 2.5",
            n=195,
            start=0,
            message=1,
            schema=0,
            tools=0.3,
            forced=5.9,
            tool_text=0.93,
            call=17.3,
            splits_digits=True,
            keeps_reasoning=True,
        ),
    ),
    (
        r"vertex.*gemini-",
        Profile(
            "Gemini 3 on Vertex",
            n=30,
            text=0.972,
            start=0,
            message=0.2,
            schema_start=32.1,
            tool_text=0.2,
            call=0,
            result=0,
            splits_digits=True,
        ),
    ),
    (
        r"gemini-",
        Profile(
            "Gemini 3",
            n=100,
            start=0,
            message=1,
            schema=0,
            forced=-3.8,
            tool_text=1.04,
            sealed=0.199,
            splits_digits=True,
        ),
    ),
    (
        r"^mistral .*small",
        Profile(
            "Mistral Small",
            n=44,
            start=13.5,
            message=1.5,
            system=0.5,
            schema=0,
            forced=2.6,
            tool_text=1.372,
            call=4.5,
            result=0,
            splits_digits=True,
            keeps_reasoning=True,
            drops_unused_tools=True,
        ),
    ),
    (
        r"^mistral|mistral|magistral|ministral|codestral|devstral|mixtral",
        Profile(
            "Mistral",
            n=19,
            text=1.045,
            start=2.7,
            message=0,
            schema=0,
            tool=2.9,
            tool_text=1.398,
            call=0.3,
            splits_digits=True,
            keeps_reasoning=True,
        ),
    ),
    (
        r"^xai|grok-4\.",
        Profile(
            "Grok 4.3 and later",
            n=31,
            text=1.35,
            start=179.2,
            message=10,
            system=-5,
            schema_start=17,
            tools=37.2,
            tool_text=0.999,
            result=54.8,
            keeps_reasoning=True,
        ),
    ),
    (
        r"grok",
        Profile("Grok", n=25, text=0.975, start=-4.3, message=4.4, system=-5, tools=144.6, tool_text=0.996, result=9.6),
    ),
    (
        r"^deepseek openai.responses",
        Profile("DeepSeek in Responses", n=10, start=79, tools=269.2, tool=5, tool_text=0.2, result=22),
    ),
    (
        r"^deepseek",
        Profile(
            "DeepSeek",
            n=39,
            start=2,
            message=2,
            system=-2,
            tools=224.5,
            forced=8.6,
            tool_text=1.148,
            result=28.8,
            drops_unused_tools=True,
        ),
    ),
    (r"deepseek", Profile("DeepSeek elsewhere", n=10, start=-1, system=-4, forced=-50)),
    (
        r"command-(a|r7b)",
        Profile(
            "Command A, R7B",
            n=44,
            start=491,
            system=30,
            schema_start=75,
            thinking=400,
            tools=872.1,
            forced=10.1,
            tool_text=1.398,
            result=67.9,
            keeps_reasoning=True,
        ),
    ),
    (r"command", Profile("Command", n=10, text=1.35, start=-5, message=3.2, tools=828.2, tool=5)),
    (
        r"nova-2",
        Profile(
            "Nova 2", n=35, start=46, message=0, tools=819, tool=5, tool_text=1.02, result=30.1, splits_digits=True
        ),
    ),
    (
        r"nova",
        Profile(
            "Nova",
            n=29,
            start=-2.5,
            message=2.5,
            system=-2.5,
            tools=334.6,
            tool=5,
            tool_text=1.227,
            result=22.2,
            splits_digits=True,
        ),
    ),
    (
        r"^ollama .*gpt-oss",
        Profile("gpt-oss on Ollama", n=34, start=62, message=5, system=3, tools=14.6, tool_text=0.763, result=9),
    ),
    (
        r"gpt-oss",
        Profile(
            "gpt-oss", n=22, start=62, message=5, system=30, schema_start=70, forced=-21.1, tool_text=0.984, result=8
        ),
    ),
    (
        r"qwen",
        Profile(
            "Qwen",
            n=55,
            text=1.054,
            start=5.5,
            message=2.1,
            system=4,
            schema_start=88,
            tools=42.8,
            tool=5,
            tool_text=1.388,
            result=10.6,
            splits_digits=True,
        ),
    ),
    (
        r"llama",
        Profile(
            "Llama",
            n=41,
            start=0,
            message=10,
            system=15,
            tools=489.2,
            forced=166.4,
            tool=43.2,
            tool_text=0.2,
            drops_unused_tools=True,
        ),
    ),
    (r"glm", Profile("GLM", n=11, start=5, message=0, system=-5, schema=0.273, tool=5, keeps_reasoning=True)),
    (r"titan", Profile("Titan", n=15, text=1.062, start=-2.8, message=2.4, tool=5, splits_digits=True)),
    (r"palmyra", Profile("Palmyra", n=8, start=28, tool_text=2, call=0, result=0)),
    (r"sonar", Profile("Sonar", n=11, start=0.5, message=0.5, system=-0.5, schema=0, tool=5)),
)
"""Pattern, searched in ``provider api model``, and profile; the first that is found counts."""

_BY_API = (
    ("anthropic.", "Claude 4.5, 4.6"),
    ("google.", "Gemini 2.5"),
    ("mistral.", "Mistral"),
    ("cohere.", "Command A, R7B"),
)
"""Beginning of the API's name and the family that most of its models are of, for names that no pattern knows."""

_COMPILED = tuple((re.compile(pattern), profile) for pattern, profile in TABLE)


def profile_of(provider: str, api: str, model: str) -> Profile:
    """The profile of a model, :data:`DEFAULT` where no family is found."""
    whole = f"{provider} {api} {model}".lower()
    for pattern, profile in _COMPILED:
        if pattern.search(whole):
            return profile
    for beginning, name in _BY_API:
        if api.startswith(beginning):
            return next((profile for _, profile in TABLE if profile.name == name), DEFAULT)
    return DEFAULT


def families() -> tuple[Profile, ...]:
    """All profiles, the default one last."""
    return (*(profile for _, profile in TABLE), DEFAULT)
