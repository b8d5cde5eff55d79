"""Tables that look like those of a real run, made in a moment: a made-up sun, a made-up Tangle, and real sharing."""

import math
import random
from collections.abc import Sequence
from typing import Any

from market.sharing import Lot, uniform_price_correction
from market.units import Tariff
from node.experiments.benefit import benefit_of, prices_of
from node.experiments.energy_balance import balance_of
from node.experiments.results import versions
from node.experiments.tables import Tables

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
BUY, SELL = 18_900, 3_200
LEDGER_NODES = ("tangle1", "tangle2", "tangle3", "tangle4")
FIRST_DELIVERY = HOUR
GATE, PARENT_GATE = 12 * MINUTE, 9 * MINUTE
ROUNDS = 4


class ExampleRun:
    """Fills the tables interval by interval."""

    def __init__(
        self, chains: int = 3, homes: int = 5, intervals: int = 24, parent: bool = True, seed: int = 1
    ) -> None:
        self.rng = random.Random(seed)
        self.tables = Tables()
        self.microgrids = [f"mg{i + 1}" for i in range(chains)]
        self.homes = {
            chain: [f"home{i * homes + j + 1}" for j in range(homes)] for i, chain in enumerate(self.microgrids)
        }
        self.parent = "community" if parent else None
        self.heights = dict.fromkeys([*self.microgrids, "community"], 0)
        self.payloads: list[tuple[int, str]] = []
        for interval in range(intervals):
            self._trade(interval)
        self._issue_blocks()
        for kind, bytes_each in (("Echo", 210), ("Ready", 120), ("BVal", 60), ("GossipedBlock", 640)):
            messages = self.rng.randrange(20_000, 90_000)
            self.tables.messages.add(kind, messages, messages * bytes_each)

    # ------------------------------------------------------------------------------------------------- the market

    def _orders(self, chain: str, interval: int) -> dict[str, int]:
        """Signed Wh by home: bought above zero."""
        shift = 12 if chain == "mg3" else 0
        sun = max(0.0, math.sin(((interval - shift) % 24 - 6) / 12 * math.pi))
        draws = {}
        for place, home in enumerate(self.homes[chain]):
            size = (0.2, 1.5, 0.7, 1.1, 0.4)[place % 5]
            load = 600 + 900 * math.exp(-(((interval % 24) - 19) ** 2) / 8) + self.rng.randrange(400)
            draws[home] = int(load - 3200 * size * sun * self.rng.uniform(0.7, 1.1))
        return draws

    def _trade(self, interval: int) -> None:
        start = FIRST_DELIVERY + interval * HOUR
        orders = {chain: self._orders(chain, interval) for chain in self.microgrids}
        cleared = {chain: self._clear(chain, 0, interval, orders[chain], start - GATE) for chain in self.microgrids}
        residuals = {chain: sum(orders[chain].values()) for chain in self.microgrids}
        lots: dict[str, list[Lot]] = {chain: [] for chain in self.microgrids}
        if self.parent:
            matched, price = self._clear(self.parent, 1, interval, residuals, start - PARENT_GATE)
            for side in (1, -1):
                left = matched
                for chain in self.microgrids:
                    energy = min(left, max(0, side * residuals[chain]))
                    left -= energy
                    if energy and price is not None:
                        lots[chain].append(Lot(1, energy, price))
        for chain in self.microgrids:
            self._settle(chain, interval, orders[chain], cleared[chain], lots[chain])
        self._run_chains(interval, start, orders)

    def _clear(self, chain: str, level: int, interval: int, book: dict[str, int], gate: int) -> tuple[int, int | None]:
        demand = sum(energy for energy in book.values() if energy > 0)
        supply = -sum(energy for energy in book.values() if energy < 0)
        matched = min(supply, demand)
        price = None
        if matched:
            target = BUY - (BUY - SELL) * supply // (supply + demand)
            price = min(BUY - 1, max(SELL + 1, target + self.rng.randrange(-800, 800)))
        for number in range(1, ROUNDS + 1):
            apart = 0 if price is None else (ROUNDS - number) * self.rng.randrange(-900, 900)
            tentative = None if price is None else min(BUY - 1, max(SELL + 1, price + apart))
            self.tables.rounds.add(chain, level, interval, number, tentative, supply, demand)
        self.tables.clearings.add(chain, level, interval, price, supply, demand, matched, gate + 200_000)
        return matched, price

    def _settle(
        self, chain: str, interval: int, book: dict[str, int], cleared: tuple[int, int | None], lots: Sequence[Lot]
    ) -> None:
        matched, price = cleared
        money = {}
        for side, sign in (("bid", 1), ("ask", -1)):
            ordered = {home: sign * energy for home, energy in book.items() if sign * energy > 0}
            long_side = sign * sum(book.values()) > 0
            grid = BUY if side == "bid" else SELL
            part = uniform_price_correction(ordered, matched, price, lots if long_side else [], grid, interval)
            routes = [("local", price)]
            routes += [(f"level{lot.level}", lot.price) for lot in (lots if long_side else [])]
            routes.append(("grid", grid))
            for share in part.shares:
                money[share.participant] = share.money
                for (route, route_price), energy in zip(routes, share.energies, strict=True):
                    if energy:
                        self.tables.trades.add(chain, interval, share.participant, side, route, energy, route_price)
        for home, energy in book.items():
            side = "bid" if energy > 0 else "ask"
            imbalance = self.rng.randrange(-120, 121)
            load = max(0, 300 + energy - imbalance)
            generation = load - energy + imbalance
            self.tables.settlements.add(
                chain, interval, home, side, abs(energy), money.get(home, 0), load, generation,
                generation - load, imbalance, imbalance * (SELL if imbalance > 0 else BUY), 0,
            )  # fmt: skip

    # ------------------------------------------------------------------------------------------------- the chains

    def _run_chains(self, interval: int, start: int, orders: dict[str, dict[str, int]]) -> None:
        for chain in self.microgrids:
            for number in range(ROUNDS):
                opened = start - GATE - (ROUNDS - number) * MINUTE
                for home, energy in orders[chain].items():
                    if energy:
                        self._order(chain, interval, home, energy, opened + self.rng.randrange(20 * SECOND))
            self._chain_block(chain, start - GATE + 400_000, 0)
            for home in self.homes[chain]:
                self._request(chain, "submit_reading", home, interval, start + HOUR + self.rng.randrange(30 * SECOND))
        if self.parent:
            for chain in self.microgrids:
                self._request(self.parent, "submit_residual", chain, interval, start - GATE + 6 * SECOND)
            self._chain_block(self.parent, start - PARENT_GATE + 400_000, 0)
            for chain in self.microgrids:
                self._request(chain, "receive_result", self.parent, interval, start - PARENT_GATE + 6 * SECOND)

    def _order(self, chain: str, interval: int, home: str, energy: int, at: int) -> None:
        side = "bid" if energy > 0 else "ask"
        price = self.rng.randrange(SELL + 1, BUY)
        request = self._request(chain, "submit_order", home, interval, at)
        self.tables.orders.add(request, chain, interval, home, side, abs(energy), price, at)

    def _request(self, chain: str, kind: str, account: str, interval: int, at: int) -> str:
        request = f"{len(self.tables.requests.rows):08x}" + "c" * 56
        batch = at + int(self.rng.lognormvariate(math.log(250_000), 0.4))
        decided = batch + int(self.rng.lognormvariate(math.log(400_000), 0.2))
        confirmed = decided + self._chain_block(chain, decided - 30_000, 1)
        self.tables.requests.add(
            request, chain, kind, account, interval, at, batch, decided, decided + 90_000, confirmed, "ok"
        )  # fmt: skip
        return request

    def _chain_block(self, chain: str, decided: int, requests: int) -> int:
        """How long its confirmation took."""
        self.heights[chain] += 1
        index = self.heights[chain]
        transaction = f"{len(self.payloads):08x}" + "a" * 56
        confirmation = int(self.rng.lognormvariate(math.log(3_200_000), 0.25))
        self.payloads.append((decided + 80_000, transaction))
        self.tables.chain_blocks.add(
            chain, index, index, decided - 200_000, decided, decided + 80_000, decided + confirmation, requests, 0,
            transaction, "confirmed",
        )  # fmt: skip
        return confirmation

    # ------------------------------------------------------------------------------------------------- the Tangle

    def _issue_blocks(self) -> None:
        """Every payload once, and every node's activity each 2 s while something waits for confirmation."""
        moments = [(at + self.rng.randrange(40_000, 500_000), transaction) for at, transaction in self.payloads]
        activity = {
            at // (2 * SECOND) * 2 * SECOND + k * 2 * SECOND + place * 500_000
            for at, _ in moments
            for k in range(3)
            for place in range(len(LEDGER_NODES))
        }
        moments += [(at, "") for at in sorted(activity)]
        tips: list[tuple[int, str]] = []
        for number, (at, payload) in enumerate(sorted(moments)):
            block = f"{number:08x}" + "b" * 56
            place = at // 500_000 % len(LEDGER_NODES) if not payload else self.rng.randrange(len(LEDGER_NODES))
            seen = [tip for tip in tips if tip[0] < at - 500_000][-8:]
            strong = self.rng.sample(seen, min(len(seen), 2 if payload else 4)) if seen else tips[-1:]
            weak = [tip for tip in seen if tip not in strong][: self.rng.choice([0, 0, 1])]
            tips = [*[tip for tip in tips if tip not in strong][-12:], (at, block)]
            accepted = at + self.rng.randrange(1_200_000, 2_000_000)
            self.tables.blocks.add(
                block, LEDGER_NODES[place], at, payload, " ".join(tip[1] for tip in strong),
                " ".join(tip[1] for tip in weak), 21, accepted, accepted + self.rng.randrange(600_000, 1_500_000),
            )  # fmt: skip


