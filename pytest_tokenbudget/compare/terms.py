"""The terms on which a gate is judged: what is allowed, at which level, under which assumptions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from pytest_tokenbudget.compare.looks import COUNTS, PAIRED, STORED, Plan
from pytest_tokenbudget.compare.rules import parse_rule
from pytest_tokenbudget.records.gate import Rule
from pytest_tokenbudget.stats.exact import rational
from pytest_tokenbudget.stats.log_ratio import Model
from pytest_tokenbudget.stats.multiplicity import shared_level

Kind = Literal["latency", "count", "exact"]
Allowance = float | str | Fraction | Rule
"""How much a value may grow: 0.2, ``"20%"``, ``"10% +200"``, a fraction, or a parsed rule."""

ALPHA = 0.01
LATENCY_SCALE, LATENCY_DF, LATENCY_DEFF = 0.40, 4.0, 1.4
COUNT_SCALE, COUNT_DF, COUNT_DEFF = 0.05, 4.0, 1.0
PASSING_DF = 0.5
"""Weight of the unlearned prior where a verdict of ``ok`` is at stake. Caution, not knowledge, makes the default prior
wide: it shall keep three lucky values from failing a test, and neither help nor hinder a pass."""
LEARNED_CAUTION = 0.4
"""Factor on the plan's probability of passing where the spread was learned: it then takes few values to pass, and all
misses are those that the plan allows."""
STORED_TAU = 0.12
SHIFTED_TAU = 0.02
PASSED_MULTIPLE = 3
"""``ok`` rules out an increase of three times what is allowed: +60 % under a gate of 20 %."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything that a judgement needs besides the values.

    Attributes:
        kind: ``latency``, ``count`` or ``exact``.
        increase: Allowed relative increase.
        slack: Allowed absolute increase, in the unit of the values.
        log_allowed: log(1 + increase).
        log_excluded: Log-ratio that ``ok`` must rule out.
        alpha: Level of this gate, its share of the family's already taken.
        beta: Probability of passing an excluded increase at any look; ``None`` for the plan's.
        model: Prior, design effect and drift for calling an increase.
        passing_df: Weight of the prior for calling it ``ok``.
        learned: Whether the prior was learned, as opposed to the default one.
        plan: The looks.
        paired: Whether base and new values were drawn interleaved.
        fixed: Whether the number of values was fixed beforehand and they are judged only once.
        look: Index of the look, ``None`` to go by the number of new values.
        cap: Most new values that will be drawn, ``None`` for the plan's cap.
        statistic: ``mean``, ``p50``, ..., ``max``.
        screen: p below which a suspicion against a stored baseline is worth more samples.
    """

    kind: Kind
    increase: Fraction
    slack: Fraction
    log_allowed: float
    log_excluded: float
    alpha: float
    beta: float | None
    model: Model
    passing_df: float
    learned: bool
    plan: Plan
    paired: bool
    fixed: bool
    look: int | None
    cap: int | None
    statistic: str
    screen: float

    def position(self, n: int) -> int:
        """Index of the look at ``n`` new values."""
        if self.look is None:
            return self.plan.position(n)
        return min(max(0, self.look), len(self.plan.looks) - 1)

    def level(self) -> float:
        """Level of the test that assumes a model."""
        return self.alpha if self.fixed else self.alpha * self.plan.level

    def guard(self, n: int) -> float:
        """Level of the exact test that guards it."""
        return self.alpha if self.fixed else self.alpha * self.plan.guards[self.position(n)]

    def passing(self, n: int) -> float:
        """Probability with which an excluded increase may pass at ``n`` new values."""
        if self.beta is not None:
            return self.beta
        return self.plan.passing[self.position(n)] * (LEARNED_CAUTION if self.learned else 1.0)


@lru_cache(maxsize=1024)
def allowance(value: Allowance, kind: Kind) -> tuple[Fraction, Fraction]:
    """The allowed relative and absolute increase that a rule means.

    Raises:
        ValueError: if it cannot be understood, or is ``off``.
    """
    if isinstance(value, Rule):
        rule = value
    elif type(value) in (int, Fraction):
        rule = Rule(Fraction(value))
    else:
        rule = parse_rule(value, unit="s" if kind == "latency" else "count")
    if rule.off or rule.fraction < 0 or rule.slack < 0:
        msg = f"{value!r} is no allowed increase"
        raise ValueError(msg)
    return rule.fraction, rule.slack


@lru_cache(maxsize=1024)
def terms(  # noqa: PLR0917 - the key of a cache: positional arguments are hashed fastest
    max_increase: Allowance,
    kind: Kind,
    paired_run: bool,
    statistic: str,
    alpha: float,
    beta: float | None,
    s0: float | None,
    d0: float | None,
    deff: float | None,
    tau: float | None,
    shifted: bool,
    slack: float,
    look: int | None,
    fixed: bool,
    family: int,
    max_samples: int | None,
    screen: float,
) -> Terms:
    """The terms that the arguments of :func:`~pytest_tokenbudget.compare.judging.judge` mean.

    Cached: a run has few different gates and many judgements.

    Raises:
        ValueError: if an argument is out of its range.
    """
    if kind not in ("latency", "count", "exact"):
        msg = f'kind is "latency", "count" or "exact", not {kind!r}'
        raise ValueError(msg)
    if not 0.0 < alpha < 0.5 or (beta is not None and not 0.0 < beta < 0.5):
        msg = f"alpha and beta are probabilities below one half, not {alpha} and {beta}"
        raise ValueError(msg)
    increase, absolute = allowance(max_increase, kind)
    timed = kind == "latency"
    default_tau = 0.0 if paired_run or not timed else SHIFTED_TAU if shifted else STORED_TAU
    model = Model(
        prior_scale=s0 if s0 is not None else LATENCY_SCALE if timed else COUNT_SCALE,
        prior_df=d0 if d0 is not None else LATENCY_DF if timed else COUNT_DF,
        deff=deff if deff is not None else LATENCY_DEFF if timed else COUNT_DEFF,
        tau=default_tau if tau is None else tau,
    )
    if not (model.prior_scale > 0 and model.prior_df > 0 and model.deff > 0 and model.tau >= 0):
        msg = f"s0, d0 and deff must be positive and tau not negative: {model}"
        raise ValueError(msg)
    return Terms(
        kind=kind,
        increase=increase,
        slack=max(absolute, rational(slack)),
        log_allowed=math.log1p(float(increase)),
        log_excluded=math.log1p(PASSED_MULTIPLE * float(increase)),
        alpha=shared_level(alpha, family) if timed else alpha,
        beta=beta,
        model=model,
        passing_df=PASSING_DF if d0 is None else d0,
        learned=d0 is not None,
        plan=COUNTS if not timed else PAIRED if paired_run else STORED,
        paired=paired_run,
        fixed=fixed,
        look=look,
        cap=max_samples,
        statistic=statistic,
        screen=screen,
    )
