"""Models of choice among a few alternatives: data, the conditional logit, its identification, and who comes by it."""

from .budget import BudgetLogit as BudgetLogit
from .budget_worlds import SameBuyers as SameBuyers
from .bundle_logit import BundleLogit as BundleLogit
from .bundles import bundle_choices as bundle_choices
from .class_worlds import ClassStrangers as ClassStrangers
from .class_worlds import SameClasses as SameClasses
from .data import ChoiceData as ChoiceData
from .identification import Identification as Identification
from .identification import check as check
from .identification import require as require
from .latent_class import LatentClassLogit as LatentClassLogit
from .logit import ConditionalLogit as ConditionalLogit
from .mixed import MixedLogit as MixedLogit
from .mixed_worlds import MixedSamePeople as MixedSamePeople
from .mixed_worlds import MixedStrangers as MixedStrangers
from .worlds import SamePeople as SamePeople
from .worlds import Strangers as Strangers
