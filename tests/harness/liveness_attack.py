"""A scheduler who keeps members of one agreement divided: the attack on liveness of randomised agreement, executable.

The scheduler sees every message and chooses which is delivered next. It speaks for one Byzantine member, whose keys it has,
so it learns a real coin as soon as one correct member has released its share (f + 1 = 2 shares), and never before: the value
comes out of the key's own ``combine``. It is a legal scheduler of an asynchronous network: at the end of each round of the
attacked agreement it has delivered everything that correct members said in that round, and all that belongs to other leaves.

A strategy is one round. At its start two members, ``first`` and ``second``, have one estimate, and ``third`` has the other;
so it is again at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Codec, encode, pack
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.virtual_network import Pending, VirtualNetwork
from wasp.consensus.avid_broadcast import RootReady
from wasp.consensus.binary_agreement import Aux, BVal
from wasp.consensus.byzantine.honey_badger import vals_of_payload
from wasp.consensus.committee_protocol import CommitteeProtocol, Membership, ProposalsDecided, Propose
from wasp.consensus.common_coin import CoinSchedule, CoinShare
from wasp.consensus.consensus import ConsensusMessage
from wasp.consensus.hbbft import HoneyBadger
from wasp.consensus.late_coin_agreement import Conf
from wasp.consensus.reliable_broadcast import Initial, Ready

CODEC: Codec[Any] = Codec(ConsensusMessage)
ATTACKED = 3
"""The agreement about the last member's proposal."""


