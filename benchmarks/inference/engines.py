"""One engine on one problem in this process: prints draws' summary and what it cost, as one line of JSON.

`python engines.py ENGINE PROBLEM [draws] [warmup] [chains]`. Engines of other libraries are written as their
documentation writes them, with the same priors; a log-softmax over alternatives in every one.
"""

import json
import os
import resource
import sys
from typing import Any

import numpy as np
import problems

K = problems.ATTRIBUTES


def fairhand(problem: str, draws: int, warmup: int, chains: int, **more: Any) -> dict[str, np.ndarray]:
    """What this library does by default, in single precision as the others."""
    import fairhand as fh
    from fairhand.models import choice, rankings

    names = tuple("abcdefgh"[:K])
    if problem == "rankings":
        orders = problems.rankings()
        items = tuple(str(i) for i in range(problems.ITEMS))
        data = rankings.RankingData.from_orders([[items[i] for i in row] for row in orders], menu=items)
        model = rankings.PlackettLuce(prior_scale=problems.PRIOR)
    else:
        x, y = problems.mixed() if problem == "mixed" else problems.logit()
        who = np.repeat(np.arange(problems.PEOPLE), problems.TIMES)
        options = tuple(str(j) for j in range(problems.ALTERNATIVES))
        data = choice.ChoiceData(x.reshape(-1, *x.shape[-2:]), y.ravel(), options, names, person=who)
        model = choice.ConditionalLogit(names, constants=False, prior_scale=problems.PRIOR)
        if problem == "mixed":
            model = choice.MixedLogit(model, spread_scale=problems.SPREAD)
    found = fh.fit(
        model, data, draws=draws, warmup=warmup, chains=chains, precision="float32", progress=False, contraction=False,
        check=False, **more,
    )  # fmt: skip
    print(found.how, found.seconds, file=sys.stderr)
    if problem == "rankings":
        worth = found.groups["posterior"]["worth"].values
        return {f"worth{i}": worth[..., i] - worth[..., -1] for i in range(problems.ITEMS - 1)}
    sites = found.groups["posterior"]
    if problem == "logit":
        return {f"beta{k}": sites["coefficient"].values[..., k] for k in range(K)}
    return {f"{s}{k}": sites[s].values[..., k] for s in ("mean", "spread") for k in range(K)}


def numpyro(problem: str, draws: int, warmup: int, chains: int) -> dict[str, np.ndarray]:
    """NUTS, chains in parallel, one for each core."""
    import numpyro as npr

    npr.set_host_device_count(min(chains, os.cpu_count() or 1))
    import jax
    import jax.numpy as jnp
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    model, args = _numpyro_model(problem, npr, dist, jnp)
    run = MCMC(NUTS(model), num_warmup=warmup, num_samples=draws, num_chains=chains, progress_bar=False)
    run.run(jax.random.key(0), *args)
    found = {name: np.asarray(x) for name, x in run.get_samples(group_by_chain=True).items()}
    return _named(found)


def _numpyro_model(problem: str, npr: Any, dist: Any, jnp: Any) -> tuple[Any, tuple]:
    if problem == "mixed":
        x, y = problems.mixed()

        def model(x, y):
            mean = npr.sample("mean", dist.Normal(0, problems.PRIOR).expand([K]).to_event(1))
            spread = npr.sample("spread", dist.HalfNormal(problems.SPREAD).expand([K]).to_event(1))
            with npr.plate("people", problems.PEOPLE, dim=-2):
                raw = npr.sample("raw", dist.Normal(jnp.zeros((problems.PEOPLE, 1, K)), 1.0).to_event(1))
                worth = jnp.einsum("ntjk,nk->ntj", x, mean + spread * raw[:, 0])
                with npr.plate("times", problems.TIMES, dim=-1):
                    npr.sample("y", dist.Categorical(logits=worth), obs=y)

        return model, (jnp.asarray(x), jnp.asarray(y))
    if problem == "logit":
        x, y = problems.logit()

        def model(x, y):
            beta = npr.sample("beta", dist.Normal(0, problems.PRIOR).expand([K]).to_event(1))
            npr.sample("y", dist.Categorical(logits=x @ beta), obs=y)

        return model, (jnp.asarray(x), jnp.asarray(y))
    orders = problems.rankings()

    def model(orders):
        import jax

        free = npr.sample("free", dist.Normal(0, problems.PRIOR).expand([problems.ITEMS]).to_event(1))
        worth = free[orders]
        rest = jax.lax.cumlogsumexp(worth, axis=1, reverse=True)
        npr.factor("orders", (worth - rest).sum())
        npr.deterministic("worth", free[:-1] - free[-1])

    return model, (jnp.asarray(orders),)


def blackjax(problem: str, draws: int, warmup: int, chains: int) -> dict[str, np.ndarray]:
    """NUTS after window adaptation, chains side by side."""
    import blackjax as bj
    import jax
    import jax.numpy as jnp
    import numpyro as npr
    import numpyro.distributions as dist
    from numpyro.infer.util import initialize_model

    model, args = _numpyro_model(problem, npr, dist, jnp)
    key = jax.random.key(0)
    info = initialize_model(key, model, model_args=args, dynamic_args=True)
    potential = info.potential_fn(*args)
    density = lambda z: -potential(z)

    def chain(key):
        first, second, third = jax.random.split(key, 3)
        start = jax.tree.map(lambda x: jax.random.uniform(first, x.shape, minval=-2, maxval=2), info.param_info.z)
        (state, settings), _ = bj.window_adaptation(bj.nuts, density).run(second, start, num_steps=warmup)
        step = bj.nuts(density, **settings).step
        one = lambda s, k: (lambda new: (new, new.position))(step(k, s)[0])
        return jax.lax.scan(one, state, jax.random.split(third, draws))[1]

    z = jax.jit(jax.vmap(chain))(jax.random.split(key, chains))
    found = jax.vmap(jax.vmap(info.postprocess_fn(*args)))(z)
    return _named({name: np.asarray(x) for name, x in found.items()})


