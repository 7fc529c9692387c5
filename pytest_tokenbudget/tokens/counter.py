"""Counts texts and prompts, corrects estimates by what providers reported, and splits a call's input into its pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from pytest_tokenbudget.records.composition import Composition, Piece, split
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.tokens.aggregate import fixed_part
from pytest_tokenbudget.tokens.counts import (
    MILLI,
    SHOWN,
    CountCache,
    CountTexts,
    Memo,
    Rendering,
    TextCounts,
    digest,
    whole_tokens,
)
from pytest_tokenbudget.tokens.openai_tokens import is_openai, render_chat, render_responses
from pytest_tokenbudget.tokens.vocabularies import (
    EncodingChoice,
    available,
    encoding_of,
    fingerprint,
    load,
    stand_in,
    tokenizer_file,
)

if TYPE_CHECKING:
    from pytest_tokenbudget.tokens.chat_template import ChatTemplate

_WIDEST = Fraction(4)
"""A ratio beyond this is no property of a tokenizer but a prompt that the count knows nothing of."""


class Calibration:
    """A running ratio of provider's tokens to local tokens for each provider and model."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], tuple[int, int]] = {}

    def observe(self, provider: str, model: str, *, reported: int, counted: int) -> None:
        """Note one call whose input tokens the provider reported."""
        if reported <= 0 or counted <= 0:
            return
        before = self._sums.get((provider, model), (0, 0))
        self._sums[provider, model] = (before[0] + reported, before[1] + counted)

    def ratio(self, provider: str, model: str) -> Fraction | None:
        """Provider's tokens a local token so far; ``None`` where nothing, or nothing credible, was seen."""
        sums = self._sums.get((provider, model))
        if sums is None:
            return None
        ratio = Fraction(*sums)
        return ratio if 1 / _WIDEST <= ratio <= _WIDEST else None


Tokenizer = Callable[..., Callable[[str], int] | None]
"""``(provider=, model=)`` -> a function from a text to its number of tokens, or ``None``."""


@dataclass(frozen=True, slots=True)
class Count:
    """A local count.

    Attributes:
        tokens: Tokens.
        encoding: Name of the encoding or profile that counted.
        estimated: Whether it is an estimate by its nature.
    """

    tokens: int
    encoding: str
    estimated: bool


@dataclass(frozen=True, slots=True)
class _Scale:
    """The way in which the texts of one model are counted.

    Attributes:
        counts: Counts the texts.
        encoding: Name of what counts.
        exact: Whether it is the model's own.
        own: Whether the project configured it or handed it in.
        template: The model's own chat template, where it lies beside the vocabulary.
    """

    counts: TextCounts
    encoding: str
    exact: bool
    own: bool = False
    template: ChatTemplate | None = None


