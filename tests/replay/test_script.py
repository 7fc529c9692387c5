"""The scripted model: which answer a request gets, and what is said where there is none."""

from __future__ import annotations

import builtins
import json

import pytest

from pytest_tokenbudget.errors import ScriptError
from pytest_tokenbudget.replay.replies import Called, usage_of
from pytest_tokenbudget.replay.script import ScriptedModel, error, parallel, text, tool_call

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


def said(answer):
    return json.loads(b"".join(answer.chunks))["choices"][0]["message"]["content"]


def test_replies_come_in_order(outgoing):
    """The first request gets the first reply; a string is a reply."""
    model = ScriptedModel(["one", text("two")])
    assert [said(model.answer(outgoing(CHAT))) for _ in range(2)] == ["one", "two"]
    assert model.unconsumed() is None


def test_a_stage_has_its_own_replies(outgoing):
    """A request in a stage takes that stage's reply, then that of the stage around it, then a general one."""
    model = ScriptedModel(["general"], stages={"worker": ["outer"], "worker/finalize": ["inner"]})
    asked = [outgoing(CHAT, stage="worker/finalize")] * 3
    assert [said(model.answer(one)) for one in asked] == ["inner", "outer", "general"]


def test_a_function_answers_what_no_queue_does(outgoing):
    """A function sees the request in one shape, whatever the wire."""
    model = ScriptedModel(["first"])

    @model.respond_with
    def respond(asked):
        return text(f"{asked.number} {asked.api} {asked.user} {asked.system} {','.join(asked.tools)}")

    model.answer(outgoing(CHAT))
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, *CHAT["messages"]],
        "tools": [{"type": "function", "function": {"name": "search"}}],
    }
    assert said(model.answer(outgoing(body))) == "1 openai.chat hello Be brief. search"


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/v1/responses", {"model": "m", "instructions": "Be brief.", "input": "hello", "tools": [{"name": "search"}]}),
        (
            "/v1/messages",
            {"model": "m", "system": "Be brief.", "messages": CHAT["messages"], "tools": [{"name": "search"}]},
        ),
        (
            "/v1beta/models/m:generateContent",
            {
                "systemInstruction": {"parts": [{"text": "Be brief."}]},
                "contents": [{"parts": [{"text": "hello"}]}],
                "tools": [{"functionDeclarations": [{"name": "search"}]}],
            },
        ),
    ],
)
def test_every_wire_is_read_into_the_same_shape(outgoing, url, body):
    """Model, system, user and tools are found on each wire."""
    model = ScriptedModel(["ok"])
    model.answer(outgoing(body, f"https://example.com{url}"))
    (asked,) = model.asked
    assert (asked.model, asked.system, asked.user, asked.tools) == ("m", "Be brief.", "hello", ("search",))


def test_a_request_without_an_answer_fails_and_says_what_was_asked(outgoing):
    """The error names request, stage and what is left, and is kept for an agent that swallows it."""
    model = ScriptedModel(["one"], stages={"router": [tool_call("route", to="worker")]})
    model.answer(outgoing(CHAT))
    with pytest.raises(ScriptError) as caught:
        model.answer(outgoing(CHAT, stage="worker"))
    said = str(caught.value)
    expected = ("request 2", "'worker'", "'hello'", "stage 'router' has 1 left, next: tool call route")
    assert [part for part in expected if part not in said] == []
    assert model.failure() is caught.value


def test_what_was_not_consumed_is_an_error(outgoing):
    """Replies that were never asked for are listed by stage, unless that is allowed."""
    model = ScriptedModel(["one", "two"], stages={"worker": [error(500)]})
    model.answer(outgoing(CHAT))
    problem = str(model.unconsumed())
    assert "1 of 2 replies (next: 'two')" in problem
    assert "1 of 1 replies of stage 'worker' (next: error 500)" in problem
    model.allow_unconsumed = True
    assert model.unconsumed() is None


def test_other_traffic_passes(outgoing):
    """What is no model call goes its way."""
    model = ScriptedModel()
    assert model.answer(outgoing(None, "https://example.com/v1/models", method="GET")) is None
    assert model.answer(outgoing({"query": "weather"}, "https://example.com/search")) is None


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("https://api.example.com/v1/embeddings", {"model": "m", "input": "x"}),
        ("https://bedrock.example.com/model/m/converse", {"messages": []}),
        ("https://api.example.com/v9/brain", {"model": "m", "prompt": "x"}),
        ("http://scripted.invalid/v1/anything", {}),
    ],
)
def test_a_model_call_that_no_dialect_speaks_never_leaves(outgoing, url, body):
    """It is an error instead of a request to a provider."""
    with pytest.raises(ScriptError, match="no call that a script can answer"):
        ScriptedModel(["x"]).answer(outgoing(body, url))


