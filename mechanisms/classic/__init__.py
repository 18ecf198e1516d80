"""The rules people know, to compare with: nothing in them is learned."""

from ._promises import Efficient as Efficient
from ._promises import IndividuallyRational as IndividuallyRational
from ._promises import SDEnvyFree as SDEnvyFree
from ._promises import Stable as Stable
from .boston import Boston as Boston
from .deferred_acceptance import DeferredAcceptance as DeferredAcceptance
from .probabilistic_serial import ProbabilisticSerial as ProbabilisticSerial
from .random_serial_dictatorship import RandomSerialDictatorship as RandomSerialDictatorship
from .serial_dictatorship import SerialDictatorship as SerialDictatorship
from .top_trading_cycles import TopTradingCycles as TopTradingCycles
from .utilitarian import Utilitarian as Utilitarian
