"""The tables of a run. Times are microseconds since the epoch, energy Wh, prices micro-pence per Wh, money micro-pence.

Every stage of a request is taken at the host of the household that submitted it: what its owner would see.
"""

from __future__ import annotations

from collections.abc import Iterator

from node.experiments.results import Table

INT, TEXT = "int64", "string"


REQUESTS = {
    "request": TEXT,
    "chain": TEXT,
    "kind": TEXT,  # the entry point; of off-ledger and on-ledger requests
    "account": TEXT,
    "interval": INT,
    "submitted_us": INT,
    "in_batch_us": INT,  # first named in a batch proposal of the submitter's member
    "decided_us": INT,
    "anchored_us": INT,
    "confirmed_us": INT,
    "outcome": TEXT,  # "ok", "late" (an order after its gate), the code of the rejection in its receipt, or "unanswered"
}

ORDERS = {
    "request": TEXT,
    "chain": TEXT,
    "interval": INT,
    "home": TEXT,
    "side": TEXT,
    "energy_wh": INT,
    "price": INT,
    "submitted_us": INT,
}

ROUNDS = {
    "chain": TEXT,
    "level": INT,
    "interval": INT,
    "round": INT,
    "price": INT,
    "supply_wh": INT,
    "demand_wh": INT,
}

CLEARINGS = {
    "chain": TEXT,
    "level": INT,
    "interval": INT,
    "price": INT,  # none when nothing was matched
    "supply_wh": INT,
    "demand_wh": INT,
    "matched_wh": INT,
    "timestamp_us": INT,
}

TRADES = {
    "chain": TEXT,
    "interval": INT,
    "home": TEXT,
    "side": TEXT,
    "route": TEXT,  # "local", "level1", "level2", ..., "grid"
    "energy_wh": INT,
    "price": INT,  # of the route; the participant pays its share of the side's total
}

SETTLEMENTS = {
    "chain": TEXT,
    "interval": INT,
    "home": TEXT,
    "side": TEXT,
    "ordered_wh": INT,
    "money": INT,  # paid (bid) or received (ask) for what was ordered
    "load_wh": INT,
    "generation_wh": INT,
    "metered_wh": INT,  # net: generation - load
    "imbalance_wh": INT,  # metered - ordered (an ask counts above 0, a bid below); sold above 0, bought below
    "imbalance_money": INT,
    "assumed": INT,  # 1 when no reading came in time
}

CHAIN_BLOCKS = {
    "chain": TEXT,
    "index": INT,
    "log_index": INT,
    "timestamp_us": INT,
    "decided_us": INT,  # first member
    "anchored_us": INT,  # first member
    "confirmed_us": INT,  # first member
    "requests": INT,
    "outputs": INT,
    "transaction": TEXT,
    "outcome": TEXT,  # "confirmed", "undone" or "open"
}

BLOCKS = {
    "block": TEXT,
    "issuer": TEXT,
    "issued_us": INT,
    "payload": TEXT,  # "" for activity, else the transaction
    "strong_parents": TEXT,  # ids, separated by blanks
    "weak_parents": TEXT,
    "difficulty": INT,
    "accepted_us": INT,  # at the first node
    "confirmed_us": INT,
}

MESSAGES = {"kind": TEXT, "messages": INT, "bytes": INT}


class Tables:
    """All tables of one run, empty at first."""

    def __init__(self) -> None:
        self.requests = Table("requests", REQUESTS)
        self.orders = Table("orders", ORDERS)
        self.rounds = Table("rounds", ROUNDS)
        self.clearings = Table("clearings", CLEARINGS)
        self.trades = Table("trades", TRADES)
        self.settlements = Table("settlements", SETTLEMENTS)
        self.chain_blocks = Table("chain_blocks", CHAIN_BLOCKS)
        self.blocks = Table("blocks", BLOCKS)
        self.messages = Table("messages", MESSAGES)

    def __iter__(self) -> Iterator[Table]:
        return iter(vars(self).values())
