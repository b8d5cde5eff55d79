"""The market of a chain: its calendar, and for each delivery interval how far it is, its book, its clearing; and accounts.

All of it stands in the state of the chain, and is read from there, as the auction contract keeps it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from market.auction import Auction
from market.book import (
    SIDES,
    ChildRequest,
    ClearingRow,
    MeteredRow,
    RoundRow,
    ShareRow,
    StandingOrder,
    home_orders,
    progress_of,
)
from market.hierarchy import AUCTION
from market.purse import debt_of
from node.live.api.answers import ApiModel, Interval
from node.live.api.chain_routes import CHAIN, At, ChainPlace, chain_of, state_of
from node.live.api.endpoint import Desk, Endpoint, Question, Refused
from wasp.chain import Chain
from wasp.chain_block import ChainBlock
from wasp.core_contracts.accounts import balance_of, is_account, next_nonce
from wasp.state import State
from wasp.vm.sandbox import ContractReader, call_view

Side = Literal["bid", "ask"]
IntervalStage = Literal["future", "open", "cleared", "final", "closed", "forgotten"]


class IntervalPlace(ChainPlace):
    """A delivery interval."""

    interval: Interval


class AccountPlace(ChainPlace):
    """An account."""

    account: Annotated[str, Field(min_length=1, max_length=64, examples=["home1"])]


class MarketQuery(ApiModel):
    """Which state; active is the newest."""

    at: At = "active"


class AccountQuery(MarketQuery):
    """Which state, and which interval."""

    interval: Annotated[Interval | None, Field(description="Also the account's part in this delivery interval")] = None


class MarketInfo(ApiModel):
    """The calendar and the place of a market: spans count back from an interval's delivery."""

    chain: str
    level: int
    parent: str | None
    children: list[str]
    homes: list[str]
    intervals: int
    first_delivery: int
    interval_length_us: int
    opening_us: int
    round_length_us: int
    rounds: int
    gate_us: int
    grid_charges: int
    grid_pays: int
    open_intervals: list[int] = Field(description="Opened and not closed")
    timestamp: int = Field(description="Of the chain block that led to this state")


class IntervalInfo(ApiModel):
    """How far an interval is, and its moments."""

    interval: int
    stage: IntervalStage
    rounds_held: int
    price: int | None = Field(description="The newest tentative price, or the clearing price")
    opening: int
    gate: int
    delivery: int
    readings_from: int
    metering: int
    state_index: int


class BookOrder(ApiModel):
    """A standing order: a home's, or a child chain's residual."""

    participant: str
    side: Side
    energy: int
    price: int | None = Field(description="None for a child chain: the contract bids on its behalf")


class Book(ApiModel):
    """The standing orders of an interval, in the order of the configuration."""

    interval: int
    orders: list[BookOrder]
    state_index: int


class Fill(ApiModel):
    """What an order got at the gate."""

    participant: str
    side: Side
    energy: int
    price: int
    filled: int


class Clearing(ApiModel):
    """What the gate made of the book."""

    interval: int
    price: int | None = Field(description="None when nothing was matched")
    supply: int
    demand: int
    matched: int
    fills: list[Fill]
    state_index: int


class LevelEnergy(ApiModel):
    """Energy that came from, or went to, one level of the hierarchy."""

    level: int
    energy: int


class Share(ApiModel):
    """What a home traded in an interval, by route; money received, or below zero paid."""

    side: Side
    ordered: int
    local: int
    levels: list[LevelEnergy]
    grid: int
    money: int
    price: int | None


class Metered(ApiModel):
    """Metered against ordered."""

    net: int
    imbalance: int
    money: int
    is_assumed: bool


class AccountInfo(ApiModel):
    """An account, and its part in an interval if one was named."""

    account: str
    balance: int
    nonce: int = Field(description="Of its next off-ledger request")
    debt: int = Field(description="What it owes the utility; below zero, what the utility owes it")
    order: BookOrder | None
    share: Share | None
    metered: Metered | None
    state_index: int


class _Market:
    """The market of one chain in one state."""

    def __init__(self, desk: Desk, chain_name: str, at: At) -> None:
        self.chain: Chain = chain_of(desk, chain_name)
        auction = self.chain.program.contracts.get(AUCTION)
        if not isinstance(auction, Auction):
            raise Refused(404, "no_market", f"the chain {self.chain.name} has no auction contract")
        self.auction = auction
        block_and_state: tuple[ChainBlock, State] = state_of(self.chain, at)
        self.block, self.state = block_and_state
        self.reader = ContractReader(self.state, AUCTION)

    def check(self, interval: int) -> int:
        """The interval, if the market has it."""
        if interval >= self.auction.market.intervals:
            last = self.auction.market.intervals - 1
            raise Refused(404, "unknown_interval", f"the intervals of this market are 0 to {last}")
        return interval


def _asked(desk: Desk, question: Question) -> _Market:
    return _Market(desk, question.path.chain, question.query.at)


