"""Arguments that the room checks by hand: a type for readers and type checkers, and anything at run time.

What does not fit must meet the sentence that names the argument and the cure, and not a type checker's error before it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Array

    from ...models.laws import AbstractLaw

    Count = int | np.integer
    Number = float | int | np.number | Array | np.ndarray
    Law = AbstractLaw
    LawList = Sequence[AbstractLaw]
    LawsOrSamples = Sequence[AbstractLaw] | Array | np.ndarray
else:
    Count = Number = Law = LawList = LawsOrSamples = Any
