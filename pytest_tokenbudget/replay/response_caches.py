"""Names the caches of frameworks that answer in the process: a run that they answer makes fewer calls than it should."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResponseCache:
    """A cache that is switched on.

    Attributes:
        owner: The framework.
        switch_off: Code that switches it off.
    """

    owner: str
    switch_off: str


def active_response_caches() -> tuple[ResponseCache, ...]:
    """Find the caches that are switched on, among the frameworks that this process has imported."""
    found = []
    dspy = getattr(sys.modules.get("dspy"), "cache", None)
    if any(getattr(dspy, name, False) is True for name in ("enable_memory_cache", "enable_disk_cache")):
        found.append(ResponseCache("DSPy", "dspy.configure_cache(enable_memory_cache=False, enable_disk_cache=False)"))
    for module in ("langchain_core.globals", "langchain.globals"):
        if getattr(sys.modules.get(module), "_llm_cache", None) is not None:
            found.append(ResponseCache("LangChain", "langchain_core.globals.set_llm_cache(None)"))
            break
    if getattr(sys.modules.get("litellm"), "cache", None) is not None:
        found.append(ResponseCache("LiteLLM", "litellm.cache = None"))
    return tuple(found)
