"""Further samples that depend on earlier ones are no evidence."""

from __future__ import annotations

from pytest_tokenbudget.compare.repeats import independent, why_dependent
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import Composition, PartName, Piece
from pytest_tokenbudget.records.sample import Sample

PARTS: dict[str, PartName] = {"s": "system", "u": "user", "a": "assistant", "t": "tool_results"}


def _sample(*prompts: str, stage: str = "main") -> Sample:
    """A sample whose calls have these prompts: words that begin with the letter of their part."""
    calls = []
    for number, prompt in enumerate(prompts):
        pieces = tuple(Piece(PARTS[word[0]], "", 10, word) for word in prompt.split())
        composition = Composition(pieces, 10 * len(pieces), 10 * len(pieces), "e")
        calls.append(Call(stage, "p", "a", model="m", started=float(number), composition=composition))
    return Sample(calls=tuple(calls))


def test_equal_and_noisy_samples_are_evidence() -> None:
    """The same requests again, other answers, longer and shorter loops: all that a model may do."""
    first = _sample("s u", "s u a1 t1", "s u a1 t1 a2 t2")
    for other in (
        _sample("s u", "s u a1 t1", "s u a1 t1 a2 t2"),
        _sample("s u", "s u a7 t7"),
        _sample("s u", "s u a1 t1"),
        _sample("s u", "s u a1 t1", "s u a1 t1 a2 t2", "s u a1 t1 a2 t2 a3 t3"),
    ):
        assert why_dependent(first, first, other) == ""


def test_a_sample_without_calls_was_answered_by_a_cache() -> None:
    """No call is no measurement."""
    kept, reasons = independent([_sample("s u"), Sample(), _sample("s u")])
    assert len(kept) == 2
    assert reasons == ("sample 2 is no evidence: it called no model, so something answered from a cache",)


def test_a_conversation_that_goes_on_is_no_repeat() -> None:
    """The second sample's first request holds the first one's messages, and the third one's all of them."""
    samples = [
        _sample("s u1"),
        _sample("s u1 a1 u1"),
        _sample("s u1 a1 u1 a2 u1"),
    ]
    first = _sample("s u1", "s u1 a1")
    assert "keeps the conversation" in why_dependent(first, first, samples[1])
    kept, reasons = independent([first, *samples[1:]])
    assert kept == (first,)
    assert len(reasons) == 2


def test_a_question_that_is_asked_again_is_a_repeat() -> None:
    """Equal user turns are what a repeat has."""
    first = _sample("s u1", "s u1 a1 u2")
    assert why_dependent(first, first, _sample("s u1", "s u1 a9 u2")) == ""


def test_a_memo_leaves_one_request_out() -> None:
    """The plan came from a cache, the rest is as before; a loop that only stopped sooner is no such thing."""
    first = _sample("s1 u", "s2 u", "s3 u")
    assert "without one that the first sample made" in why_dependent(first, first, _sample("s2 u", "s3 u"))
    assert "without one that the first sample made" in why_dependent(first, first, _sample("s1 u", "s3 u"))
    assert why_dependent(first, first, _sample("s1 u", "s2 u")) == ""
