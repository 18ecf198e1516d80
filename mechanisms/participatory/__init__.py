"""Participatory objectives: people say how much inequality they accept, and that shapes what is maximised.

Shirali, Finocchiaro and Abebe (2024). Solvers return an allocation, a bound on all others and the gap between them; theory is
plain functions of the same numbers.
"""

from . import atoms as atoms
from . import families as families
from .adversary import Adversary as Adversary
from .adversary import worst_partner as worst_partner
from .bounds import Bounds as Bounds
from .bounds import bounds as bounds
from .closed_forms import UniformPair as UniformPair
from .closed_forms import beta_bound as beta_bound
from .closed_forms import uniform_many_items as uniform_many_items
from .closed_forms import uniform_pair as uniform_pair
from .clusters import Clusters as Clusters
from .clusters import clusters as clusters
from .compare import Comparison as Comparison
from .compare import compare as compare
from .dissimilar import dissimilar_bound as dissimilar_bound
from .dissimilar import dissimilar_expected as dissimilar_expected
from .dissimilar import dissimilarity as dissimilarity
from .dissimilar import loss_curve as loss_curve
from .dissimilar import loss_majorant as loss_majorant
from .dual import dual_value as dual_value
from .equal_utility import EqualUtility as EqualUtility
from .equal_utility import TradeoffBound as TradeoffBound
from .equal_utility import equal_utility as equal_utility
from .equal_utility import tradeoff_bound as tradeoff_bound
from .families import Family as Family
from .gains import GainBounds as GainBounds
from .gains import gain_bounds as gain_bounds
from .independent import independent_bound as independent_bound
from .independent import spread as spread
from .lemma import LemmaCheck as LemmaCheck
from .lemma import check_lemma_3_3 as check_lemma_3_3
from .maximise import maximise as maximise
from .measures import Inequality as Inequality
from .measures import inequality as inequality
from .measures import is_concave as is_concave
from .measures import supergradient as supergradient
from .measures import welfare as welfare
from .optimal_welfare import optimal_welfare as optimal_welfare
from .rates import Rate as Rate
from .rates import cluster_rate as cluster_rate
from .rates import iid_rate as iid_rate
from .society import society as society
from .solution import Solution as Solution
from .solve import solve as solve
from .two_agents import TwoAgents as TwoAgents
from .two_agents import two_agents as two_agents
