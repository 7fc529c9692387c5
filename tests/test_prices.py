"""What calls cost."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.errors import PriceError
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.rates import Price, Rate, parse_prices, rate_from_json, rate_to_json
from pytest_tokenbudget.records.call import BilledUsage, Usage

OWN = "my-model* = input 0.27, cached 0.07, cache_write 0.30, output 1.10"


@st.composite
def usages(draw: Any) -> Usage:
    """Tokens in the normal form: every part within its whole."""
    read, written = draw(st.integers(0, 3_000_000)), draw(st.integers(0, 100_000))
    cached = draw(st.integers(0, read))
    return Usage(read, written, cached, draw(st.integers(0, read - cached)), draw(st.integers(0, written)))


def test_own_price_tells_the_kinds_of_tokens_apart() -> None:
    """Input includes what was cached and written, so each token is paid once, at its kind's price."""
    book = PriceBook(own=[OWN])
    usage = Usage(1_000_000, 100_000, cached_input_tokens=400_000, cache_write_tokens=100_000)
    assert book.price("anybody", "my-model-2", usage).usd == pytest.approx(
        0.5 * 0.27 + 0.4 * 0.07 + 0.1 * 0.3 + 0.1 * 1.1
    )


def test_kind_without_a_price_costs_as_much_as_its_whole() -> None:
    """Cached input without a price of its own is input, reasoning is output."""
    book = PriceBook(own=["m = input 2, output 8"])
    assert book.price("p", "m", Usage(1_000_000, 1_000_000, 900_000, 50_000, 700_000)).usd == 10.0


def test_reasoning_and_requests_can_have_their_own_price() -> None:
    """Reasoning per million tokens, and dollars for each call."""
    book = PriceBook(own=["m = input 1, output 2, reasoning $3, request 0.005"])
    assert book.price("p", "m", Usage(0, 1_000_000, reasoning_tokens=500_000)).usd == pytest.approx(1 + 1.5 + 0.005)


def test_first_own_price_that_matches_wins() -> None:
    """Lines stand in the order in which they are asked; a pattern may name the provider; case does not matter."""
    book = PriceBook(own=["azure/GPT-4o = input 1, output 1", "gpt-4o = input 2, output 2", "* = input 3, output 3"])
    usage = Usage(1_000_000, 0)
    assert book.price("azure", "gpt-4o", usage).usd == 1
    assert book.price("openai", "GPT-4o", usage).usd == 2
    assert book.price("openai", "gpt-4o-mini", usage).usd == 3


@pytest.mark.parametrize(("name", "write"), [
    ("prices.json", lambda path: path.write_text(json.dumps({"my-*": {"input": 0.27, "output": 1.1}}))),
    ("prices.toml", lambda path: path.write_text('["my-*"]\ninput = 0.27\noutput = 1.1\n')),
])  # fmt: skip
def test_prices_stand_in_a_file(name: str, write: Any, tmp_path: Path) -> None:
    """A line may be the path of a TOML or JSON file; its numbers are taken by their digits."""
    write(tmp_path / name)
    (own,) = parse_prices([name], root=tmp_path)
    assert own.rate == Rate(Price(Fraction("0.27")), Price(Fraction("1.1")))


BAD = [
    ("my-model", "no pattern"),
    ("= input 1, output 2", "no pattern"),
    ("m = ", "no kind"),
    ("m = input -1, output 2", "no kind"),
    ("m = input 1 output 2", "no kind"),
    ("m = input 1, prompt 3, output 2", "'prompt 3'"),
    ("m = input 1, input 2, output 2", "twice"),
    ("m = input 1", "no price for 'output'"),
    ("m = output 1", "no price for 'input'"),
    ("m = input nan, output 1", "no kind"),
    ("absent.toml", "cannot be read"),
    ("absent.json", "cannot be read"),
]


@pytest.mark.parametrize(("line", "what"), BAD)
def test_bad_line_is_named_with_its_remedy(line: str, what: str, tmp_path: Path) -> None:
    """A price that cannot be understood stops before anything is spent, and says what to write."""
    with pytest.raises(PriceError) as error:
        PriceBook(own=["# a comment", "", line], root=tmp_path)
    assert line.strip().partition(" ")[0] in error.value.message
    assert what in error.value.message
    assert error.value.remedy


