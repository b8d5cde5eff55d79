"""Homes that bid, learn and report by themselves."""

from __future__ import annotations

from ledger.kernel.automaton import NOTHING, Fault, NodeId
from ledger.kernel.instant import MINUTE, SECOND, earliest
from market.book import StandingOrder
from market.meter import Meter, NoisyForecast, PerfectForecast
from market.orders import ASK, BID, Order
from market.prosumer import PENDING_MAX, Prosumer, RequestToSubmit, StateAdvanced
from market.rounds import delegated_rounds
from tests.harness.market_bench import CONNECTION, TARIFF, MarketBench, market_of
from wasp.core_contracts.accounts import next_nonce
from wasp.vm.sandbox import StateView

NETS = {"a": (-600, -100), "b": (400, 100), "c": (-200, 0), "d": (0, 350)}


class Neighbourhood:
    """A microgrid with its homes; requests reach the chain's pool unless they are lost."""

    def __init__(self, nets=NETS, forecast=None, **changes):
        market = market_of(**{"intervals": 2, "rounds": 5, **changes})
        self.bench = MarketBench({"mg": None}, {"mg": tuple(nets)}, market)
        self.solo = self.bench.solo
        self.homes = {}
        self.nets = nets
        self.forecast = forecast or PerfectForecast()
        for home in nets:
            self.start(home)
        self.submitted: list[RequestToSubmit] = []
        self.lose = lambda output: False
        self.seen = None

    def start(self, home):
        nets = self.nets[home]
        load, generation = [max(0, -net) for net in nets], [max(0, net) for net in nets]
        meter = Meter(home, CONNECTION, load, generation, self.forecast)
        self.homes[home] = Prosumer(self.bench.market, self.bench.places["mg"], meter, self.solo.signer(home))
        self.seen = None

    def handle(self, step):
        for output in step.outputs:
            self.submitted.append(output)
            if not self.lose(output):
                self.solo.submit("mg", output.request)

    def tell(self):
        chain = self.solo.chains["mg"]
        if chain.block is not self.seen:
            self.seen = chain.block
            for home, prosumer in self.homes.items():
                reader, nonce = StateView(chain.state, "auction"), next_nonce(chain.state, home)
                self.handle(prosumer.handle_input(StateAdvanced(reader, chain.block.timestamp, nonce), self.solo.now))

    def run(self, until):
        self.tell()
        while True:
            deadlines = [home.deadline for home in self.homes.values()]
            moment = earliest(*deadlines, self.solo._next_work("mg"))
            if moment is None or moment > until:
                self.solo.advance_to(until)
                return
            self.solo.advance_to(moment)
            self.tell()
            for home in self.homes.values():
                if home.deadline is not None and home.deadline <= self.solo.now:
                    self.handle(home.handle_timer(self.solo.now))

    def drain(self):
        self.run(self.bench.market.metering_at(1) + MINUTE)


def test_homes_trade_a_day_by_themselves_and_agree_with_a_run_without_a_ledger():
    homes = Neighbourhood()
    homes.drain()
    homes.bench.check()
    market = homes.bench.market
    for interval in range(2):
        orders = tuple(
            Order(home, ASK if nets[interval] > 0 else BID, abs(nets[interval]), 0)
            for home, nets in NETS.items()
            if nets[interval]
        )
        session = market.session("mg", interval)
        alone = delegated_rounds(session, orders, market.bidder, market.mechanism, market.rounds, market.tolerance)
        clearing = homes.bench.clearing("mg", interval)
        assert clearing.orders == alone.orders
        assert clearing.price == alone.clearing.price
        rounds = [homes.bench.view("mg", "round", interval, number) for number in range(1, len(alone.rounds) + 1)]
        assert tuple(row[1] for row in rounds) == alone.prices
    assert {home: homes.bench.metered(home).net for home in NETS} == {home: nets[0] for home, nets in NETS.items()}
    assert homes.bench.view("mg", "counters") == (0, 0, 0)
    assert {receipt.code for receipt in homes.solo.chains["mg"].receipts} == {None}


def test_what_is_submitted_is_one_order_per_quote_with_its_escrow_as_allowance_and_one_reading():
    homes = Neighbourhood(nets={"a": (-600, 0), "b": (400, 0)})
    homes.run(homes.bench.market.metering_at(0))
    mine = [output for output in homes.submitted if output.request.essence.sender == homes.solo.signer("a").public_key]
    assert [output.entry_point for output in mine] == ["submit_order"] * 5 + ["submit_reading"]
    assert [output.request.essence.allowance for output in mine] == [600 * TARIFF.buy_price] * 5 + [0]
    assert [output.request.essence.nonce for output in mine] == list(range(6))
    assert not any(output.again for output in mine)
    others = [output.request.essence.allowance for output in homes.submitted if output not in mine]
    assert set(others) == {0}


