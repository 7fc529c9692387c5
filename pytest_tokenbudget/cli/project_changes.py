"""Plans what ``tokenbudget init`` changes: the ini section, git's attributes, the first test, the CI recipe. Writes nothing."""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_tokenbudget.errors import SettingsError

if TYPE_CHECKING:
    import tomlkit

Host = Literal["github", "gitlab", "jenkins"]

INI_KEY, INI_VALUE = "tokenbudget_max_increase", "10%"
ATTRIBUTES = "**/__budgets__/**/*.json diff=tokenbudget merge=tokenbudget"
GIT_SETTINGS = {
    "diff.tokenbudget.textconv": "tokenbudget textconv",
    "merge.tokenbudget.name": "baselines of pytest-tokenbudget",
    "merge.tokenbudget.driver": "tokenbudget merge-driver %O %A %B %P",
}
"""Settings that each clone of the repository makes once, so that git knows the two names in ``.gitattributes``."""

_WORKFLOW = """\
# Tests of the agent, with their token budgets: https://pytest-tokenbudget.readthedocs.io/en/latest/ci.html
name: agent tests
on:
  pull_request:
  push:
    branches: [{branch}]
permissions:
  contents: read
  pull-requests: write
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.13"
      - run: pip install {install} "pytest-tokenbudget[html]"
      - run: pytest --tokenbudget-report=report.json --tokenbudget-report=report.html
      - run: tokenbudget comment report.json
        if: always()
        env:
          GITHUB_TOKEN: ${{{{ github.token }}}}
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: token-budget
          path: report.html
"""
_GITLAB_JOB = """\
# Tests of the agent, with their token budgets: https://pytest-tokenbudget.readthedocs.io/en/latest/ci.html
agent-tests:
  image: python:3.13
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
  script:
    - pip install {install} "pytest-tokenbudget[html]"
    - pytest --junitxml=junit.xml --tokenbudget-report=report.json --tokenbudget-report=report.html
  after_script:
    - tokenbudget comment report.json --link "$CI_JOB_URL/artifacts/file/report.html"
  artifacts:
    when: always
    paths: [report.json, report.html]
    reports:
      junit: junit.xml
"""
JENKINS = (
    "Jenkins: the stage for the Jenkinsfile is on https://pytest-tokenbudget.readthedocs.io/en/latest/ci.html#jenkins; "
    "this command does not edit pipelines written in Groovy"
)


@dataclass(frozen=True, slots=True)
class Change:
    """A file that is written.

    Attributes:
        before: Its text; ``None`` where it does not exist.
    """

    path: Path
    before: str | None
    after: str
    why: str


def ini_change(root: Path, agent: str | None) -> Change | None:
    """The project's rule for all marked tests, where pytest reads its settings from; ``None`` where there is one.

    pytest takes the first file that has its section (https://docs.pytest.org/en/stable/reference/customize.html, read
    2026-11-28).

    Args:
        root: The project.
        agent: The agent's entry point; its folder is put on pytest's path, so that the first test can import it.

    Raises:
        SettingsError: If the file cannot be read.
    """
    path, section = _ini_place(root)
    before = _read(path)
    text = before or ""
    edit = _edit_toml if path.suffix == ".toml" else _edit_ini
    wanted = {INI_KEY: INI_VALUE}
    if agent:
        wanted["pythonpath"] = _module(root, agent)[0].as_posix()
    after = edit(path, text.replace("\r\n", "\n"), section, wanted)
    if after == text.replace("\r\n", "\n"):
        return None
    if "\r\n" in text:
        after = after.replace("\n", "\r\n")
    return Change(
        path, before, after, "the rule of all marked tests that name none: nothing gated grows by more than 10 %"
    )


def _ini_place(root: Path) -> tuple[Path, str]:
    """The file and the section that pytest reads, or that it would read if we wrote them."""
    for name, section in (("pytest.toml", "pytest"), (".pytest.toml", "pytest")):
        if (root / name).is_file():
            return root / name, section
    for name in ("pytest.ini", ".pytest.ini"):
        if (root / name).is_file():
            return root / name, "pytest"
    project = root / "pyproject.toml"
    if project.is_file():
        tables = _toml(project, _read(project) or "").get("tool", {}).get("pytest", {})
        if "ini_options" in tables or tables:
            return project, "tool.pytest.ini_options" if "ini_options" in tables else "tool.pytest"
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        if (root / name).is_file() and re.search(rf"^\[{section}\]", _read(root / name) or "", re.MULTILINE):
            return root / name, section
    return (project, "tool.pytest.ini_options") if project.is_file() else (root / "pytest.ini", "pytest")


