"""A budget for a service that runs in another process: its model calls are seen there, and the script answers them there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pytest_tokenbudget import token_budget
from pytest_tokenbudget.replay.replies import text


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """The service under uvicorn, once for all tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "service:app", "--port", str(port), "--log-level", "warning"]
    environment = {"OPENAI_API_KEY": "unused", **os.environ}
    with subprocess.Popen(command, cwd=Path(__file__).parent, env=environment) as process:
        try:
            _wait_until_it_listens(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "the service ended before it listened"
        time.sleep(0.05)
    raise TimeoutError("the service does not listen")


@token_budget({"input_tokens": "10%"}, limit={"calls": 1})
def test_the_service_answers(service: str, scripted_llm: Any) -> None:
    scripted_llm.add(text("Your chair was sent on Monday."))
    with urllib.request.urlopen(f"{service}/ask?question={quote('Where is my chair?')}") as answer:
        assert "Monday" in json.loads(answer.read())["answer"]
