"""Participatory objectives: people say how much inequality they accept, and that shapes what is maximised.

Shirali, Finocchiaro and Abebe (2024). Solvers return an allocation, a bound on all others and the gap between them.
"""

from .compare import Comparison as Comparison
from .compare import compare as compare
from .dual import dual_value as dual_value
from .measures import Inequality as Inequality
from .measures import inequality as inequality
from .measures import is_concave as is_concave
from .measures import supergradient as supergradient
from .measures import welfare as welfare
from .society import society as society
from .solution import Solution as Solution
from .solve import solve as solve
from .two_agents import TwoAgents as TwoAgents
from .two_agents import two_agents as two_agents
