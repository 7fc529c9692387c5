"""The command ``tokenbudget``, run in the test's process: to start one takes ten times as long."""

from __future__ import annotations

import os
import subprocess
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper

from pytest_tokenbudget.cli.main import main


def run_command(
    *arguments: str | os.PathLike[str], cwd: str | os.PathLike[str] = "."
) -> subprocess.CompletedProcess[str]:
    """Run ``tokenbudget`` in a folder, with its output caught."""
    out, err = (TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        code = main([os.fspath(one) for one in arguments])
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(arguments, code, *said)
