"""Design rules that share scarce things without money, from data, and say how sure they are.

Four verbs stand on four layers, each of which imports only those after it:

* `workflow`: the front door; the command line and its studies.
* `inference`: how we learn; `fit`, `tune`, `propagate`, `audit`.
* `mechanisms`: what an institution does; rules, their metrics and their promises.
* `models`: what agents want, who comes, and what there is to share.

Names are loaded when first used, so importing the package starts no JAX, and it changes no global state.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import inference as inference
    from . import mechanisms as mechanisms
    from . import models as models
    from . import workflow as workflow
    from .inference import Designer as Designer
    from .inference import Outcome as Outcome
    from .inference import Posterior as Posterior
    from .inference import audit as audit
    from .inference import best_of as best_of
    from .inference import calibrate as calibrate
    from .inference import compare as compare
    from .inference import designs as designs
    from .inference import fit as fit
    from .inference import from_callable as from_callable
    from .inference import load as load
    from .inference import prior as prior
    from .inference import propagate as propagate
    from .inference import recover as recover
    from .inference import stress as stress
    from .inference import tune as tune
    from .mechanisms import Averaged as Averaged
    from .mechanisms import Built as Built
    from .mechanisms import Limit as Limit
    from .mechanisms import Repeated as Repeated
    from .mechanisms import ex_post as ex_post
    from .mechanisms import learned as learned
    from .mechanisms import least as least
    from .mechanisms import mean as mean
    from .mechanisms import metrics as metrics
    from .mechanisms import of_rule as of_rule
    from .mechanisms import of_runs as of_runs
    from .mechanisms import play as play
    from .mechanisms import ratio as ratio

    __version__: str

_SUBMODULES = ("inference", "mechanisms", "models", "workflow")

# Public name -> the submodule that defines it.
_NAMES = {
    "Designer": ".inference",
    "Outcome": ".inference",
    "Posterior": ".inference",
    "audit": ".inference",
    "best_of": ".inference",
    "calibrate": ".inference",
    "compare": ".inference",
    "designs": ".inference",
    "fit": ".inference",
    "from_callable": ".inference",
    "load": ".inference",
    "prior": ".inference",
    "propagate": ".inference",
    "recover": ".inference",
    "stress": ".inference",
    "tune": ".inference",
    "Averaged": ".mechanisms",
    "Built": ".mechanisms",
    "Limit": ".mechanisms",
    "Repeated": ".mechanisms",
    "ex_post": ".mechanisms",
    "learned": ".mechanisms",
    "least": ".mechanisms",
    "mean": ".mechanisms",
    "metrics": ".mechanisms",
    "of_rule": ".mechanisms",
    "of_runs": ".mechanisms",
    "play": ".mechanisms",
    "ratio": ".mechanisms",
}

__all__ = ["__version__", *_SUBMODULES, *_NAMES]  # pyright: ignore[reportUnsupportedDunderAll]  the table is the truth


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        value = import_module(f".{name}", __name__)
    elif name in _NAMES:
        value = getattr(import_module(_NAMES[name], __name__), name)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("fairhand")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