def _toml(path: Path, text: str) -> tomlkit.TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import ParseError

    try:
        return tomlkit.parse(text)
    except ParseError as error:
        raise SettingsError(f"{path}: is no TOML: {error}", remedy=f"correct {path}") from None


def _edit_toml(path: Path, text: str, section: str, wanted: Mapping[str, str]) -> str:
    import tomlkit

    document = _toml(path, text)
    table: MutableMapping[str, Any] = document
    for name in section.split("."):
        if name not in table:
            # Of the outer tables no header of their own is written.
            table[name] = tomlkit.table(is_super_table=name in ("tool", "pytest") and not section.endswith(name))
        table = table[name]
    for key, value in wanted.items():
        if key not in table:
            table[key] = [value] if key == "pythonpath" else value
    return tomlkit.dumps(document)


def _edit_ini(path: Path, text: str, section: str, wanted: Mapping[str, str]) -> str:
    from configupdater import ConfigUpdater

    document = ConfigUpdater()
    try:
        document.read_string(text)
    except configparser.Error as error:
        raise SettingsError(f"{path}: cannot be read: {error}", remedy=f"correct {path}") from None
    if section not in document:
        lines = "".join(f"{key} = {value}\n" for key, value in wanted.items())
        return f"{text.rstrip()}\n\n[{section}]\n{lines}".lstrip()
    for key, value in wanted.items():
        options = list(document[section].option_blocks())
        if key in document[section]:
            continue
        if options:
            # Before what stands behind the last option: empty lines, and comments on the next section.
            options[-1].add_after.option(key, value)
        else:
            document[section].add_option(document[section].create_option(key, value))
    found = str(document)
    return found if found.endswith("\n") or found == text else f"{found}\n"


def attributes_change(root: Path) -> Change | None:
    """Git's attributes of baselines: a diff that people read, and merges that git makes itself."""
    path = root / ".gitattributes"
    before = _read(path)
    lines = [line.strip() for line in (before or "").splitlines()]
    if any("merge=tokenbudget" in line and "diff=tokenbudget" in line for line in lines):
        return None
    text = before or ""
    newline = "\r\n" if "\r\n" in text else "\n"
    after = text + ("" if not text or text.endswith("\n") else newline) + ATTRIBUTES + newline
    return Change(
        path, before, after, "git diff shows baselines as figures, and branches that changed other tests merge"
    )


def test_change(root: Path, agent: str) -> Change | None:
    """A first marked test of the agent's entry point; ``None`` where the file exists.

    Args:
        root: The project.
        agent: ``app.agent:answer``: module and function.

    Raises:
        SettingsError: If there is no such module or function.
    """
    module, _, name = agent.partition(":")
    function = _function(_module(root, agent)[1], name, agent)
    folder = next((root / each for each in ("tests", "test") if (root / each).is_dir()), root)
    path = folder / f"test_{name.strip('_')}_budget.py"
    before = _read(path)
    if before is not None:
        return None
    call = f"{name}({', '.join(_arguments(function))})"
    body, imports = call, ""
    if isinstance(function, ast.AsyncFunctionDef):
        body, imports = f"asyncio.run({call})", "import asyncio\n\n"
    after = (
        f'"""The token budget of {module}.{name}: it fails where it reads, writes or calls more, or takes longer."""\n\n'
        f"{imports}from {module} import {name}\n\nfrom pytest_tokenbudget import token_budget\n\n\n"
        f'@token_budget("{INI_VALUE}", replay=True)\n'
        f"def test_{name.strip('_')}_stays_within_its_budget():\n"
        f"    {body}  # ask what your users ask\n"
    )
    return Change(
        path, None, after, "a first test: it records the model's answers once, and costs nothing from then on"
    )


