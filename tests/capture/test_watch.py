"""Watches: when they are on, what they leave behind, and that they stand several of their kind and of others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import queue
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import bypasses, keep_in_place, watched_clients, watching


def test_everything_is_as_it_was_afterwards(httpx: Any) -> None:
    """The very functions are back on the classes, also after an exception, and no finder is left."""
    before = [vars(owner)["send"] for owner in (httpx.Client, httpx.AsyncClient)]
    finders = list(sys.meta_path)
    with watching(Recorder()):
        assert vars(httpx.Client)["send"] is not before[0]
    with pytest.raises(LookupError), watching(Recorder()):
        raise LookupError
    assert [vars(owner)["send"] for owner in (httpx.Client, httpx.AsyncClient)] == before
    assert sys.meta_path == finders
    assert not ACTIVE.recorders


def test_nested_watches_each_see_the_traffic(httpx: Any, server: Any) -> None:
    """The inner one sees what is sent while it is on, the outer one everything; once each."""
    outer, inner = Recorder(), Recorder()
    with httpx.Client() as client, watching(outer):
        client.get(f"{server.url}/1")
        with watching(inner):
            client.get(f"{server.url}/2")
        client.get(f"{server.url}/3")
    client_paths = [[exchange.url[-1] for exchange in recorder.exchanges()] for recorder in (outer, inner)]
    assert client_paths == [["1", "2", "3"], ["2"]]


def test_watches_of_several_threads_overlap(httpx: Any, server: Any) -> None:
    """Watches may begin and end in any order; the last one to end puts everything back."""
    before = vars(httpx.Client)["send"]
    first_on, second_on = threading.Event(), threading.Event()

    def first() -> None:
        with watching(Recorder()):
            first_on.set()
            second_on.wait(5)

    thread = threading.Thread(target=first)
    thread.start()
    first_on.wait(5)
    recorder = Recorder()
    with watching(recorder):
        second_on.set()
        thread.join(5)
        httpx.get(server.url)
    assert len(recorder.exchanges()) == 1
    assert vars(httpx.Client)["send"] is before


@pytest.mark.parametrize("module", ["httpx", "httpx2", "requests", "aiohttp", "botocore.httpsession"])
def test_a_library_is_watched_when_it_is_imported_meanwhile(module: str) -> None:
    """Nothing is imported for a watch; what the code under test imports is watched from then on, and not afterwards."""
    pytest.importorskip(module, reason=f"{module} is not installed")
    owner, method = {
        "httpx": ("Client", "send"),
        "httpx2": ("AsyncClient", "send"),
        "requests": ("Session", "send"),
        "aiohttp": ("ClientSession", "_request"),
        "botocore.httpsession": ("URLLib3Session", "send"),
    }[module]
    code = f"""
import sys
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.watch import bypasses, keep_in_place, watched_clients, watching
with watching(Recorder()):
    assert {module!r} not in sys.modules and not watched_clients()
    import {module}
    assert hasattr({module}.{owner}.{method}, "__wrapped__"), "it is not watched"
    assert {module.partition(".")[0]!r} in watched_clients()[0]
assert not hasattr({module}.{owner}.{method}, "__wrapped__"), "it is still watched"
assert type({module}.__spec__.loader).__name__ == "SourceFileLoader"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_subclass_with_a_send_of_its_own(httpx: Any, server: Any, recorder: Recorder) -> None:
    """Clients of gateways sign or repeat what they send: each request that leaves is recorded once, as it leaves."""

    class Client(httpx.Client):  # type: ignore[misc, name-defined]
        def send(self, request: Any, **options: Any) -> Any:
            request.headers["x-signed"] = "yes"
            super().send(request, **options)
            return super().send(request, **options)

    with Client() as client:
        client.post(server.url, json={})
    assert [("x-signed", "yes") in exchange.request_headers for exchange in recorder.exchanges()] == [True, True]


