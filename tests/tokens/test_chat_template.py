"""A model's own chat template: the prompt is counted as the engine reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from wire_prompts import prompt_for

from pytest_tokenbudget.errors import TokenizerError
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.tokens.counter import Counter

tokenizers = pytest.importorskip("tokenizers", reason="counts with a tokenizer.json")

CHATML = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""
QWEN = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- '# Tools\\n<tools>' }}{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}{{- '\\n</tools><|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- elif message.role != 'system' or not tools %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content }}
        {%- for call in message.tool_calls %}
            {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}{{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{{- '<|im_start|>assistant\\n' }}"""
LLAMA = """\
{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>

{{ message['content'] | trim }}<|eot_id|>{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"""
MISTRAL = """\
{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST] {{ message['content'] }} [/INST]\
{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"""
GEMMA = """\
{{ bos_token }}{% set prefix = messages[0]['content'] + '\\n\\n' if messages[0]['role'] == 'system' else '' %}\
{% for message in messages if message['role'] != 'system' %}{% if message['role'] == 'tool' %}\
{{ raise_exception('no tools here') }}{% endif %}<start_of_turn>{{ message['role'] }}
{{ prefix if loop.first else '' }}{{ message['content'] | trim }}<end_of_turn>
{% endfor %}{{ '<start_of_turn>model\n' }}"""
DEEPSEEK = """\
{% set ns = namespace(system='') %}{% for message in messages if message['role'] == 'system' %}\
{% set ns.system = ns.system + message['content'] %}{% endfor %}{{ bos_token }}{{ ns.system }}{% for message in messages %}\
{% if message['role'] == 'user' %}<|User|>{{ message['content'] }}{% elif message['role'] == 'assistant' %}<|Assistant|>\
{{ message['content'] }}<|end|>{% endif %}{% endfor %}<|Assistant|>"""
SPECIAL = [
    "<|im_start|>", "<|im_end|>", "<|begin|>", "<|end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<start_of_turn>", "<end_of_turn>", "<|User|>", "<|Assistant|>", "[INST]", "[/INST]",
]  # fmt: skip