class Scheduler:
    """Owns the network between the members m0, m1, m2, and m3, which is Byzantine or correct.

    The three and the fourth are told apart only by who speaks: the attacked agreement starts with ``True`` at m0 and m1,
    who have the last member's proposal, and with ``False`` at the others, who have it too late.
    """

    def __init__(self, make: Callable[[Membership], CommitteeProtocol], log_index: int, byzantine: bool = True) -> None:
        self._dealt = DealtCommittee(4)
        self._liar = self._dealt.members[3] if byzantine else None
        self.correct = tuple(me for me in self._dealt.members if me != self._liar)
        self.nodes = {me: make(self._dealt.membership(me, log_index)) for me in self.correct}
        self.network = VirtualNetwork(self.nodes, CODEC, self, () if self._liar is None else (self._liar,))
        self._instance = (CHAIN, log_index)
        self._agreement = (*self._instance, "agreement", ATTACKED)
        self._broadcast = (*self._instance, "broadcast", ATTACKED)
        self._place = 0
        for me in self.correct:
            self.network.give(me, Propose(me.encode()))
        self._start_divided()

    def choose(self, pending: Sequence[Pending]) -> int:
        """The order is the scheduler's."""
        return self._place

    def deliver(self, where: Callable[[Pending], bool]) -> None:
        """Deliver, oldest first, what fulfils the condition, and what comes of that, until nothing does."""
        pending = self.network.pending
        while (place := next((place for place, item in enumerate(pending) if where(item)), None)) is not None:
            self._place = place
            assert self.network.crank()

    def say(self, recipient: NodeId, message: Any, path: Any = None) -> None:
        """The Byzantine member says this to one member; it is heard at once. Without such a member nothing is said."""
        if self._liar is not None:
            item = Pending(self._liar, recipient, path or self._agreement, message, encode(message))
            self.network.pending.append(item)
            self.deliver(lambda pending: pending is item)

    def estimates(self, round: int) -> dict[NodeId, bool]:
        """What each member starts the round with: its first vote, as long as none was delivered."""
        votes = [item for item in self.network.pending if item.path == self._agreement]
        return {
            item.sender: item.message.value
            for item in reversed(votes)
            if isinstance(item.message, BVal) and item.message.round == round
        }

    def persuade(self, member: NodeId, round: int, value: bool) -> None:
        """The member hears all votes for the value; if it has not heard a majority for the other, it believes this first."""
        vote = BVal(round, value)
        self.deliver(lambda item: item.recipient == member and item.path == self._agreement and item.message == vote)
        self.say(member, vote)

    def hear(self, member: NodeId, kind: type, round: int, *senders: NodeId) -> None:
        """The member hears what these have to say in a phase of the round, in this order."""
        for sender in senders:
            wanted = (sender, member, self._agreement, kind)
            self.deliver(
                lambda item, wanted=wanted: (  # type: ignore[misc]
                    (item.sender, item.recipient, item.path, type(item.message)) == wanted
                    and item.message.round == round
                )
            )

    def coin(self, round: int) -> bool:
        """The real coin, from shares that are out: f + 1 in all, the Byzantine member's own among them."""
        path = (*self._agreement[:2], "coin", ATTACKED, round)
        name = pack((path, b""))
        shares = {
            self._dealt.committee.index[item.sender]: item.message.share
            for item in self.network.pending
            if item.path == path and isinstance(item.message, CoinShare)
        }
        key = self._dealt.keys[self._dealt.members[3]].coin
        if self._liar is not None:
            shares[3] = key.share(name)
        assert len(shares) >= key.threshold, "the coin is not known yet"
        assert all(key.verify_share(member, name, share) for member, share in shares.items())
        return bool(key.combine(name, shares)[0] & 1)

    def finish(self, round: int) -> None:
        """Deliver all that is under way, but for the votes and the shares of the next round."""
        self.deliver(lambda item: self._round_of(item) <= round)

    def let_go(self) -> None:
        """Deliver everything."""
        self.deliver(lambda item: True)

    def decided(self) -> dict[NodeId, list[Any]]:
        """The output of each correct member."""
        return {me: self.network.outputs_of(me, ProposalsDecided) for me in self.correct}

    def rounds(self) -> set[int]:
        """How many rounds the attacked agreement took, by member; 0: it goes on."""
        return {node.rounds[ATTACKED] for node in self.nodes.values()}

    def _round_of(self, item: Pending) -> int:
        if item.path == self._agreement:
            return int(item.message.round)
        return int(item.path[4]) if item.path[2:4] == ("coin", ATTACKED) else -1

    def _start_divided(self) -> None:
        early = self.correct[:2]
        self._propose_for_liar()
        # All echo the last member's proposal, only m0 and m1 hear that all are ready, and deliver it.
        self.deliver(
            lambda item: (
                item.path == self._broadcast
                and (item.recipient in early or not isinstance(item.message, Ready | RootReady))
            )
        )
        # The other agreements end with a yes; m2 then starts this one with a no, and so does m3 if it is correct.
        self.deliver(lambda item: item.path != self._broadcast and self._round_of(item) < 0)
        self.deliver(lambda item: item.path == self._broadcast)
        assert self.estimates(0) == {me: me in early for me in self.correct}

    def _propose_for_liar(self) -> None:
        """What the Byzantine member must say so that m0 and m1 deliver its proposal without m2's readiness."""
        if self._liar is None:
            return
        by_shards = isinstance(self.nodes[self.correct[0]], HoneyBadger)
        vals = vals_of_payload(b"proposal", 4)
        for place, me in enumerate(self.correct):
            self.say(me, vals[place] if by_shards else Initial(b"proposal"), self._broadcast)


def divided(scheduler: Scheduler, round: int) -> tuple[NodeId, NodeId, NodeId, bool]:
    """The two who agree, the third, and the estimate of the two."""
    estimates = scheduler.estimates(round)
    ayes, noes = ([me for me in scheduler.correct if estimates[me] is value] for value in (True, False))
    assert len(estimates) == 3 and ayes and noes, f"not divided: {estimates}"
    (first, second), (third,) = (ayes, noes) if len(ayes) == 2 else (noes, ayes)
    return first, second, third, estimates[first]


def divide_knowing_the_coin(scheduler: Scheduler, round: int, coin: bool) -> None:
    """With a coin that is known before the votes: one member is left with the other bit as its only value.

    The other bit is what two members believe first; the Byzantine member says the same to one of them, whose only value it
    then is. The third believes the bit of the coin first; it and the other of the two hear both, and take the coin.
    """
    first, second, third, value = divided(scheduler, round)
    other = not coin
    if other == value:
        alone, believing, doubting = first, second, third
        scheduler.persuade(alone, round, other)
        scheduler.persuade(believing, round, other)
        scheduler.persuade(alone, round, coin)  # so that it relays the vote, and a majority for it can be heard
    else:
        alone, believing, doubting = first, third, second
        scheduler.persuade(alone, round, other)
        scheduler.persuade(believing, round, other)
    scheduler.persuade(doubting, round, coin)
    scheduler.say(alone, Aux(round, other))
    scheduler.hear(alone, Aux, round, believing)
    scheduler.persuade(believing, round, coin)
    scheduler.persuade(doubting, round, other)
    scheduler.hear(believing, Aux, round, doubting, alone)
    scheduler.hear(doubting, Aux, round, believing, alone)
    scheduler.finish(round)


