"""The player: a recorded run is answered again, to the byte and to the token, and only as long as it fits."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest

from pytest_tokenbudget.capture.local_answer import LocalAnswer
from pytest_tokenbudget.capture.stage import stage
from pytest_tokenbudget.errors import Diverged, TokenBudgetError
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.exchange import TokenBasis
from pytest_tokenbudget.replay.clock import VirtualClock
from pytest_tokenbudget.replay.interaction import Interaction
from pytest_tokenbudget.replay.player import Player
from pytest_tokenbudget.replay.recording import record, save
from pytest_tokenbudget.replay.script import ScriptedModel, cut, error, text, timeout, tool_call
from pytest_tokenbudget.tokens.counter import Counter

httpx = pytest.importorskip("httpx", reason="httpx is not installed")

URL = "https://api.example.com/v1/chat/completions"
COUNTER = Counter()
SEARCH = {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}


def problem_of(player: Player) -> TokenBudgetError | None:
    """Why a run does not fit its cassette."""
    return player.failure() or player.left_over()


def chat(said, *, model="gpt-4o", tools=(), **more):
    messages = said if isinstance(said, list) else [{"role": "user", "content": said}]
    return {"model": model, "messages": messages, **({"tools": list(tools)} if tools else {}), **more}


def ask(body, url=URL):
    return httpx.post(url, json=body)


async def aask(client, body):
    return (await client.post(URL, json=body)).json()["choices"][0]["message"]["content"]


@pytest.fixture
def recorded(played, tmp_path):
    """Records a run against a scripted model; gives the cassette's path and the exchanges."""

    def run(replies, agent, *, patterns=()):
        with VirtualClock() as clock:
            recorder = played(ScriptedModel(replies, clock=clock), clock)
            agent()
            exchanges = recorder.exchanges()
            played.stop()
        path = tmp_path / "cassettes" / "run.jsonl"
        save(path, record(exchanges, builtin_formats(), COUNTER), patterns)
        return path, exchanges

    return run


@pytest.fixture
def replayed(played):
    """Replays a cassette with an agent; gives the player, the exchanges and the clock's end."""

    def run(path, agent):
        with VirtualClock() as clock:
            player = Player(path, clock=clock, formats=builtin_formats(), counter=COUNTER)
            recorder = played(player, clock)
            try:
                agent()
            finally:
                exchanges = recorder.exchanges()
                played.stop()
            return player, exchanges, clock()

    return run


REPLIES = (
    text("One.", usage=(500, 7), duration=2.0),
    text("A longer answer that is streamed.", usage=(600, 20), ttft=0.5, duration=3.0),
    error(429, retry_after=3, duration=0.25),
    timeout(after=9.0),
    cut(text("Lost, all of it, on the way."), after_chunks=2),
)


def five_calls():
    ask(chat("a"))
    with httpx.stream("POST", URL, json=chat("b", stream=True, stream_options={"include_usage": True})) as response:
        response.read()
    assert ask(chat("c")).headers["retry-after"] == "3"
    with pytest.raises(httpx.ReadTimeout):
        ask(chat("d"))
    with pytest.raises(httpx.RemoteProtocolError):
        ask(chat("e", stream=True))


def facts(exchange):
    return exchange.status, b"".join(exchange.chunks), exchange.end, exchange.error, exchange.stage


def test_a_replay_is_the_recording(recorded, replayed):
    """Bytes, chunks, times, errors and ends are those of the recording; nothing is sent."""
    path, then = recorded(REPLIES, five_calls)
    player, now, end = replayed(path, five_calls)
    assert [facts(one) for one in now] == [facts(one) for one in then]
    assert [one.chunks for one in now if one.streamed] == [one.chunks for one in then if one.streamed]
    for one, other in zip(now, then, strict=True):
        assert one.chunk_times == pytest.approx(other.chunk_times, abs=1e-5)
    assert [one.ended - one.started for one in now] == pytest.approx([2.0, 3.0, 0.25, 9.0, 0.0], abs=1e-5)
    assert end == pytest.approx(14.25, abs=1e-5)
    assert {one.answered_by for one in now} == {"replay"}
    assert [one.token_basis.recorded for one in now] == [500, 600, None, None, None]
    assert problem_of(player) is None
    assert player.notes() == ()


def test_every_replay_has_the_same_digits(recorded, replayed):
    """Times are the same to the last bit, run after run."""
    path, _ = recorded(REPLIES, five_calls)
    assert (
        len({repr([(e.started, e.ended, e.chunk_times) for e in replayed(path, five_calls)[1]]) for _ in range(3)}) == 1
    )


