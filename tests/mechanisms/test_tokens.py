"""Token prices: clearing, gradients, and what equal budgets are known to be."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.mechanisms import DSIC, metrics, play
from fairhand.mechanisms.classic import ProbabilisticSerial, RandomSerialDictatorship
from fairhand.mechanisms.pseudomarket import TokenMarket, TokenPrices
from fairhand.models import Beta, Menu, Population, Roster
from helpers import assert_close


def crowd(seed, agents=120, goods=3, tight=0.12, groups=3):
    rng = np.random.default_rng(seed)
    values = 2 * rng.normal(size=(agents, goods + 1)) + rng.normal(size=goods + 1)
    values -= values[:, -1:]
    capacity = np.floor(agents * rng.uniform(0.02, tight, goods)) + 1
    return Population(values, Menu.seats(capacity), kind=np.arange(agents) % groups)


def stack(people):
    return jax.tree.map(lambda *x: jnp.stack([jnp.asarray(y) for y in x]), *people)


@pytest.mark.parametrize("goods", [1, 3])
def test_prices_clear_to_nine_digits_on_random_markets(goods):
    with jax.enable_x64(True):
        many = stack([crowd(s, goods=goods, tight=0.1 if s % 2 else 0.6) for s in range(60)])
        heads = jax.random.uniform(jax.random.key(0), (60, 3))
        solve = jax.jit(jax.vmap(lambda p, h: TokenMarket(h, jnp.full(goods, 0.05), 0.2).allocate(p)))
        out = solve(many, heads)
        price, used = out.certificate["price"], out.shares[..., :goods].sum(1)
        left = np.asarray(many.supply.capacity) * 0.95 - np.asarray(used)
        assert bool(out.certificate.solved.all())
        assert np.max(np.abs(np.minimum(price, left / 120))) <= 1e-9  # recomputed from shares, not from the certificate


def test_prices_clear_in_single_precision():
    out = eqx.filter_jit(TokenMarket(np.zeros(3), np.zeros(3), 0.2).allocate)(crowd(1))
    assert out.shares.dtype == jnp.float32
    assert bool(out.certificate.solved)


@pytest.mark.slow
def test_price_gradients_match_finite_differences():
    with jax.enable_x64(True):
        people = crowd(3)

        def price(head, held, eps, capacity):
            reported = Population(people.values, Menu.seats(capacity), kind=people.kind)
            return jnp.sum(jnp.arange(1.0, 4.0) * TokenMarket(head, held, eps).allocate(reported).certificate["price"])

        at = (
            jnp.array([0.1, 0.5, 0.8]),
            jnp.array([0.05, 0.1, 0.2]),
            jnp.asarray(0.2),
            jnp.asarray(people.supply.capacity),
        )
        value = jax.jit(price)
        gradient = jax.jit(jax.grad(price, (0, 1, 2, 3)))(*at)
        step = 1e-6
        for i, (x, g) in enumerate(zip(at, gradient, strict=True)):
            for j in range(x.size):
                move = step * jnp.zeros(x.size).at[j].set(1.0).reshape(x.shape)
                up, down = ([*at[:i], x + s * move, *at[i + 1 :]] for s in (1, -1))
                numeric = (value(*up) - value(*down)) / (2 * step)
                assert abs(float(g.reshape(-1)[j] - numeric)) <= 1e-6 * max(1, abs(float(numeric)))


def test_one_good_has_the_closed_form_of_the_specification():
    with jax.enable_x64(True):
        people = Population(np.tile([1.0, 0.0], (20, 1)), Menu.seats([5.0]), kind=np.zeros(20, int))
        price = TokenMarket([0.0], [0.0], 0.3).allocate(people).certificate["price"]
        assert_close(price, np.array([1 - 0.3 * 5 / 20]))  # p = 1 - eps c / n
        plenty = Population(people.values, Menu.seats([25.0]), kind=people.kind)
        assert_close(TokenMarket([0.0], [0.0], 0.3).allocate(plenty).certificate["price"], np.zeros(1))


@pytest.mark.slow
def test_equal_budgets_are_probabilistic_serial_exactly():
    """Common budgets are places in one continuous queue: expected shares are those of simultaneous eating."""
    with jax.enable_x64(True):
        for seed in range(4):
            people = crowd(seed)
            tokens = TokenMarket(np.zeros(3), np.zeros(3), 0.2).allocate(people).shares
            assert_close(tokens, ProbabilisticSerial().allocate(people).shares, loosen=1e4)


@pytest.mark.slow
def test_equal_budgets_are_close_to_random_serial_dictatorship_in_a_large_market():
    people = crowd(5, agents=300)
    runs = play(RandomSerialDictatorship(), Roster(people), jax.random.key(0), 1, coins=400)
    difference = runs.allocation.shares[0] - TokenMarket(np.zeros(3), np.zeros(3), 0.2).allocate(people).shares
    assert float(jnp.abs(difference).mean()) < 0.02
    assert float(jnp.abs(difference.sum(0)).max()) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("lottery", [False, True])
def test_realisations_average_to_expected_shares(lottery):
    market = TokenMarket([0.0, 0.4, 0.8], [0.1, 0.1, 0.1], 0.2, lottery=lottery)
    runs = play(market, Roster(crowd(2)), jax.random.key(1), 1, coins=2000)
    gap = runs.realised.shares[0].mean(0) - runs.allocation.shares[0]
    assert float(jnp.abs(gap).max()) < 5 * np.sqrt(0.25 / 2000)


@pytest.mark.slow
def test_a_lottery_of_places_varies_less_than_independent_budgets():
    spread = {}
    for lottery in (False, True):
        market = TokenMarket(np.zeros(3), np.zeros(3), 0.2, lottery=lottery)
        runs = play(market, Roster(crowd(2)), jax.random.key(1), 1, coins=500)
        spread[lottery] = float(runs.realised.shares[0, :, :, 0].sum(1).std())
    assert spread[True] < 0.9 * spread[False]


@pytest.mark.slow
def test_any_law_of_budgets_clears():
    with jax.enable_x64(True):
        law = Beta(2.0, 3.0)  # on [0, 1], so eps = 1
        market = TokenMarket(np.zeros(3), np.zeros(3), 1.0, law=law)
        assert bool(eqx.filter_jit(market.allocate)(crowd(4)).certificate.solved)


def test_posted_prices_are_truthful_and_a_market_that_pays_liars_is_caught():
    people = crowd(6, agents=12)
    posted = TokenPrices([0.9, 0.85, 0.95], 0.2, head=[0.0, 0.2, 0.4])
    runs = play(posted, Roster(people), jax.random.key(0), 1)
    assert float(DSIC().violation(runs).amount) <= 1e-6

    class Generous(TokenPrices):
        """Adds tokens to whoever claims the least for the outside option: a planted incentive to lie."""

        def allocate(self, reported, key=None):
            bonus = jnp.where(jnp.argmin(reported.values, 1) == reported.num_options - 1, 1, 0)
            shifted = Population(reported.values, reported.supply, kind=bonus)
            return TokenPrices(self.price, self.eps, head=jnp.array([0.0, 1.0])).allocate(shifted, key)

    cheat = play(Generous([0.9, 0.85, 0.95], 0.2), Roster(people), jax.random.key(0), 1)
    assert float(DSIC().violation(cheat).amount) > 0.01


@pytest.mark.slow
def test_holding_back_leaves_seats_empty():
    people = crowd(7)
    free = TokenMarket(np.zeros(3), np.zeros(3), 0.2).allocate(people).shares[:, :3].sum(0)
    held = TokenMarket(np.zeros(3), np.full(3, 0.25), 0.2).allocate(people).shares[:, :3].sum(0)
    assert_close(held, 0.75 * free, loosen=1e3)
    chance = float(
        metrics.chance_oversubscribed(people, TokenMarket(np.zeros(3), np.full(3, 0.5), 0.2).allocate(people))
    )
    assert chance < 0.2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(head=[1.2], holdback=[0.0]), "`head`"),
        (dict(head=[0.0], holdback=[-0.1]), "`holdback`"),
        (dict(head=[0.0], holdback=[0.0], eps=0.0), "`eps`"),
        (dict(head=[np.nan], holdback=[0.0]), "`head`"),
    ],
)
def test_bad_numbers_are_refused_by_name(arguments, said):
    with pytest.raises(ValueError, match=said):
        TokenMarket(**arguments)


def test_a_population_without_outside_option_or_groups_is_refused_by_name():
    with pytest.raises(ValueError, match="outside option last"):
        TokenPrices([0.9, 0.9], 0.2).allocate(Population(np.ones((2, 2))))
    with pytest.raises(ValueError, match="`kind` is missing"):
        TokenPrices([0.9], 0.2, head=[0.1]).allocate(Population(np.ones((2, 2))))
