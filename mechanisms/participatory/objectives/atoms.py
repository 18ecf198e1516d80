r"""What agents may want of an allocation: the atoms of objectives.

Each stands for a function h(x; i) of shares, with its curvature. They add and scale, by numbers or one number an agent:

    fehr_schmidt = atoms.own() - alpha * atoms.disadvantage() - beta * atoms.advantage()
    envious      = atoms.own() - 0.3 * atoms.envy()

`maximise` takes any sum that is certified concave from the signs; `compare_objectives` says what it costs and whom. All are
homogeneous of degree one, so that an objective has the unit of `values`, but for two that are there to be evaluated.

Source: Shirali, Finocchiaro and Abebe (2024), sections 2.2 and appendix A [P]; what is marked [X] is ours.
"""

from typing import Any

import numpy as np

from ....models._check import require
from .._check import numbers
from ._bundle_atoms import Adopters, Envy
from ._objective import AbstractAtom as AbstractAtom
from ._objective import Objective as Objective
from ._utility_atoms import Advantage, Average, Disadvantage, Erc, ErcShare, Externality, Own, Total, WorstOff


def own() -> Own:
    r"""One's own utility, :math:`u_i = \sum_j a_{ij} x_{ij}`. Linear; the benchmark of the paper, equation 1 [P].

    Example:
        >>> own().value([[1.0, 0.0], [0.0, 1.0]], [[3.0, 1.0], [2.0, 2.0]]).tolist()
        [3.0, 2.0]
    """
    return Own()


def disadvantage(graph: Any = None) -> Disadvantage:
    r"""How far others are ahead on average, I+ of Fehr and Schmidt; convex, so its weight is -alpha.

    .. math:: I^+_i = \frac{1}{n-1} \sum_{k \ne i} (u_k - u_i)^+, \qquad
        \text{with a graph} \quad \frac{1}{d_i} \sum_{k \in N(i)} (u_k - u_i)^+

    Args:
        graph: `[agents, agents]` of 0 and 1, row i marks whom agent i compares with [X]; nobody gives 0. None is everybody.

    Raises:
        ValueError: a graph that is not square or has other entries.

    Source: Shirali, Finocchiaro and Abebe (2024), equation 10 [P].

    Example:
        >>> disadvantage().value([[1.0], [0.0]], [[2.0], [1.0]]).tolist()
        [0.0, 2.0]
    """
    return Disadvantage(_graph(graph))


def advantage(graph: Any = None) -> Advantage:
    r"""How far one is ahead of others on average, I- of Fehr and Schmidt; convex, so its weight is -beta.

    .. math:: I^-_i = \frac{1}{n-1} \sum_{k \ne i} (u_i - u_k)^+

    Args:
        graph: as in `disadvantage`.

    Raises:
        ValueError: a graph that is not square or has other entries.

    Source: Shirali, Finocchiaro and Abebe (2024), equation 11 [P].

    Example:
        >>> advantage().value([[1.0], [0.0]], [[2.0], [1.0]]).tolist()
        [2.0, 0.0]
    """
    return Advantage(_graph(graph))


def worst_off() -> WorstOff:
    r"""Utility of whoever has least, :math:`\min_k u_k` (maximin). Concave: its weight is >= 0.

    Example:
        >>> worst_off().value([[1.0], [0.0]], [[2.0], [1.0]]).tolist()
        [0.0, 0.0]
    """
    return WorstOff()


def average() -> Average:
    r"""Mean utility, :math:`\frac1n \sum_k u_k`, the altruism of Flanigan et al. Linear.

    Added to one's own utility it never changes what is best, for all weights of mean above -1: the sum of objectives is
    :math:`(1 + \bar\theta) \sum_i u_i` [D].

    Example:
        >>> average().value([[1.0], [0.0]], [[2.0], [1.0]]).tolist()
        [1.0, 1.0]
    """
    return Average()


def total() -> Total:
    r"""Sum of utilities, :math:`\sum_k u_k`, "efficiency" of Charness and Rabin. Linear [X].

    Example:
        >>> total().value([[1.0], [0.0]], [[2.0], [1.0]]).tolist()
        [2.0, 2.0]
    """
    return Total()


def envy() -> Envy:
    r"""How much one would rather have the best other bundle, by one's own values; convex, so its weight is <= 0.

    .. math:: \max_k \langle a_i, x_k - x_i \rangle \ge 0 \quad (k = i \text{ included})

    Example:
        >>> envy().value([[1.0, 0.0], [0.0, 1.0]], [[1.0, 3.0], [1.0, 3.0]]).tolist()
        [2.0, 0.0]
    """
    return Envy(None)


def network_envy(graph: Any) -> Envy:
    """Envy of neighbours only; convex, so its weight is <= 0.

    Args:
        graph: `[agents, agents]` of 0 and 1, row i marks whom agent i sees. Need not be symmetric; the diagonal is not read.

    Raises:
        ValueError: a graph that is not square or has other entries.

    Example:
        >>> network_envy([[0, 0], [1, 0]]).value([[1.0, 0.0], [0.0, 1.0]], [[1.0, 3.0], [4.0, 3.0]]).tolist()
        [0.0, 1.0]
    """
    require(graph is not None, "`graph` is needed, [agents, agents] of 0 and 1; for envy of everybody take `envy()`.")
    return Envy(_graph(graph))


