"""How we learn: fit, tune, best_of, propagate, audit."""

from .audit import Audit as Audit
from .audit import Finding as Finding
from .audit import audit as audit
from .best_of import Best as Best
from .best_of import best_of as best_of
from .check import Check as Check
from .check import check as check
from .compare import LeaveOneOut as LeaveOneOut
from .compare import compare as compare
from .designs import Designer as Designer
from .designs import Designs as Designs
from .designs import designs as designs
from .diagnosis import Diagnosis as Diagnosis
from .fit import fit as fit
from .host import HostRule as HostRule
from .host import from_callable as from_callable
from .outcome import Outcome as Outcome
from .posterior import Posterior as Posterior
from .posterior import load as load
from .prior import prior as prior
from .propagate import propagate as propagate
from .tastes import Ratio as Ratio
from .tune import tune as tune
from .tuned import Judged as Judged
from .tuned import Tuned as Tuned
