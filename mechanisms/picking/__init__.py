"""Truthful fair division of items under stochastic valuations (Halpern, Psomas and Zhang).

Rules are classes; what is known about them in closed form is plain functions of the same numbers.
"""

from .pick_r import PickR as PickR
from .picking_exchange import Exchange as Exchange
from .picking_exchange import Picking as Picking
from .picking_exchange import PickingExchange as PickingExchange
from .quantile_threshold import QuantileThreshold as QuantileThreshold
from .ranking import Ranking as Ranking
from .stream import Streamed as Streamed
from .stream import allocate_stream as allocate_stream
from .threshold_welfare import threshold_welfare as threshold_welfare
from .weighted_ranking import WeightedRanking as WeightedRanking
from .welfare_max import WelfareMax as WelfareMax
