"""Take the picture of the HTML page for the front page: a real failing run of the example, in a real Chromium."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from chromium import chromium  # noqa: E402  # after the path is set

WIDTH, HEIGHT = 1180, 860


def main() -> None:
    """Run the example with its planted regression, and take the picture of the page's first screen."""
    example = ROOT / "conftest_examples" / "calendar_agent"
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "calendar_agent"
        shutil.copytree(example, copy, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
        planted = re.search(r'REGRESSION = """(.*?)"""', (example / "demo.py").read_text(encoding="utf-8"), re.DOTALL)
        assert planted is not None
        with (copy / "schemas.py").open("a", encoding="utf-8") as file:
            file.write(planted[1])
        page = Path(place) / "report.html"
        environment = {
            name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("GITHUB_")
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:randomly",
            "test_calendar.py",
            f"--tokenbudget-report={page}",
        ]
        subprocess.run(command, cwd=copy, env=environment, check=False, stdout=subprocess.DEVNULL)
        (profile := Path(place) / "profile").mkdir()
        with chromium(profile) as browser:
            browser.open(page.as_uri(), width=WIDTH, height=HEIGHT).screenshot(ROOT / "docs" / "page.png", whole=False)


if __name__ == "__main__":
    main()
