"""Bodies of traffic that is no model call cost no memory; all of a model call's is kept."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from threading import Thread
from typing import Any

import pytest
from ledger_server import LedgerServer, Reply

SIZE = 24 * 1024 * 1024
MOST = 3 * 1024 * 1024
"""Bytes that may still be held when the transfer is over: what is small is kept without a question."""


class _Files(BaseHTTPRequestHandler):
    """Serves and takes files of 24 MB."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/octet-stream")
        self.send_header("content-length", str(SIZE))
        self.end_headers()
        for _ in range(SIZE // 65536):
            self.wfile.write(b"\0" * 65536)

    def do_POST(self) -> None:
        left = int(self.headers["content-length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server of files, whose address the inner test finds in ``FILES``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("FILES", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()
    thread.join()


WATCHED = """
import gc, os, tracemalloc
FILES = os.environ["FILES"]
def held():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
tracemalloc.start()
before = held()
"""
CHECKED = f"""
after = held()
tracemalloc.stop()
assert after - before < {MOST}, after - before
client = openai.OpenAI(base_url=SERVER + "/v1")
client.chat.completions.create(model="gpt-4o", messages=[{{"role": "user", "content": "hello"}}])
"""
HTTPX = "try:\n    import httpx\nexcept ImportError:\n    import httpx2 as httpx\nimport openai\n"
TRANSFERS = {
    "httpx": HTTPX
    + WATCHED
    + f"""
with httpx.Client() as files:
    with files.stream("GET", FILES + "/big.bin") as response:
        assert sum(map(len, response.iter_bytes())) == {SIZE}
    assert len(files.get(FILES + "/big.bin").content) == {SIZE}
    assert len(files.post(FILES + "/upload", content=b"x" * {SIZE}).content) == {SIZE}
"""
    + CHECKED,
    "requests": "import openai, requests\n"
    + WATCHED
    + f"""
with requests.Session() as files:
    with files.get(FILES + "/big.bin", stream=True) as response:
        assert sum(map(len, response.iter_content(65536))) == {SIZE}
    assert len(files.get(FILES + "/big.bin").content) == {SIZE}
    assert len(files.post(FILES + "/upload", data=b"x" * {SIZE}).content) == {SIZE}
"""
    + CHECKED,
    "aiohttp": "import aiohttp, openai\n"
    + WATCHED
    + f"""
async with aiohttp.ClientSession() as files:
    async with files.get(FILES + "/big.bin") as response:
        assert sum([len(piece) async for piece in response.content.iter_any()]) == {SIZE}
    async with files.get(FILES + "/big.bin") as response:
        assert len(await response.read()) == {SIZE}
    async with files.post(FILES + "/upload", data=b"x" * {SIZE}) as response:
        assert len(await response.read()) == {SIZE}
del response
"""
    + CHECKED,
}


@pytest.mark.parametrize("client", TRANSFERS)
def test_transfers_of_files_cost_no_memory(
    client: str, against_the_books: Any, llm_server: LedgerServer, files: None
) -> None:
    """Downloads, streamed and whole, and an upload that is answered with as much; the call beside them is measured."""
    for module in ("openai", client):
        if find_spec(module) is None and client != "httpx":
            pytest.skip(f"{module} is not installed")
    llm_server.play([Reply("one")])
    against_the_books(TRANSFERS[client], asynchronous=client == "aiohttp", options=("-W", "ignore"))


def test_a_large_call_is_kept_whole(against_the_books: Any, llm_server: LedgerServer) -> None:
    """A prompt of 10 MB, more than is held of anything else, is read to its last token."""
    pytest.importorskip("openai", reason="the openai SDK is not installed")
    llm_server.play([Reply("one", input_tokens=2_000_000, output_tokens=1)])
    test = against_the_books(
        "import openai\nclient = openai.OpenAI(base_url=SERVER + '/v1')\n"
        "client.chat.completions.create(model='gpt-4o', messages=[{'role': 'user', 'content': 'word ' * 2_000_000}])"
    )
    assert test["calls"][0]["input_tokens"] == 2_000_000


def test_a_large_answer_that_no_format_knows_is_still_listed(pytester: pytest.Pytester, files: None) -> None:
    """A prompt to an unknown model is told, though the answer is cut."""
    pytester.makepyfile(
        HTTPX.replace("import openai\n", "")
        + f"""
import os
from pytest_tokenbudget import token_budget

@token_budget("10%")
def test_agent():
    files = os.environ["FILES"]
    body = {{"model": "m", "messages": [{{"role": "user", "content": "x" * {MOST * 3}}}]}}
    assert httpx.post(files + "/v9/brain", json=body).status_code == 200
"""
    )
    result = pytester.runpytest_inprocess("-W", "ignore")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*/v9/brain*"])
