"""A runner for the recipes of the docs: it runs each ``run:`` step in bash, and stands in for the actions of others.

It knows what the recipes need and refuses everything else, so that a recipe cannot say what was never tried.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
IGNORED = ("actions/checkout@v4", "actions/setup-python@v5")


def blocks(page: Path, language: str) -> dict[str, str]:
    """The code blocks of a page in a language that name their file in the first line, by that name and the heading above it."""
    found: dict[str, str] = {}
    heading = ""
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(
        rf"^#+ ([^\n]+)$|^```{language}\n(?:#|//) (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    ):
        if match[1]:
            heading = match[1]
        else:
            found[f"{heading}: {match[2]}"] = match[3]
    return found


@dataclass
class Runner:
    """A machine on which jobs run.

    Attributes:
        project: The working directory.
        artifacts: Where uploads lie.
        github: The context ``github``, with dots: ``event.workflow_run.id``.
        environment: Variables of every step.
        ran: The scripts that were run, with their exit codes.
    """

    project: Path
    artifacts: Path
    github: dict[str, str]
    environment: dict[str, str]
    ran: list[tuple[str, int]] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)

    def workflow(self, text: str) -> dict[str, dict[str, str]]:
        """Run the only job of a workflow; gives the outputs of its steps by id."""
        (job,) = yaml.safe_load(text)["jobs"].values()
        if "if" in job and not self._true(job["if"], {}):
            return {}
        return self._steps(job["steps"], {})

    def _steps(self, steps: list[dict[str, Any]], known: dict[str, str]) -> dict[str, dict[str, str]]:
        """Run steps one after the other; after one that failed only those with ``if: always()``."""
        failed, outputs = False, {}
        for step in steps:
            condition = str(step.get("if", ""))
            if (failed and condition != "always()") or (
                condition not in ("", "always()") and not self._true(condition, known)
            ):
                continue
            inputs = {key: self._filled(str(value), known) for key, value in step.get("with", {}).items()}
            if "run" in step:
                env = {key: self._filled(str(value), known) for key, value in step.get("env", {}).items()}
                code, found = self.script(step["run"], env)
                failed = failed or code != 0
            else:
                found = self._action(step["uses"], inputs)
            outputs[step.get("id", "")] = found
            known |= {f"steps.{step.get('id')}.outputs.{key}": value for key, value in found.items()}
        return outputs

    def script(self, text: str, env: dict[str, str]) -> tuple[int, dict[str, str]]:
        """Run a script as the runner does; gives its exit code and what it wrote to its outputs."""
        output = self.artifacts / "output.txt"
        output.write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text],
            cwd=self.project,
            env={**self.environment, "GITHUB_OUTPUT": str(output), **env},
            capture_output=True,
            text=True,
            check=False,
        )
        self.ran.append((text, done.returncode))
        # Shown where a test fails.
        print(f"$ {text}\n{done.stdout}{done.stderr}", file=sys.stderr)
        return done.returncode, dict(line.split("=", 1) for line in output.read_text().splitlines() if "=" in line)

    def _action(self, name: str, inputs: dict[str, str]) -> dict[str, str]:
        if name in IGNORED:
            return {}
        if name == "actions/upload-artifact@v4":
            source = self.project / inputs["path"]
            target = self.artifacts / inputs["name"]
            self.uploaded.append(inputs["name"])
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                target.mkdir()
                shutil.copy(source, target)
            return {"artifact-url": f"https://host.example/artifacts/{inputs['name']}"}
        if name == "actions/download-artifact@v4":
            shutil.copytree(self.artifacts / inputs["name"], self.project / inputs["path"], dirs_exist_ok=True)
            return {}
        assert re.fullmatch(r"OWNER/pytest-tokenbudget@v[\d.]+", name), f"no stand-in for {name}"
        return self.own_action(inputs)

    def own_action(self, inputs: dict[str, str]) -> dict[str, str]:
        """Run the action of this repository; gives its outputs."""
        action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
        assert set(inputs) <= set(action["inputs"]), (
            f"the action has no such input: {set(inputs) - set(action['inputs'])}"
        )
        known = {
            f"inputs.{key}": inputs.get(key) or self._filled(declared["default"], {})
            for key, declared in action["inputs"].items()
        }
        outputs = self._steps(action["runs"]["steps"], known)
        found = {
            f"steps.{step}.outputs.{key}": value for step, values in outputs.items() for key, value in values.items()
        }
        return {key: self._filled(declared["value"], known | found) for key, declared in action["outputs"].items()}

    def _filled(self, text: str, known: dict[str, str]) -> str:
        """A text with its ``${{ }}`` replaced."""
        return re.sub(r"\$\{\{\s*(.*?)\s*\}\}", lambda match: self._value(match[1], known), text)

    def _value(self, expression: str, known: dict[str, str]) -> str:
        """The value of an expression: a name, ``a || b``, or ``a && format('...', a)``."""
        if "||" in expression:
            values = [self._value(part.strip(), known) for part in expression.split("||")]
            return next((value for value in values if value), "")
        if "&&" in expression:
            name, call = (part.strip() for part in expression.split("&&"))
            template = re.fullmatch(r"format\('(.*)', ([\w.-]+)\)", call)
            assert template is not None, f"cannot evaluate {expression}"
            return template[1].replace("{0}", self._value(template[2], known)) if self._value(name, known) else ""
        if expression.startswith("github."):
            return {**self.github, "action_path": str(ROOT)}[expression.removeprefix("github.")]
        if expression.startswith("steps."):
            return known.get(expression, "")
        return known[expression]

    def _true(self, condition: str, known: dict[str, str]) -> bool:
        compared = re.fullmatch(r"([\w.-]+) (==|!=) '(.*)'", condition)
        assert compared is not None, f"cannot evaluate {condition}"
        return (self._value(compared[1], known) == compared[3]) is (compared[2] == "==")


def machine(project: Path, artifacts: Path, *, github: dict[str, str], environment: dict[str, str]) -> Runner:
    """A machine whose ``pip`` does nothing, and whose ``pytest``, ``python`` and ``tokenbudget`` are those of this environment."""
    programs = artifacts / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    pip = programs / "pip"
    pip.write_text('#!/bin/sh\necho "pip $*"\n')
    pip.chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    needed = {"PATH": path, "HOME": str(artifacts), "CI": "true"}
    # Of pytest's plugins only ours, so that each session starts quickly.
    needed |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_tokenbudget.plugin"}
    return Runner(project, artifacts, github, needed | environment)
