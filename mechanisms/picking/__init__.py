"""Truthful fair division of items under stochastic valuations (Halpern, Psomas and Zhang).

Rules are classes; what is known about them in closed form is plain functions of the same numbers.
"""

from .attack import Attack as Attack
from .attack import attack as attack
from .audit_bic import BICAudit as BICAudit
from .audit_bic import audit_bic as audit_bic
from .audit_dsic import DSICAudit as DSICAudit
from .audit_dsic import Witness as Witness
from .audit_dsic import audit_dsic as audit_dsic
from .envy import EnvyReport as EnvyReport
from .envy import SmallestItems as SmallestItems
from .envy import envy_report as envy_report
from .envy import smallest_items as smallest_items
from .order import BestOrder as BestOrder
from .order import best_order as best_order
from .pick_r import PickR as PickR
from .picking_exchange import Exchange as Exchange
from .picking_exchange import Picking as Picking
from .picking_exchange import PickingExchange as PickingExchange
from .quantile_threshold import QuantileThreshold as QuantileThreshold
from .ranking import Ranking as Ranking
from .score import ScoreGradient as ScoreGradient
from .score import score_gradient as score_gradient
from .stream import Streamed as Streamed
from .stream import allocate_stream as allocate_stream
from .threshold_welfare import threshold_welfare as threshold_welfare
from .weighted_ranking import WeightedRanking as WeightedRanking
from .welfare_max import WelfareMax as WelfareMax
