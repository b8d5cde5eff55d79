"""The walk of one trade: what became of one order, step by step, with the file of the code in charge of each.

The trade is one that shows the whole way: part of its energy was matched within the microgrid, part by a chain above it,
and, best of all, the rest by the main grid. All steps are read from the tables of a run; a step whose instant no table holds
is left out. Instants of a request are those at the household that submitted it, of a chain block those of the first member.

    submitted -> in a batch -> decided -> anchored -> attached -> confirmed          the order, on its microgrid's chain
    -> gate -> residual up -> cleared above -> result down -> settled                 the interval's market
    -> reading                                                                        after delivery
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from ledger.kernel.instant import Instant
from node.experiments.benefit import GRID
from node.experiments.tables import Tables

WalkStep = tuple[Instant, str, str, str]
"""When, at which host or chain, what happened, and the source file in charge."""
LOCAL, RESIDUAL, RESULT = "local", "submit_residual", "receive_result"


def choose_walk(tables: Tables) -> list[WalkStep]:
    """The steps of the trade that shows most, in order of time; none where nothing was traded."""
    chosen = _choose_trade(tables)
    return sorted(_Walk(tables, *chosen).steps(), key=lambda step: step[0]) if chosen else []


def _choose_trade(tables: Tables) -> tuple[str, int, str] | None:
    """Chain, interval and home of the trade with the most kinds of routes, and the most energy by its least kind."""
    trades: dict[tuple[str, int, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for chain, interval, home, route, energy in tables.trades.select("chain", "interval", "home", "route", "energy_wh"):
        kind = route if route in (LOCAL, GRID) else "level"
        trades[chain, interval, home][kind] += energy

    def shown(trade: tuple[str, int, str]) -> tuple[int, bool, int]:
        energies = {kind: energy for kind, energy in trades[trade].items() if energy}
        return len(energies), "level" in energies, min(energies.values(), default=0)

    return max(trades, key=shown, default=None)


class _Walk:
    """The steps of one home's order of one interval."""

    def __init__(self, tables: Tables, chain: str, interval: int, home: str) -> None:
        self._chain, self._interval, self._home = chain, interval, home
        self._tables = tables
        self._requests = self._rows("requests", interval=interval)
        self._above = self._chains_above()

    def steps(self) -> Iterator[WalkStep]:
        """All steps, in no order."""
        yield from self._order()
        yield from self._gates()
        yield from self._messages()
        yield from self._settlement()
        yield from self._reading()

    def _chains_above(self) -> list[str]:
        """Where its chain's residual went, and where that chain's went, and so on."""
        parents = {row["account"]: row["chain"] for row in self._requests if row["kind"] == RESIDUAL}
        above, chain = [], self._chain
        while chain in parents and parents[chain] not in above:
            chain = parents[chain]
            above.append(chain)
        return above

    def _rows(self, table: str, **wanted: Any) -> list[dict[str, Any]]:
        """The rows of a table in which some columns have some values."""
        columns = getattr(self._tables, table).columns
        rows = (dict(zip(columns, cells, strict=True)) for cells in getattr(self._tables, table).rows)
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    # -------------------------------------------------------------------------------------------------- the order

    def _order(self) -> Iterator[WalkStep]:
        orders = self._rows("orders", chain=self._chain, interval=self._interval, home=self._home)
        executed = {row["request"]: row for row in self._requests if row["outcome"] == "ok"}
        orders = [order for order in orders if order["request"] in executed]
        if not orders:
            return
        order = orders[-1]
        request, home, chain = executed[order["request"]], self._home, self._chain
        word = "buy" if order["side"] == "bid" else "sell"
        at = request["submitted_us"]
        if at is not None:
            what = f"its bidder orders to {word} {order['energy_wh']:,} Wh at {_price(order['price'])}"
            yield at, home, f"{what} for delivery interval {self._interval}", "market/prosumer.py"
            yield at, home, f"signs the call as off-ledger request {order['request'][:8]}", "wasp/request.py"
        stages = (
            ("in_batch_us", "names the request in its batch proposal", "wasp/consensus/batch_proposal.py"),
            (
                "decided_us",
                "sees the committee's decision: a batch with the request; it is executed",
                "wasp/consensus/consensus.py",
            ),
            (
                "anchored_us",
                "has the anchor with the signatures of n-f members",
                "wasp/consensus/signing/nonce_signature.py",
            ),
            ("confirmed_us", "sees the anchor confirmed; the order stands for good", "wasp/anchoring.py"),
        )
        for stage, what, source in stages:
            if request[stage] is not None:
                yield request[stage], home, what, source
        anchored = request["anchored_us"]
        blocks = [row for row in self._rows("chain_blocks", chain=chain) if row["anchored_us"] and row["requests"]]
        with_it = [row for row in blocks if anchored is not None and row["anchored_us"] <= anchored]
        if with_it:
            yield from self._attached(max(with_it, key=lambda row: row["anchored_us"]), "the anchor")

    def _attached(self, chain_block: dict[str, Any], what: str) -> Iterator[WalkStep]:
        """The block that carried an anchor into the Tangle, and the growth of weight over it."""
        carriers = self._rows("blocks", payload=chain_block["transaction"]) if chain_block["transaction"] else []
        for block in carriers[:1]:
            name = f"block {block['block'][:8]}"
            yield block["issued_us"], block["issuer"], f"attaches {what}, in {name}", "ledger/tangle.py"
            if block["confirmed_us"] is not None:
                text = f"enough weight has grown over {name}: confirmed at the first node"
                yield block["confirmed_us"], "layer 1", text, "ledger/finality.py"

    # --------------------------------------------------------------------------------------------------- the gates

    def _gates(self) -> Iterator[WalkStep]:
        """The clearing of its own chain, and of the chains above that its residual came to."""
        for clearing in self._rows("clearings", chain=self._chain, interval=self._interval)[:1]:
            yield self._cleared(clearing, "market/clearing.py")
            if clearing["supply_wh"] != clearing["demand_wh"]:
                yield from self._sent(clearing, "the anchor that carries the residual up")
        for chain in self._above:
            for clearing in self._rows("clearings", chain=chain, interval=self._interval)[:1]:
                yield self._cleared(clearing, "market/parent.py")
                yield from self._sent(clearing, "the anchor with what it sends down and up")

    def _cleared(self, clearing: dict[str, Any], source: str) -> WalkStep:
        sides = f"supply {clearing['supply_wh']:,} Wh, demand {clearing['demand_wh']:,} Wh"
        matched = f"{clearing['matched_wh']:,} Wh matched at {_price(clearing['price'])}"
        what = f"the gate: {sides}; {matched if clearing['matched_wh'] else 'nothing to match'}"
        return clearing["timestamp_us"], clearing["chain"], what, source

    def _sent(self, clearing: dict[str, Any], what: str) -> Iterator[WalkStep]:
        """The anchor of the chain block that cleared: what it sends is in it."""
        at = clearing["timestamp_us"]
        blocks = self._rows("chain_blocks", chain=clearing["chain"])
        after = [row for row in blocks if row["timestamp_us"] is not None and row["timestamp_us"] >= at]
        if after:
            yield from self._attached(min(after, key=lambda row: row["timestamp_us"]), what)

    # ------------------------------------------------------------------------------------------------ the messages

    def _messages(self) -> Iterator[WalkStep]:
        """Residuals on their way up, results on their way down."""
        way = [self._chain, *self._above]
        for row in self._requests:
            at = _taken(row)
            if at is None or row["chain"] not in way:
                continue
            if row["kind"] == RESIDUAL and row["account"] in way:
                what = f"takes the residual of {row['account']}, an output addressed to it, as an order"
                yield at, row["chain"], what, "wasp/crosschain.py"
            elif row["kind"] == RESULT:
                what = f"takes a result of {row['account']}: lots, money, refunds"
                yield at, row["chain"], what, "market/hierarchy.py"

    # ------------------------------------------------------------------------------------------------------ money

    def _settlement(self) -> Iterator[WalkStep]:
        """The interval is final when its last result is there; at its gate, where nothing went up."""
        here = {"chain": self._chain, "interval": self._interval}
        trades = self._rows("trades", **here, home=self._home)
        moments = [_taken(row) for row in self._requests if (row["kind"], row["chain"]) == (RESULT, self._chain)]
        if all(trade["route"] == LOCAL for trade in trades):
            moments += [row["timestamp_us"] for row in self._rows("clearings", **here)]
        final = max((at for at in moments if at is not None), default=None)
        settled = self._rows("settlements", **here, home=self._home)
        if final is None or not settled:
            return
        row = settled[0]
        routes = ", ".join(f"{trade['energy_wh']:,} Wh {_route(trade['route'])}" for trade in trades)
        money, energy = abs(row["money"]), abs(row["ordered_wh"])
        mean = _price(round(money / energy)) if energy else ""
        verb = "pays" if row["side"] == "bid" else "receives"
        what = f"the interval is final: {self._home} {verb} {money / 10**6:,.2f} p for {routes}; {mean} on average"
        yield final, self._chain, what, "market/settlement.py"

    def _reading(self) -> Iterator[WalkStep]:
        settled = self._rows("settlements", chain=self._chain, interval=self._interval, home=self._home)
        for row in self._requests:
            if (row["kind"], row["chain"], row["account"]) == ("submit_reading", self._chain, self._home) and settled:
                home = settled[0]
                if row["submitted_us"] is not None:
                    energies = f"{home['load_wh']:,} Wh of load and {home['generation_wh']:,} Wh generated"
                    yield row["submitted_us"], self._home, f"after delivery: reads {energies}", "market/meter.py"
                if row["decided_us"] is not None and home["imbalance_wh"] is not None:
                    direction = "sold to" if home["imbalance_wh"] > 0 else "bought from"
                    amount = f"{abs(home['imbalance_wh']):,} Wh {direction} the main grid"
                    what = f"the reading is taken; at metering, the imbalance is settled: {amount}"
                    yield row["decided_us"], self._chain, what, "market/settlement.py"


def _taken(request: dict[str, Any]) -> Instant | None:
    """When an on-ledger request was taken, as far as the table knows."""
    return next((request[stage] for stage in ("decided_us", "anchored_us") if request[stage] is not None), None)


def _price(price: int | None) -> str:
    return "no price" if price is None else f"{price / 1000:.3f} p/kWh"


def _route(route: str) -> str:
    above = f"between microgrids at level {route.removeprefix('level')}"
    return {LOCAL: "within the microgrid", GRID: "with the main grid"}.get(route, above)