def test_a_home_waits_for_its_chains_first_state():
    homes = Neighbourhood()
    prosumer = homes.homes["a"]
    assert prosumer.deadline is None
    assert prosumer.handle_timer(homes.solo.now) == NOTHING
    assert prosumer.status == "waits for the first state of its chain"
    homes.tell()
    assert prosumer.deadline == homes.bench.market.opening_at(0) + SECOND
    assert prosumer.status == "nonce 0, 0 requests under way, bids for intervals []"


def test_a_home_that_expects_nothing_orders_nothing_and_still_reports():
    homes = Neighbourhood(nets={"a": (0, 0), "b": (5, 0)})
    homes.drain()
    assert [output.entry_point for output in homes.submitted].count("submit_order") == 1, "alone, b never learns"
    assert homes.bench.metered("a").assumed is False


def test_orders_follow_the_forecast_readings_the_truth():
    homes = Neighbourhood(nets={"a": (-600, 0), "b": (400, 0)}, forecast=NoisyForecast(200_000, b"noise"))
    homes.drain()
    homes.bench.check()
    share, metered = homes.bench.share("a"), homes.bench.metered("a")
    assert share.ordered != 600
    assert metered.net == -600 and metered.imbalance == share.ordered - 600


def test_nothing_is_submitted_from_the_gate_on_and_readings_only_within_their_time():
    homes = Neighbourhood()
    market = homes.bench.market
    homes.solo.advance_to(market.gate_at(0, 0))
    homes.run(market.readings_from(0) - 1)
    assert {output.interval for output in homes.submitted} == {1}
    homes = Neighbourhood()
    homes.solo.advance_to(market.metering_at(0))
    homes.run(market.metering_at(0) + 1)
    assert {(output.interval, output.entry_point) for output in homes.submitted} == set()


def test_a_round_that_is_seen_at_the_gate_is_seen_too_late():
    for late, count in ((-1, 1), (0, 0)):
        homes = Neighbourhood(nets={"a": (-600, 0), "b": (400, 0)})
        market, chain = homes.bench.market, homes.solo.chains["mg"]
        homes.run(market.round_end(0, 1) - 1)
        homes.solo.advance_to(market.round_end(0, 1))
        advanced = StateAdvanced(StateView(chain.state, "auction"), chain.block.timestamp, 1)
        step = homes.homes["a"].handle_input(advanced, market.gate_at(0, 0) + late)
        assert len([output for output in step.outputs if not output.again]) == count


def test_a_home_whose_clock_is_behind_learns_nothing_from_the_last_round():
    homes = Neighbourhood(nets={"a": (-600, 0), "b": (400, 0)})
    gate, chain = homes.bench.market.gate_at(0, 0), homes.solo.chains["mg"]
    homes.run(gate - 1)
    homes.solo.advance_to(gate)
    assert homes.bench.view("mg", "round", 0, 5) is not None
    advanced = StateAdvanced(StateView(chain.state, "auction"), gate, next_nonce(chain.state, "a"))
    assert homes.homes["a"].handle_input(advanced, gate - 1) == NOTHING


def test_a_home_takes_part_as_long_as_there_are_intervals_and_readings():
    for readings, intervals in ((3, 2), (2, 3)):
        homes = Neighbourhood(nets={"a": (-600,) * readings, "b": (400,) * readings}, intervals=intervals)
        homes.run(homes.bench.market.metering_at(4))
        assert {output.interval for output in homes.submitted} == {0, 1}
        assert homes.homes["a"].deadline is None
        homes.tell()
        assert homes.homes["a"].handle_timer(homes.bench.market.metering_at(9)) == NOTHING


def test_the_last_round_teaches_nobody_and_agreed_prices_end_the_learning():
    homes = Neighbourhood(nets={"a": (-600, 0), "b": (400, 0)}, rounds=2, round_length=MINUTE)
    gate = homes.bench.market.gate_at(0, 0)
    homes.run(gate + MINUTE)
    assert len(homes.submitted) == 4, "two homes, two quotes, no third after the second round"
    settled = Neighbourhood(nets={"a": (-400, 0), "b": (400, 0)}, tolerance=10**6)
    settled.run(gate + MINUTE)
    assert settled.bench.view("mg", "round", 0, 2)[5] is True
    assert len(settled.submitted) == 4, "two rounds apart by less than the tolerance end it"


