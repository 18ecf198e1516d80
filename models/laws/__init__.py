"""Value laws: how much one agent may value one option. Each is a pytree in its parameters; see `AbstractLaw`."""

from ._law import AbstractLaw as AbstractLaw
from .beta import Beta as Beta
from .discrete import Discrete as Discrete
from .discrete import Empirical as Empirical
from .exponential import Exponential as Exponential
from .exponential import TruncatedExponential as TruncatedExponential
from .mixture import Mixture as Mixture
from .piecewise import PiecewiseLinear as PiecewiseLinear
from .power import Power as Power
from .truncated_log_normal import TruncatedLogNormal as TruncatedLogNormal
from .truncated_normal import TruncatedNormal as TruncatedNormal
from .uniform import Uniform as Uniform
from .worst_case_family import WorstCaseFamily as WorstCaseFamily