def externality(weights: Any) -> Externality:
    r"""What others' utilities are to one: altruism, spite, or any externality. Linear.

    .. math:: \sum_k w_{ik} u_k

    Args:
        weights: `[agents, agents]`, row i is what agent i makes of everybody's utils. The diagonal counts, too.

    Raises:
        ValueError: weights that are not square or not finite.

    Source: Chen and Kempe (2008) for costs laid on others, in the paper's appendix A [P].

    Example:
        >>> externality([[0.0, 0.5], [-0.2, 0.0]]).value([[1.0], [0.0]], [[2.0], [1.0]]).tolist()
        [0.0, -0.4]
    """
    return Externality(_square(weights, "weights"))


def erc(form: str = "gap") -> Erc | ErcShare:
    r"""How far one is from an equal share, after Bolton and Ockenfels; "gap" is convex, so its weight is <= 0 [X].

    Their motive falls with :math:`(\sigma_i - 1/n)^2`, with :math:`\sigma_i = u_i / \sum_k u_k` the share of all utility. That
    is neither convex nor concave in x, because the total moves with x. "gap" is its distance times the total, which is convex
    and has the unit of utility:

    .. math:: |u_i - \bar u| = \Bigl|\sigma_i - \frac1n\Bigr| \sum_k u_k

    Args:
        form: "gap", which `maximise` takes, or "share", the square as published (0 where nobody has anything), for
            evaluation only.

    Raises:
        ValueError: another form.

    Source: Bolton and Ockenfels (2000), "ERC: a theory of equity, reciprocity, and competition"; "gap" is ours [X].

    Example:
        >>> erc().value([[1.0], [0.0]], [[2.0], [1.0]]).tolist(), erc("share").value([[1.0], [0.0]], [[2.0], [1.0]]).tolist()
        ([1.0, 1.0], [0.25, 0.25])
    """
    require(form in ("gap", "share"), f"`form` must be 'gap' or 'share'; got {form!r}.")
    return Erc() if form == "gap" else ErcShare()


def charness_rabin(concern: Any, maximin: Any) -> Objective:
    r"""A mix of one's own utility, the worst-off agent's, and everybody's; concave [X].

    .. math:: (1 - \lambda_i)\, u_i + \lambda_i \Bigl[\delta_i \min_k u_k + (1 - \delta_i) \sum_k u_k\Bigr]

    Args:
        concern: lambda in [0, 1], a number or `[agents]`: weight of society against oneself.
        maximin: delta in [0, 1], a number or `[agents]`: weight of the worst-off in society.

    Returns:
        A sum of `own`, `worst_off` and `total`.

    Raises:
        ValueError: a weight outside [0, 1].

    Source: Charness and Rabin (2002), "Understanding social preferences with simple tests", the model without reciprocity.

    Example:
        >>> charness_rabin(0.5, 0.5).value([[1.0], [0.0]], [[2.0], [1.0]]).tolist()
        [1.5, 0.5]
    """
    concern, maximin = numbers(concern, "concern"), numbers(maximin, "maximin")
    for name, x in (("concern", concern), ("maximin", maximin)):
        require(x.ndim <= 1 and ((x >= 0) & (x <= 1)).all(), f"`{name}` must be in [0, 1], a number or [agents].")
    return (1 - concern) * own() + (concern * maximin) * worst_off() + (concern * (1 - maximin)) * total()


def adopters(search: bool = False) -> Adopters:
    r"""How many items others have whole, :math:`\sum_{k \ne i} \sum_j 1\{x_{kj} = 1\}`: worth more the more have it.

    Neither convex nor concave, and of no unit. With `search` and weights >= 0, `maximise` decides by mixed-integer search who
    holds what whole, exactly, for small problems; without, it refuses.

    Args:
        search: allow the search.

    Source: Shirali, Finocchiaro and Abebe (2024), appendix A [P], summed over items.

    Example:
        >>> adopters().value([[1.0, 0.5], [0.0, 0.5]], [[2.0, 1.0], [1.0, 1.0]]).tolist()
        [0.0, 1.0]
    """
    return Adopters(bool(search))


def _graph(graph: Any) -> np.ndarray | None:
    if graph is None:
        return None
    graph = _square(graph, "graph")
    require(np.isin(graph, (0.0, 1.0)).all(), "`graph` must hold 0 and 1 only: row i marks the neighbours of agent i.")
    return graph * (1.0 - np.eye(len(graph)))


def _square(matrix: Any, name: str) -> np.ndarray:
    matrix = numbers(matrix, name)
    require(
        matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 0,
        f"`{name}` must be [agents, agents]; got shape {matrix.shape}.",
    )
    return matrix
