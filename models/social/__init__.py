r"""Social preferences: what people would give up so that others have less, or more.

People choose between two ways to pay everybody (`SocialChoiceData`); a model says how own payoff and gaps to others make up
their utility (`FehrSchmidt`, `BruhinFehrSchunk`), and whether all are alike, differ (`HierarchicalFehrSchmidt`,
`HierarchicalBruhinFehrSchunk`) or come in types (`PreferenceTypes`). A posterior's worlds are populations with `alpha` and
`beta`, which rules that weigh inequality take.

Signs: α of Fehr and Schmidt is aversion to being behind; α of Bruhin, Fehr and Schunk is altruism there,
:math:`\alpha_{FS} = -\alpha_{BFS}`, :math:`\beta_{FS} = \beta_{BFS}`. Worlds carry Fehr and Schmidt's.
"""

from .acceptable_offers import AcceptableOffers as AcceptableOffers
from .bruhin_fehr_schunk import BruhinFehrSchunk as BruhinFehrSchunk
from .data import COLUMNS_OF_BFS as COLUMNS_OF_BFS
from .data import SocialChoiceData as SocialChoiceData
from .data import gaps as gaps
from .fehr_schmidt import FehrSchmidt as FehrSchmidt
from .identification import identify as identify
from .identification import identify_people as identify_people
from .offers import OfferData as OfferData
from .people import HierarchicalBruhinFehrSchunk as HierarchicalBruhinFehrSchunk
from .people import HierarchicalFehrSchmidt as HierarchicalFehrSchmidt
from .thresholds import alpha_of_offer as alpha_of_offer
from .thresholds import beta_of_switch as beta_of_switch
from .thresholds import offer_of_alpha as offer_of_alpha
from .traits import Traits as Traits
from .types import PreferenceTypes as PreferenceTypes
from .worlds import SocialPeople as SocialPeople
from .worlds import SocialStrangers as SocialStrangers
from .worlds import SocialTypes as SocialTypes
