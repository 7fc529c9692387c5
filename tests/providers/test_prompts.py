"""Requests become prompts that keep whatever costs tokens."""

from __future__ import annotations

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_prompts import FORMATS, prompt_for

from pytest_tokenbudget.providers.inline_media import inline_file
from pytest_tokenbudget.records.prompt import (
    File,
    Image,
    Message,
    OutputSchema,
    Prompt,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

PARAMETERS = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640, 480) + b"\x08\x02\x00\x00\x00"
GIF = b"GIF89a" + struct.pack("<HH", 320, 200) + b"\x00" * 5
JPEG_FRAME = b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", 600, 800) + b"\x03" * 12
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\x00" * 10 + JPEG_FRAME


def shape(message: Message) -> tuple[str, str, tuple[object, ...]]:
    return message.role, message.wire_role, message.parts


def asked(api: str, body: dict, model: str = "") -> Prompt:
    found = prompt_for(api, body, model)
    assert found is not None
    return found


def test_chat_keeps_roles_names_arguments_and_key_order():
    """Roles and arguments stand as on the wire, results have the name of the call that they answer."""
    arguments = '{ "b" : 1,"a":2 }'
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": arguments}}
    found = asked(
        "openai.chat",
        {
            "model": "gpt-9",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "name": "ann", "content": [{"type": "text", "text": "Hi"}]},
                {"role": "assistant", "content": None, "reasoning_content": "Hm", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "42"},
            ],
            "tools": [
                {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": PARAMETERS}}
            ],
            "tool_choice": {"type": "function", "function": {"name": "look"}},
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "out", "schema": PARAMETERS, "strict": True},
            },
        },
    )
    assert [shape(message) for message in found.messages] == [
        ("system", "developer", (Text("Be brief."),)),
        ("user", "user", (Text("Hi"),)),
        ("assistant", "assistant", (Reasoning("Hm", size=2), ToolCall("look", arguments, "c1"))),
        ("tool", "tool", (ToolResult((Text("42"),), "look", "c1"),)),
    ]
    assert found.messages[1].name == "ann"
    assert (found.model, found.tool_choice) == ("gpt-9", "look")
    assert found.output_schema == OutputSchema("out", None, PARAMETERS, True)
    assert list(found.tools[0].parameters["properties"]) == ["b", "a"]
    assert (found.tools[0].name, found.tools[0].description) == ("look", "Looks.")


def test_chat_of_old_has_functions():
    """``functions`` and ``function_call`` are tools and their choice."""
    body = {"messages": [], "functions": [{"name": "f", "parameters": PARAMETERS}], "function_call": {"name": "f"}}
    found = asked("openai.chat", body)
    assert ([tool.name for tool in found.tools], found.tool_choice) == (["f"], "f")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", "auto"),
        ("any", "required"),
        ({"type": "custom", "custom": {"name": "g"}}, "g"),
        ({"type": "tool", "name": "g"}, "g"),
        ({"type": "any"}, "required"),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}, "required"),
        ({"type": "web_search"}, "web_search"),
        (7, None),
    ],
)
def test_tool_choices_have_one_shape(choice: object, expected: str | None):
    """A word, or the name of the one tool that is forced."""
    assert asked("openai.chat", {"messages": [], "tool_choice": choice}).tool_choice == expected


def test_chat_reads_images_audio_and_files():
    """Inline images are measured, audio and files are sized, what is only referred to is named."""
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64(PNG)}", "detail": "low"}},
        {"type": "image_url", "image_url": "https://x.example/i.png"},
        {"type": "input_audio", "input_audio": {"data": b64(b"12345"), "format": "wav"}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{b64(b'1234')}"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]
    image, linked, audio, pdf, stored = (
        asked("openai.chat", {"messages": [{"role": "user", "content": parts}]}).messages[0].parts
    )
    assert isinstance(image, Image)
    assert (image.width, image.height, image.detail, len(image.reference)) == (640, 480, "low", 16)
    assert linked == Image(reference="https://x.example/i.png")
    assert isinstance(audio, File)
    assert (audio.media_type, audio.size) == ("audio/wav", 5)
    assert isinstance(pdf, File)
    assert (pdf.media_type, pdf.size) == ("application/pdf", 4)
    assert stored == File(reference="file-1")


def test_responses_items_are_messages():
    """Instructions come first, each item is a message with its type as role on the wire, results are named by id."""
    found = asked(
        "openai.responses",
        {
            "model": "gpt-9",
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": "Hi"},
                {"type": "reasoning", "summary": [], "encrypted_content": "abcd"},
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "42"},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "So."}]},
            ],
            "tools": [{"type": "function", "name": "look", "parameters": PARAMETERS}, {"type": "web_search"}],
            "text": {"format": {"type": "json_schema", "name": "out", "schema": PARAMETERS}},
        },
    )
    assert [shape(message) for message in found.messages] == [
        ("system", "system", (Text("Be brief."),)),
        ("user", "user", (Text("Hi"),)),
        ("assistant", "reasoning", (Reasoning(opaque=True, size=4),)),
        ("assistant", "function_call", (ToolCall("look", "{}", "c1"),)),
        ("tool", "function_call_output", (ToolResult((Text("42"),), "look", "c1"),)),
        ("assistant", "assistant", (Text("So."),)),
    ]
    assert found.opaque_reasoning
    assert [(tool.name, tool.kind) for tool in found.tools] == [("look", "function"), ("web_search", "web_search")]
    assert found.output_schema == OutputSchema("out", None, PARAMETERS)


