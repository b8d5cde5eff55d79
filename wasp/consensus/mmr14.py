"""The common subset over the agreement of PODC 2014 as it was printed: the protocol ``mmr14``. **Not to be used.**

Bracha's broadcasts, and the agreement whose coin is known while slow members have not fixed their votes
(``late_coin_agreement``, not confirming, real coins only). It keeps agreement and validity; a scheduler with one Byzantine
member keeps it from ever ending. It is here as a target for tests, to show that they find that.

With constant delay d and no faults it is decided at 3d + 3d max (r + 1), r the first round of an agreement whose coin is 1.
"""

from __future__ import annotations

from functools import partial
from typing import TypeAlias

from wasp.consensus.committee_protocol import Membership
from wasp.consensus.common_coin import REAL_SCHEDULE, CoinShare
from wasp.consensus.common_subset import CommonSubset
from wasp.consensus.late_coin_agreement import LateCoinAgreement, LateCoinMessage
from wasp.consensus.reliable_broadcast import BroadcastMessage

Mmr14Message: TypeAlias = BroadcastMessage | LateCoinMessage | CoinShare


class Mmr14(CommonSubset):
    """One member's part in one instance."""

    def __init__(self, membership: Membership) -> None:
        unconfirming = partial(LateCoinAgreement, confirming=False)
        super().__init__(membership, REAL_SCHEDULE, make_agreement=unconfirming)
