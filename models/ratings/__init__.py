"""Models of ratings: data, value laws common or by agent, exact or noisy ratings, correlated agents, and who comes by them."""

from .common import CommonLaw as CommonLaw
from .correlated import CorrelatedLaws as CorrelatedLaws
from .data import RatingData as RatingData
from .hierarchical import HierarchicalLaw as HierarchicalLaw
from .noisy import NoisyRatings as NoisyRatings
from .ordered import OrderedRatings as OrderedRatings
from .ordered_worlds import NewRaters as NewRaters
from .ordered_worlds import SameRaters as SameRaters
from .predictive import QuantileCheck as QuantileCheck
from .predictive import joint_values as joint_values
from .predictive import quantile_check as quantile_check
from .worlds import Newcomers as Newcomers
from .worlds import SameAgents as SameAgents
