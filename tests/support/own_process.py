"""pytest in a process of its own that loads what its test needs and nothing else."""

from __future__ import annotations

import pytest

QUICK_SETTINGS = {"tokenbudget_encodings": "* = bytes/4", "tokenbudget_prices": "* = input 1, output 1"}
"""Settings where texts need not be counted to the token: to load a vocabulary and the list of prices takes longer than a test."""

QUICK = tuple(word for name, value in QUICK_SETTINGS.items() for word in ("-o", f"{name}={value}"))
QUICK_INI = "\n".join(("[pytest]", *(f"{name} = {value}" for name, value in QUICK_SETTINGS.items()), ""))

POST = '''
import json
import urllib.request


def post(url, body):
    """Ask a model with the client that is there already: to import another one takes longer than such a test."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

'''
"""The client of agents in processes of their own, where nothing is said of clients."""


def only_this_plugin(patch: pytest.MonkeyPatch, *others: str) -> None:
    """Have processes that are started from now on load this plugin, these others and none else.

    All that are installed take a second. Nor is all garbage collected at the end of each process, for warnings of it.

    Args:
        patch: Changes the environment.
        others: What further ``-p`` options say.
    """
    options = ("tokenbudget", "no:unraisableexception", *others)
    patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    patch.setenv("PYTEST_ADDOPTS", " ".join(f"-p {name}" for name in options))


def run_in_own_process(pytester: pytest.Pytester, *options: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
    """Run pytest, for tests of what one process cannot show or of libraries that cannot be imported twice in one.

    Args:
        pytester: The project.
        options: Options of pytest.
        plugins: Names of the plugins that it loads beside this one.
    """
    with pytest.MonkeyPatch.context() as patch:
        only_this_plugin(patch, *plugins)
        return pytester.runpytest_subprocess(*options)
