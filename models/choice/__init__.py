"""Models of choice among a few alternatives: data, the conditional logit, its identification, and who comes by it."""

from .data import ChoiceData as ChoiceData
from .identification import Identification as Identification
from .identification import check as check
from .identification import require as require
from .logit import ConditionalLogit as ConditionalLogit
from .worlds import SamePeople as SamePeople
from .worlds import Strangers as Strangers