@pytest.mark.parametrize(
    "text",
    ["[1]", "{", '{"m": 3}', '{"m": {"input": "1", "output": 2}}', '{"m": {"input": true, "output": 2}}',
     '{"m": {"input": NaN, "output": 2}}', '{"m": {"inputs": 1}}', '{"m": {"input": 1}}', "[" * 100_000],
)  # fmt: skip
def test_bad_file_is_named_with_its_remedy(text: str, tmp_path: Path) -> None:
    """So is a file, whatever stands in it."""
    (tmp_path / "prices.json").write_text(text)
    with pytest.raises(PriceError, match=r"prices\.json") as error:
        parse_prices(["prices.json"], root=tmp_path)
    assert error.value.remedy


def test_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """Bytes that are no UTF-8."""
    (tmp_path / "prices.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PriceError, match=r"prices\.toml"):
        parse_prices(["prices.toml"], root=tmp_path)


def test_hook_is_asked_first_and_may_pass() -> None:
    """A price of a hook wins; ``None`` leaves it to the table."""
    asked = []

    def hook(provider: str, model: str, usage: Usage) -> float | None:
        asked.append((provider, model, usage.input_tokens))
        return 0.5 if provider == "in-house" else None

    book = PriceBook(own=["m = input 1, output 1"], hooks=[hook])
    assert book.price("in-house", "m", Usage(1_000_000, 0)).usd == 0.5
    assert book.price("p", "m", Usage(1_000_000, 0)).usd == 1
    assert asked == [("in-house", "m", 1_000_000), ("p", "m", 1_000_000)]


@pytest.mark.parametrize("given", ["1", True, -1, float("nan"), float("inf"), [0.1]])
def test_hook_that_gives_no_price_is_an_error(given: Any) -> None:
    """What is no number from 0 would spoil every sum."""
    with pytest.raises(PriceError, match="pytest_tokenbudget_price"):
        PriceBook(hooks=[lambda **_: given]).price("p", "m", Usage(1, 1))


def test_unknown_is_none() -> None:
    """No guess for an unknown model, provider or number of tokens."""
    book = PriceBook(own=["m = input 1, output 1"])
    known = Usage(10, 10)
    assert book.price("openai", "no-such-model-at-all", known).usd is None
    assert book.price("ollama", "deepseek-r1", known).usd is None
    assert book.price("no-such-provider", "gpt-4o", known).usd is None
    assert book.price("openai", "", known).usd is None
    assert book.price("p", "m", Usage(None, 10)).usd is None
    assert book.price("p", "m", Usage(10, None)).usd is None


def test_embedding_writes_nothing() -> None:
    """Its output is not reported, and that is no reason not to know its cost."""
    book = PriceBook(own=["e = input 1, output 9"])
    assert book.price("p", "e", Usage(1_000_000, None), api="openai.embeddings").usd == 1
    assert book.price("p", "e", Usage(1_000_000, None), api="openai.chat").usd is None


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-4o"), ("openai", "gpt-4.1-mini"), ("azure.ai.openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-0"),
     ("gcp.gemini", "gemini-2.5-pro"), ("gcp.vertex_ai", "gemini-2.5-pro"), ("aws.bedrock", "amazon.nova-pro-v1:0"),
     ("mistral_ai", "mistral-large-latest"), ("deepseek", "deepseek-chat"), ("groq", "llama-3.3-70b-versatile"),
     ("x_ai", "grok-3"), ("xai", "grok-3"), ("cohere", "command-r"), ("", "gpt-4o")],
)  # fmt: skip
def test_known_models_have_a_price(provider: str, model: str) -> None:
    """The names that wire formats give to providers are understood by the price table."""
    cost = PriceBook().price(provider, model, Usage(1000, 1000)).usd
    assert cost is not None
    assert 0 < cost < 1


LISTED = [("openai", "gpt-4o"), ("openai", "o3"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro"),
          ("deepseek", "deepseek-chat"), ("openai", "text-embedding-3-small"), ("perplexity", "sonar")]  # fmt: skip
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@given(st.sampled_from(LISTED), usages())
def test_listed_price_is_that_of_the_price_table(listed: tuple[str, str], usage: Usage) -> None:
    """Tiers, cached and written tokens cost what the library itself computes for the same usage."""
    import genai_prices

    provider, model = listed
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        ),
        model,
        provider_id=provider,
        genai_request_timestamp=NOON,
    )
    ours = PriceBook().price(provider, model, usage, timestamp=NOON).usd
    assert ours is not None
    if vars(theirs.model_price).get("cache_read_mtok") is None and usage.cached_input_tokens:
        return  # older versions of the library take cached input without a price of its own for free
    if vars(theirs.model_price).get("cache_write_mtok") is None and usage.cache_write_tokens:
        return
    assert math.isclose(ours, float(theirs.total_price), rel_tol=1e-12, abs_tol=1e-15)


