"""The mixed logit: a conditional logit in which everybody has coefficients of their own."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._check import require
from .._compiled import compiled
from .._spec import fields_of
from ..hierarchy import AbstractHierarchy, Tastes, check_scales, sample_tastes, start_of_tastes, taste_scalars
from ..weights import counted
from ..world import Draws
from ._bayes import NUMERAIRE_MEDIAN, NUMERAIRE_SPREAD
from ._utility import column_scale
from .data import ChoiceData
from .logit import ConditionalLogit, _names, check_within
from .mixed_worlds import build_mixed_worlds, standardised

Sites = Mapping[str, Any]


class Panel(NamedTuple):
    """What the likelihood is a function of: choices as differences to the alternative taken, in standard units.

    Attributes:
        difference: `[situations, alternatives, coefficients]`.
        available: `[situations, alternatives]`. `counts`: `[situations]`, False where its weight is 0.
        person: `[situations]`, whose choice. `people`: `[people]` zeros, there for its length.
        sign: `[random]`, and `sign_common`: `[common]`: 0 for a coefficient that may have any sign, else its sign.
        place: `[coefficients]`, where each coefficient stands among the random and then the common ones.
    """

    difference: Any
    available: Any
    counts: Any
    person: Any
    people: Any
    sign: Any
    sign_common: Any
    place: Any


class MixedLogit(AbstractHierarchy):
    r"""Random-coefficients logit over panels of choices (Revelt and Train 1998; Train 2009, chapters 6 and 11).

    Person i makes all their choices with the same coefficients, drawn from the population:

    .. math::
        u_{itj} = x_{itj}\cdot\beta_i + \varepsilon_{itj}, \qquad
        b_i = m + L z_i, \quad z_i \sim N(0, I), \qquad
        s_k \beta_{ik} = b_{ik} \;\text{ or }\; \pm e^{b_{ik}},

    :math:`\varepsilon` standard Gumbel, :math:`s_k` the scale of the column (see `ConditionalLogit`), and
    :math:`L = \text{diag}(\sigma)\,\text{chol}(R)`.

    **Priors**, in standard units: :math:`m_k \sim N(0, \text{prior\_scale}^2)`; for a log-normal coefficient
    :math:`m_k \sim N(\log(0.2\,\text{prior\_scale}), 1.25^2)`, the prior of a numeraire; :math:`\sigma_k \sim
    N^+(0, \text{spread\_scale}^2)`; :math:`R \sim \text{LKJ}(2)` where tastes are correlated.

    **Scale heterogeneity** (`scale=True`): :math:`\beta_i` is multiplied by :math:`e^{\tau z - \tau^2/2}`, mean 1, which is
    how clearly person i sees their own utility (Fiebig, Keane, Louviere and Wasi 2010, their GMNL with :math:`\gamma = 0`). It
    is hard to tell from correlated tastes (Hess and Rose 2012), and `identify` says so.

    **Weights** are 0 or 1, as w people have w tastes: `ChoiceData.expanded` makes people out of others (`models.weights`).

    Sites: `mean` (m), `spread` (σ), `correlation` (lower Cholesky factor of R), `beta` (standardised coefficients that are
    the same for all), `scale_spread` (τ), and `taste` (b, `[people, dims]`).

    Args:
        logit: what utilities are made of: attributes, interactions, constants, the numeraire, `prior_scale`. Its numeraire
            is log-normal here, so that nobody likes to pay.
        random: names of the coefficients that differ between people; None is all of them.
        correlated: whether tastes are correlated.
        lognormal: name to sign, +1 or -1, of coefficients that everybody has with one sign.
        scale: whether people differ in scale too.
        spread_scale: of the prior of σ and τ, in standard units.

    Raises:
        ValueError: names that are not coefficients, a sign that is not ±1, a log-normal coefficient that is not random,
            choice-based samples (`population_shares`), whose correction holds within a conditional logit only.

    Example:
        >>> import fairhand as fh
        >>> rng = np.random.default_rng(0)
        >>> x, beta = rng.normal(size=(40, 5, 3, 2)), rng.normal([1.0, -1.0], 0.5, (40, 1, 1, 2))
        >>> taken = ((x * beta).sum(-1) + rng.gumbel(size=(40, 5, 3))).argmax(-1)
        >>> data = ChoiceData(
        ...     x.reshape(200, 3, 2), taken.ravel(), ("a", "b", "c"), ("size", "price"), person=np.repeat(np.arange(40), 5)
        ... )
        >>> model = MixedLogit(ConditionalLogit(("size", "price"), constants=False))
        >>> posterior = fh.fit(model, data, method="map", draws=50)
        >>> posterior.mean["mean[size]"] > 0, posterior.sites["taste"].shape
        (True, (200, 40, 2))
    """

    data_type: ClassVar[type] = ChoiceData
    observation: ClassVar[tuple[str, str]] = ("chosen", "situation")

    logit: ConditionalLogit = eqx.field(static=True)
    random: tuple[str, ...] | None = eqx.field(
        static=True, converter=lambda x: None if x is None else _names(x), default=None
    )
    correlated: bool = eqx.field(static=True, default=False)
    lognormal: Any = eqx.field(
        static=True, converter=lambda x: tuple((k, int(v)) for k, v in dict(x).items()), default=()
    )
    scale: bool = eqx.field(static=True, default=False)
    spread_scale: float = eqx.field(static=True, converter=float, default=1.0)

    def __check_init__(self):
        check_within(self.logit)
        check_scales(self.logit.prior_scale, self.spread_scale)
        for name, sign in self.lognormal:
            require(sign in (1, -1), f"`lognormal` must map {name!r} to +1 or -1, got {sign}.")
            require(
                self.random is None or name in self.random,
                f"`lognormal` names {name!r}, which is not in `random`: add it there.",
            )

    def names(self, alternatives: Sequence[str]) -> tuple[str, ...]:
        """Names of all coefficients, in order; refuses names that the model uses and the data lack."""
        names = self.logit.names(alternatives)
        for field, given in (("random", self.random or ()), ("lognormal", dict(self.lognormal))):
            unknown = [n for n in given if n not in names]
            require(not unknown, f"`{field}` names {unknown}, but the coefficients are {list(names)}.")
        return names

    def split(self, alternatives: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the coefficients that differ between people, and of those that all share."""
        names = self.names(alternatives)
        random = names if self.random is None else tuple(n for n in names if n in self.random)
        require(random, "`random` is empty: fit the `ConditionalLogit` itself, or name what differs between people.")
        return random, tuple(n for n in names if n not in random)

    def _signs(self, names: Sequence[str]) -> Float[np.ndarray, " names"]:
        signs = dict(self.lognormal)
        if self.logit.numeraire is not None:
            signs.setdefault(self.logit.numeraire, -1)
        return np.array([signs.get(n, 0) for n in names], float)

    def arguments(self, data: ChoiceData) -> Panel:
        """What the three parts of the model take; see `Panel`."""
        names = self.names(data.alternatives)
        random, common = self.split(data.alternatives)
        design = self.logit.design(data)
        design = design / np.asarray(column_scale(design, data.available))
        own = np.take_along_axis(design, data.chosen[:, None, None], 1)
        place = np.array([(*random, *common).index(n) for n in names])
        people = np.zeros(len(data.people))
        return Panel(
            design - own,
            data.available,
            counted(data),
            data.person,
            people,
            self._signs(random),
            self._signs(common),
            place,
        )

    def people(self, *args: Any) -> int:
        return Panel(*args).people.shape[0]

    def _prior(self, sign: Any) -> tuple[Any, Any]:
        size = float(self.logit.prior_scale or np.inf)
        plain = jnp.asarray(sign) == 0
        return jnp.where(plain, 0.0, jnp.log(NUMERAIRE_MEDIAN * size)), jnp.where(plain, size, NUMERAIRE_SPREAD)

    def shared(self, *args: Any) -> Tastes:
        panel = Panel(*args)
        mean, root = sample_tastes(*self._prior(panel.sign), self.spread_scale, self.correlated)
        fixed: Any = ()
        if panel.sign_common.shape[0]:
            fixed = jnp.asarray(numpyro.sample("beta", dist.Normal(*self._prior(panel.sign_common)).to_event(1)))
        if self.scale:
            tau = jnp.asarray(numpyro.sample("scale_spread", dist.HalfNormal(self.spread_scale)))
            mean = jnp.append(mean, -(tau**2) / 2)
            root = jnp.pad(root, ((0, 1), (0, 1))).at[-1, -1].set(tau)
        return Tastes(mean[None], root, fixed)

    def standardised(
        self, taste: Float[Array, "*batch dims"], fixed: Any, *args: Any
    ) -> Float[Array, "*batch coefficients"]:
        """Coefficients in standard units, out of tastes."""
        panel = Panel(*args)
        return standardised(taste, fixed, panel.sign, panel.sign_common, panel.place)

    def person_log_likelihood(
        self, taste: Float[Array, "people dims"], fixed: Any, *args: Any
    ) -> Float[Array, " people"]:
        panel = Panel(*args)
        beta = self.standardised(taste, fixed, *args)[panel.person]
        behind = jnp.sum(panel.difference * beta[:, None], -1)
        each = -jax.nn.logsumexp(jnp.where(panel.available, behind, -jnp.inf), -1)
        return jax.ops.segment_sum(jnp.where(panel.counts, each, 0.0), panel.person, taste.shape[0])

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with choices drawn anew, for one draw of the sites; for use inside compiled programs."""
        panel = Panel(*arguments)
        beta = self.standardised(sites["taste"], sites.get("beta", ()), *arguments)[panel.person]
        worth = jnp.sum(panel.difference * beta[:, None], -1)
        chosen = jax.random.categorical(key, jnp.where(panel.available, worth, -jnp.inf), -1)
        own = jnp.take_along_axis(panel.difference, chosen[:, None, None], 1)
        return panel._replace(difference=panel.difference - own)

    def start(self, data: ChoiceData) -> dict[str, np.ndarray]:
        """No tastes, and people who differ by half a standard unit: in the unconstrained space, what all share."""
        random, common = self.split(data.alternatives)
        found = start_of_tastes(self._prior(self._signs(random))[0], self.correlated)
        if common:
            found["beta"] = np.asarray(self._prior(self._signs(common))[0], float)
        return found | ({"scale_spread": np.array(np.log(0.5))} if self.scale else {})

    def identify(self, data: ChoiceData) -> tuple[str, ...]:
        """Notes of the conditional logit's check, and on what a panel can tell; refuses data that identify no mean."""
        self.split(data.alternatives)
        notes = list(self.logit.identify(data))
        times = np.bincount(data.person[counted(data)], minlength=len(data.people))
        require(
            times.max() > 1,
            f"{data.source}: nobody chooses twice, so how people differ cannot be told from the errors of one choice: say "
            "`person=` when reading, or fit the `ConditionalLogit`.",
        )
        once = int((times == 1).sum())
        if once:
            notes.append(f"{once} of {len(times)} people chose once: what differs between people rests on the others.")
        if self.scale and self.correlated:
            notes.append(
                "Differences in scale are hard to tell from correlated tastes (Hess and Rose 2012): read `scale_spread` and "
                "the correlations together."
            )
        return tuple(notes)

    def units(self, data: ChoiceData, names: Sequence[str]) -> Float[np.ndarray, " names"]:
        """What a coefficient in standard units is multiplied by to stand in the units of the data."""
        scale = np.asarray(column_scale(self.logit.design(data), data.available))
        return 1 / scale[[self.names(data.alternatives).index(n) for n in names]]

    def scalars(self, sites: Sites, data: ChoiceData) -> dict[str, Any]:
        """Means, spreads and correlations of tastes and the coefficients all share, in the units of the data.

        Of a log-normal coefficient they are those of the logarithm of its absolute value, and so named: `log_mean[x]`.
        """
        random, common = self.split(data.alternatives)
        sign, unit = self._signs(random), self.units(data, random)
        found = taste_scalars(sites, random, np.where(sign == 0, unit, 1.0))
        logs = {random[k]: np.log(unit[k]) for k in np.flatnonzero(sign)}
        for n, shift in logs.items():
            found[f"mean[{n}]"] = found[f"mean[{n}]"] + shift
        named = {f"{what}[{n}]": f"log_{what}[{n}]" for n in logs for what in ("mean", "spread")}
        found = {named.get(name, name): x for name, x in found.items()}
        for k, (n, s, u) in enumerate(zip(common, self._signs(common), self.units(data, common), strict=True)):
            x = sites["beta"][..., k]
            found[n] = (x if s == 0 else s * np.exp(x)) * u
        return found | ({"scale_spread": sites["scale_spread"]} if self.scale else {})

    def coefficients(self, sites: Sites, data: ChoiceData) -> Float[np.ndarray, "draws people coefficients"]:
        """Everybody's own coefficients, in the units of the data, in the order of `names`."""
        found = np.asarray(_coefficients(self, dict(sites), self.arguments(data)))
        return found * self.units(data, self.names(data.alternatives))

    def log_densities(self, sites: Sites, data: ChoiceData) -> Float[Array, "draws situations"]:
        """Log-probability of each choice, given the tastes of who made it."""
        return _log_densities(self, dict(sites), self.arguments(data))

    def choice_probabilities(
        self, sites: Sites, data: ChoiceData, changed: ChoiceData | None = None
    ) -> Float[Array, "draws situations alternatives"]:
        """Chance of each alternative in each situation, for the very person who met it.

        Args:
            sites: draws of the posterior. `data`: what was fitted, which sets the units of tastes.
            changed: the same people in other situations; None is `data`.
        """
        at = data if changed is None else changed
        own = self.coefficients(sites, data)[:, at.person]
        return _probabilities(own, self.logit.design(at), at.available)

    def replicate(self, sites: Sites, data: ChoiceData, *, key: PRNGKeyArray) -> Int[Array, "draws situations"]:
        """Choices that the same people might have made instead, one set a draw."""
        chance = self.choice_probabilities(sites, data)
        return jax.random.categorical(key, jnp.log(chance), -1)

    def coords(self, data: ChoiceData) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        random, common = self.split(data.alternatives)
        dims = [*random, *(("scale",) if self.scale else ())]
        people = np.asarray(data.people).astype(str).tolist()
        names = {"term": list(random), "other_term": list(random), "common_term": list(common)}
        return {**names, "taste_term": dims, "person": people, "situation": data.situations.tolist()}

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ."""
        return {
            "mean": ["term"],
            "spread": ["term"],
            "correlation": ["term", "other_term"],
            "beta": ["common_term"],
            "taste": ["person", "taste_term"],
            "chosen": ["situation"],
        }

    def worlds(self, sites: Sites, data: ChoiceData, **where: Any) -> Draws:
        """Who comes, one world a draw: `new=` strangers with tastes of their own, or the `same` people.

        Arguments are those of `ConditionalLogit.world`.
        """
        random, common = self.split(data.alternatives)
        names, mean = self.names(data.alternatives), np.asarray(sites["mean"])
        root = np.asarray(sites["spread"])[..., :, None] * sites.get("correlation", np.eye(len(random)))
        if self.scale:
            tau = np.asarray(sites["scale_spread"])[..., None]
            mean = np.concatenate([mean, -(tau**2) / 2], -1)
            root = np.pad(root, ((0, 0), (0, 1), (0, 1)))
            root[..., -1, -1] = tau[..., 0]
        law = {
            "mean": mean,
            "root": root,
            "common": np.asarray(sites["beta"]) if common else np.zeros((*mean.shape[:-1], 0)),
            "sign": self._signs(random),
            "sign_common": self._signs(common),
            "place": np.array([(*random, *common).index(n) for n in names]),
            "per": 1 / self.units(data, names),
        }
        coefficient = self.coefficients(sites, data) if where.get("same") else None
        return build_mixed_worlds(self.logit, law, coefficient, data, **where)

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        return {
            "model": "MixedLogit",
            "logit": self.logit.to_spec(),
            "random": None if self.random is None else list(self.random),
            "correlated": self.correlated,
            "lognormal": dict(self.lognormal),
            "scale": self.scale,
            "spread_scale": self.spread_scale,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "MixedLogit":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        fields = fields_of(spec, cls)
        return cls(**{**fields, "logit": ConditionalLogit.from_spec(fields["logit"])})


@compiled
def _coefficients(model: MixedLogit, sites: Any, panel: Panel) -> Float[Array, "draws people coefficients"]:
    taste = jnp.asarray(sites["taste"])
    if panel.sign_common.shape[0] == 0:
        return model.standardised(taste, (), *panel)
    return jax.vmap(lambda b, c: model.standardised(b, c, *panel))(taste, jnp.asarray(sites["beta"]))


@compiled
def _log_densities(model: MixedLogit, sites: Any, panel: Panel) -> Float[Array, "draws situations"]:
    def one(beta):
        behind = jnp.sum(jnp.asarray(panel.difference, beta.dtype) * beta[panel.person][:, None], -1)
        return -jax.nn.logsumexp(jnp.where(panel.available, behind, -jnp.inf), -1)

    return jax.lax.map(one, _coefficients(model, sites, panel))


@compiled
def _probabilities(
    coefficient: Float[Array | np.ndarray, "draws situations coefficients"],
    design: Float[Array | np.ndarray, "situations alternatives coefficients"],
    available: Bool[Array | np.ndarray, "situations alternatives"],
) -> Float[Array, "draws situations alternatives"]:
    worth = lambda beta: jnp.sum(jnp.asarray(design, beta.dtype) * beta[:, None], -1)
    return jax.nn.softmax(jnp.where(available, jax.lax.map(worth, jnp.asarray(coefficient)), -jnp.inf), -1)
