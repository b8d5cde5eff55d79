from itertools import pairwise
from statistics import pstdev

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.bidders.bidder import BidderState, Seat, Session
from market.bidders.favourable import FavourableBidder
from market.bidders.paper import PaperBidder
from market.clearing import FullMatch, Strict
from market.learning import BiddingRound, PrintedAlgorithm, PrintedEquations
from market.orders import ASK, BID, Order
from market.rounds import ROUNDS_MAX, delegated_rounds, hold_round, price_consensus
from tests.harness.books import PAPER_TARIFF, SMALL_TARIFF, books

SESSION = Session(b"seed", "mg1", 7, PAPER_TARIFF)
PAPER = PaperBidder()
MECHANISM = FullMatch()


def home(name, side, energy, price=0):
    return Order(name, side, energy, price)


FIVE_HOMES = (
    home("home-1", BID, 400),
    home("home-2", ASK, 300),
    home("home-3", BID, 250),
    home("home-4", ASK, 200),
    home("home-5", BID, 100),
)


class Stepping(msgspec.Struct):
    """Quotes 9,000 first, then one more in every round, and writes down what it was told."""

    told: list[tuple[str, int]]

    def first_quote(self, seat):
        return BidderState(None, 9_000)

    def next_quote(self, seat, state, held):
        self.told.append((seat.participant, held.number))
        return BidderState(None, state.price + 1)

    def forced(self, side, quote, held):
        return False


def test_a_round_publishes_price_energy_and_names():
    orders = [home("b", BID, 5, 9), home("a", ASK, 2, 4)]
    assert hold_round(3, orders, MECHANISM) == BiddingRound(3, 9, 2, 5, ("a", "b"))


# ---------------------------------------------------------------------------------------------------------- consensus

STANDING = [home("b", BID, 5, 9), home("a", ASK, 2, 4)]
HELD = hold_round(2, STANDING, MECHANISM)


@pytest.mark.parametrize(
    ("previous", "tolerance", "settled"),
    [
        (BiddingRound(1, 9, 2, 5, ("a", "b")), 0, True),
        (BiddingRound(1, 8, 2, 5, ("a", "b")), 0, False),
        (BiddingRound(1, 6, 2, 5, ("a", "b")), 3, True),
        (BiddingRound(1, 12, 2, 5, ("a", "b")), 3, True),
        (BiddingRound(1, 5, 2, 5, ("a", "b")), 3, False),
        (BiddingRound(1, 13, 2, 5, ("a", "b")), 3, False),
        (BiddingRound(1, 9, 7, 1, ("a", "b")), 0, True),
        (BiddingRound(1, 9, 2, 5, ("a", "c")), 0, False),
        (BiddingRound(1, None, 2, 5, ("a", "b")), 3, False),
        (None, 3, False),
    ],
)
def test_learning_ends_when_the_price_moved_little_among_the_same_participants(previous, tolerance, settled):
    assert price_consensus(previous, HELD, STANDING, PAPER, tolerance) == settled


def test_learning_goes_on_while_somebody_is_forced():
    orders = [*STANDING, home("c", BID, 1, 8)]
    held = hold_round(2, orders, MECHANISM)
    assert not price_consensus(held, held, orders, PAPER, 0)
    assert price_consensus(held, held, orders, FavourableBidder(), 0)


def test_a_round_without_a_price_settles_nothing():
    held = hold_round(2, [home("b", BID, 5, 9)], MECHANISM)
    assert not price_consensus(hold_round(1, STANDING, MECHANISM), held, [], PAPER, 99)


# ---------------------------------------------------------------------------------------------------- delegated rounds


@pytest.mark.parametrize("rounds", [1, 2, 10, ROUNDS_MAX])
def test_r_rounds_are_r_tentative_prices_and_r_minus_one_learning_steps(rounds):
    bidder = Stepping([])
    result = delegated_rounds(SESSION, FIVE_HOMES, bidder, MECHANISM, rounds)
    assert [held.number for held in result.rounds] == list(range(1, rounds + 1))
    assert bidder.told == [(order.participant, number) for number in range(1, rounds) for order in FIVE_HOMES]
    assert result.prices == tuple(9_000 + step for step in range(rounds))


@pytest.mark.parametrize("rounds", [0, ROUNDS_MAX + 1])
def test_no_rounds_and_too_many_are_misuse(rounds):
    with pytest.raises(AssertionError):
        delegated_rounds(SESSION, FIVE_HOMES, PAPER, MECHANISM, rounds)


def test_the_last_tentative_price_is_the_clearing_price_and_nobody_learns_from_it():
    result = delegated_rounds(SESSION, FIVE_HOMES, PAPER, MECHANISM, 10)
    assert result.clearing == MECHANISM.clear(result.orders, SESSION.interval)
    assert result.prices[-1] == result.clearing.price == MECHANISM.tentative_price(result.orders)
    assert [(o.participant, o.side, o.energy) for o in result.orders] == [
        (o.participant, o.side, o.energy) for o in FIVE_HOMES
    ]


def test_delegated_bidding_is_what_the_homes_would_have_done_one_by_one():
    states = {o.participant: PAPER.first_quote(Seat(SESSION, o.participant, o.side)) for o in FIVE_HOMES}
    for number in range(1, 6):
        orders = tuple(Order(o.participant, o.side, o.energy, states[o.participant].price) for o in FIVE_HOMES)
        held = hold_round(number, orders, MECHANISM)
        states = {
            o.participant: PAPER.next_quote(Seat(SESSION, o.participant, o.side), states[o.participant], held)
            for o in FIVE_HOMES
        }
    result = delegated_rounds(SESSION, FIVE_HOMES, PAPER, MECHANISM, 5)
    assert (result.orders, result.rounds[-1]) == (orders, held)