rates = st.builds(
    Rate,
    *[st.builds(Price, st.fractions(0, 100, max_denominator=1000))] * 2,
    *[st.none() | st.builds(Price, st.fractions(0, 100, max_denominator=1000))] * 3,
)


@given(rates, usages())
def test_cost_lies_between_the_cheapest_and_the_dearest_kind(rate: Rate, usage: Usage) -> None:
    """Every token is paid exactly once."""
    read = [price.base for price in (rate.input, rate.cached or rate.input, rate.cache_write or rate.input)]
    written = [price.base for price in (rate.output, rate.reasoning or rate.output)]
    cost = rate.price(usage).usd
    assert cost is not None
    low = (usage.input_tokens * min(read) + usage.output_tokens * min(written)) / 10**6
    high = (usage.input_tokens * max(read) + usage.output_tokens * max(written)) / 10**6
    assert float(low) * (1 - 1e-12) <= cost <= float(high) * (1 + 1e-12)


@given(rates, usages(), st.integers(0, 10**6))
def test_more_tokens_never_cost_less(rate: Rate, usage: Usage, more: int) -> None:
    """Plain input on top adds its own price."""
    grown = Usage(
        usage.input_tokens + more, usage.output_tokens, usage.cached_input_tokens, usage.cache_write_tokens,
        usage.reasoning_tokens,
    )  # fmt: skip
    assert math.isclose(
        rate.price(grown).usd, rate.price(usage).usd + float(rate.input.base * more / 10**6), rel_tol=1e-9
    )


@given(
    st.builds(Usage, *[st.none() | st.integers(-5, 2000)] * 5),
)
def test_parts_larger_than_their_whole_do_no_harm(usage: Usage) -> None:
    """Some providers report more cached tokens than input: the cost is still known, and not negative."""
    cost = PriceBook(own=["m = input 1, cached 0.1, cache_write 1.25, output 4"]).price("p", "m", usage).usd
    assert (cost is None) == (usage.input_tokens is None or usage.output_tokens is None)
    assert cost is None or cost >= 0


def test_price_by_the_hour_does_not_move_a_gate() -> None:
    """Where the table has a price for the day's peak, the default is noon's, whenever the test runs."""
    usage = Usage(1_000_000, 0)
    book = PriceBook()
    assert (
        book.price("deepseek", "deepseek-chat", usage).usd
        == book.price("deepseek", "deepseek-chat", usage, timestamp=datetime.now(UTC).replace(hour=12)).usd
    )
    night = book.price("deepseek", "deepseek-chat", usage, timestamp=NOON.replace(hour=20)).usd
    assert night != book.price("deepseek", "deepseek-chat", usage, timestamp=NOON).usd


def test_tier_holds_for_all_tokens_of_a_long_call() -> None:
    """Above the threshold every token of the call has the other price."""
    price = Price(Fraction(1), ((200_000, Fraction(2)), (400_000, Fraction(3))))
    assert [price.at(tokens) for tokens in (0, 200_000, 200_001, 400_001)] == [1, 1, 2, 3]


def test_price_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's prices are kept for the session."""
    import genai_prices

    book = PriceBook()
    first = book.price("openai", "gpt-4o", Usage(1000, 10)).usd
    monkeypatch.setattr(genai_prices, "calc_price", lambda *_, **__: pytest.fail("looked up again"))
    assert book.price("openai", "gpt-4o", Usage(1000, 10)).usd == first


