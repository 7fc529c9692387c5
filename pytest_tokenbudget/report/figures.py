"""How numbers are written for people."""

from __future__ import annotations

from pytest_tokenbudget.records.verdict import GateResult

_SECONDS = ("latency", "model_time", "call_latency", "ttft", "own_time", "latency_per_output_token")


def number(value: float | int | None, metric: str = "") -> str:
    """A value in its metric's unit: ``12,410``, ``41.2 s``, ``850 ms``, ``$0.0123``; a dash where it is unknown."""
    if value is None:
        return "-"
    name = metric.rpartition(".")[2]
    if name == "cost":
        return f"${value:,.4f}" if value >= 0.01 or value == 0 else f"${value:.3g}"
    if name in _SECONDS:
        return seconds(value)
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}"


def seconds(value: float) -> str:
    """A duration: ``41.2 s``, ``850 ms``, ``120 µs``."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f} s"
    if size >= 1 or size == 0:
        return f"{value:.3g} s"
    if size >= 0.001:
        return f"{value * 1e3:.3g} ms"
    return f"{value * 1e6:.3g} µs"


def percent(fraction: float | None) -> str:
    """A relative change: ``+29.1 %``; a dash where it has no meaning."""
    if fraction is None:
        return "-"
    shown = fraction * 100
    digits = 1 if abs(shown) < 1000 else 0
    return f"{shown:+,.{digits}f} %"


def change(gate: GateResult) -> str:
    """A gate's change; a ceiling has none."""
    return "" if gate.kind == "limit" else percent(gate.change)


def signed(value: float, metric: str = "") -> str:
    """A difference with its sign: ``+3,120``."""
    shown = number(abs(value), metric)
    return f"{'-' if value < 0 else '+'}{shown}"


_CONTROL = dict.fromkeys((*range(32), *range(127, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A)))


def plain(text: str, *, limit: int = 400) -> str:
    """Text from outside, fit for a terminal: control characters and bidirectional overrides are gone, long text is cut."""
    cleaned = text.translate(_CONTROL)
    encoded = cleaned.encode("utf-8", "replace").decode("utf-8")
    return encoded if len(encoded) <= limit else encoded[: limit - 1] + "…"