def test_a_lost_request_is_submitted_again_as_it_was():
    homes = Neighbourhood()
    lost = set()

    def lose(output):
        if output.again or output.request.id in lost:
            return False
        lost.add(output.request.id)
        return True

    homes.lose = lose
    homes.drain()
    homes.bench.check()
    assert {output.request.id for output in homes.submitted if output.again} == lost
    assert homes.bench.view("mg", "counters") == (0, 0, 0)
    assert len(homes.bench.clearing("mg").fills) == 3


def test_a_request_under_way_is_submitted_again_only_after_the_time_for_it():
    homes = Neighbourhood(nets={"a": (-600, 0)})
    homes.lose = lambda output: True
    start = homes.bench.market.opening_at(0) + SECOND
    homes.run(start + 15 * SECOND - 1)
    assert [output.again for output in homes.submitted] == [False]
    homes.run(start + 15 * SECOND)
    assert [output.again for output in homes.submitted] == [False, True]
    homes.run(start + 30 * SECOND)
    assert [output.again for output in homes.submitted] == [False, True, True]
    assert len({output.request.id for output in homes.submitted}) == 1


def test_a_new_state_that_has_not_executed_a_request_does_not_forget_it():
    homes = Neighbourhood(nets={"a": (-600, 0)})
    homes.lose = lambda output: True
    prosumer, chain = homes.homes["a"], homes.solo.chains["mg"]
    start = homes.bench.market.opening_at(0) + SECOND
    homes.run(start)
    homes.handle(prosumer.handle_input(StateAdvanced(StateView(chain.state, "auction"), start, 0), start + 1))
    assert [output.again for output in homes.submitted] == [False]
    homes.handle(prosumer.handle_timer(start + 15 * SECOND))
    assert [output.again for output in homes.submitted] == [False, True]
    prosumer.handle_input(StateAdvanced(StateView(chain.state, "auction"), start, 1), start + 16 * SECOND)
    assert prosumer.handle_timer(start + 60 * SECOND) == NOTHING, "executed, whatever became of it"


def test_a_restarted_home_goes_on_where_its_chain_is():
    homes = Neighbourhood()
    homes.run(homes.bench.market.round_end(0, 2) + SECOND)
    before = homes.bench.view("mg", "book", 0)
    for home in NETS:
        homes.start(home)
    count = len(homes.submitted)
    homes.run(homes.bench.market.round_end(0, 3) - 1)
    assert homes.submitted[count:] == [], "it finds its orders standing and has nothing to add"
    assert homes.bench.view("mg", "book", 0) == before
    homes.drain()
    homes.bench.check()
    reference = Neighbourhood()
    reference.drain()
    assert homes.bench.clearing("mg") == reference.bench.clearing("mg")


def test_a_home_that_restarts_after_its_reading_does_not_report_twice():
    homes = Neighbourhood()
    homes.run(homes.bench.market.readings_from(0) + MINUTE)
    homes.start("a")
    homes.drain()
    readings = [output.interval for output in homes.submitted if output.entry_point == "submit_reading"]
    assert sorted(readings) == [0] * 4 + [1] * 4


def test_rounds_that_a_rebase_changed_are_learned_again():
    homes = Neighbourhood(nets={"a": (-600, 0), "b": (400, 0)})
    market, prosumer, chain = homes.bench.market, homes.homes["a"], homes.solo.chains["mg"]
    homes.run(market.round_end(0, 1) - 1)
    before = chain.state
    homes.run(market.round_end(0, 1) + SECOND)
    learned = prosumer._biddings[0].state
    now = homes.solo.now
    prosumer.handle_input(StateAdvanced(StateView(before, "auction"), 0, 1), now)
    assert prosumer._biddings[0].state == market.bidder.first_quote(prosumer._biddings[0].seat) != learned
    prosumer.handle_input(StateAdvanced(StateView(chain.state, "auction"), 0, 2), now)
    assert prosumer._biddings[0].state == learned