def test_a_growing_history_is_stored_once(recorded):
    """A message that is sent again and again stands in the file once, and lines can be read."""
    history = [{"role": "system", "content": "Be brief. " * 40}]

    def agent():
        for number in range(6):
            history.append({"role": "user", "content": f"Question {number}, which is long enough to be stored apart."})
            said = ask(chat(list(history), tools=[SEARCH])).json()["choices"][0]["message"]
            history.append({"role": "assistant", "content": said["content"]})

    path, _ = recorded([text(f"Answer {number}.") for number in range(6)], agent)
    content = path.read_text()
    assert content.count("Question 0") == 1
    assert content.count("Be brief. " * 40) == 1
    assert [next(iter(json.loads(line))) for line in content.splitlines()[:3]] == [
        "tokenbudget_cassette",
        "content",
        "content",
    ]


def test_the_longer_prompt_is_calibrated(recorded, replayed):
    """An unchanged request has exactly the provider's number; a changed one the difference times the ratio."""
    from pytest_tokenbudget.measure.reading import calibrated

    path, _ = recorded([text("One.", usage=(500, 7))], lambda: ask(chat("hello")))
    _, (same,), _ = replayed(path, lambda: ask(chat("hello")))
    _, (more,), _ = replayed(path, lambda: ask(chat("hello, and a little more than that")))
    assert same.token_basis == TokenBasis(500)
    then = more.token_basis.counted
    assert more.token_basis == TokenBasis(500, then)
    assert calibrated(then, 500, then) == 500
    assert calibrated(then + 6, 500, then) > 500


def test_a_call_beyond_the_recording_takes_the_answer_of_the_most_alike(recorded, replayed):
    """Of several answers of its kind it gets the one to the request that is like it, and its time is that one's."""
    told = [text("One.", usage=(500, 7), duration=2.0), text("Two.", usage=(600, 9), duration=5.0)]
    path, _ = recorded(told, lambda: [ask(chat("the weather in Rome")), ask(chat("a train to Oslo"))])
    asked = ("the weather in Rome", "a train to Oslo", "the weather in Rome again")
    player, now, end = replayed(path, lambda: [ask(chat(said)) for said in asked])
    assert (player.failure(), player.left_over()) == (None, None)
    assert b"One." in b"".join(now[2].chunks)
    assert [one.token_basis.estimated for one in now] == [False, False, True]
    assert end == pytest.approx(9.0, abs=0.01)
    assert "1 call beyond the recording in stage 'main'" in player.notices()[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda: [ask(chat("a")), ask(chat("b")), ask(chat("c", model="other"))], "makes call 3 .* no answer"),
        (lambda: [ask(chat("a"))], "1 recorded answers were not asked for"),
        (
            lambda: [ask(chat("a")), ask({"model": "m", "input": "b"}, "https://x.example/v1/responses")],
            "recorded from openai.chat",
        ),
        (
            lambda: [ask(chat("a")), ask({"model": "m", "prompt": "b"}, "https://x.example/v9/brain")],
            "recorded from openai.chat",
        ),
    ],
)
def test_divergence_is_said_and_remembered(recorded, replayed, changed, message):
    """More calls, fewer calls, another API: an error with the command, also where the agent swallows it."""
    path, _ = recorded(["one", "two"], lambda: [ask(chat("a")), ask(chat("b"))])

    def agent():
        with suppress(Diverged):
            changed()

    problem = problem_of(replayed(path, agent)[0])
    assert re.search(message, str(problem))
    assert "pytest --tokenbudget-traffic=record" in str(problem)


def test_a_tool_that_is_gone_diverges(recorded, replayed):
    """A recorded tool call that the request no longer offers is no answer."""
    path, _ = recorded([tool_call("search", query="x")], lambda: ask(chat("a", tools=[SEARCH])))
    renamed = {**SEARCH, "function": {**SEARCH["function"], "name": "find"}}
    with pytest.raises(Diverged, match="calls the tool 'search', which the request no longer offers; it offers: find"):
        replayed(path, lambda: ask(chat("a", tools=[renamed])))


def test_concurrent_calls_get_their_own_answers(recorded, replayed):
    """Calls that run beside each other are told apart by likeness, in whatever order they start, prompts grown or not."""
    cities = ["Rome", "Oslo", "Lima", "Bonn"]

    def agent(order, extra=""):
        async def run():
            async with httpx.AsyncClient() as client:
                system = {"role": "system", "content": "You know the weather." + extra}
                bodies = [
                    chat([system, {"role": "user", "content": f"The weather in {city}, please."}]) for city in order
                ]
                found.update(zip(order, await asyncio.gather(*(aask(client, body) for body in bodies)), strict=True))

        found = {}
        asyncio.run(run())
        return found

    model = [text(f"It rains in {city}.", duration=1.0 + number) for number, city in enumerate(cities)]
    path, _ = recorded(model, lambda: agent(cities))
    for order, extra in ((cities[::-1], ""), (cities[::-1], " And you say it in one sentence."), (cities, " Now.")):
        found = {}
        replayed(path, lambda order=order, extra=extra, found=found: found.update(agent(order, extra)))
        assert found == {city: f"It rains in {city}." for city in cities}