def test_usage_is_counted_where_the_script_gives_none(outgoing):
    """A part that is given stays; the others are counted by the injected counters; without counters there is none."""

    def usage(model):
        return json.loads(model.answer(outgoing(CHAT)).chunks[0]).get("usage")

    counted = ScriptedModel([text("four words of text")], count=lambda api, body: 11, count_text=lambda *_: 4)
    assert (usage(counted)["prompt_tokens"], usage(counted.add("x"))["completion_tokens"]) == (11, 4)
    given = ScriptedModel([text("x", usage=(7,))], count=lambda api, body: 11, count_text=lambda *_: 4)
    assert usage(given)["prompt_tokens"] == 7
    assert usage(ScriptedModel(["x"])) is None


def test_usage_that_cannot_be_understood_is_refused():
    """Names and signs are checked."""
    assert usage_of({"input": 5, "cached_input_tokens": 2}).cached_input_tokens == 2
    for wrong in ({"inputs": 5}, (1, -2), ("3",), {"input": True}):
        with pytest.raises(ScriptError, match="usage"):
            usage_of(wrong)


def test_parallel_keeps_words_and_calls():
    """Text and reasoning stand beside the calls of all parts."""
    reply = parallel(text("Let me see."), tool_call("a", x=1), tool_call("b"), reasoning="Two.")
    assert (reply.text, reply.reasoning, reply.calls) == (
        "Let me see.",
        "Two.",
        (Called("a", {"x": 1}), Called("b", {})),
    )


def test_a_tool_may_have_an_argument_called_name():
    """Arguments never clash with the builder's own parameters."""
    assert tool_call("search", name="x", text="y").calls[0].arguments == {"name": "x", "text": "y"}


YAML = """
pace: {ttft: 0.5, tokens_per_second: 10}
replies:
  - Hello.
  - {tool: calendar_read, arguments: {day: 2026-03-17}, usage: [10, 5]}
  - {tools: [{name: weather, arguments: {city: Rome}}, {name: weather}], reasoning: Both.}
  - {error: 429, retry_after: 2}
  - {timeout: 30}
  - {text: {ok: true}, cut_after: 3, duration: 4}
stages:
  worker: [Done.]
"""


def test_a_script_is_read_from_yaml(tmp_path, outgoing):
    """Every kind of reply can be written in YAML; a date stays the text that it looks like."""
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    path = tmp_path / "script.yaml"
    path.write_text(YAML)
    model = ScriptedModel.load(path)
    assert said(model.answer(outgoing(CHAT, stage="worker"))) == "Done."
    assert (model.ttft, model.tokens_per_second) == (0.5, 10)
    answers = [model.answer(outgoing(CHAT)) for _ in range(6)]
    second = json.loads(answers[1].chunks[0])["choices"][0]["message"]
    assert json.loads(second["tool_calls"][0]["function"]["arguments"]) == {"day": "2026-03-17"}
    assert [(answer.status, answer.fault) for answer in answers[3:]] == [
        (429, None),
        (0, "read_timeout"),
        (200, "protocol_error"),
    ]
    assert model.unconsumed() is None


def test_a_script_is_read_from_json(tmp_path, outgoing):
    """JSON needs no further package; a bare list is the replies."""
    path = tmp_path / "script.json"
    path.write_text('["Hello.", {"text": "Bye."}]')
    model = ScriptedModel.load(path)
    assert [said(model.answer(outgoing(CHAT))) for _ in range(2)] == ["Hello.", "Bye."]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"replies": [', "no JSON"),
        ('"x"', "no mapping and no list"),
        ('{"answers": []}', "answers: unknown key"),
        ('{"replies": ["a", {"txt": "b"}]}', r"replies\[1\]: unknown key txt"),
        ('{"stages": {"worker": [{"error": "429"}]}}', r"worker\[0\]: error '429' is no HTTP status"),
        ('[{"usage": [1, -1]}]', r"replies\[0\]: usage"),
        ('[{"tools": [{"arguments": {}}]}]', r"replies\[0\]: tools is no list"),
        ('[{"tool": "x", "arguments": [1]}]', r"arguments of x are no mapping"),
        ('[{"text": "x", "ttft": "fast"}]', "'fast' is no number"),
        ('[{"text": "x", "cut_after": "3"}]', "cut_after"),
        ('[{"error": 200}]', "no HTTP error"),
        ('{"pace": 3}', "pace"),
        ('{"replies": "x"}', "no list of replies"),
    ],
)
def test_a_wrong_script_names_the_place(tmp_path, content, message):
    """File and reply are in the message."""
    path = tmp_path / "script.json"
    path.write_text(content)
    with pytest.raises(ScriptError, match=message):
        ScriptedModel.load(path)


def test_yaml_without_pyyaml_says_what_to_install(tmp_path, monkeypatch):
    """The extra is named."""
    path = tmp_path / "script.yaml"
    path.write_text("- Hello.")
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "yaml":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ScriptError, match=r"pytest-tokenbudget\[yaml\]"):
        ScriptedModel.load(path)
