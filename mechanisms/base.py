"""A rule: what people report in, who gets what out, and a certificate that lets anyone check it."""

import abc
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ..models.population import Population

if TYPE_CHECKING:
    from .promises import AbstractPromise


class Certificate(eqx.Module):
    """What lets anyone check an allocation.

    Args:
        residual: how far the conditions that the rule solves are from holding; 0 for a closed form.
        tolerance: what the rule calls solved.
        parts: prices, duals, gaps, … by name.
        advice: what to do when it is not solved, one sentence.
    """

    residual: Float[Array | np.ndarray, "..."]
    tolerance: float = eqx.field(static=True, default=0.0)
    parts: dict[str, Any] = eqx.field(default_factory=dict)
    advice: str = eqx.field(static=True, default="")

    @property
    def solved(self) -> Bool[Array, "..."]:
        """Whether the residual meets the tolerance; NaN never does."""
        return jnp.asarray(self.residual) <= self.tolerance

    @property
    def status(self) -> str:
        """Empty when everything is solved; else one sentence. Read on concrete values, by the verb."""
        failed = jnp.size(self.residual) - int(jnp.sum(self.solved))
        if not failed:
            return ""
        return (
            f"{failed} of {jnp.size(self.residual)} allocations are not solved: worst residual "
            f"{float(jnp.max(self.residual)):.3g} against {self.tolerance:.1g}. {self.advice}".rstrip()
        )

    def __getitem__(self, name: str) -> Any:
        return self.parts[name]


class Allocation(eqx.Module):
    """Shares `[..., agents, options]` and the certificate of the rule that gave them."""

    shares: Float[Array | np.ndarray, "*batch agents options"]
    certificate: Certificate | None = None


class AbstractMechanism(eqx.Module):
    """A rule, written for one population; `jax.vmap` adds draws, populations, coins and restarts.

    Fields declared `learned(constraint)` are parameters that `tune` may move; all others are data. A rule never raises
    for numbers: the certificate says what it solved.
    """

    #: The rule has no expected shares in closed form: `allocate` needs a key.
    needs_key: ClassVar[bool] = False
    #: The rule tosses no coins: its one realisation is its expected shares.
    deterministic: ClassVar[bool] = False

    @abc.abstractmethod
    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        """The exact rule.

        Without a key the expected shares over the rule's own coins, or a refusal where `needs_key`; with a key one
        realisation, on which EF1 and hard capacity are judged. A rule without coins ignores the key.
        """

    def realise(self, reported: Population, expected: Allocation, key: PRNGKeyArray) -> Allocation:
        """The same as `allocate(reported, key)`, given the expected allocation.

        A rule that solves for something overrides it to solve once and toss many coins.
        """
        return expected if self.deterministic else self.allocate(reported, key)

    def soften(self, temperature: Float[Array | np.ndarray, ""] | float) -> "AbstractMechanism":
        """The rule to train on, ever closer to this one as `temperature` falls. Already differentiable: itself."""
        del temperature
        return self

    def harden(self) -> "AbstractMechanism":
        """The nearest rule that keeps its structural promises: the one that is reported, saved and run."""
        return self

    @property
    def promises(self) -> tuple["AbstractPromise", ...]:
        """What the rule guarantees, and against which lies. None is a fair answer, said aloud by the audit."""
        return ()


def require_key(mechanism: AbstractMechanism, key: PRNGKeyArray | None) -> PRNGKeyArray:
    """`key`, or the refusal of a rule that has no expected shares in closed form."""
    if key is None:
        raise ValueError(
            f"`key` is needed: `{type(mechanism).__name__}` has no closed form for its expected shares. "
            "Pass `key=jax.random.key(0)` for one realisation, or wrap it in `Averaged(rule, coins=64)`."
        )
    return key
