"""The terms that a rule is given, and the answer that it gives.

:class:`Terms` say what is allowed, at which level and under which assumptions. :class:`Judged` is the answer of every rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pytest_tokenbudget.compare.rules import parse_rule
from pytest_tokenbudget.compare.sequential import COUNTS, PAIRED, STORED, Plan
from pytest_tokenbudget.records.gate import Rule
from pytest_tokenbudget.records.verdict import Verdict
from pytest_tokenbudget.stats.log_ratio import NoisePrior
from pytest_tokenbudget.stats.statistic import SCREENING_LEVEL, shared_level

if TYPE_CHECKING:
    from pytest_tokenbudget.compare.latency_rule import LogRatioEvidence

Kind = Literal["latency", "count", "exact"]
Allowance = float | str | Fraction | Rule
"""The allowed growth of a value: 0.2, ``"20%"``, ``"10% +200"``, a fraction, or a parsed rule."""

ALPHA = 0.01
LATENCY_SCALE, LATENCY_DF, LATENCY_DEFF = 0.40, 4.0, 1.4
COUNT_SCALE, COUNT_DF, COUNT_DEFF = 0.05, 4.0, 1.0
PASSING_DF = 0.5
"""Weight of the unlearned prior where a verdict of ``ok`` is at stake. Caution, not knowledge, makes the default prior
wide: it shall keep three lucky values from failing a test, and neither help nor hinder a pass."""
LEARNED_CAUTION = 0.4
"""Factor on the plan's probability of passing where the noise was learned: it then takes few values to pass, and all
misses are those that the plan allows."""
MISSING = 0.025
"""Probability with which a target that was reached is called missed at any look."""
STORED_TAU = 0.12
SHIFTED_TAU = 0.02
NON_INFERIORITY_MARGIN = 3
"""``ok`` rules out an increase of three times what is allowed: +60 % under a gate of 20 %."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything that a rule needs besides the values.

    Attributes:
        kind: ``latency`` for live times, ``count`` for live tokens and calls, ``exact`` for what carries no noise.
        noise: What is assumed of the noise.
        increase: Allowed relative increase.
        slack: Allowed absolute increase, in the unit of the values.
        statistic: ``mean``, ``p50``, ..., ``max``.
        learned: Whether that was learned from other gates, as opposed to the default.
        paired: Whether base and new values were drawn interleaved.
        fixed: Whether the number of values was fixed beforehand and they are judged only once.
        alpha: Level of a gate that stands alone.
        beta: Probability of passing an excluded increase at any look; ``None`` for the plan's.
        family: Number of latency gates among which the level of a session is shared out.
        look: Index of the look, ``None`` to go by the number of new values.
        cap: Most new values that will be drawn, ``None`` for the plan's cap.
        screen: p below which a suspicion against a stored baseline is worth more samples.
        shift: Log-ratio that the whole suite moved by, which is taken off.
        confirms_improvements: Whether a decrease is worth more samples, because improvements are kept.
    """

    kind: Kind
    noise: NoisePrior
    increase: Fraction = Fraction(0)
    slack: Fraction = Fraction(0)
    statistic: str = "mean"
    learned: bool = False
    paired: bool = False
    fixed: bool = False
    alpha: float = ALPHA
    beta: float | None = None
    family: int = 1
    look: int | None = None
    cap: int | None = None
    screen: float = SCREENING_LEVEL
    shift: float = 0.0
    confirms_improvements: bool = False

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: if an argument is out of its range.
        """
        if self.kind not in ("latency", "count", "exact"):
            msg = f'kind is "latency", "count" or "exact", not {self.kind!r}'
            raise ValueError(msg)
        if not 0.0 < self.alpha < 0.5 or (self.beta is not None and not 0.0 < self.beta < 0.5):
            msg = f"alpha and beta are probabilities below one half, not {self.alpha} and {self.beta}"
            raise ValueError(msg)

    @property
    def plan(self) -> Plan:
        """The looks."""
        return COUNTS if self.kind != "latency" else PAIRED if self.paired else STORED

    @property
    def log_allowed(self) -> float:
        """log(1 + increase)."""
        return math.log1p(self.increase)

    @property
    def passing_df(self) -> float:
        """Weight of the prior for calling it ``ok``."""
        return self.noise.df if self.learned else PASSING_DF

    @property
    def own_alpha(self) -> float:
        """Level of this gate, its share of the family's already taken."""
        return shared_level(self.alpha, self.family) if self.kind == "latency" else self.alpha

    def level(self) -> float:
        """Level of the test that assumes a model of the noise."""
        return self.own_alpha if self.fixed else self.own_alpha * self.plan.level

    def guard(self, n: int) -> float:
        """Level of the exact test that guards it, at ``n`` new values."""
        return self.own_alpha if self.fixed else self.own_alpha * self.plan.guards[self._position(n)]

    def passing(self, n: int) -> float:
        """Probability with which an excluded increase may pass at ``n`` new values."""
        if self.beta is not None:
            return self.beta
        return self.plan.passing[self._position(n)] * (LEARNED_CAUTION if self.learned else 1.0)

    def missing(self, n: int) -> float:
        """Probability with which a target that was reached may be called missed at ``n`` new values.

        The looks share it out by the values that each of them adds.
        """
        if self.fixed:
            return MISSING
        looks, position = self.plan.looks, self._position(n)
        added = looks[position] - (looks[position - 1] if position else 0)
        return MISSING * added / self.plan.cap

    def _position(self, n: int) -> int:
        """Index of the look at ``n`` new values."""
        if self.look is None:
            return self.plan.position(n)
        return min(max(0, self.look), len(self.plan.looks) - 1)

    def more(self, n: int, wanted: int | None = None) -> int:
        """Further values until the next look (or until ``wanted``); 0 where no more will be drawn."""
        if self.fixed:
            return 0
        target = self.plan.following(n, self.cap) if wanted is None else wanted
        if target is None or (self.cap is not None and target > self.cap):
            return 0
        return max(0, target - n)


