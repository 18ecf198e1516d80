"""Models of rankings: data, Plackett–Luce, rank-ordered logits, what reports say, and who comes by them."""

from .data import RankingData as RankingData
from .mixed import MixedRankOrderedLogit as MixedRankOrderedLogit
from .plackett_luce import PlackettLuce as PlackettLuce
from .rank_ordered import RankOrderedLogit as RankOrderedLogit
from .reports import AbstractReports as AbstractReports
from .reports import Stable as Stable
from .reports import Truthful as Truthful
from .reports import Undominated as Undominated
from .worlds import SamePeople as SamePeople
from .worlds import Strangers as Strangers
