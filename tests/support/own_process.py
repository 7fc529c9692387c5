"""pytest in a process of its own that loads what its test needs and nothing else."""

from __future__ import annotations

import pytest

QUICK = ("-o", "tokenbudget_encodings=* = bytes/4", "-o", "tokenbudget_prices=* = input 1, output 1")
"""Options where texts need not be counted to the token: to load a vocabulary and the list of prices takes longer than a test."""


def run_in_own_process(pytester: pytest.Pytester, *options: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
    """Run pytest, for tests of what one process cannot show or of libraries that cannot be imported twice in one.

    Args:
        pytester: The project.
        options: Options of pytest.
        plugins: Names of the plugins that it loads beside this one. All that are installed take a second.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        patch.setenv("PYTEST_ADDOPTS", " ".join(f"-p {name}" for name in ("tokenbudget", *plugins)))
        return pytester.runpytest_subprocess(*options)
