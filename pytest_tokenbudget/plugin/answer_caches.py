"""Caches of frameworks that answer instead of the model, as far as they are in use, and how they are switched off."""

from __future__ import annotations

import sys


def caches_in_use() -> str:
    """The caches that may have answered, each with the line that switches it off; a general hint where none is known."""
    known = [hint for module, hint in _HINTS.items() if module in sys.modules and _is_on(module)]
    return "; ".join(known) or "look for functools.lru_cache, a dict in a module, or a cache of the framework"


# dspy caches in memory and on disk unless told otherwise; the others only where they were told to.
_HINTS = {
    "dspy": "DSPy: dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)",
    "langchain_core.globals": "LangChain: langchain_core.globals.set_llm_cache(None)",
    "litellm": "LiteLLM: litellm.disable_cache()",
}


def _is_on(name: str) -> bool:
    module = sys.modules[name]
    if name == "litellm":
        return getattr(module, "cache", None) is not None
    if name == "langchain_core.globals":
        return getattr(module, "_llm_cache", None) is not None
    return True