def _module(root: Path, agent: str) -> tuple[Path, Path]:
    """The folder that the agent's module is imported from, relative to the project, and the module's file.

    Raises:
        SettingsError: If there is none.
    """
    module, colon, name = agent.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), name)):
        raise SettingsError(f"--agent {agent}: is no module with a function", remedy="--agent app.agent:answer")
    place = Path(*module.split("."))
    candidates = [
        (base, root / base / tail)
        for base in (Path(), Path("src"))
        for tail in (place.with_suffix(".py"), place / "__init__.py")
    ]
    found = next((pair for pair in candidates if pair[1].is_file()), None)
    if found is None:
        raise SettingsError(
            f"--agent {agent}: there is no {candidates[0][1]}",
            remedy="run it in the folder that the module is imported from",
        )
    return found


def _function(path: Path, name: str, agent: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    """The function, found by reading the module: importing an agent may start anything."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise SettingsError(f"--agent {agent}: {path} is no Python: {error}", remedy=f"correct {path}") from None
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    if name not in functions:
        known = ", ".join(functions) or "none"
        raise SettingsError(
            f"--agent {agent}: {path} has no function {name}; it has: {known}", remedy="name one of them"
        )
    return functions[name]


_QUESTIONS = frozenset(
    ("question", "prompt", "message", "query", "text", "input", "user_input", "user_message", "request", "task", "goal")
)
"""Names of arguments that take what a user asks."""


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Give the arguments of the test's call.

    The question is the argument whose name says so, else the first; each other one without a default is a place to fill in.
    """
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    needed = positional[: len(positional) - len(given.defaults)]
    keywords = [one for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True) if default is None]
    asked = next((one for one in (*needed, *keywords) if one.arg in _QUESTIONS), next(iter(needed), None))

    def written(one: ast.arg) -> str:
        value = '"What can you do for me?"' if one is asked else "..."
        by_place = one in given.posonlyargs or (one is asked and one is next(iter(needed), None))
        return value if by_place else f"{one.arg}={value}"

    return [written(one) for one in (*needed, *keywords)]


def find_host(root: Path, remotes: str) -> Host | None:
    """The host whose CI runs the project: as its files say, else as its remotes do."""
    if (root / ".gitlab-ci.yml").is_file():
        return "gitlab"
    if (root / ".github").is_dir():
        return "github"
    if (root / "Jenkinsfile").is_file():
        return "jenkins"
    if "github" in remotes:
        return "github"
    return "gitlab" if "gitlab" in remotes else None


def ci_change(root: Path, host: Host, branch: str) -> Change | None:
    """The recipe of a host; ``None`` where its CI knows the plugin already."""
    why = "the tests run on each change, and a comment says what it costs"
    install = _install(root)
    if host == "gitlab":
        path = root / ".gitlab-ci.yml"
        before = _read(path)
        if before is not None and "tokenbudget" in before:
            return None
        job = _GITLAB_JOB.format(install=install)
        return Change(path, before, f"{before.rstrip()}\n\n{job}" if before and before.strip() else job, why)
    workflows = root / ".github" / "workflows"
    existing = [*workflows.glob("*.yml"), *workflows.glob("*.yaml")] if workflows.is_dir() else []
    if any("tokenbudget" in (_read(path) or "") for path in existing):
        return None
    path = workflows / "agent-tests.yml"
    before = _read(path)
    if before is not None:
        return None
    return Change(path, None, _WORKFLOW.format(install=install, branch=branch), why)


def _install(root: Path) -> str:
    if (root / "requirements.txt").is_file():
        return "-r requirements.txt"
    return "." if (root / "pyproject.toml").is_file() or (root / "setup.py").is_file() else "pytest"


def missing_git_settings(known: Sequence[str]) -> dict[str, str]:
    """The settings of git that are not made yet; ``known`` are the names of those that are."""
    return {name: value for name, value in GIT_SETTINGS.items() if name not in known}


def _read(path: Path) -> str | None:
    """A file's text, ``None`` where there is none.

    Raises:
        SettingsError: If it cannot be read as UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{path}: cannot be read: {reason}", remedy=f"make {path} readable, in UTF-8") from None
