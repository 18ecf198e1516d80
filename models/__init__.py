"""What agents want: value laws, choice models, who comes and what there is to share."""

from . import ballots as ballots
from . import choice as choice
from . import ratings as ratings
from .laws import AbstractLaw as AbstractLaw
from .laws import Beta as Beta
from .laws import Discrete as Discrete
from .laws import Empirical as Empirical
from .laws import Exponential as Exponential
from .laws import Mixture as Mixture
from .laws import PiecewiseLinear as PiecewiseLinear
from .laws import Power as Power
from .laws import TruncatedExponential as TruncatedExponential
from .laws import TruncatedLogNormal as TruncatedLogNormal
from .laws import TruncatedNormal as TruncatedNormal
from .laws import Uniform as Uniform
from .laws import WorstCaseFamily as WorstCaseFamily
from .own_laws import OwnLaws as OwnLaws
from .population import Population as Population
from .supply import AbstractSupply as AbstractSupply
from .supply import Items as Items
from .supply import Menu as Menu
from .world import AbstractWorld as AbstractWorld
from .world import Draws as Draws
from .world import Independent as Independent
from .world import Roster as Roster
from .world import TypeTable as TypeTable