def test_a_patch_of_somebody_else_in_between(httpx: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that wraps ``send`` during one watch and beyond is let alone; when it is gone, so are we."""
    before = vars(httpx.Client)["send"]
    with watching(Recorder()):
        watched = httpx.Client.send

        def send(self: Any, request: Any, **options: Any) -> Any:
            return watched(self, request, **options)

        monkeypatch.setattr(httpx.Client, "send", send)
    recorder = Recorder()
    with watching(recorder):
        httpx.get(server.url)
    assert len(recorder.exchanges()) == 1, "seen by the new watch and not by the old one, too"
    monkeypatch.undo()
    with watching(recorder):
        httpx.get(server.url)
    assert len(recorder.exchanges()) == 2
    assert vars(httpx.Client)["send"] is before


def test_nothing_is_kept_alive(httpx: Any, server: Any) -> None:
    """A recorder holds bodies and headers; clients and responses go when the code under test lets them."""
    recorder = Recorder()
    with watching(recorder):
        client = httpx.Client()
        response = client.get(server.url)
        gone = weakref.ref(client), weakref.ref(response)
        client.close()
        del client, response
        gc.collect()
        assert [ref() for ref in gone] == [None, None]
    recorded = weakref.ref(recorder)
    del recorder
    gc.collect()
    assert recorded() is None


def test_what_belongs_to_something_wider_is_kept_apart(httpx: Any, server: Any, recorder: Recorder) -> None:
    """Fixtures of a wider scope belong to no sample, nor does the work that they leave behind; they may be nested."""
    with recorder.outside("fixture 'a'"):
        with recorder.outside("fixture 'b'"):
            httpx.get(f"{server.url}/b")
        httpx.get(f"{server.url}/a")
        go, done = threading.Event(), threading.Event()

        def poll() -> None:
            go.wait(5)
            httpx.get(f"{server.url}/poller")
            done.set()

        threading.Thread(target=poll, name="poller").start()
    httpx.get(f"{server.url}/mine")
    go.set()
    done.wait(5)
    assert [exchange.url.rpartition("/")[2] for exchange in recorder.exchanges()] == ["mine"]
    outside = [(where, exchange.url.rpartition("/")[2]) for where, exchange in recorder.outside_exchanges()]
    assert outside == [("fixture 'b'", "b"), ("fixture 'a'", "a"), ("thread 'poller'", "poller")]


def test_work_that_began_before_is_not_charged(httpx: Any, server: Any) -> None:
    """Neither a thread nor a task that was there before; what the sample hands to them is its own."""

    async def main() -> None:
        polled = asyncio.Event()

        async def poll() -> None:
            await polled.wait()
            async with httpx.AsyncClient() as client:
                await client.get(f"{server.url}/task")

        task = asyncio.create_task(poll(), name="poller")
        await asyncio.sleep(0)
        with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
            pool.submit(lambda: None).result()
            with watching(recorder):
                polled.set()
                await task
                await asyncio.create_task(asyncio.sleep(0))
                await asyncio.get_running_loop().run_in_executor(pool, httpx.get, f"{server.url}/handed")
                await asyncio.to_thread(httpx.get, f"{server.url}/mine")

    recorder = Recorder()
    asyncio.run(main())
    assert [exchange.url.rpartition("/")[2] for exchange in recorder.exchanges()] == ["handed", "mine"]
    assert [(where, one.url.rpartition("/")[2]) for where, one in recorder.outside_exchanges()] == [
        ("task 'poller'", "task")
    ]


def test_a_request_that_began_before_is_told(httpx: Any, server: Any, wait_for: Any) -> None:
    """One that an earlier sample sent and that still runs belongs to neither of what follows."""
    server.play(silent=True)
    first, second = Recorder(), Recorder()

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{server.url}/old", timeout=5)

    with watching(first):
        thread = threading.Thread(target=ask)
        thread.start()
        wait_for(lambda: bool(server.requests))
    with watching(second):
        assert not second.exchanges()
        assert [(where, one.url.rpartition("/")[2]) for where, one in second.outside_exchanges()] == [
            ("a request", "old")
        ]
    server.release.set()
    thread.join()
    with watching(Recorder()) as _, watching(third := Recorder()):
        assert not third.outside_exchanges()


def test_a_stream_that_its_reader_left_open_is_no_work(httpx: Any, server: Any) -> None:
    """It was its own sample's call; the samples after it hear of it only where it moves on."""
    server.play(chunks=[b"one", b"two", b"three"], chunked=True, hold=1)
    with watching(Recorder()):
        client = httpx.Client()
        response = client.send(client.build_request("GET", f"{server.url}/open"), stream=True)
        pieces = response.iter_raw(chunk_size=None)
        next(pieces)
    with watching(second := Recorder()):
        assert not second.outside_exchanges()
        server.release.set()
        assert list(pieces)
        assert len(second.outside_exchanges()) == 1
    with watching(third := Recorder()):
        assert not third.outside_exchanges()
    response.close()
    client.close()


def test_whoever_serves_the_sample_works_for_it(httpx: Any, server: Any) -> None:
    """A server of this machine ran before; while the sample waits for it, what it asks of another host is the sample's."""
    asked, answered = queue.Queue[str](), queue.Queue[None]()

    class App(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.put("agent")
            answered.get(timeout=5)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    def work() -> None:
        while asked.get(timeout=5) == "agent":
            httpx.get(f"{server.url}/model")
            answered.put(None)

    with HTTPServer(("127.0.0.1", 0), App) as app:
        for target in (app.serve_forever, work):
            threading.Thread(target=target, daemon=True).start()
        with watching(recorder := Recorder()):
            httpx.get(f"http://127.0.0.1:{app.server_port}/app")
        app.shutdown()
        asked.put("no more")
    assert sorted(exchange.url.rpartition("/")[2] for exchange in recorder.exchanges()) == ["app", "model"]


def test_the_clients_of_a_watch_are_told(httpx: Any) -> None:
    """With their versions; only what is imported."""
    assert f"{httpx.__name__} {httpx.__version__}" in watched_clients()


@pytest.fixture
def kept() -> Iterator[None]:
    """What is put in place stays there between watches."""
    keep_in_place(True)
    yield
    keep_in_place(False)


def test_what_is_kept_in_place_is_idle_until_the_next_watch(httpx: Any, server: Any) -> None:
    """Nothing is made anew for each of the samples that follow at once, and in the end all is as it was."""
    before, finders = vars(httpx.Client)["send"], list(sys.meta_path)
    keep_in_place(True)
    first, second = Recorder(), Recorder()
    with watching(first):
        placed = vars(httpx.Client)["send"]
    httpx.get(f"{server.url}/between")
    with watching(second):
        assert vars(httpx.Client)["send"] is placed
        httpx.get(f"{server.url}/second")
    keep_in_place(False)
    assert [recorder.exchanges()[0].url[-6:] for recorder in (first, second) if recorder.exchanges()] == ["second"]
    assert vars(httpx.Client)["send"] is before
    assert sys.meta_path == finders


@pytest.mark.usefixtures("kept")
def test_a_patch_that_ends_while_ours_is_kept(httpx: Any, server: Any) -> None:
    """A tool that puts back what it found before us, or what it found of ours, is undone for the next watch."""
    original = vars(httpx.Client)["send"]
    with watching(Recorder()):
        ours = vars(httpx.Client)["send"]
    for left in (original, ours):
        httpx.Client.send = left
        recorder = Recorder()
        with watching(recorder):
            httpx.get(server.url)
            assert not bypasses()
            assert vars(httpx.Client)["send"] is ours, "made anew, though nothing is buried"
        assert len(recorder.exchanges()) == 1
    keep_in_place(False)
    assert vars(httpx.Client)["send"] is original


@pytest.mark.parametrize("kept", [False, True])
def test_what_was_replaced_between_two_watches_is_watched(
    httpx: Any, server: Any, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """Another method, and another class under the same name, as after a reload: each is seen, and put back."""
    before = vars(httpx.Client)["send"]
    keep_in_place(kept)
    with watching(Recorder()):
        pass
    original, sent = httpx.Client.send, []

    def send(self: Any, request: Any, **options: Any) -> Any:
        sent.append(request)
        return original(self, request, **options)

    monkeypatch.setattr(httpx.Client, "send", send)
    recorder = Recorder()
    with watching(recorder), httpx.Client() as client:
        client.get(f"{server.url}/1")
    assert (len(recorder.exchanges()), len(sent)) == (1, 1)
    assert kept or vars(httpx.Client)["send"] is send

    class Client(httpx.Client):  # type: ignore[misc, name-defined]
        def send(self, request: Any, **options: Any) -> Any:
            return original(self, request, **options)

    Client.__module__, Client.__qualname__ = httpx.Client.__module__, "Client"
    own = vars(Client)["send"]
    monkeypatch.setattr(httpx, "Client", Client)
    recorder = Recorder()
    with watching(recorder), Client() as client:
        client.get(f"{server.url}/2")
    assert len(recorder.exchanges()) == 1
    keep_in_place(False)
    assert vars(Client)["send"] is own
    monkeypatch.undo()
    with watching(Recorder()):
        pass
    assert vars(httpx.Client)["send"] is before


def test_a_name_that_an_earlier_watch_looked_up_names_no_address_now(server: Any) -> None:
    """The names of hosts are those that were looked up in this sample."""
    port = int(server.url.rpartition(":")[2])
    with watching(Recorder()):
        socket.getaddrinfo("localhost", port)
    recorder = Recorder()
    with watching(recorder), socket.socket() as connection:
        connection.connect(("127.0.0.1", port))
    assert [one.host for one in recorder.connections.noted()] == ["127.0.0.1"]