@pytest.mark.parametrize("state", [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}])
def test_state_of_the_server_cannot_be_counted(state: dict):
    """What the server remembers is read by the model too, so a local count is an estimate."""
    assert not asked("openai.responses", {"input": "Hi"}).opaque_reasoning
    assert asked("openai.responses", {"input": "Hi", **state}).opaque_reasoning


def test_anthropic_blocks():
    """System apart, tool results in a user's turn, thinking with or without its text, documents."""
    found = asked(
        "anthropic.messages",
        {
            "model": "claude-9",
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm", "signature": "x"},
                        {"type": "redacted_thinking", "data": "abc"},
                        {"type": "tool_use", "id": "t", "name": "look", "input": {"b": 1, "a": "é"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "42"}]}
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": b64(GIF)}},
                        {
                            "type": "document",
                            "title": "T",
                            "source": {"type": "text", "media_type": "text/plain", "data": "Doc"},
                        },
                    ],
                },
            ],
            "tools": [
                {"name": "look", "input_schema": PARAMETERS},
                {"type": "web_search_20250305", "name": "web_search"},
            ],
            "tool_choice": {"type": "any"},
        },
    )
    assert [shape(message) for message in found.messages[:3]] == [
        ("system", "system", (Text("Be brief."),)),
        (
            "assistant",
            "assistant",
            (Reasoning("Hm", size=2), Reasoning(opaque=True, size=3), ToolCall("look", '{"b":1,"a":"é"}', "t")),
        ),
        ("tool", "user", (ToolResult((Text("42"),), "look", "t"),)),
    ]
    image, title, document = found.messages[3].parts
    assert isinstance(image, Image)
    assert (image.width, image.height) == (320, 200)
    assert (title, document) == (Text("T"), File("text/plain", 3, "Doc"))
    assert [(tool.kind, tool.parameters) for tool in found.tools] == [
        ("function", PARAMETERS),
        ("web_search_20250305", None),
    ]
    assert (found.tool_choice, found.opaque_reasoning) == ("required", True)


@pytest.mark.parametrize("snake", [False, True])
def test_google_contents(snake: bool):
    """Camel case and snake case are the same request."""
    body = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/jpeg", "data": b64(JPEG)}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"b": 1}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"result": 42}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "look", "parameters": PARAMETERS}]}, {"googleSearch": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
        "generationConfig": {"responseSchema": PARAMETERS},
        "cachedContent": "cachedContents/1",
    }
    if snake:
        names = (
            "systemInstruction",
            "inlineData",
            "mimeType",
            "functionCall",
            "functionResponse",
            "functionDeclarations",
        )
        names += ("toolConfig", "functionCallingConfig", "allowedFunctionNames", "generationConfig", "responseSchema")
        text = json.dumps(body)
        for name in (*names, "cachedContent"):
            text = text.replace(f'"{name}"', '"' + "".join(f"_{c.lower()}" if c.isupper() else c for c in name) + '"')
        body = json.loads(text)
    found = asked("google.generate_content", body, "gemini-9")
    system, user, called, answered = found.messages
    assert (shape(system), user.parts[0]) == (("system", "system", (Text("Be brief."),)), Text("Hi"))
    assert (user.parts[1].width, user.parts[1].height) == (800, 600)
    assert shape(called) == ("assistant", "model", (ToolCall("look", '{"b":1}'),))
    assert shape(answered) == ("tool", "user", (ToolResult((Text('{"result":42}'),), "look"),))
    assert (found.tools[0].name, found.tools[1].kind != "function") == ("look", True)
    assert (found.tool_choice, found.model, found.opaque_reasoning) == ("look", "gemini-9", True)
    assert found.output_schema == OutputSchema(schema=PARAMETERS)