@lru_cache(maxsize=256)
def allowance(value: Allowance, kind: Kind, slack: float = 0) -> tuple[Fraction, Fraction]:
    """The allowed relative and absolute increase that a rule means.

    Args:
        value: The rule.
        kind: Kind of the values, which decides the unit of a slack.
        slack: A further absolute increase that is allowed.

    Raises:
        ValueError: if the rule cannot be understood, or is ``off``.
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
    return rule.fraction, max(rule.slack, Fraction(str(slack)))


@lru_cache(maxsize=256)
def noise_prior(
    kind: Kind,
    *,
    paired: bool,
    s0: float | None = None,
    d0: float | None = None,
    deff: float | None = None,
    tau: float | None = None,
    shifted: bool = False,
) -> NoisePrior:
    """Give the assumed noise of a kind of values, where the caller says nothing else.

    Args:
        kind: Kind of the values.
        paired: Whether the arms are interleaved, so that no session lies between them.
        s0: Scale that the caller knows.
        d0: What it counts for.
        deff: Design effect that the caller knows.
        tau: Variation between sessions that the caller knows.
        shifted: Whether the shift of the whole suite is taken off.

    Raises:
        ValueError: if an argument is out of its range.
    """
    timed = kind == "latency"
    usual_tau = 0.0 if paired or not timed else SHIFTED_TAU if shifted else STORED_TAU
    prior = NoisePrior(
        scale=s0 if s0 is not None else LATENCY_SCALE if timed else COUNT_SCALE,
        df=d0 if d0 is not None else LATENCY_DF if timed else COUNT_DF,
        deff=deff if deff is not None else LATENCY_DEFF if timed else COUNT_DEFF,
        tau=usual_tau if tau is None else tau,
    )
    if not (prior.scale > 0 and prior.df > 0 and prior.deff > 0 and prior.tau >= 0):
        msg = f"s0, d0 and deff must be positive and tau not negative: {prior}"
        raise ValueError(msg)
    return prior


Standard = Literal["proven", "demonstrated"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of a verdict, where all of it is known at once.

    Attributes:
        words: What it rests on, or what would decide it.
        exact: Whether values were compared exactly, as opposed to statistically.
        lower: Lower bound of the ratio.
        upper: 95 % upper bound of the ratio.
        upper_99: 99 % upper bound of the ratio.
        detectable: Smallest true increase that is seen with a power of 80 %, as a fraction; ``nan`` where that is not known.
        p: p-value against no increase; ``None`` where none was computed.
        sigma: Standard deviation of a single logarithm that was assumed; ``None`` where none was.
        suspicious: Whether the values look like an increase that chance would seldom make.
    """

    words: str
    exact: bool
    lower: float
    upper: float
    upper_99: float
    detectable: float = math.nan
    p: float | None = None
    sigma: float | None = None
    suspicious: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on some values.

    Attributes:
        verdict: ``ok``, ``improved``, ``regression``, ``target_missed`` or ``inconclusive``.
        ratio: Estimate of new over base: 1.2 is an increase by 20 %. ``inf`` over a base of 0; ``nan`` where a side
            has no values.
        n: New values.
        m: Baseline values.
        sessions: Sessions that they come from.
        terms: The terms on which they were judged.
        evidence: What the verdict rests on.
        more: Further new values that are wanted to decide it; 0 where it is decided or cannot be.
        note: The reason, where it is known at once.
        standard: For a wanted reduction: ``proven`` or ``demonstrated``; ``None`` where neither is met.
        target: For a wanted reduction: 1 - R, the ratio that is wanted at most; else ``nan``.
        baseline_missing: Further baseline values without which no number of new ones decides it; 0 where there are enough.
    """

    verdict: Verdict
    ratio: float
    n: int
    m: int
    sessions: int
    terms: Terms = field(repr=False)
    evidence: Evidence | LogRatioEvidence = field(repr=False, compare=False)
    more: int = 0
    note: str = ""
    standard: Standard | None = None
    target: float = math.nan
    baseline_missing: int = 0

    @property
    def exact(self) -> bool:
        """Tell whether values were compared exactly, as opposed to statistically."""
        return self.evidence.exact

    @property
    def confirmed(self) -> bool:
        """Tell whether variation between sessions cannot explain it: exact, from interleaved arms, or a count."""
        return self.evidence.exact or self.terms.paired or self.terms.kind != "latency"

    @property
    def allowed(self) -> float:
        """Ratio that is allowed, 1 + X."""
        return 1.0 + float(self.terms.increase)

    @property
    def sigma(self) -> float | None:
        """Standard deviation of a single logarithm that was assumed; ``None`` where none was."""
        return self.evidence.sigma

    @property
    def p(self) -> float | None:
        """p-value against no increase; ``None`` where none was computed."""
        return self.evidence.p

    @property
    def lower(self) -> float:
        """Lower bound of the ratio: 99 % for an increase, 97.5 % for a wanted reduction."""
        return self.evidence.lower

    @property
    def upper(self) -> float:
        """95 % upper bound of the ratio."""
        return self.evidence.upper

    @property
    def upper_99(self) -> float:
        """99 % upper bound of the ratio."""
        return self.evidence.upper_99

    @property
    def detectable(self) -> float:
        """Smallest true increase that is seen with a power of 80 %, as a fraction (0.35: +35 %).

        What is compared exactly sees any increase beyond the allowed one. ``inf`` where no increase can be seen,
        ``nan`` where it depends on a distribution that nothing is assumed of.
        """
        return self.evidence.detectable

    @property
    def suspected(self) -> bool:
        """Tell whether it looks like a regression and is not decided."""
        return self.verdict == "inconclusive" and self.evidence.suspicious

    @property
    def reason(self) -> str:
        """One sentence: what would decide it where it is inconclusive, else what it rests on."""
        return self.note or self.evidence.words


def change(ratio: float) -> str:
    """A ratio in words: ``+29.1 %``."""
    if math.isnan(ratio):
        return "unknown"
    return "from 0" if math.isinf(ratio) else f"{100.0 * (ratio - 1.0):+.1f} %"


def quotient(new: float, base: float) -> float:
    """Ratio of two statistics; 1 for 0 over 0, ``inf`` over 0 else, ``nan`` where the signs make it meaningless."""
    if base < 0 or new < 0:
        return math.nan
    if base == 0:
        return 1.0 if new == 0 else math.inf
    return float(new / base)