def example_tables(**sizes: Any) -> Tables:
    """The tables of an example run; sizes as in ``ExampleRun``."""
    return ExampleRun(**sizes).tables


def example_manifest(seed: int = 1) -> dict[str, Any]:
    """What the manifest of a run has."""
    return {
        "configuration": {
            "scenario": {"name": "example", "seed": seed, "intervals": 24},
            "market": {"grid_charges": "18.9", "grid_pays": "3.2", "interval": "1h"},
        },
        "seed": seed,
        "first_delivery_us": FIRST_DELIVERY,
        "interval_us": HOUR,
        "weight_percent": {"accepted": 45, "confirmed": 67},
        "versions": versions(),
        "digest": "5a" * 32,
    }


def example_summary(tables: Tables) -> dict[str, Any]:
    """What the summary of a run has."""
    settled = tables.settlements.select("load_wh", "generation_wh", "imbalance_wh")
    trades = tables.trades.select("side", "route", "energy_wh")

    def traded(side: str, *routes: str) -> int:
        return sum(wh for of, route, wh in trades if of == side and (route in routes or route[:5] in routes))

    def stage(place: int) -> dict[str, int | None]:
        name = ("in_batch_us", "decided_us", "anchored_us", "confirmed_us")[place]
        rows = tables.requests.select("submitted_us", name)
        taken = sorted(then - at for at, then in rows if then is not None)
        return {f"p{p}": taken[(len(taken) - 1) * p // 100] if taken else None for p in (50, 95, 99)}

    energy = {
        "demand": sum(load for load, _, _ in settled),
        "generation": sum(generation for _, generation, _ in settled),
        "self_consumed": sum(min(load, generation) for load, generation, _ in settled),
        "local": traded("bid", "local"),
        "between_microgrids": traded("bid", "level"),
        "grid_bought": traded("bid", "grid"),
        "grid_sold": traded("ask", "grid"),
        "imbalance_bought": -sum(wh for _, _, wh in settled if wh is not None and wh < 0),
        "imbalance_sold": sum(wh for _, _, wh in settled if wh is not None and wh > 0),
    }
    chains = dict.fromkeys(tables.chain_blocks.column("chain"))
    money = 10**15
    return {
        "digest": "5a" * 32,
        "seed": 1,
        "energy_wh": energy,
        "energy_balance_wh": balance_of(tables, energy),
        "money_micropence": {"before": money, "after": money},
        "latency_us": {name: stage(i) for i, name in enumerate(("in_batch", "decided", "anchored", "confirmed"))},
        "chains": {
            chain: {
                "blocks": tables.chain_blocks.column("chain").count(chain),
                "anchors_confirmed": tables.chain_blocks.column("chain").count(chain),
            }
            for chain in chains
        },
        "missed_gates": {"home": 0, "chain": 0},
        "unsettled": [],
        "invariants": {"supply is constant": 1440, "energy of a home adds up": 360, "receipts verify": 2160},
        "violations": [],
        "prices": prices_of(tables),
        "benefit": benefit_of(tables, Tariff(BUY, SELL)),
        "layer1": {
            "nodes": len(LEDGER_NODES),
            "blocks": len(tables.blocks.rows),
            "payload_blocks": len([payload for payload in tables.blocks.column("payload") if payload]),
            "messages": sum(tables.messages.column("messages")),
            "bytes": sum(tables.messages.column("bytes")),
        },
        "warnings": [],
    }
