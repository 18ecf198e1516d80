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
from .choose import Choice as Choice
from .choose import choose_r as choose_r
from .correlated import CorrelatedPick as CorrelatedPick
from .correlated import correlated_two_agent as correlated_two_agent
from .coupling import Asymptotics as Asymptotics
from .coupling import asymptotics as asymptotics
from .coupling import mismatch_bound as mismatch_bound
from .envy import EnvyReport as EnvyReport
from .envy import SmallestItems as SmallestItems
from .envy import envy_report as envy_report
from .envy import smallest_items as smallest_items
from .equal_split import EqualSplitEF as EqualSplitEF
from .equal_split import equal_split_ef as equal_split_ef
from .order import BestOrder as BestOrder
from .order import best_order as best_order
from .pick_r import PickR as PickR
from .picking_exchange import Exchange as Exchange
from .picking_exchange import Picking as Picking
from .picking_exchange import PickingExchange as PickingExchange
from .prior_free import DistributionFree as DistributionFree
from .prior_free import distribution_free_r as distribution_free_r
from .prior_free import hill_kertz as hill_kertz
from .prior_free import kertz_beta as kertz_beta
from .prophet import OptimalPick as OptimalPick
from .prophet import PickFromRule as PickFromRule
from .prophet import StoppingRule as StoppingRule
from .prophet import optimal_pick as optimal_pick
from .prophet import pick_from_stopping_rule as pick_from_stopping_rule
from .prophet import stopping_rule_from_pick as stopping_rule_from_pick
from .quantile_threshold import QuantileThreshold as QuantileThreshold
from .ranking import Ranking as Ranking
from .score import ScoreGradient as ScoreGradient
from .score import score_gradient as score_gradient
from .stream import Streamed as Streamed
from .stream import allocate_stream as allocate_stream
from .threshold_welfare import threshold_welfare as threshold_welfare
from .two_agents import TwoAgentEF as TwoAgentEF
from .two_agents import r_half as r_half
from .two_agents import two_agent_ef as two_agent_ef
from .two_agents import two_agent_tight as two_agent_tight
from .weighted_ranking import WeightedRanking as WeightedRanking
from .welfare_max import WelfareMax as WelfareMax
from .worst_case import WorstCase as WorstCase
from .worst_case import softmin_ratio as softmin_ratio
from .worst_case import tail_curve as tail_curve
from .worst_case import worst_case_ratio as worst_case_ratio