RENDERED = {
    "ChatML": (
        CHATML,
        "<|im_start|>system\nYou sell lamps.<|im_end|>\n<|im_start|>user\n Where is it? \n<|im_end|>\n<|im_start|>assistant\n",
    ),
    "Llama 3": (
        LLAMA,
        "<|begin|><|start_header_id|>system<|end_header_id|>\n\nYou sell lamps.<|eot_id|><|start_header_id|>user"
        "<|end_header_id|>\n\nWhere is it?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "Mistral": (MISTRAL, "<|begin|>You sell lamps.<|end|>[INST]  Where is it? \n [/INST]"),
    "Gemma": (
        GEMMA,
        "<|begin|><start_of_turn>user\nYou sell lamps.\n\nWhere is it?<end_of_turn>\n<start_of_turn>model\n",
    ),
    "Qwen": (
        QWEN,
        "<|im_start|>system\nYou sell lamps.<|im_end|>\n<|im_start|>user\n Where is it? \n<|im_end|>\n<|im_start|>assistant\n",
    ),
    "DeepSeek": (DEEPSEEK, "<|begin|>You sell lamps.<|User|> Where is it? \n<|Assistant|>"),
}
ASKED = [{"role": "system", "content": "You sell lamps."}, {"role": "user", "content": " Where is it? \n"}]
TOOL = {
    "type": "function",
    "function": {"name": "find", "description": "Finds <b> é", "parameters": {"type": "object", "properties": {}}},
}
LOOP = [
    *ASKED,
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "find", "arguments": '{"who":"Ana"}'}}],
    },
    {"role": "tool", "tool_call_id": "c", "content": "Monday"},
]
Own = Callable[..., tuple[Counter, Callable[[str], int]]]


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """A byte-level tokenizer with special tokens, and the template beside it: the counter, and what it must agree with."""

    def build(template: str | None, **config: object) -> tuple[Counter, Callable[[str], int]]:
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        trainer = tokenizers.trainers.BpeTrainer(special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(["lamps You sell Where is it user assistant system"], trainer)
        path = tmp_path / "tokenizer.json"
        tokenizer.save(str(path))
        settings = {"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}, "chat_template": template, **config}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
        return Counter(encodings=[("*", str(path))]), lambda text: len(tokenizer.encode(text).ids)

    return build


def prompt(messages: list[dict[str, object]] = ASKED, **more: object) -> Prompt:
    """A chat completions request to a local engine."""
    found = prompt_for("openai.chat", {"model": "lamp-7b", "messages": messages, **more}, "lamp-7b")
    assert found is not None
    return found


@pytest.mark.parametrize("name", RENDERED)
def test_a_prompt_is_what_the_template_makes_of_it(name: str, own: Own) -> None:
    """Role headers, trimmed texts and special tokens; parts add up, and system and user have their own."""
    template, rendered = RENDERED[name]
    counter, tokens_of = own(template)
    count = counter.count_prompt(prompt(), provider="local")
    assert count.tokens == tokens_of(rendered)
    assert (count.estimated, count.encoding.endswith("chat template")) == (False, True)
    pieces = counter.compose(prompt(), provider="local", input_tokens=None).pieces
    parts = {
        part: sum(piece.tokens for piece in pieces if piece.part == part) for part in ("system", "user", "framing")
    }
    assert parts["system"] == tokens_of("You sell lamps.")
    assert parts["user"] > 0
    assert sum(parts.values()) == count.tokens


def test_tools_and_their_calls_are_the_templates_too(own: Own) -> None:
    """A schema as JSON that is escaped for nobody, a call in the history with its arguments as an object, a result."""
    counter, tokens_of = own(QWEN)
    rendered = (
        '<|im_start|>system\nYou sell lamps.\n\n# Tools\n<tools>\n{"type": "function", "function": {"name": "find", "description": '
        '"Finds <b> é", "parameters": {"type": "object", "properties": {}}}}\n</tools><|im_end|>\n<|im_start|>user\n Where is it? \n'
        '<|im_end|>\n<|im_start|>assistant\n\n<tool_call>\n{"name": "find", "arguments": {"who": "Ana"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\nMonday\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )
    assert counter.count_prompt(prompt(LOOP, tools=[TOOL]), provider="local").tokens == tokens_of(rendered)
    pieces = counter.compose(prompt(LOOP, tools=[TOOL]), provider="local", input_tokens=None).pieces
    named = {(piece.part, piece.name): piece.tokens for piece in pieces if piece.part in ("tools", "tool_results")}
    assert named == {
        ("tools", "find"): tokens_of(rendered.split("\n")[5]),
        ("tool_results", "find"): tokens_of("Monday"),
    }


def test_a_template_of_its_own_for_tools_is_taken(own: Own) -> None:
    """Some models have two, by name."""
    both = [{"name": "default", "template": "default"}, {"name": "tool_use", "template": "with tools"}]
    counter, tokens_of = own(both)
    assert counter.count_prompt(prompt(), provider="local").tokens == tokens_of("default")
    assert counter.count_prompt(prompt(tools=[TOOL]), provider="local").tokens == tokens_of("with tools")


def test_a_template_in_a_file_of_its_own_is_taken(own: Own, tmp_path: Path) -> None:
    """Newer models keep it in chat_template.jinja."""
    (tmp_path / "chat_template.jinja").write_text("from a file", encoding="utf-8")
    counter, tokens_of = own(None)
    assert counter.count_prompt(prompt(), provider="local").tokens == tokens_of("from a file")


@pytest.mark.parametrize(
    "template",
    [
        GEMMA,
        "{{ messages.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% for _ in range(10 ** 9) %}x{% endfor %}",
        "{{ nothing.here.at.all }}",
    ],
)
def test_a_template_that_refuses_leaves_a_count_without_it(template: str, own: Own) -> None:
    """A rule that the prompt breaks, a way out of the sandbox, a loop without end: the texts by the model's own tokenizer."""
    counter, tokens_of = own(template)
    count = counter.count_prompt(prompt(LOOP), provider="local")
    assert "chat template" not in count.encoding
    assert count.estimated
    assert count.tokens > tokens_of("You sell lamps. Where is it? Monday")


def test_without_a_template_no_rule_of_another_tokenizer_holds(own: Own) -> None:
    """A family's rules were measured in another vocabulary: a Llama's own tokenizer counts as any own tokenizer does."""
    counter, _ = own(None)
    found = prompt_for("openai.chat", {"model": "llama-3.3-70b", "messages": ASKED, "tools": [TOOL]}, "llama-3.3-70b")
    assert (
        counter.count_prompt(found, provider="local").tokens
        == counter.count_prompt(prompt(tools=[TOOL]), provider="local").tokens
    )


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer_config.json", "{", "tokenizer_config.json cannot be read"),
        ("chat_template.jinja", "{% for %}", "the chat template is no Jinja that can be read"),
    ],
)
def test_a_damaged_file_is_an_error_with_its_name(
    file: str, content: str, message: str, own: Own, tmp_path: Path
) -> None:
    """Not a count by other rules without a word."""
    counter, _ = own(CHATML)
    (tmp_path / file).write_text(content, encoding="utf-8")
    with pytest.raises(TokenizerError, match=message):
        counter.count_prompt(prompt(), provider="local")
