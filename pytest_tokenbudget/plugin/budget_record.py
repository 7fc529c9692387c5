"""The ``budget`` fixture: the record of the running sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_tokenbudget.baselines.observe import storable
from pytest_tokenbudget.capture.stage import checked_path, current_path
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.measure.metrics import parse_metric
from pytest_tokenbudget.plugin.running_sample import RunningSample, without_prompt
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.sample import Values


class BudgetRecord:
    """The ``budget`` fixture: the record of the running sample.

    In a test without the marker there is no sample; everything is accepted and nothing is kept.
    """

    def __init__(self, running: RunningSample | None) -> None:
        self._running = running

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls so far, failed attempts included, in the order in which they started."""
        if self._running is None:
            return ()
        calls, _ = self._running.measured()
        return tuple(without_prompt(call) for call in calls)

    def stage(self, name: str) -> Values:
        """The figures of a stage so far, by metric.

        Raises:
            TokenBudgetError: If no such stage was opened; it names those that were.
        """
        if self._running is None:
            return {}
        _, measured = self._running.measured()
        if name not in measured.stages:
            opened = ", ".join(measured.stages) or "none"
            raise TokenBudgetError(f"stage {name!r} was never opened; opened so far: {opened}", remedy="check its name")
        return measured.stages[name]

    def total(self, metric: str) -> float | int | None:
        """A metric so far: ``budget.total("worker.input_tokens")``.

        Returns:
            Its value, ``None`` where it is unknown.

        Raises:
            TokenBudgetError: If there is no such metric or stage.
        """
        if self._running is None:
            return None
        try:
            parsed = parse_metric(metric, self._running.table)
        except ValueError as error:
            raise TokenBudgetError(str(error), remedy="see docs/metrics.md") from None
        if parsed.stage:
            return self.stage(parsed.stage)[parsed.name]
        _, measured = self._running.measured()
        return measured.total[parsed.name]

    def record(
        self,
        model: str,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_input_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        latency: float = 0.0,
        provider: str = "custom",
        stage: str | None = None,
        tool_calls: Sequence[str] = (),
        finish_reason: str | None = None,
    ) -> None:
        """Record a call of a model that is not called over HTTP.

        Args:
            model: Name of the model.
            input_tokens: All that the model read.
            output_tokens: All that the model wrote.
            cached_input_tokens: The part of the input that was read from a cache.
            cache_write_tokens: The part of the input that was written to a cache.
            reasoning_tokens: The part of the output that was reasoning.
            latency: Its duration, s; it is taken to have ended now.
            provider: Who serves the model; used for its price.
            stage: Its stage; by default the one that is open.
            tool_calls: Names of the tools that the model called.
            finish_reason: Why it stopped.

        Raises:
            TokenBudgetError: If that is no stage.
            BudgetExceeded: If a ceiling of ``stop_at`` has been passed with it.
        """
        running = self._running
        if running is None:
            return
        usage = Usage(input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens)
        running.record(
            Call(
                stage=(checked_path(stage) if stage else current_path()) or "main",
                provider=provider,
                api="recorded",
                model=model,
                request_model=model,
                started=running.clock() - running.origin - latency,
                latency=float(latency),
                usage=usage,
                input_source="provider" if input_tokens is not None else None,
                output_source="provider" if output_tokens is not None else None,
                tool_calls=tuple(tool_calls),
                finish_reason=finish_reason,
                cost=running.reader.prices.price(provider, model, usage).usd,
            )
        )

    def outcome(self, name: str, value: Any) -> None:
        """Keep what the agent achieved: compared with the baseline's, and with ``reduce`` a condition.

        Args:
            name: Name of the outcome.
            value: Anything that JSON can hold.

        Raises:
            TokenBudgetError: If the value cannot be written as JSON.
        """
        import json

        if self._running is None:
            return
        try:
            plain = json.loads(json.dumps(value, allow_nan=False, sort_keys=True))
        except (TypeError, ValueError) as error:
            raise TokenBudgetError(
                f"outcome {name!r} cannot be written as JSON: {error}", remedy="give plain lists, dicts and strings"
            ) from None
        # In the form in which a baseline has it, since that is what it is compared with.
        self._running.outcomes |= storable({str(name): plain})