def test_when_lower_nonces_were_lost_what_is_wanted_is_signed_again():
    homes = Neighbourhood(nets={"a": (-600, 0)})
    homes.lose = lambda output: True
    prosumer, chain = homes.homes["a"], homes.solo.chains["mg"]
    reader = StateView(chain.state, "auction")
    prosumer.handle_input(StateAdvanced(reader, 0, 7), homes.solo.now)
    now = homes.bench.market.opening_at(0) + SECOND
    first = prosumer.handle_timer(now).outputs
    assert [output.request.essence.nonce for output in first] == [7]
    prosumer.handle_input(StateAdvanced(reader, 0, 4), now)
    assert prosumer.handle_timer(now + 15 * SECOND - 1) == NOTHING
    again = prosumer.handle_timer(now + 15 * SECOND).outputs
    assert [output.request.essence.nonce for output in again] == [4]
    assert again[0].request.essence.call == first[0].request.essence.call
    assert again[0].request.essence.allowance == first[0].request.essence.allowance
    assert not again[0].again


def test_what_comes_too_late_is_not_signed_again_when_lower_nonces_were_lost():
    homes = Neighbourhood(nets={"a": (-600, 0)}, rounds=1)
    homes.lose = lambda output: True
    prosumer, chain, market = homes.homes["a"], homes.solo.chains["mg"], homes.bench.market
    prosumer._resubmit_after = 0
    reader = StateView(chain.state, "auction")
    for begins, ends, nonce in (
        (market.opening_at(0) + SECOND, market.gate_at(0, 0), 7),
        (market.readings_from(0) + SECOND, market.metering_at(0), 5),
    ):
        prosumer._resubmit_after = ends - 1 - begins
        prosumer.handle_input(StateAdvanced(reader, 0, nonce), begins)
        prosumer.handle_input(StateAdvanced(reader, 0, nonce - 1), begins)
        again = prosumer.handle_timer(ends - 1).outputs
        assert [output.request.essence.nonce for output in again] == [nonce - 1]
        prosumer._resubmit_after = 1
        prosumer.handle_input(StateAdvanced(reader, 0, nonce - 2), ends - 1)
        assert prosumer.handle_timer(ends) == NOTHING
        assert prosumer.status == f"nonce {nonce - 2}, 0 requests under way, bids for intervals []"


def test_a_refused_order_is_not_tried_again_until_the_next_quote():
    homes = Neighbourhood(nets={"a": (-600, 0), "b": (400, 0)})
    homes.bench.solo.post("mg", "a", "accounts", "transfer", "b", 10**12 - 5, allowance=10**12)
    homes.run(homes.bench.market.gate_at(0, 0))
    mine = [output for output in homes.submitted if output.request.essence.sender == homes.solo.signer("a").public_key]
    assert len(mine) == 1, "the other side never got a price, so there is no next quote"
    codes = [receipt.code for receipt in homes.solo.chains["mg"].receipts if receipt.account == "a"]
    assert codes == [None, "funds"]


def test_too_many_requests_under_way_stop_new_ones():
    count = PENDING_MAX + 5
    homes = Neighbourhood(nets={"a": (-600,) * count}, intervals=count)
    homes.lose = lambda output: not output.again
    prosumer, chain = homes.homes["a"], homes.solo.chains["mg"]
    prosumer._resubmit_after = 10**15
    prosumer.handle_input(StateAdvanced(StateView(chain.state, "auction"), 0, 0), homes.solo.now)
    submitted = []
    for interval in range(count):
        submitted += prosumer.handle_timer(homes.bench.market.opening_at(interval) + SECOND).outputs
    assert len(submitted) == PENDING_MAX
    now = homes.bench.market.opening_at(count - 1) + 2 * SECOND
    freed = prosumer.handle_input(StateAdvanced(StateView(chain.state, "auction"), now, PENDING_MAX), now).outputs
    assert [output.interval for output in freed] == [count - 1], "the order that had no room is still wanted"


def test_a_message_of_a_peer_is_a_fault():
    homes = Neighbourhood()
    step = homes.homes["a"].handle_message(NodeId("h2"), ("mg",), "hello", 0)
    assert step.faults == (Fault(NodeId("h2"), "unexpected", ("mg",), "homes speak to their chain, not to each other"),)


def test_the_standing_order_in_the_state_is_the_homes_last_quote():
    homes = Neighbourhood()
    homes.run(homes.bench.market.gate_at(0, 0) - SECOND)
    for home in ("a", "b", "c"):
        bidding = homes.homes[home]._biddings[0]
        expected = StandingOrder(bidding.seat.side, bidding.energy, bidding.state.price)
        assert StandingOrder(*homes.bench.view("mg", "order", 0, home)) == expected
