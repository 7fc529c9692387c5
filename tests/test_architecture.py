"""The house's rules that no linter knows, and the promise that its map is true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_tokenbudget"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAPS = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"]

MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60

# The linter's list, so that there is one.
RUFF = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
HEAVY = frozenset(RUFF["flake8-tidy-imports"]["banned-module-level-imports"])
KNOW_PYTEST = ("plugin", "cli", "hookspecs.py")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imported_when_loaded(tree: ast.Module) -> Iterator[str]:
    """Names of the top-level packages that loading a module imports: not those in functions or for the type checker."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring, and without classes in it, whose methods are counted by themselves."""
    lines = _lines(function) - (ast.get_docstring(function) or "").count("\n") - bool(ast.get_docstring(function))
    return lines - sum(_lines(node) for node in function.body if isinstance(node, ast.ClassDef))


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_is_small_and_light(path: Path) -> None:
    """At most 500 lines, functions of at most 60, no heavy library when it is loaded, pytest only on top."""
    text = path.read_text()
    tree = ast.parse(text)
    long = {
        node.name: lines
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := _code_lines(node)) > MAX_FUNCTION_LINES
    }
    assert long == {}
    assert len(text.splitlines()) <= MAX_MODULE_LINES
    imported = set(_imported_when_loaded(tree))
    assert imported & HEAVY == set()
    if path.relative_to(PACKAGE).parts[0] not in KNOW_PYTEST:
        assert imported & {"pytest", "_pytest"} == set()


def test_no_module_is_a_drawer() -> None:
    """A module is named after its job."""
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert [_name(path) for path in MODULES if path.stem in drawers or path.parent.name in drawers] == []


def test_every_folder_is_a_package_that_says_what_it_is_for() -> None:
    """Each package has a docstring, so that the folders can be read in the order in which data flows."""
    folders = {path.parent for path in MODULES}
    silent = [_name(folder) for folder in folders if not _docstring(folder / "__init__.py")]
    assert silent == []


def _docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text())) if path.exists() else None


def _paths_named_in(text: str) -> set[str]:
    """What stands in backticks and looks like a path of the repository: has a slash or a known suffix, no placeholder."""
    spans = re.findall(r"`([\w./\-]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    suffixes = (".py", ".md", ".toml", ".txt", ".yaml", ".ini", ".svg")
    own = ("pytest_tokenbudget/", "tests/", "docs/", "benchmarks/", "conftest_examples/", "requirements/", ".ci/")
    files = {span for span in spans if span.endswith(suffixes) and "/" not in span and span not in suffixes}
    return {span for span in spans if span.startswith(own)} | files | set(links)


def _exists(name: str) -> bool:
    """Whether a path exists; a bare file name may be that of any module of the package, or a user's conftest.py."""
    return (
        (ROOT / name).exists()
        or name == "conftest.py"
        or ("/" not in name and any(path.name == name for path in MODULES))
    )


@pytest.mark.parametrize("page", MAPS)
def test_every_path_that_the_maps_name_exists(page: str) -> None:
    """A map that names a street that was pulled down is worse than none."""
    named = _paths_named_in((ROOT / page).read_text())
    assert named, f"{page} names no path, or they are not recognised any more"
    assert sorted(name for name in named if not _exists(name)) == []


def test_the_map_shows_every_package() -> None:
    """ARCHITECTURE.md leaves no folder out."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    folders = {_name(path.parent) + "/" for path in MODULES if path.parent != PACKAGE}
    assert sorted(folder for folder in folders if f"`{folder}`" not in text) == []


@pytest.mark.parametrize("statement", ["import pytest_tokenbudget", "from pytest_tokenbudget import stage"])
def test_an_application_pays_next_to_nothing(statement: str) -> None:
    """What an application imports brings none of the heavy libraries along, and not pytest."""
    code = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert "pytest_tokenbudget" in loaded
    assert loaded & (HEAVY | {"asyncio", "pytest", "_pytest", "pluggy"}) == set()


def test_every_public_name_can_be_had() -> None:
    """``__all__`` and what is really there are the same."""
    import pytest_tokenbudget

    assert [name for name in pytest_tokenbudget.__all__ if getattr(pytest_tokenbudget, name, None) is None] == []