def test_a_stage_that_is_new_takes_what_is_alike(recorded, replayed):
    """Opening a stage around the agent does not make its cassette useless."""
    path, _ = recorded(["one", "two"], lambda: [ask(chat("first question")), ask(chat("second question"))])

    def staged():
        with stage("worker"):
            assert ask(chat("first question")).json()["choices"][0]["message"]["content"] == "one"
            ask(chat("second question"))

    assert problem_of(replayed(path, staged)[0]) is None


def test_a_known_stage_takes_nothing_from_others(recorded, replayed):
    """One more call in a stage is answered like that stage's own, even if another stage has an answer left."""
    said = []

    def agent(calls):
        said.clear()
        for name, count in (("worker", calls), ("finalize", 1)):
            with stage(name):
                said.extend(
                    ask(chat("the same question")).json()["choices"][0]["message"]["content"] for _ in range(count)
                )

    path, _ = recorded(["a", "b"], lambda: agent(1))
    player, now, _ = replayed(path, lambda: agent(2))
    assert (player.failure(), player.left_over()) == (None, None)
    assert said == ["a", "a", "b"]
    assert [one.token_basis.estimated for one in now] == [False, True, False]


def test_no_model_call_leaves(recorded, replayed, outgoing):
    """Not to another provider, and through no client."""
    path, _ = recorded(["one"], lambda: ask(chat("a")))
    player = Player(path, clock=VirtualClock(), formats=builtin_formats(), counter=COUNTER)
    assert player.answer(outgoing(None, "https://example.com/health", method="GET")) is None
    assert player.answer(outgoing(chat("a"), URL)).status == 200
    with pytest.raises(Diverged, match="no answer"):
        player.answer(outgoing({"model": "m", "prompt": "b"}, "https://elsewhere.example/v9/brain"))
    assert problem_of(player) is not None


def test_a_call_that_was_given_up_stays_given_up(recorded, replayed):
    """A call that the agent cancelled is cancelled again; an agent that waits for it has diverged."""

    def agent(patience):
        async def run():
            async with httpx.AsyncClient() as client:
                try:
                    return await asyncio.wait_for(aask(client, chat("a")), patience)
                except TimeoutError:
                    return None

        return asyncio.run(run())

    path, _ = recorded([text("late", duration=60.0)], lambda: agent(2.0))
    player, (call,), end = replayed(path, lambda: agent(2.0))
    assert (call.end, end, problem_of(player)) == ("cancelled", 2.0, None)
    with pytest.raises(Diverged, match="gave up on a call"):
        replayed(path, lambda: agent(None))


def _ends(interactions, tmp_path, agent, replayed):
    path = tmp_path / "cassette.jsonl"
    save(path, interactions)
    return replayed(path, agent)


def _interaction(number, words, *, slope=0.001):
    body = chat("word " * words)
    counted = words + 10
    answer = json.dumps({"model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": counted, "completion_tokens": 5}})
    seconds = 1.0 + slope * counted
    return Interaction(
        api="openai.chat",
        provider="openai",
        url=URL,
        model="gpt-4o",
        body=body,
        started=number * 10.0,
        duration=seconds,
        headers=(("content-type", "application/json"),),
        chunks=(answer.encode(),),
        times=(seconds,),
        input_tokens=counted,
        counted_tokens=counted,
        output_tokens=5,
    )


def test_a_larger_request_takes_longer_where_the_cassette_tells(tmp_path, replayed):
    """The slope per input token corrects a duration; where there is none it is left, and the note says which."""
    interactions = [_interaction(number, 100 * (number + 1)) for number in range(10)]

    def agent(extra):
        for number in range(10):
            ask(chat("word " * (100 * (number + 1) + extra * (number == 9))))

    _, _, before = _ends(interactions, tmp_path, lambda: agent(0), replayed)
    player, _, after = _ends(interactions, tmp_path, lambda: agent(500), replayed)
    assert before == pytest.approx(sum(one.duration for one in interactions), abs=1e-4)
    assert after - before == pytest.approx(0.5, rel=0.01)
    assert re.fullmatch(
        r"durations of 1 call to gpt-4o were corrected by 1 ms an input token, as 10 .* tell", *player.notes()
    )
    flat = [_interaction(number, 100 * (number + 1), slope=0.0) for number in range(10)]
    player, _, after = _ends(flat, tmp_path, lambda: agent(500), replayed)
    assert after == pytest.approx(10.0, abs=1e-4)
    assert re.match("1 call to gpt-4o with another size", *player.notes())