def divide_before_the_third_votes(scheduler: Scheduler, round: int) -> None:
    """With a coin tossed after the votes, not confirming: two fix both values, then the third is told the other bit."""
    first, second, third, value = divided(scheduler, round)
    scheduler.persuade(first, round, value)
    scheduler.persuade(second, round, not value)
    scheduler.persuade(first, round, not value)
    scheduler.persuade(second, round, value)
    for member, partner in ((first, second), (second, first)):
        scheduler.say(member, Aux(round, value))
        scheduler.hear(member, Aux, round, partner)
    other = not scheduler.coin(round)
    scheduler.persuade(third, round, other)
    scheduler.say(third, Aux(round, other))
    scheduler.hear(third, Aux, round, first if other == value else second)
    scheduler.finish(round)


def divide_by_a_guess(scheduler: Scheduler, round: int) -> bool:
    """With a confirmed coin: whether the guess was right, that is, whether members are divided still.

    What ``divide_knowing_the_coin`` does, with a guess in the place of the coin, up to the confirmations: two members confirm
    one bit alone, the third confirms both and releases the first share. That bit can be somebody's only value, no other can.
    """
    first, second, third, value = divided(scheduler, round)
    scheduler.persuade(first, round, value)
    scheduler.persuade(second, round, value)
    scheduler.persuade(first, round, not value)
    scheduler.persuade(third, round, not value)
    for member, partner in ((first, second), (second, first)):
        scheduler.say(member, Aux(round, value))
        scheduler.hear(member, Aux, round, partner)
    scheduler.persuade(third, round, value)
    scheduler.persuade(second, round, not value)
    scheduler.say(third, Aux(round, value))
    scheduler.hear(third, Aux, round, first)
    scheduler.say(third, Conf(round, 1 << value))
    scheduler.hear(third, Conf, round, first)
    coin = scheduler.coin(round)
    if coin != value:
        scheduler.say(first, Conf(round, 1 << value))
        scheduler.hear(first, Conf, round, second)
    scheduler.hear(second, Conf, round, third, first)
    scheduler.finish(round)
    return coin != value


def divide_without_a_liar(scheduler: Scheduler, round: int, coin: bool) -> None:
    """With a coin that is known before the votes, and no Byzantine member: two against two, for ever.

    Three believe the other bit first: two of these hear no more than each other and have it as their only value; the third
    of them, and the one who believes the bit of the coin first, hear each other too, and take the coin.
    """
    estimates = scheduler.estimates(round)
    one, two = (me for me in scheduler.correct if estimates[me] != coin)
    three, four = (me for me in scheduler.correct if estimates[me] == coin)
    other = not coin
    for member in (three, one, two):
        scheduler.persuade(member, round, other)
    scheduler.persuade(one, round, coin)  # so that it relays the vote, and a majority for it can be heard
    scheduler.persuade(four, round, coin)
    scheduler.hear(one, Aux, round, two, three)
    scheduler.hear(two, Aux, round, one, three)
    scheduler.persuade(three, round, coin)
    scheduler.persuade(four, round, other)
    scheduler.hear(three, Aux, round, four, one)
    scheduler.hear(four, Aux, round, one, two)
    scheduler.finish(round)


def keep_divided(
    scheduler: Scheduler,
    schedule: CoinSchedule,
    divide: Callable[[Scheduler, int, bool], object],
    divide_real: Callable[[Scheduler, int], object],
    rounds_max: int,
) -> int:
    """How many rounds the members are kept divided, at most so many: by the one strategy in rounds with a fixed coin, by the
    other in rounds with a real one, until that one says that it has failed."""
    for round in range(rounds_max):
        coin = schedule.fixed(round)
        if coin is not None:
            divide(scheduler, round, coin)
        elif divide_real(scheduler, round) is False:
            return round
    return rounds_max
