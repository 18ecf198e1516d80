"""The rule of this room: who values what, and who minds inequality how much, in; the best allocation for them, out."""

import copy
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from ...models._check import as_array, concrete, require
from ...models.population import Population
from ..base import Allocation
from ..parameters import learned
from ._check import check_disposal, check_tolerance
from ._exact import solve_program
from ._fixed import Fixed
from ._promises import shares_add_up
from ._softened import AbstractSoftened
from ._weights import Levers, program_of
from .solvers.solve import METHODS

if TYPE_CHECKING:
    from ..promises import AbstractPromise

#: What stays as it is where nobody gave it.
DEFAULTS = {"caps": 1.0, "benchmark_mix": 0.0, "default": (0.0, 0.0)}
LEVERS = ("strength", "report_cap", "caps", "agent_weights", "benchmark_mix", "default")


def _lever(name: str, support: Any, **kwargs: Any) -> Any:
    """A field that is learned inside `support` while the rule's `moves` name it."""
    return learned(lambda rule: support if name in rule.moves else Fixed(getattr(rule, name)), **kwargs)


#: Name, lowest and highest value, most axes.
RANGES = (
    ("strength", 0.0, np.inf, 1),
    ("report_cap", 0.0, np.inf, 0),
    ("caps", 0.0, 1.0, 1),
    ("agent_weights", 0.0, np.inf, 1),
    ("benchmark_mix", 0.0, 1.0, 0),
)


def _indices(x: Any) -> Any:
    return np.asarray(x, np.int64) if isinstance(x, list | tuple) else x


