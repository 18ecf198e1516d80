"""Promised utilities for two agents with values uniform on [0, 1]: promises in a ball, lifted by a margin."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from fairhand.mechanisms import AbstractPolicy, Feasible, OneShot, SelfGenerating, learned

EDGE = 0.1  # radians
MEAN = 0.5  # of a value

Number = Float[Array | np.ndarray, ""]


class Promised(eqx.Module):
    """What each agent is owed, per round."""

    promise: Array


class Ball(AbstractPolicy):
    """Promises U live on the upper arc of a ball; each round realises a target just beyond it.

    On the arc, U = centre + radius d; the round plays the weighted maximum whose utilities are centre + (radius +
    margin) d, and the promise moves against the present share so that truth is best, along the tangent so that it
    stays on the arc on average (specification of paper 000, A6). A promise below the arc is scaled up to it. Promises
    that add up to a mean value are kept without asking: a lottery fixed for ever gives them, so the ends of the arc, at
    `EDGE` from the axes, need no care.

    Args:
        centre: of the ball, both agents alike.
        radius: of the ball.
        margin: how far beyond the ball the target lies; it pays for the movement of promises.
        gamma: discount factor.
        sway: how much of that movement is made; truth is best at 1 only.
        certified: what `harden` asks `escape()` to stay below.
    """

    centre: Number = learned(constraints.interval(0.0, 0.5))
    radius: Number = learned(constraints.interval(1e-3, 0.5))
    margin: Number = learned(constraints.interval(1e-5, 0.5))
    gamma: Number
    sway: ArrayLike = 1.0
    certified: float = eqx.field(static=True, default=-1e-6)

    def init(self) -> Promised:
        return Promised(self.centre + self.radius * jnp.ones(2) / jnp.sqrt(2.0))

    @property
    def weight(self):
        """Of now against later."""
        return (1 - self.gamma) / self.gamma

    def target(self, d):
        """Ratio of the weights of the weighted maximum, its scale, and which agent leads."""
        z = self.centre + (self.radius + self.margin) * d
        rho = z.min() / z.max()
        a = (jnp.sqrt(1 + 3 * rho**2) - 1) / rho
        return a, z.max() / (0.5 - a**2 / 6), z[0] >= z[1]

    def drift(self, d, v):
        """How far the promise moves off its mean when `v` is reported."""
        a, s, first = self.target(d)
        lead = lambda v: s * (a / 2 - a**2 / 3 - jnp.where(v <= a, v**2 / (2 * a), a / 2))
        tail = lambda v: s * a * (1 / 6 - v**2 / 2)
        own = jnp.where(first, jnp.stack([lead(v[0]), tail(v[1])]), jnp.stack([tail(v[0]), lead(v[1])]))
        across = self.weight * (d[0] * own[0] - d[1] * own[1])
        return jnp.stack([across / d[0], -across / d[1]])

    def step(self, state, reported, key=None):
        del key
        u = state.promise
        b, c, q = u.sum() * self.centre, 2 * self.centre**2 - self.radius**2, u @ u
        lift = (b + jnp.sqrt(jnp.maximum(b**2 - q * c, 0))) / q  # along the ray to the arc
        on_arc = lift * u
        d = (on_arc - self.centre) / self.radius
        a, s, first = self.target(d)
        weights = jnp.where(first, jnp.stack([jnp.ones_like(a), a]), jnp.stack([a, jnp.ones_like(a)]))
        after = (on_arc - self.weight * self.margin * d + self.sway * self.drift(d, reported)) / lift
        now = s / lift * jax.nn.one_hot(jnp.argmax(weights * reported), 2, dtype=u.dtype)
        idle = u.sum() <= MEAN
        return Promised(jnp.where(idle, u, after)), jnp.where(idle, u / MEAN, now)

    def escape(self):
        """How far any promise could leave the region, over directions and corner reports; at most 0 keeps them all.

        Beyond the ball, below zero, a share above 1, or at the ends of the arc above what a fixed lottery gives.
        """

        def at(angle):
            d = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
            corners = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
            moved = jax.vmap(lambda v: self.drift(d, v))(corners)
            inner = self.radius - self.weight * self.margin
            beyond = jnp.sqrt(inner**2 + jnp.sum(moved**2, 1).max()) - self.radius
            below = -(self.centre + inner * d[None] + moved).min()
            return jnp.maximum(jnp.maximum(beyond, below), self.target(d)[1] - 1)

        ends = 2 * self.centre + self.radius * (jnp.cos(EDGE) + jnp.sin(EDGE)) - MEAN
        return jnp.maximum(jax.vmap(at)(jnp.linspace(EDGE, jnp.pi / 2 - EDGE, 61)).max(), ends)

    def harden(self):
        """Pull the centre towards 0 until the certificate holds: only certified promises are ever made."""
        at = lambda part: dataclasses.replace(self, centre=part * self.centre)

        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            fine = at(middle).escape() <= self.certified
            return jnp.where(fine, middle, low), jnp.where(fine, high, middle)

        zero = jnp.zeros_like(jnp.asarray(self.centre))
        low, _ = jax.lax.fori_loop(0, 40, halve, (zero, zero + 1))
        return at(jnp.where(self.escape() <= 0, 1.0, low))

    @property
    def promises(self) -> tuple[Any, ...]:
        return (OneShot(), SelfGenerating(), Feasible())


def promised_welfare(rule):
    """What the policy promises both agents at the start, per round."""
    return rule.policy.init().promise.sum()


def escape(rule):
    """The policy's certificate; a rule that makes no promises breaks none."""
    return rule.policy.escape() if hasattr(rule, "policy") else jnp.zeros(())


class Discounted(eqx.Module):
    """Welfare per round, discounted."""

    gamma: float = eqx.field(static=True)

    def __call__(self, p, a):
        weight = (1 - self.gamma) * self.gamma ** jnp.arange(p.num_options)
        return jnp.sum(p.values * a.shares * weight[None].astype(p.values.dtype))