@pytest.mark.parametrize(
    "orders", [(), (home("a", BID, 5),), (home("a", ASK, 5), home("b", ASK, 3)), (home("a", BID, 5), home("b", ASK, 0))]
)
@pytest.mark.parametrize("mechanism", [FullMatch(), Strict()])
def test_a_book_with_one_side_has_no_price_and_no_learning(orders, mechanism):
    bidder = Stepping([])
    result = delegated_rounds(SESSION, orders, bidder, mechanism, 10)
    assert (result.prices, result.clearing.price, result.clearing.matched, bidder.told) == ((None,), None, 0, [])


def test_consensus_ends_learning_early():
    result = delegated_rounds(SESSION, FIVE_HOMES, FavourableBidder(), MECHANISM, 10)
    assert (result.prices, result.settled) == ((11_050, 11_050), True)
    assert not delegated_rounds(SESSION, FIVE_HOMES, FavourableBidder(), MECHANISM, 1).settled
    stepping = Stepping([])
    assert len(delegated_rounds(SESSION, FIVE_HOMES, stepping, MECHANISM, 10, tolerance=1).rounds) == 2
    assert len(delegated_rounds(SESSION, FIVE_HOMES, stepping, MECHANISM, 10, tolerance=0).rounds) == 10


def test_strict_rounds_without_a_crossing_go_on():
    stepping = Stepping([])
    apart = (home("a", ASK, 5), home("b", BID, 5))

    class Approaching(Stepping):
        def first_quote(self, seat):
            return BidderState(None, 9_000 if seat.side == BID else 9_002)

        def next_quote(self, seat, state, held):
            return BidderState(None, state.price + (1 if seat.side == BID else 0))

    assert delegated_rounds(SESSION, apart, Approaching([]), Strict(), 4).prices == (None, None, 9_002, 9_002)
    assert delegated_rounds(SESSION, apart, stepping, Strict(), 1).prices == (9_000,)


variants = st.sampled_from(
    [
        PAPER,
        PaperBidder(equations=PrintedEquations()),
        PaperBidder(algorithm=PrintedAlgorithm()),
        PaperBidder(PrintedEquations(), PrintedAlgorithm()),
        FavourableBidder(),
    ]
)
full_matching = st.sampled_from([FullMatch("competitive"), FullMatch("marginal_pair")])


@given(books(), variants, full_matching, st.integers(1, ROUNDS_MAX), st.randoms())
def test_the_sequence_of_the_orders_changes_nothing(orders, bidder, mechanism, rounds, rng):
    session = Session(b"seed", "mg1", 3, SMALL_TARIFF)
    shuffled = list(orders)
    rng.shuffle(shuffled)
    one, other = (delegated_rounds(session, book, bidder, mechanism, rounds) for book in (orders, shuffled))
    assert one.rounds == other.rounds
    assert sorted(zip(map(str, one.orders), one.clearing.fills, strict=True)) == sorted(
        zip(map(str, other.orders), other.clearing.fills, strict=True)
    )


@given(books(), variants, full_matching, st.integers(1, ROUNDS_MAX))
def test_rounds_move_prices_and_never_energy(orders, bidder, mechanism, rounds):
    session = Session(b"seed", "mg1", 3, SMALL_TARIFF)
    result = delegated_rounds(session, orders, bidder, mechanism, rounds)
    assert result.clearing.fills == mechanism.clear(orders, 3).fills
    assert all(SMALL_TARIFF.lowest_price <= o.price <= SMALL_TARIFF.highest_price for o in result.orders)
    assert all(p is None or SMALL_TARIFF.lowest_price <= p <= SMALL_TARIFF.highest_price for p in result.prices)


def spread(results, place):
    return pstdev(result.prices[place] for result in results)


def test_after_ten_rounds_the_first_quotes_still_make_most_of_the_price():
    sessions = [Session(bytes([seed]), "mg1", 7, PAPER_TARIFF) for seed in range(100)]
    for mechanism in (FullMatch("competitive"), FullMatch("marginal_pair")):
        results = [delegated_rounds(session, FIVE_HOMES, PAPER, mechanism, 10) for session in sessions]
        assert spread(results, -1) > spread(results, 0) / 2


def test_a_shortage_raises_the_price_from_round_to_round_and_plenty_lowers_it():
    """As the paper's results tell it; with the algorithm as printed the long side is left alone."""
    short = (home("a", ASK, 100), home("b", BID, 300), home("c", BID, 300), home("d", BID, 300))
    plenty = tuple(Order(o.participant, ASK if o.side == BID else BID, o.energy, 0) for o in short)
    sessions = [Session(bytes([seed]), "mg1", 7, PAPER_TARIFF) for seed in range(50)]
    for orders, sign in ((short, 1), (plenty, -1)):
        paths = [delegated_rounds(session, orders, PAPER, MECHANISM, 10).prices for session in sessions]
        means = [sum(path[min(number, len(path) - 1)] for path in paths) / len(paths) for number in range(10)]
        assert all(sign * (after - before) > 0 for before, after in pairwise(means))
