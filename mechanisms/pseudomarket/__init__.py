"""Markets in tokens that nobody can spend elsewhere: Nguyen, Teytelboym and Vardi (2023)."""

from .tokens import TokenMarket as TokenMarket
from .tokens import TokenPrices as TokenPrices
