"""Two hundred calibration fits of a small conditional logit, side by side in one program, against loops over fits.

The loops get the same data sets, warm-up and draws, one chain each; they are timed on a few data sets after the first one
(which compiles) and scaled to all. CPU seconds, as other jobs may share the cores. Run by hand; see `make bench`.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import fairhand as fh
from fairhand.models import choice

FITS, TIMED = 200, 10
DRAWS, WARMUP, THIN = 63, 100, 3
TARGET = 20.0


def design(situations: int = 100, alternatives: int = 3, attributes: int = 3) -> choice.ChoiceData:
    """Who is asked what; the choices do not matter."""
    names = tuple("abcdefgh"[:attributes])
    x = np.random.default_rng(0).normal(size=(situations, alternatives, attributes))
    return choice.ChoiceData(x, np.arange(situations) % alternatives, tuple("xyzuvw"[:alternatives]), names)


def simulated(data: choice.ChoiceData, scale: float, seed: int) -> choice.ChoiceData:
    """One data set of the design, by NumPy."""
    rng = np.random.default_rng(seed)
    beta = scale * rng.normal(size=data.attributes.shape[-1])
    return data.changed(chosen=(data.attributes @ beta + rng.gumbel(size=data.available.shape)).argmax(1))


def spent(run: Callable[[], Any]) -> float:
    """CPU seconds."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    """Print seconds and ratios."""
    data = design()
    model = choice.ConditionalLogit(data.columns, constants=False, prior_scale=1.0)
    sets = [simulated(data, 1.0, i) for i in range(TIMED + 1)]

    def ours(key: int) -> Any:
        return fh.calibrate(
            model, data, fits=FITS, draws=DRAWS, warmup=WARMUP, thin=THIN, key=jax.random.key(key), progress=False
        )

    def by_fit(i: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fh.fit(
                model, sets[i], chains=1, draws=DRAWS * THIN, warmup=WARMUP, progress=False, key=jax.random.key(i)
            ).mean

    def by_numpyro(i: int) -> Any:
        from numpyro.infer import MCMC, NUTS

        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
            sampler = MCMC(NUTS(model.numpyro_model), num_warmup=WARMUP, num_samples=DRAWS * THIN, progress_bar=False)
            sampler.run(jax.random.key(i), *model.arguments(sets[i]))
            return jax.block_until_ready(sampler.get_samples())

    first = spent(lambda: ours(0))
    mine = np.median([spent(lambda key=key: ours(key)) for key in (1, 2, 3)])
    print(
        f"{FITS} calibration fits, 100 situations x 3 alternatives x 3 coefficients, {WARMUP} warm-up, {DRAWS * THIN} draws"
    )
    print(f"  side by side: {mine:.2f} CPU s (the first time {first:.1f}, compilation included)")
    for name, one in (("fairhand.fit", by_fit), ("NumPyro's MCMC", by_numpyro)):
        one(0)
        each = np.array([spent(lambda i=i, one=one: one(i)) for i in range(1, TIMED + 1)])
        total = FITS * each.mean()
        ratio, whole = total / mine, total / first
        verdict = "reached" if ratio >= TARGET else "NOT reached"
        print(
            f"  loop of {name}: {total:.0f} CPU s ({TIMED} fits timed after the first, scaled), {ratio:.1f} x as long "
            f"({whole:.1f} x with our compilation): target {TARGET:g} x {verdict}"
        )


if __name__ == "__main__":
    main()