def test_price_table_is_imported_only_for_a_cost_that_needs_it() -> None:
    """An own price, and a book that is never asked, load no table."""
    code = (
        "import sys\n"
        "from pytest_tokenbudget.prices import PriceBook\n"
        "from pytest_tokenbudget.records.call import BilledUsage, Usage\n"
        "PriceBook(own=['m = input 1, output 1']).price('p', 'm', Usage(1, 1)).usd\n"
        "sys.exit(any(name in sys.modules for name in ('genai_prices', 'httpx', 'httpx2', 'pydantic')))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def billed(**quantities: Any) -> BilledUsage:
    """What an answer says of its price; ``tier``, ``region``, ``speed`` and ``cost`` are its modifiers."""
    modifiers = {"service_tier": "tier", "region": "region", "speed": "speed", "cost": "cost"}
    told = {name: quantities.pop(word) for name, word in modifiers.items() if word in quantities}
    return BilledUsage(tuple(sorted(quantities.items())), **told)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "told", "usd"),
    [
        ("anthropic", "claude-sonnet-4-5", Usage(1000, 0, 0, 1000), billed(cache_write_1h_tokens=600), 400 * 3.75 + 600 * 6),
        ("anthropic", "claude-sonnet-4-5", Usage(1000, 0, 0, 1000), billed(cache_write_5m_tokens=1000), 1000 * 3.75),
        ("anthropic", "claude-sonnet-4-5", Usage(100, 0), billed(web_searches=3), 100 * 3 + 3 * 10_000),
        ("openai", "gpt-4o", Usage(100, 10), billed(web_searches=1, storage_searches=2), 250 + 100 + 10_000 + 5_000),
        ("gcp.gemini", "gemini-2.5-flash", Usage(1000, 0), billed(input_audio_tokens=400), 600 * 0.3 + 400 * 1),
        (
            "gcp.gemini", "gemini-2.5-flash", Usage(1000, 0, 300), billed(input_audio_tokens=400, cache_audio_read_tokens=100),
            400 * 0.3 + 300 * 1 + 200 * 0.03 + 100 * 0.1,
        ),
        ("gcp.gemini", "gemini-2.5-flash", Usage(1000, 0), billed(input_image_tokens=400), 1000 * 0.3),
        ("gcp.gemini", "gemini-2.5-pro", Usage(200_001, 10), billed(), 200_001 * 2.5 + 10 * 15),
        ("openai", "gpt-5", Usage(1000, 100, 200), billed(tier="flex"), 800 * 0.625 + 200 * 0.0625 + 100 * 5),
        ("openai", "gpt-5", Usage(1000, 100, 200), billed(tier="priority"), 800 * 2.5 + 200 * 0.25 + 100 * 20),
        ("openai", "gpt-5", Usage(1000, 100), billed(tier="batch"), 1000 * 0.625 + 100 * 5),
        ("openrouter", "some/model", Usage(1000, 100), billed(cost=0.0042), 4200),
        ("openai", "gpt-4o", Usage(1000, None), billed(cost=0.0042), 4200),
        ("cohere", "command-r", Usage(900, 100), billed(billed_input_tokens=10, billed_output_tokens=100), 10 * 0.15 + 100 * 0.6),
    ],
)  # fmt: skip
def test_money_is_what_the_answer_says_that_it_takes(
    provider: str, model: str, usage: Usage, told: BilledUsage, usd: float
) -> None:
    """Kinds, searches, tiers, long contexts, and the provider's own amount before all of them; here in millionths of a USD."""
    priced = PriceBook().price(provider, model, usage, billed=told, timestamp=NOON)
    assert priced.reason == ""
    assert priced.usd == pytest.approx(usd / 10**6, rel=1e-9)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "told", "reason"),
    [
        ("openai", "gpt-4o-audio-preview", Usage(10, 10), billed(input_audio_tokens=5), "no price is known for input audio tokens"),
        ("openai", "gpt-4o", Usage(10, 10), billed(output_image_tokens=5), "no price is known for output image tokens"),
        ("anthropic", "claude-sonnet-4-5", Usage(10, 10), billed(code_executions=1), "no price is known for code executions"),
        ("anthropic", "claude-sonnet-4-5", Usage(10, 10), billed(region="us"), "for claude-sonnet-4-5 served as us"),
        ("openai", "gpt-4o", Usage(10, 10), billed(tier="scale"), "no price is known for gpt-4o served as scale"),
        ("anthropic", "claude-sonnet-4-5", Usage(10, 10), billed(tier="batch", speed="fast"), "served as batch, fast"),
        ("openai", "no-such-model", Usage(10, 10), billed(tier="flex"), "no price is known for no-such-model"),
        ("openai", "gpt-4o", Usage(10, None), billed(), "the output tokens are not known"),
        ("openai", "gpt-4o", Usage(None, None), billed(), "the input and output tokens are not known"),
    ],
)  # fmt: skip
def test_what_has_no_price_is_named(provider: str, model: str, usage: Usage, told: BilledUsage, reason: str) -> None:
    """The cost is unknown then, and not that of something else."""
    priced = PriceBook().price(provider, model, usage, billed=told, timestamp=NOON)
    assert priced.usd is None
    assert priced.reason.endswith(reason) or priced.reason == reason


def test_own_prices_know_the_same_kinds_and_tiers() -> None:
    """Sound, searches by the thousand, and a tier behind an ``@``; a plain line is not the price of another tier."""
    book = PriceBook(
        own=["m = input 1, output 2, input_audio 10, web_search 30, cache_write_1h 2", "m@priority = input 5, output 6"]
    )
    plain = billed(input_audio_tokens=500_000, web_searches=2)
    assert book.price("p", "m", Usage(1_000_000, 0), billed=plain).usd == pytest.approx(0.5 + 5 + 0.06)
    assert book.price("p", "m", Usage(1_000_000, 0), billed=billed(tier="priority")).usd == 5
    flex = book.price("p", "m", Usage(1_000_000, 0), billed=billed(tier="flex"))
    assert (flex.usd, flex.reason) == (None, "no price is known for m served as flex")


