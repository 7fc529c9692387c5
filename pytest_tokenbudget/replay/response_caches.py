"""Names the caches of frameworks that answer in the process: a run that they answer makes fewer calls than it should."""

from __future__ import annotations

import sys


def active_response_caches() -> tuple[str, ...]:
    """Find the caches that are switched on among the imported frameworks, each with the line that switches it off."""
    found = []
    if "dspy" in sys.modules:
        cache = getattr(sys.modules["dspy"], "cache", None)
        # DSPy caches in memory and on disk unless it is told otherwise; the others only where they are told to.
        if any(getattr(cache, name, True) for name in ("enable_memory_cache", "enable_disk_cache")):
            found.append("DSPy: dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)")
    if getattr(sys.modules.get("langchain_core.globals"), "_llm_cache", None) is not None:
        found.append("LangChain: langchain_core.globals.set_llm_cache(None)")
    if getattr(sys.modules.get("litellm"), "cache", None) is not None:
        found.append("LiteLLM: litellm.disable_cache()")
    return tuple(found)