def test_patterns_are_redacted_and_the_run_still_fits(recorded, replayed):
    """What a pattern matches is not in the file; a replay of the same run is as before."""
    patterns = (re.compile(r"acct-\d+"),)
    path, _ = recorded([text("acct-99 it is", usage=(50, 5))], lambda: ask(chat("I am acct-12")), patterns=patterns)
    content = path.read_text()
    assert "acct-" not in content
    assert content.count("[redacted]") == 2
    player, (call,), _ = replayed(path, lambda: ask(chat("I am acct-12")))
    assert problem_of(player) is None
    assert call.token_basis.recorded == 50


def test_what_is_asked_beside_the_model_is_answered_too(played, tmp_path, replayed):
    """A list of models or a count of tokens is recorded with the calls, and does not leave in a replay."""

    class Api:
        def answer(self, outgoing):
            body = b'{"data": [{"id": "gpt-4o"}]}' if outgoing.method == "GET" else b'{"choices": []}'
            return LocalAnswer(200, (("content-type", "application/json"),), (body,))

    def agent():
        assert httpx.get("https://api.example.com/v1/models").json()["data"][0]["id"] == "gpt-4o"
        ask(chat("a"))

    recorder = played(Api())
    agent()
    exchanges = recorder.exchanges()
    played.stop()
    path = tmp_path / "cassette.jsonl"
    save(path, record(exchanges, builtin_formats(), COUNTER))
    player, now, _ = replayed(path, agent)
    assert problem_of(player) is None
    assert {one.answered_by for one in now} == {"replay"}
    assert problem_of(replayed(path, lambda: ask(chat("a")))[0]) is None
    with pytest.raises(Diverged, match="asks GET /v1/files beside its model"):
        replayed(path, lambda: httpx.get("https://api.example.com/v1/files"))


def _fan_out(calls):
    async def run():
        async with httpx.AsyncClient() as client:
            await asyncio.gather(*(aask(client, chat(f"question {number}")) for number in range(calls)))

    asyncio.run(run())


def test_calls_that_share_a_server_queue_up(recorded, played):
    """A fan-out of calls that were recorded one by one is projected as a queue where the slots are known, else told of."""
    path, _ = recorded(
        [text(f"{number}", duration=1.0) for number in range(8)],
        lambda: [ask(chat(f"question {number}")) for number in range(8)],
    )

    def projected(slots):
        with VirtualClock() as clock:
            player = Player(path, clock=clock, formats=builtin_formats(), counter=COUNTER, slots_of=lambda host: slots)
            played(player, clock)
            _fan_out(8)
            played.stop()
            assert problem_of(player) is None
            return clock(), player.notices()

    end, notices = projected(None)
    assert end == pytest.approx(1.0, abs=1e-4)
    assert re.match("up to 8 calls to api.example.com are under way at once, 1 when it was recorded", *notices)
    assert projected(1) == (pytest.approx(8.0, abs=1e-4), ())
    assert projected(3) == (pytest.approx(3.0, abs=1e-4), ())


def test_the_wait_of_the_recording_is_not_counted_twice(recorded, played):
    """Where it was recorded with a queue, the same queue gives the same times."""
    path, exchanges = recorded([text(f"{number}", duration=1.0 + number) for number in range(3)], lambda: _fan_out(3))
    assert max(one.ended for one in exchanges) == 3.0
    with VirtualClock() as clock:
        player = Player(path, clock=clock, formats=builtin_formats(), counter=COUNTER, slots_of=lambda host: 1)
        played(player, clock)
        _fan_out(3)
        played.stop()
        assert clock() == pytest.approx(3.0, abs=1e-4)


def test_the_cache_of_a_framework_is_named(recorded, replayed, monkeypatch):
    """A run that a cache in the process answered does not ask for another recording."""
    path, _ = recorded(["one", "two"], lambda: [ask(chat("a")), ask(chat("b"))])
    monkeypatch.setitem(sys.modules, "dspy", SimpleNamespace(cache=SimpleNamespace(enable_memory_cache=True)))
    problem = problem_of(replayed(path, lambda: None)[0])
    assert "a cache of a framework may have answered instead" in problem.message
    assert "DSPy: dspy.configure_cache(enable_disk_cache=False" in problem.remedy
    monkeypatch.delitem(sys.modules, "dspy")
    monkeypatch.setitem(sys.modules, "litellm", SimpleNamespace(cache=object()))
    assert "LiteLLM: litellm.disable_cache()" in problem_of(replayed(path, lambda: None)[0]).remedy