class Participatory(AbstractSoftened):
    r"""Shares that maximise what people say they value: own utility less their own aversion to inequality.

    .. math:: x^\theta \in \arg\max_{x \in X} \sum_i w_i v_i(x), \qquad
        v_i = u_i - \alpha_i I^+_i - \beta_i I^-_i, \quad u_i = \sum_j a_{ij} x_{ij}

    A population is made by `society`; where it has no `alpha` or `beta`, or NaN, the person did not answer and `default` stands
    in. What people say is then capped, and scaled by `strength` and by 1 - `benchmark_mix`. `agent_weights` count relative to
    their mean; they become part of alpha and beta, exactly [D].

    People may gain by lying, about values and about inequality: the rule promises nothing about it. `ExternalityPricing` charges
    for it.

    Args:
        strength: multiplies alpha and beta, not negative: a number, or one a group. Learned.
        report_cap: the most that alpha or beta counts as, not negative; None is no cap. Learned where given.
        caps: one agent's largest share of an item, a number or `[items]`, in (0, 1]. Learned where given below 1.
        disposal: "forbidden" (all is given away) or "free".
        agent_weights: `[agents]`, positive, of the valuations in the sum; None is one each. Learned where given.
        benchmark_mix: in [0, 1]; m maximises (1 - m) W + m times total utility. Learned where given other than 0.
        default: (alpha, beta) of those who did not answer. Learned where given other than (0, 0).
        groups: `[agents]`, which entry of `strength` is whose; None takes the population's `kind`.
        method: as in `solve`. `tol`: relative gap that counts as solved.

    Attributes:
        moves: the names of what `tune` may move; see `learning`.

    Raises:
        ValueError: a number outside its range, by name; when it allocates, values or weights that `solve` refuses. Inside a JAX
            program such shares are NaN and their certificate is not solved.

    Source: Shirali, Finocchiaro and Abebe (2024), equation 3 [P]; caps on reports from their appendix C [P]; strength, mix,
        defaults and agents' weights [X].

    Example:
        >>> from fairhand.mechanisms.participatory import society
        >>> people = society([[1.0, 1.0], [0.9, 0.2]], alpha=0.2, beta=0.1)
        >>> found = Participatory(strength=0.5).allocate(people)
        >>> found.shares.tolist(), found.certificate.method
        ([[0.0, 1.0], [1.0, 0.0]], 'two_agent')
    """

    deterministic: ClassVar[bool] = True
    strength: Float[Array | np.ndarray, "..."] = _lever("strength", constraints.nonnegative, default=1.0)
    report_cap: Float[Array | np.ndarray, ""] | None = _lever(
        "report_cap", constraints.nonnegative, default=None, kw_only=True
    )
    caps: Float[Array | np.ndarray, "..."] = _lever("caps", constraints.unit_interval, default=1.0, kw_only=True)
    disposal: str = eqx.field(static=True, default="forbidden", kw_only=True)
    agent_weights: Float[Array | np.ndarray, "..."] | None = _lever(
        "agent_weights", constraints.positive, default=None, kw_only=True
    )
    benchmark_mix: Float[Array | np.ndarray, ""] = _lever(
        "benchmark_mix", constraints.unit_interval, default=0.0, kw_only=True
    )
    default: Float[Array | np.ndarray, "2"] = _lever("default", constraints.real, default=(0.0, 0.0), kw_only=True)
    groups: Any = eqx.field(default=None, converter=_indices, kw_only=True)
    method: str = eqx.field(static=True, default="auto", kw_only=True)
    tol: float = eqx.field(static=True, default=1e-6, kw_only=True)
    moves: tuple[str, ...] = eqx.field(static=True, init=False)
    _temperature: Float[Array | np.ndarray, ""] | float | None = eqx.field(init=False)

    def __post_init__(self):
        left = [name for name, value in DEFAULTS.items() if _same(getattr(self, name), value)]
        self.moves = tuple(name for name in LEVERS if name not in left)
        self._temperature = None

    def __check_init__(self):
        check_disposal(self.disposal)
        check_tolerance(self.tol)
        require(self.method in METHODS, f"`method` must be one of {', '.join(METHODS)}; got {self.method!r}.")
        for name, low, high, rank in RANGES:
            given = getattr(self, name)
            require(given is None or hasattr(given, "shape"), f"`{name}` must be numbers; got {given!r}.")
            known = concrete(given)
            if known is None:
                continue
            require(known.ndim <= rank, f"`{name}` must have at most {rank} axes, got shape {known.shape}.")
            good = np.isfinite(known) & (known >= low) & (known <= high)
            good &= (known > 0) if name in ("caps", "agent_weights") else True
            bracket = "(" if name in ("caps", "agent_weights") else "["
            require(good.all(), f"`{name}` must be in {bracket}{low:g}, {high:g}], and finite; got {known.tolist()}.")
        default = concrete(self.default)
        require(
            default is None or (default.shape == (2,) and np.isfinite(default).all()),
            f"`default` must be two finite numbers, alpha and beta; got {self.default}.",
        )

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        """Who gets what.

        Args:
            reported: values `[..., agents, items]`, alpha and beta `[..., agents]`.
            key: ignored, the rule tosses no coins.

        Returns:
            Shares, in float64 where numbers are known, and a certificate with all fields of `Solution`.
        """
        del key
        program = program_of(reported, self.levers)
        if self._temperature is not None:
            from ._soft import soft_allocation

            return soft_allocation(program, self.caps, self.disposal, self._temperature)
        certificate = solve_program(program, self.caps, self.disposal, self.method, self.tol)
        return Allocation(certificate.shares, certificate)

    @property
    def levers(self) -> Levers:
        """The numbers that shape the program, as a tuple."""
        return Levers(self.strength, self.report_cap, self.agent_weights, self.benchmark_mix, self.default, self.groups)

    def learning(self, *names: str) -> "Participatory":
        """The same rule, of which `tune` moves the named fields and no others.

        Example:
            >>> from fairhand.mechanisms.parameters import to_free
            >>> Participatory().moves, Participatory().learning("caps", "strength").moves
            (('strength', 'report_cap', 'agent_weights'), ('caps', 'strength'))
        """
        for name in names:
            require(name in LEVERS, f"`names` must be among {', '.join(LEVERS)}; got {name!r}.")
            require(
                getattr(self, name) is not None, f"`{name}` is None, so there is nothing to learn: give it a number."
            )
        changed = copy.copy(self)
        object.__setattr__(changed, "moves", names)
        return changed

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        return (shares_add_up(self.disposal),)


def _same(x: Any, default: Any) -> bool:
    known = concrete(as_array(x))
    return known is not None and known.shape == np.shape(default) and bool((known == np.asarray(default)).all())
