import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.encoding import Codec, digest, encode
from ledger.kernel.rng import stream
from market.bidders.bidder import BidderState, Seat, Session
from market.bidders.favourable import FavourableBidder
from market.bidders.paper import PaperBidder
from market.learning import BiddingRound, PrintedAlgorithm, PrintedEquations
from market.orders import ASK, BID
from market.units import Tariff
from tests.harness.books import PAPER_TARIFF

PAPER = PaperBidder()
SEED = b"seed"


def seat(side=BID, participant="home-1", interval=7, chain="mg1", seed=SEED, tariff=PAPER_TARIFF):
    return Seat(Session(seed, chain, interval, tariff), participant, side)


def held(price, supply=1000, demand=2000):
    return BiddingRound(1, price, supply, demand, ("home-1", "home-2"))


def test_a_seat_draws_from_the_digest_of_seed_chain_interval_and_account():
    expected = stream(digest("seat", SEED, "mg1", 7, "home-1"), "first quote")
    assert PAPER.first_quote(seat()) == BidderState(None, expected.randint(3_201, 18_899))


def test_every_part_of_the_seat_changes_the_draw_and_nothing_else_does():
    seats = [seat(), seat(participant="home-2"), seat(interval=8), seat(chain="mg2"), seat(seed=b"other")]
    assert len({PAPER.first_quote(one).price for one in seats}) == len(seats)
    assert PAPER.first_quote(seat(ASK)) == PAPER.first_quote(seat(BID)) == PaperBidder().first_quote(seat())


def test_first_quotes_cover_all_that_is_strictly_between_the_reserves():
    quotes = {PAPER.first_quote(seat(interval=k, tariff=Tariff(5, 0))).price for k in range(100)}
    assert quotes == {1, 2, 3, 4}
    assert PAPER.first_quote(seat(tariff=Tariff(9, 7))).price == 8


def test_the_first_price_places_the_bidder_on_its_curve_and_then_it_learns():
    # A bid of 13,124 at the price 11,000 is half aggressive. It would trade: r = 0.5 + 0.4 (-0.01 - 0.5).
    before = BidderState(None, 13_124)
    start = PAPER.equations.first_reaching(BID, 13_124, 11_000, PAPER_TARIFF)
    learned = PAPER.algorithm.learned(BID, start, 13_124, held(11_000))
    assert abs(start - 500_000) < 200
    assert abs(learned - 296_000) < 200
    quote = PAPER.equations.quote(BID, learned, 11_000, PAPER_TARIFF)
    assert PAPER.next_quote(seat(), before, held(11_000)) == BidderState(learned, quote)


def test_from_then_on_aggressiveness_is_remembered_and_the_price_moves_the_quote():
    after = PAPER.next_quote(seat(), BidderState(0, 9_000), held(11_000))
    assert after == BidderState(400_000, PAPER.equations.quote(BID, 400_000, 11_000, PAPER_TARIFF))


def test_without_a_price_the_paper_bidder_waits():
    state = BidderState(None, 9_000)
    assert PAPER.next_quote(seat(), state, held(None)) is state


def test_equations_and_algorithm_are_chosen_apart():
    states = {
        (type(equations), type(algorithm)): PaperBidder(equations, algorithm).next_quote(
            seat(), BidderState(200_000, 9_000), held(11_000)
        )
        for equations in (PAPER.equations, PrintedEquations())
        for algorithm in (PAPER.algorithm, PrintedAlgorithm())
    }
    assert len({state.price for state in states.values()}) == 4
    assert [state.aggressiveness for state in states.values()] == [520_000, 124_000, 520_000, 124_000]


def test_a_buyer_of_a_deficit_that_bids_below_the_price_is_forced_by_the_paper_bidder_alone():
    assert PAPER.forced(BID, 9_000, held(11_000))
    assert not PAPER.forced(BID, 11_000, held(11_000))
    assert not FavourableBidder().forced(BID, 3_201, held(11_000))


@pytest.mark.parametrize(("side", "price"), [(BID, 3_201), (ASK, 18_899)])
def test_the_favourable_bidder_quotes_its_end_for_ever(side, price):
    state = FavourableBidder().first_quote(seat(side))
    assert state == BidderState(None, price)
    assert FavourableBidder().next_quote(seat(side), state, held(11_000)) == state


@given(st.sampled_from([BID, ASK]), st.integers(0, 50), st.lists(st.tuples(st.integers(3_201, 18_899), st.booleans())))
def test_whatever_the_prices_every_quote_of_every_variant_is_inside_the_reserves(side, interval, path):
    for equations in (PAPER.equations, PrintedEquations()):
        for algorithm in (PAPER.algorithm, PrintedAlgorithm()):
            bidder, place = PaperBidder(equations, algorithm), seat(side, interval=interval)
            state = bidder.first_quote(place)
            for price, short in path:
                state = bidder.next_quote(place, state, held(price, 1, 2) if short else held(price, 2, 1))
                assert PAPER_TARIFF.lowest_price <= state.price <= PAPER_TARIFF.highest_price


def test_a_state_is_stored_as_it_is():
    codec = Codec(BidderState)
    for state in (BidderState(None, 9_000), BidderState(-1_000_000, 3_201)):
        assert codec.decode(encode(state)) == state
