"""The rules of one market in numbers, the calendar that follows from them, and a chain's place in the hierarchy.

Delivery interval k is the span [T_k, T_k + D) in which energy flows, T_k = first_delivery + k D. Its market is held
before. All offsets are protocol time and count back from T_k:

    opening      gate of level 0      gate of level 1     ...   T_k             T_k + D         T_k + D + grace
    |--- rounds ---|                    |                         |--- delivery ---|--- readings ---|
    orders accepted, R round ends,      children's residuals      energy flows      signed readings   metering
    the last of them at the gate        cleared, sent on up                         accepted

A chain's *level* is its height in the tree: 0 for a microgrid, one more than its highest child for a parent chain. So
gates get later from every chain to its parent, also in trees whose branches differ in depth, and the levels of what a
microgrid trades rise on its way to the root.

Before the gate means: in a chain block whose timestamp is before the gate. A market must fit into D: from the opening to
the gate of the root. Gates closer together than twice the expected confirmation time are legal, and worth a warning:
residuals will miss them.
"""

from __future__ import annotations

from itertools import pairwise

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import MINUTE, SECOND, Duration, Instant, format_duration
from ledger.kernel.rejection import require
from market.bidders.bidder import Bidder, Session
from market.bidders.paper import PaperBidder
from market.clearing import FullMatch, Mechanism
from market.rounds import ROUNDS_MAX
from market.units import MicroPence, MicroPencePerWattHour, Tariff, WattHours

CONNECTION_MAX: WattHours = 10**9
"""Wh of the largest registered connection in one interval (1 GWh): no home, and far from every bound of the encoding."""
PRICE_MAX: MicroPencePerWattHour = 10**8
"""The grid's dearest price (100,000 p/kWh): energy x price of any home fits into 63 bits."""
PARTICIPANTS_MAX = 500
"""Homes or children of one chain: a clearing with all their names fits into one entry of the state."""
LEVELS_MAX = 16
"""Levels of the deepest hierarchy: a country has five or six."""


class MarketParameters(Frozen):
    """What all chains of one market agree on. Errors: ``Rejected("bad_market", ...)``, with all problems and their numbers.

    ``gates`` has the gate of each level, as a span before T_k. ``contract_seed`` is what all draws of the contracts come
    from. ``residual_grace`` is how long after the parent's gate a residual that nobody took comes back.
    ``clock_margin`` is how long after an opening a home waits, because the committee's clock may be behind its own.
    """

    first_delivery: Instant
    interval_length: Duration
    intervals: int
    opening: Duration
    round_length: Duration
    rounds: int
    gates: tuple[Duration, ...]
    tariff: Tariff
    contract_seed: bytes
    mechanism: Mechanism = FullMatch()
    bidder: Bidder = PaperBidder()
    delegated_rounds: int = 10
    tolerance: MicroPencePerWattHour = 0
    reading_grace: Duration = 5 * MINUTE
    residual_grace: Duration = 2 * MINUTE
    clock_margin: Duration = SECOND
    debt_max: MicroPence = 100_000_000
    intervals_kept: int = 48

    def __post_init__(self) -> None:
        problems = _problems(self)
        require(not problems, "bad_market", "; ".join(problems))

    def delivery(self, interval: int) -> Instant:
        """T_k."""
        return self.first_delivery + interval * self.interval_length

    def opening_at(self, interval: int) -> Instant:
        """From when on orders are accepted."""
        return self.delivery(interval) - self.opening

    def gate_at(self, interval: int, level: int) -> Instant:
        """When chains of this level clear."""
        return self.delivery(interval) - self.gates[level]

    def round_end(self, interval: int, number: int) -> Instant:
        """When a microgrid's bidding round with this number, from 1, ends; the last one ends at the gate."""
        return self.gate_at(interval, 0) - (self.rounds - number) * self.round_length

    def readings_from(self, interval: int) -> Instant:
        """T_k + D: from when on readings are accepted."""
        return self.delivery(interval + 1)

    def metering_at(self, interval: int) -> Instant:
        """T_k + D + grace: when metered meets ordered, and from when on readings are refused."""
        return self.readings_from(interval) + self.reading_grace

    def session(self, chain: str, interval: int) -> Session:
        """What bidders on this chain know of the interval's market."""
        return Session(self.contract_seed, chain, interval, self.tariff)

    def warnings(self, confirmation_expected: Duration) -> tuple[str, ...]:
        """Gates so close together that residuals will miss them, given the expected confirmation time of layer 1."""
        return tuple(
            f"the gates of levels {level} and {level + 1} are {format_duration(lower - upper)} apart, "
            f"at least {format_duration(2 * confirmation_expected)} expected: twice the time of a confirmation"
            for level, (lower, upper) in enumerate(pairwise(self.gates))
            if lower - upper < 2 * confirmation_expected
        )


