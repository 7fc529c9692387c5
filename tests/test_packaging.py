"""What is published, and what the lock files promise."""

from __future__ import annotations

import email
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CELLS = ["both", "httpx", "httpx2", "frameworks"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    build = pytest.importorskip("hatchling.build", reason="builds the wheel")
    target = tmp_path_factory.mktemp("wheel")
    before = Path.cwd()
    os.chdir(ROOT)  # a build backend works in the current directory
    try:
        name = build.build_wheel(str(target))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(target / name) as archive:
        yield archive


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No tests, no examples, no benchmarks; every module and the typing marker."""
    names = set(wheel.namelist())
    info = f"pytest_tokenbudget-{PROJECT['version']}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"pytest_tokenbudget", info}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pytest_tokenbudget").rglob("*.py")}
    assert modules | {"pytest_tokenbudget/py.typed"} <= names
    templates = (ROOT / "pytest_tokenbudget" / "report" / "page" / "templates").iterdir()
    assert {path.relative_to(ROOT).as_posix() for path in templates} <= names
    assert f"{info}/licenses/LICENSE" in names


def test_the_wheel_announces_plugin_command_and_extras(wheel: zipfile.ZipFile) -> None:
    """pytest finds the plugin, the shell the command, and pip the extras."""
    info = f"pytest_tokenbudget-{PROJECT['version']}.dist-info"
    entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    assert "[pytest11]\ntokenbudget = pytest_tokenbudget.plugin\n" in entry_points
    assert "[console_scripts]\ntokenbudget = pytest_tokenbudget.cli.main:main\n" in entry_points
    metadata = wheel.read(f"{info}/METADATA").decode()
    extras = set(re.findall(r"^Provides-Extra: (.+)$", metadata, re.MULTILINE))
    assert extras == {"html", "httpx", "mcp", "otel", "sql", "tokenizers", "yaml"}
    assert "Framework :: Pytest" in metadata


def test_the_description_renders_as_on_pypi(wheel: zipfile.ZipFile) -> None:
    """PyPI's own renderer makes a page of it, and every link and picture of that page has an address of its own."""
    renderer = pytest.importorskip("readme_renderer.markdown", reason="renders as PyPI does")
    info = f"pytest_tokenbudget-{PROJECT['version']}.dist-info"
    metadata = email.message_from_string(wheel.read(f"{info}/METADATA").decode())
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = renderer.render(metadata.get_payload())
    assert page is not None
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert len(links) > 10
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    pages = {match[1] for link in links if (match := re.search(r"/en/latest/([\w-]+)\.html", link))}
    assert [page for page in sorted(pages) if not (ROOT / "docs" / f"{page}.md").exists()] == []


def test_the_release_checks_the_tag_and_keeps_no_token(tmp_path: Path) -> None:
    """The workflow publishes by trust, and its own checks run in bash: the tag is the version, and the changelog has it."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    publish = workflow["jobs"]["publish"]
    assert (publish["environment"], publish["permissions"]) == ("pypi", {"id-token": "write"})
    assert "password" not in str(workflow)
    scripts = [step["run"] for step in workflow["jobs"]["build"]["steps"] if "GITHUB_REF_NAME" in step.get("run", "")]
    version = PROJECT["version"]
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for tag, heading, expected in (
        (f"v{version}", f"## {version} (2026-12-01)", [0, 0]),
        (f"v{version}", f"## {version} (not yet released)", [0, 1]),
        ("v9.9.9", f"## {version} (2026-12-01)", [1, 1]),
    ):
        (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n")
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "GITHUB_REF_NAME": tag, "PATH": path}
        codes = [
            subprocess.run(["bash", "-ec", script], check=False, cwd=tmp_path, env=environment).returncode
            for script in scripts
        ]
        assert codes == expected


def test_there_is_one_version() -> None:
    """The installed metadata, the public attribute and pyproject.toml agree, and the changelog knows it."""
    import pytest_tokenbudget

    assert pytest_tokenbudget.__version__ == importlib.metadata.version("pytest-tokenbudget") == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("cell", CELLS)
def test_a_lock_names_versions_and_no_places(cell: str) -> None:
    """Every requirement is pinned exactly, and no index, host or path has crept in."""
    lines = [line.split(" #")[0].strip() for line in (ROOT / "requirements" / f"{cell}.txt").read_text().splitlines()]
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > len(PROJECT["dependencies"])
    assert [pin for pin in pins if not re.fullmatch(r"[\w.\-\[\],]+==[\w.+!]+( ; .+)?", pin)] == []


@pytest.mark.parametrize("cell", CELLS)
def test_a_lock_keeps_what_users_are_promised(cell: str) -> None:
    """The locked versions lie in the ranges of the project's own dependencies."""
    text = (ROOT / "requirements" / f"{cell}.txt").read_text()
    locked = dict(re.findall(r"^([\w.\-]+)==([\w.+!]+)", text, re.MULTILINE))
    for line in PROJECT["dependencies"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(Version(locked[requirement.name.lower()])), line


def test_the_cells_are_what_their_names_say() -> None:
    """httpx alone has no httpx2, httpx2 alone no httpx, and both have both."""
    clients = {}
    for cell in ("both", "httpx", "httpx2"):
        text = (ROOT / "requirements" / f"{cell}.txt").read_text()
        clients[cell] = set(re.findall(r"^(httpx2?)==", text, re.MULTILINE))
    assert clients == {"both": {"httpx", "httpx2"}, "httpx": {"httpx"}, "httpx2": {"httpx2"}}