def test_converse_blocks():
    """Bedrock's blocks have no type but a key."""
    found = asked(
        "bedrock.converse",
        {
            "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
            "messages": [
                {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "look", "input": {"b": 1}}}]},
                {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"json": {"x": 1}}]}}]},
                {
                    "role": "user",
                    "content": [{"document": {"name": "D", "format": "pdf", "source": {"bytes": b64(b"123")}}}],
                },
            ],
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": PARAMETERS}}}, {"cachePoint": {}}],
                "toolChoice": {"tool": {"name": "look"}},
            },
        },
        "vendor.m-v1:0",
    )
    assert [shape(message) for message in found.messages[:3]] == [
        ("system", "system", (Text("Be brief."),)),
        ("assistant", "assistant", (ToolCall("look", '{"b":1}', "t"),)),
        ("tool", "user", (ToolResult((Text('{"x":1}'),), "look", "t"),)),
    ]
    assert found.messages[3].parts == (Text("D"), inline_file(b64(b"123"), "application/pdf"))
    assert ([tool.parameters for tool in found.tools], found.tool_choice) == ([PARAMETERS], "look")
    assert found.model == "vendor.m-v1:0"


def test_cohere_1_and_2():
    """Version 1 has a message, a history and a preamble; version 2 has messages and a plan."""
    old = asked(
        "cohere.chat_v1",
        {
            "preamble": "Be brief.",
            "chat_history": [
                {"role": "CHATBOT", "message": "Hello", "tool_calls": [{"name": "look", "parameters": {}}]}
            ],
            "message": "Hi",
            "tool_results": [{"call": {"name": "look"}, "outputs": [{"x": 1}]}],
        },
    )
    assert [message.role for message in old.messages] == ["system", "assistant", "user", "tool"]
    assert old.messages[3].parts == (ToolResult((Text('[{"x":1}]'),), "look"),)
    new = asked("cohere.chat_v2", {"messages": [{"role": "assistant", "tool_plan": "I look."}], "documents": ["Doc"]})
    assert new.messages == (
        Message("user", (File("text/plain", None, "Doc"),), None, "documents"),
        Message("assistant", (Text("I look."),), None, "assistant"),
    )


def test_bedrock_invoke_reads_each_familys_body():
    """The body's shape decides whose prompt it is."""
    claude = {"anthropic_version": "x", "system": "S", "messages": [{"role": "user", "content": "Hi"}]}
    nova = {"schemaVersion": "messages-v1", "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    bodies = [
        claude,
        nova,
        {"prompt": "Hi"},
        {"inputText": "Hi"},
        {"message": "Hi"},
        {"messages": [{"role": "user", "content": "Hi"}]},
    ]
    for body in bodies:
        found = asked("bedrock.invoke", body, "m")
        assert (found.messages[-1].parts, found.model, found.api) == ((Text("Hi"),), "m", "bedrock.invoke")


def test_token_ids_are_counted_exactly():
    """A prompt of token ids has as many tokens as ids."""
    assert asked("openai.completions", {"prompt": [1, 2, 3]}).extra == {"token_ids": 3}
    assert asked("openai.embeddings", {"input": [[1, 2], [3]]}).extra == {"token_ids": 3}


@given(
    st.sampled_from(sorted(api for api, known in FORMATS.items() if known.operation != "other")),
    st.dictionaries(
        st.sampled_from(
            ["messages", "input", "contents", "system", "tools", "prompt", "message", "text", "toolConfig", "format"]
        ),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "role",
                            "content",
                            "parts",
                            "type",
                            "text",
                            "tool_calls",
                            "function",
                            "source",
                            "name",
                            "input",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ),
        max_size=5,
    ),
)
def test_any_request_becomes_a_prompt(api: str, body: dict):
    """A request of any shape gives a prompt of its API, with parts of the known kinds only."""
    found = asked(api, body)
    kinds = Text | Image | File | ToolCall | ToolResult | Reasoning
    assert all(isinstance(part, kinds) for message in found.messages for part in message.parts)
    assert all(isinstance(tool, Tool) for tool in found.tools)


def test_a_request_that_nests_too_deeply_has_no_prompt():
    """Rather no prompt than a crash."""
    content: object = "x"
    for _ in range(5_000):
        content = [{"type": "tool_result", "tool_use_id": "t", "content": content}]
    assert prompt_for("anthropic.messages", {"messages": [{"role": "user", "content": content}]}) is None
    assert prompt_for("no.such_api", {}) is None
