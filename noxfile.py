"""The matrix: every supported Python, pytest 8 and 9, and each of the HTTP clients alone and both together.

`make test` runs the cell `tests-3.x(pytest9, both)` without nox. `nox -l` lists them all.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests"]
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PYTESTS = {"pytest9": "pytest>=9,<10", "pytest8": "pytest>=8,<9"}
CLIENTS = ["both", "httpx", "httpx2"]


@nox.session(python=PYTHONS)
@nox.parametrize("clients", CLIENTS, ids=CLIENTS)
@nox.parametrize("version", list(PYTESTS), ids=list(PYTESTS))
def tests(session: nox.Session, version: str, clients: str) -> None:
    session.install("-r", f"requirements/{clients}.txt")
    session.install(PYTESTS[version])
    session.install("--no-deps", "--no-build-isolation", "-e", ".")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11", venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """The oldest versions that pyproject.toml promises, so that the promise is tested."""
    session.install("--resolution", "lowest-direct", "-e", ".[httpx,yaml,html]")
    session.install("anyio", "hypothesis", "pytest-asyncio<1", "pytest-xdist", "hatchling", "brotli", "openai>=2,<3")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=PYTHONS[0])
def coverage(session: nox.Session) -> None:
    session.install("-r", "requirements/both.txt")
    session.install("--no-deps", "--no-build-isolation", "-e", ".")
    # From the very start, because the plugin is imported before pytest reads its configuration.
    session.run("coverage", "run", "--source", "pytest_tokenbudget", "-m", "pytest", *session.posargs)
    session.run("coverage", "report", "--show-missing", "--skip-covered")