AUDIO = st.builds(lambda audio, cached: (audio, min(audio, cached)), st.integers(0, 900), st.integers(0, 300))


@given(st.integers(900, 400_000), st.integers(0, 900), AUDIO, st.integers(0, 3))
def test_kinds_cost_what_the_library_computes(read: int, written: int, audio: tuple[int, int], searches: int) -> None:
    """For every mixture of sound, cached sound, text and searches."""
    import genai_prices

    quantities = {"input_audio_tokens": audio[0], "cache_audio_read_tokens": audio[1], "web_searches": searches}
    theirs = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=read, output_tokens=written, cache_read_tokens=audio[1], **quantities),
        "gemini-2.5-flash",
        provider_id="google",
        genai_request_timestamp=NOON,
    )
    told = billed(**{name: number for name, number in quantities.items() if number})
    ours = (
        PriceBook()
        .price("gcp.gemini", "gemini-2.5-flash", Usage(read, written, audio[1]), billed=told, timestamp=NOON)
        .usd
    )
    assert math.isclose(ours, float(theirs.total_price), rel_tol=1e-12)


prices = st.builds(
    Price,
    st.fractions(0, 1000),
    st.lists(st.tuples(st.integers(0, 10**6), st.fractions(0, 1000)), max_size=3).map(tuple),
)
rates = st.none() | st.builds(
    Rate,
    prices,
    prices,
    cached=st.none() | prices,
    cache_write=st.none() | prices,
    reasoning=st.none() | prices,
    request=st.fractions(0, 1000),
    extra=st.dictionaries(st.text(max_size=9), prices, max_size=3),
)


@given(rate=rates)
def test_prices_that_were_kept_are_the_same(rate: Rate | None) -> None:
    """To the last digit: fractions are not rounded."""
    assert rate_from_json(json.loads(json.dumps(rate_to_json(rate)))) == rate


def test_every_listed_price_can_be_kept() -> None:
    """Whatever the table of prices holds."""
    from genai_prices.data import providers

    book = PriceBook()
    for provider in providers:
        for model in provider.models:
            rate = book.rate(provider.id, model.id)
            assert rate_from_json(json.loads(json.dumps(rate_to_json(rate)))) == rate


@given(form=st.recursive(st.none() | st.integers() | st.text(max_size=4), lambda inner: st.lists(inner, max_size=3)))
def test_damaged_prices_are_refused(form: Any) -> None:
    """Whatever stands in the file; the table is asked then."""
    with pytest.raises(ValueError, match=r"price|literal|unpack|convert"):
        rate_from_json({**rate_to_json(Rate(Price(Fraction(1)), Price(Fraction(2)))), "input": form, "output": None})


KEPT = """
import sys
from pathlib import Path
from pytest_tokenbudget.prices import PriceBook, price_cache
from pytest_tokenbudget.records.call import Usage

if "updated" in sys.argv:
    from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
    set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=False))
cache = price_cache(Path(sys.argv[1]))
book = PriceBook(cache=cache)
known = [book.price(*model, Usage(1000, 10)).usd for model in (("openai", "gpt-4o"), ("deepseek", "deepseek-chat"), ("x", "y"))]
cache.save()
print(known, "genai_prices" in sys.modules)
"""


def kept(folder: Path, *arguments: str) -> str:
    """Price three calls in a process of its own."""
    command = [sys.executable, "-c", KEPT, str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_a_price_that_was_asked_for_today_loads_no_table(tmp_path: Path) -> None:
    """Known and unknown ones; the file holds no name of a model."""
    first = kept(tmp_path)
    assert first.endswith("None] True")
    assert kept(tmp_path) == first.replace("True", "False")
    (file,) = tmp_path.iterdir()
    text = file.read_text()
    assert not any(name in text for name in ("gpt", "openai", "deepseek"))
    file.write_text(text.replace('"input"', '"inputs"'))
    assert kept(tmp_path) == first


def test_a_table_that_the_project_brought_is_asked_and_not_kept(tmp_path: Path) -> None:
    """It may hold other prices than the installed version."""
    assert kept(tmp_path, "updated") == "[None, None, None] True"
    assert not list(tmp_path.iterdir())
    first = kept(tmp_path)
    assert "0.0026" in first
    assert kept(tmp_path, "updated") == "[None, None, None] True"