def pymc(problem: str, draws: int, warmup: int, chains: int, sampler: str = "pymc") -> dict[str, np.ndarray]:
    """PyMC's own NUTS, or another sampler it knows."""
    import pymc as pm
    import pytensor.tensor as pt

    with pm.Model():
        if problem == "rankings":
            orders = problems.rankings()
            free = pm.Normal("free", 0, problems.PRIOR, shape=problems.ITEMS)
            worth = free[orders]
            stages = [worth[:, i] - pt.logsumexp(worth[:, i:], axis=1) for i in range(problems.ITEMS)]
            pm.Potential("orders", sum(stages).sum())
            pm.Deterministic("worth", free[:-1] - free[-1])
        elif problem == "logit":
            x, y = problems.logit()
            beta = pm.Normal("beta", 0, problems.PRIOR, shape=K)
            pm.Categorical("y", logit_p=pt.dot(x, beta), observed=y)
        else:
            x, y = problems.mixed()
            mean = pm.Normal("mean", 0, problems.PRIOR, shape=K)
            spread = pm.HalfNormal("spread", problems.SPREAD, shape=K)
            raw = pm.Normal("raw", 0, 1, shape=(problems.PEOPLE, K))
            worth = (x * (mean + spread * raw)[:, None, None]).sum(-1)
            pm.Categorical("y", logit_p=worth, observed=y)
        cores = min(chains, os.cpu_count() or 1)
        found = pm.sample(
            draws, tune=warmup, chains=chains, cores=cores, nuts_sampler=sampler, progressbar=False, random_seed=0
        )
    return _named({str(n): x.values for n, x in found.posterior.data_vars.items()})


def nutpie(problem: str, draws: int, warmup: int, chains: int) -> dict[str, np.ndarray]:
    """PyMC's model by nutpie's sampler."""
    return pymc(problem, draws, warmup, chains, "nutpie")


def xlogit(problem: str, draws: int, warmup: int, chains: int) -> dict[str, np.ndarray]:
    """Simulated maximum likelihood with 200 Halton draws; returns normal draws, so that it is summarised alike."""
    del problem, warmup
    import pandas as pd
    from xlogit import MixedLogit

    x, y = problems.mixed()
    names = [f"x{k}" for k in range(K)]
    frame = pd.DataFrame(x.reshape(-1, K), columns=names)
    rows = np.arange(len(frame))
    frame["alt"], frame["situation"] = rows % problems.ALTERNATIVES, rows // problems.ALTERNATIVES
    frame["person"] = frame["situation"] // problems.TIMES
    frame["y"] = (frame["alt"] == y.ravel()[frame["situation"]]).astype(int)
    model = MixedLogit()
    model.fit(
        X=frame[names], y=frame["y"], varnames=names, ids=frame["situation"], alts=frame["alt"],
        panels=frame["person"], n_draws=200, randvars={n: "n" for n in names}, verbose=0,
    )  # fmt: skip
    names = [*(f"mean{k}" for k in range(K)), *(f"spread{k}" for k in range(K))]
    rng, size = np.random.default_rng(0), (chains, draws)
    drawn = zip(names, np.abs(model.coeff_), model.stderr, strict=True)
    found = {n: c + s * rng.normal(size=size) for n, c, s in drawn}
    return found | {f"mean{k}": found[f"mean{k}"] * np.sign(model.coeff_[k]) for k in range(K)}


def _named(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    keep = ("mean", "spread", "beta", "worth")
    return {f"{n}{k}": found[n][..., k] for n in keep if n in found for k in range(found[n].shape[-1])}


def summary(draws: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, their Monte-Carlo errors, and bulk effective draws of each number."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz
    found = {}
    for name, x in draws.items():
        x = np.asarray(x, float)
        away, ess = (x - x.mean()) ** 2, lambda x, how: float(arviz.ess(x, method=how))
        found[name] = {
            "mean": float(x.mean()),
            "sd": float(x.std()),
            "ess": ess(x, "bulk"),
            "mean_error": float(x.std() / ess(x, "mean") ** 0.5),
            "sd_error": float(away.std() / ess(away, "mean") ** 0.5 / (2 * x.std())),
        }
    return found


ENGINES: dict[str, Any] = {
    "fairhand": fairhand,
    "fairhand-map": lambda *args: fairhand(*args, method="map"),
    "fairhand-nuts": lambda *args: fairhand(*args, method="nuts"),
    "numpyro": numpyro,
    "blackjax": blackjax,
    "pymc": pymc,
    "nutpie": nutpie,
    "xlogit": xlogit,
}

if __name__ == "__main__":
    engine, problem, *sizes = sys.argv[1:]
    draws = ENGINES[engine](problem, *map(int, sizes))
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(x.ru_utime + x.ru_stime for x in spent)
    peak = max(x.ru_maxrss for x in spent) / 1024
    print(json.dumps({"cpu": cpu, "peak_mb": peak, "numbers": summary(draws)}))