def _information(desk: Desk, question: Question) -> MarketInfo:
    asked = _asked(desk, question)
    market, place = asked.auction.market, asked.auction.place
    open_intervals = call_view(asked.chain.program, asked.state, AUCTION, "open_intervals")
    assert isinstance(open_intervals, tuple)
    return MarketInfo(
        chain=asked.chain.name,
        level=place.level,
        parent=place.parent,
        children=list(place.children),
        homes=[home.account for home in place.homes],
        intervals=market.intervals,
        first_delivery=market.first_delivery,
        interval_length_us=market.interval_length,
        opening_us=market.opening,
        round_length_us=market.round_length,
        rounds=market.rounds,
        gate_us=market.gates[place.level],
        grid_charges=market.tariff.buy_price,
        grid_pays=market.tariff.sell_price,
        open_intervals=[k for k in open_intervals if type(k) is int],
        timestamp=asked.block.timestamp,
    )


def _interval(desk: Desk, question: Question) -> IntervalInfo:
    asked = _asked(desk, question)
    market, k = asked.auction.market, asked.check(question.path.interval)
    stage = call_view(asked.chain.program, asked.state, AUCTION, "interval", k)
    rounds = progress_of(asked.reader, k).rounds
    newest = RoundRow.read(asked.reader, "round", k, rounds)
    clearing = ClearingRow.read(asked.reader, "clearing", k)
    row = clearing if clearing is not None else newest
    return IntervalInfo(
        interval=k,
        stage=stage,  # type: ignore[arg-type] # the view tells one of these
        rounds_held=rounds,
        price=None if row is None else row.price,
        opening=market.opening_at(k),
        gate=market.gate_at(k, asked.auction.place.level),
        delivery=market.delivery(k),
        readings_from=market.readings_from(k),
        metering=market.metering_at(k),
        state_index=asked.block.index,
    )


def _book(desk: Desk, question: Question) -> Book:
    asked = _asked(desk, question)
    place, k = asked.auction.place, asked.check(question.path.interval)
    orders = [
        BookOrder(participant=order.participant, side=order.side, energy=order.energy, price=order.price)
        for order in home_orders(asked.reader, place, k)
    ]
    for child in place.children:
        for side in SIDES:
            row = ChildRequest.read(asked.reader, "request", k, child, side)
            if row is not None:
                orders.append(BookOrder(participant=child, side=side, energy=row.energy, price=None))
    return Book(interval=k, orders=orders, state_index=asked.block.index)


def _clearing(desk: Desk, question: Question) -> Clearing:
    asked = _asked(desk, question)
    k = asked.check(question.path.interval)
    row = ClearingRow.read(asked.reader, "clearing", k)
    if row is None:
        raise Refused(404, "not_cleared", f"interval {k} is not cleared in this state, or is forgotten")
    return Clearing(
        interval=k,
        price=row.price,
        supply=row.supply,
        demand=row.demand,
        matched=row.matched,
        fills=[
            Fill(participant=participant, side=side, energy=energy, price=price, filled=filled)
            for participant, side, energy, price, filled in row.fills
        ],
        state_index=asked.block.index,
    )


def _account(desk: Desk, question: Question) -> AccountInfo:
    asked = _asked(desk, question)
    account, reader, k = question.path.account, asked.reader, question.query.interval
    if not is_account(asked.state, account):
        raise Refused(404, "unknown_account", f"{asked.chain.name} has no account of this name")
    order = share = metered = None
    if k is not None:
        asked.check(k)
        order = StandingOrder.read(reader, "order", k, account)
        share = ShareRow.read(reader, "share", k, account)
        metered = MeteredRow.read(reader, "metered", k, account)
    return AccountInfo(
        account=account,
        balance=balance_of(asked.state, account),
        nonce=next_nonce(asked.state, account),
        debt=debt_of(reader, account),
        order=None
        if order is None
        else BookOrder(participant=account, side=order.side, energy=order.energy, price=order.price),
        share=None if share is None else _share(share),
        metered=None
        if metered is None
        else Metered(net=metered.net, imbalance=metered.imbalance, money=metered.money, is_assumed=metered.assumed),
        state_index=asked.block.index,
    )


def _share(row: ShareRow) -> Share:
    return Share(
        side=row.side,
        ordered=row.ordered,
        local=row.local,
        levels=[LevelEnergy(level=level, energy=energy) for level, energy in row.levels],
        grid=row.grid,
        money=row.money,
        price=row.price,
    )


MARKET = f"{CHAIN}/market"
MARKET_ENDPOINTS = (
    Endpoint(
        "GET",
        MARKET,
        "market",
        "The calendar of a chain's market, and its place in the hierarchy",
        _information,
        MarketInfo,
        places=ChainPlace,
        query=MarketQuery,
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        f"{MARKET}/intervals/{{interval}}",
        "market",
        "How far a delivery interval is",
        _interval,
        IntervalInfo,
        places=IntervalPlace,
        query=MarketQuery,
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        f"{MARKET}/intervals/{{interval}}/book",
        "market",
        "The standing orders of a delivery interval",
        _book,
        Book,
        places=IntervalPlace,
        query=MarketQuery,
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        f"{MARKET}/intervals/{{interval}}/clearing",
        "market",
        "What the gate made of a delivery interval's book",
        _clearing,
        Clearing,
        places=IntervalPlace,
        query=MarketQuery,
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        f"{MARKET}/accounts/{{account}}",
        "market",
        "An account, and its part in a delivery interval",
        _account,
        AccountInfo,
        places=AccountPlace,
        query=AccountQuery,
        refusals=(404,),
    ),
)