class Home(Frozen):
    """A household: its account, and the Wh of its registered connection in one interval."""

    account: str
    connection: WattHours


class MarketPlace(Frozen):
    """One chain's place in the hierarchy: a microgrid with homes, or a parent chain with children."""

    chain: str
    level: int
    parent: str | None = None
    parent_level: int = 0
    children: tuple[str, ...] = ()
    homes: tuple[Home, ...] = ()
    utility: str = "utility"

    @property
    def connections(self) -> dict[str, WattHours]:
        """The registered connection of each home."""
        return {home.account: home.connection for home in self.homes}


def _problems(market: MarketParameters) -> list[str]:
    gates, span = market.gates, market.rounds * market.round_length
    checks = [
        (
            market.interval_length >= 1,
            f"interval_length is {format_duration(market.interval_length)}, more than 0s expected",
        ),
        (market.intervals >= 1, f"intervals is {market.intervals}, at least 1 expected"),
        (market.rounds >= 1, f"rounds is {market.rounds}, at least 1 expected"),
        (market.round_length >= 1, f"round_length is {format_duration(market.round_length)}, more than 0s expected"),
        (
            1 <= market.delegated_rounds <= ROUNDS_MAX,
            f"delegated_rounds is {market.delegated_rounds}, 1 to {ROUNDS_MAX} expected",
        ),
        (
            market.tariff.buy_price <= PRICE_MAX,
            f"the grid's buy price is {market.tariff.buy_price}, at most {PRICE_MAX} expected",
        ),
        (market.tolerance >= 0, f"tolerance is {market.tolerance}, at least 0 expected"),
        (market.reading_grace >= 1, f"reading_grace is {format_duration(market.reading_grace)}, more than 0s expected"),
        (
            market.residual_grace >= 1,
            f"residual_grace is {format_duration(market.residual_grace)}, more than 0s expected",
        ),
        (market.clock_margin >= 0, f"clock_margin is {format_duration(market.clock_margin)}, at least 0s expected"),
        (market.debt_max >= 0, f"debt_max is {market.debt_max} micro-pence, at least 0 expected"),
        (market.intervals_kept >= 1, f"intervals_kept is {market.intervals_kept}, at least 1 expected"),
        (1 <= len(gates) <= LEVELS_MAX, f"gates has {len(gates)} levels, 1 to {LEVELS_MAX} expected"),
    ]
    problems = [problem for holds, problem in checks if not holds]
    if not gates:
        return problems
    if any(lower <= upper for lower, upper in pairwise(gates)):
        problems.append(
            f"the gates are {', '.join(map(format_duration, gates))} before delivery, falling spans expected: "
            "a parent's gate is later than its children's"
        )
    if gates[-1] < 0:
        problems.append(f"the last gate is {format_duration(-gates[-1])} after delivery begins, not after it expected")
    if market.opening < gates[0] + span:
        problems.append(
            f"opening is {format_duration(market.opening)} before delivery, at least {format_duration(gates[0] + span)} "
            f"expected: {market.rounds} rounds of {format_duration(market.round_length)} before the gate at "
            f"{format_duration(gates[0])}"
        )
    if market.opening - gates[-1] > market.interval_length:
        problems.append(
            f"the market takes {format_duration(market.opening - gates[-1])} from its opening to its last gate, "
            f"at most {format_duration(market.interval_length)} expected: one interval"
        )
    if market.first_delivery < market.opening:
        first, opening = format_duration(market.first_delivery), format_duration(market.opening)
        problems.append(f"first_delivery is {first}, at least {opening} expected: the opening")
    return problems