class Counter:
    """Counts, each text once by its content.

    Args:
        encodings: Pattern of model names and what counts them, see :func:`.encodings.encoding_of`.
        tokenizers: Called with ``provider`` and ``model``; the first that returns a function counts that model's texts.
        cache: Counts of earlier sessions; with them an unchanged test loads no vocabulary.
    """

    def __init__(
        self,
        *,
        encodings: Sequence[tuple[str, str]] = (),
        tokenizers: Sequence[Tokenizer] = (),
        cache: CountCache | None = None,
    ) -> None:
        self._encodings = tuple(encodings)
        self._tokenizers = tuple(tokenizers)
        self._cache = cache
        self._scales: dict[tuple[str, str], _Scale] = {}
        self._vocabularies: dict[str, TextCounts] = {}
        # of what stands for a fragment's text: a role, an image's reference
        self._digest = lru_cache(maxsize=10_000)(digest)
        self._memo = Memo()

    def prepare(self) -> None:
        """Import every way of counting a prompt."""
        from pytest_tokenbudget.tokens import media, profiles, typescript

        _ = media, profiles, typescript

    def prompt_to(self, answered_by: str, prompt: Prompt, *, provider: str) -> Prompt:
        """Give a prompt the model that answered, where the requested name says nothing: a deployment, an alias.

        Args:
            answered_by: The model that the answer names, ``"gpt-4o-2024-08-06"``.
            prompt: What was asked, of ``"prod-chat"``.
            provider: Provider, ``"azure.ai.openai"``.
        """
        if answered_by in ("", prompt.model) or self._knows(prompt.api, provider, prompt.model):
            return prompt
        return replace(prompt, model=answered_by) if self._knows(prompt.api, provider, answered_by) else prompt

    def _knows(self, api: str, provider: str, model: str) -> bool:
        """Tell whether a model's own encoding or its family's profile is known."""
        if self._scale(provider, model).exact:
            return True
        from pytest_tokenbudget.tokens.profiles import DEFAULT, profile_of

        return profile_of(provider, api, model) is not DEFAULT

    def count_text(self, text: str, *, provider: str, model: str) -> Count:
        """Tokens of a bare text.

        Args:
            text: Any text; special tokens such as ``<|endoftext|>`` in it are text.
            provider: Provider, ``"openai"``.
            model: The model that reads or writes it.

        Raises:
            TokenizerError: If a configured vocabulary cannot be loaded.
        """
        scale = self._scale(provider, model)
        tokens = scale.counts.measure([text])[0][0]
        if scale.exact:
            return Count(tokens, scale.encoding, estimated=False)
        from pytest_tokenbudget.tokens.profiles import profile_of

        profile = profile_of(provider, "", model)
        tokens = round(tokens * profile.text) + (self._memo.split_digits(text) if profile.splits_digits else 0)
        return Count(tokens, _profiled(scale.encoding, profile.name), estimated=True)

    def count_prompt(self, prompt: Prompt, *, provider: str) -> Count:
        """Input tokens of a prompt, framing included.

        The number depends on the prompt alone and not on what ran before, so that counts of different times can be
        compared; :meth:`estimate_prompt` corrects it.

        Raises:
            TokenizerError: If a configured vocabulary cannot be loaded.
        """
        rendering, encoding, milli, _ = self._measured(prompt, provider)
        return Count(max(0, whole_tokens(sum(milli))), encoding, rendering.estimated)

    def estimate_prompt(self, prompt: Prompt, *, provider: str, seen: Calibration) -> Count:
        """Input tokens of a prompt whose provider reported none: the count, an estimate times the sample's own ratio.

        Args:
            prompt: The prompt.
            provider: Provider, ``"anthropic"``.
            seen: What the provider reported of the sample's other calls, see :meth:`observe`.

        Raises:
            TokenizerError: If a configured vocabulary cannot be loaded.
        """
        count = self.count_prompt(prompt, provider=provider)
        ratio = seen.ratio(provider, prompt.model) if count.estimated else None
        return count if ratio is None else Count(round(count.tokens * ratio), count.encoding, estimated=True)

    def observe(self, prompt: Prompt, *, provider: str, reported: int, seen: Calibration) -> None:
        """Note what the provider reported of a prompt, where its count is an estimate that this can correct.

        Raises:
            TokenizerError: If a configured vocabulary cannot be loaded.
        """
        count = self.count_prompt(prompt, provider=provider)
        if count.estimated:
            seen.observe(provider, prompt.model, reported=reported, counted=count.tokens)

    def compose(
        self, prompt: Prompt, *, provider: str, input_tokens: int | None, seen: Calibration | None = None
    ) -> Composition:
        """Split a call's input into its pieces.

        Args:
            prompt: What was asked.
            provider: Provider, ``"openai"``.
            input_tokens: The provider's number, ``None`` where it sent none; the local count is split then.
            seen: Corrects that count where it is an estimate, as in :meth:`estimate_prompt`.

        Returns:
            Pieces in the order in which the provider's cache sees them, tools first, then the messages. Their tokens add
            up exactly to the input tokens, by the largest remainder.

        Raises:
            TokenizerError: If a configured vocabulary cannot be loaded.
        """
        rendering, encoding, milli, digests = self._measured(prompt, provider)
        counted = max(0, whole_tokens(sum(milli)))
        total = input_tokens
        if total is None:
            ratio = seen.ratio(provider, prompt.model) if seen and rendering.estimated else None
            total = counted if ratio is None else round(counted * ratio)
        total = max(0, total)
        # a profile may count less than nothing for a part of the framing; no piece can
        weights = [each if each > 0 else 0 for each in milli]
        pieces = [
            Piece(fragment.part, fragment.name, tokens, found[:SHOWN], weight)
            for fragment, tokens, weight, found in zip(
                rendering.fragments, split(total, weights), weights, digests, strict=True
            )
        ]
        fixed = fixed_part(rendering.fragments, milli)
        return Composition(tuple(pieces), total, counted, encoding, rendering.estimated, fixed)

    def _measured(self, prompt: Prompt, provider: str) -> tuple[Rendering, str, list[int], list[str]]:
        """A prompt's rendering, the name of what counted it, and thousandths of a token and digest of each fragment."""
        scale = self._scale(provider, prompt.model)
        rendering, encoding = self._render(prompt, provider, scale)
        fragments = rendering.fragments
        counts = scale.counts.measure([fragment.text for fragment in fragments])
        milli = [one.weight * tokens + one.fixed for one, (tokens, _) in zip(fragments, counts, strict=True)]
        digests = [
            self._digest(one.identity) if one.identity else found
            for one, (_, found) in zip(fragments, counts, strict=True)
        ]
        return rendering, encoding, milli, digests

    def _render(self, prompt: Prompt, provider: str, scale: _Scale) -> tuple[Rendering, str]:
        """Render a prompt by its model's own rules, else by its chat template, else by its family's profile."""
        if scale.exact and is_openai(prompt.api, prompt.model):
            by_rules = render_responses if prompt.api.startswith("openai.responses") else render_chat
            return by_rules(prompt, self._memo), scale.encoding
        from pytest_tokenbudget.tokens.profiles import BARE_APIS, DEFAULT, profile_of, render_bare, render_profiled

        # Rules that were fitted to another tokenizer than the model's own make its prompts worse.
        profile = DEFAULT if scale.own else profile_of(provider, prompt.api, prompt.model)
        if scale.template is not None and prompt.api not in BARE_APIS:
            from pytest_tokenbudget.tokens.chat_template import TemplateProblem

            try:
                return scale.template.render(prompt, provider=provider), f"{scale.encoding}, chat template"
            except TemplateProblem:
                # What the template refuses, the engine would have refused too, or it has another template.
                pass
        if prompt.api in BARE_APIS:
            weight = MILLI if scale.exact else round(profile.text * MILLI)
            rendering = render_bare(prompt, weight=weight, estimated=not scale.exact)
            return rendering, scale.encoding if scale.exact else _profiled(scale.encoding, profile.name)
        rendering = render_profiled(prompt, self._memo, profile, provider, exact_text=scale.own)
        return rendering, _profiled(scale.encoding, profile.name)

    def _scale(self, provider: str, model: str) -> _Scale:
        scale = self._scales.get((provider, model))
        if scale is None:
            scale = self._scales[provider, model] = self._new_scale(provider, model)
        return scale

    def _new_scale(self, provider: str, model: str) -> _Scale:
        for tokenizer in self._tokenizers:
            count = tokenizer(provider=provider, model=model)
            if callable(count):
                counts = TextCounts(None, partial(_one_by_one, count))
                return _Scale(counts, f"tokenizer of {model}", exact=True, own=True)
        choice = encoding_of(model, self._encodings)
        if not choice.configured and not available(choice.name):
            choice = EncodingChoice(stand_in(), exact=False)
        known = self._vocabularies.get(choice.name)
        if known is None:
            key = fingerprint(choice.name) if choice.configured else choice.name
            vocabulary = partial(load, choice.name, configured=choice.configured)
            known = self._vocabularies[choice.name] = TextCounts(key, vocabulary, self._cache)
        template = None
        if choice.configured and (path := tokenizer_file(choice.name)) is not None:
            from pytest_tokenbudget.tokens.chat_template import load_template

            template = load_template(path)
        return _Scale(known, choice.name, choice.exact, own=choice.configured, template=template)


def _one_by_one(count: Callable[[str], int]) -> CountTexts:
    return lambda texts: [count(text) for text in texts]


def _profiled(encoding: str, profile: str) -> str:
    return f"{encoding}, profile {profile}"
