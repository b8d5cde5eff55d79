"""What peer-to-peer trading was worth, against trading everything with the main grid; and at which prices.

Without a market a producer sells every Wh to the main grid at P_gs, a consumer buys every Wh from it at P_gb. The *gain* of
a side is what it got more, or paid less, than that:

    producers: money received - P_gs x Wh        consumers: P_gb x Wh - money paid

A benefit in percent needs a denominator, and there are two in use that must not be mixed up: the grid's money for the Wh
that were traded between peers (local or by any level of the hierarchy), and the grid's money for all Wh that the side had
ordered. Both are given. Sums over homes, intervals and microgrids come before the division, so every mean is weighted
by energy.

That gain is one *on what was ordered*. Orders follow forecasts, and the market has the difference to the reading settled
with the main grid, also against the home's own side; without a market a forecast error costs nothing, because only what is
metered counts. With v(x) = the main grid's money for x Wh (P_gs x above zero, P_gb x below: received above zero), for a home
that ordered o and was metered m:

    imbalance cost = v(m) - v(o) - v(m - o)        net gain = gain - imbalance cost
                                                            = money for the order + v(m - o) - v(m)

The cost is never negative (v is concave), and zero where the imbalance is on the side of the order. An interval that was
never metered counts as metered as ordered.

Invariants: (gain of producers) + (gain of consumers) = (P_gb - P_gs) x peer-to-peer Wh, whatever the prices were, because
the local prices only share this sum out (``benefit_of`` states both sides of it, as ``gain`` and ``joint``); and the net
gain of all = what all metered energy would have cost with the main grid alone - what all homes paid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from market.orders import ASK, BID, Side, reserve
from market.units import Tariff
from node.experiments.tables import Tables

GRID = "grid"
"""The route of what no microgrid could match."""
SIDES: Mapping[str, Side] = {"producers": ASK, "consumers": BID}


def chains_of(tables: Tables) -> list[tuple[str, int]]:
    """All chains that cleared or settled anything, with their levels: from the lowest level up, ``mg10`` after ``mg9``."""
    levels: dict[str, int] = dict.fromkeys(tables.settlements.column("chain"), 0)
    levels |= dict(tables.clearings.select("chain", "level"))
    return sorted(levels.items(), key=lambda chain: (chain[1], natural(chain[0])))


def natural(name: str) -> tuple[str, int]:
    """Sorts names that end in a number by that number."""
    word = name.rstrip("0123456789")
    return word, int(name[len(word) :] or 0)


def prices_of(tables: Tables) -> dict[str, dict[str, int | None]]:
    """The clearing prices of every chain: ``min``, ``mean`` (by energy, rounded), ``max``, and the ``matched_wh`` under them.

    Micro-pence per Wh; none where a chain matched nothing.
    """
    found: dict[str, list[tuple[int, int]]] = {chain: [] for chain, _ in chains_of(tables)}
    for chain, price, matched in tables.clearings.select("chain", "price", "matched_wh"):
        if price is not None and matched:
            found[chain].append((price, matched))
    return {chain: _price_range(prices) for chain, prices in found.items()}


def _price_range(prices: list[tuple[int, int]]) -> dict[str, int | None]:
    energy = sum(matched for _, matched in prices)
    return {
        "min": min((price for price, _ in prices), default=None),
        "mean": _rounded(sum(price * matched for price, matched in prices), energy),
        "max": max((price for price, _ in prices), default=None),
        "matched_wh": energy,
    }


def benefit_of(tables: Tables, tariff: Tariff) -> dict[str, Any]:
    """The benefit of both sides, in all and by microgrid, against the main grid's tariff.

    ``producers`` and ``consumers`` each hold ``wh`` (ordered), ``peer_to_peer_wh``, ``money`` (for the ordered Wh),
    ``mean_price`` of them, ``gain``, and the gain in percent of the grid's money for the peer-to-peer Wh
    (``percent_of_peer_to_peer``) and for all Wh (``percent_of_all``); ``imbalance_cost``, ``net_gain``, and that in percent
    of the grid's money for all ordered Wh (``net_percent_of_all``). ``gain`` is that of both sides, ``joint`` what it must
    be, ``imbalance_cost`` and ``net_gain`` are of both. ``chains`` holds the two sides of each microgrid.
    """
    settled = [
        # What was ordered may be kept with a sign; the side says it already.
        (chain, side, abs(wh), abs(money), _imbalance_cost(side, abs(wh), imbalance, tariff))
        for chain, side, wh, money, imbalance in tables.settlements.select(
            "chain", "side", "ordered_wh", "money", "imbalance_wh"
        )
        if wh
    ]
    traded = [
        (chain, side, energy)
        for chain, side, route, energy in tables.trades.select("chain", "side", "route", "energy_wh")
        if route != GRID
    ]

    def both_sides(chains: Iterable[str]) -> dict[str, Any]:
        named = frozenset(chains)
        sides = {}
        for name, side in SIDES.items():
            rows = [row for chain, of, *row in settled if chain in named and of == side]
            peer_to_peer = sum(energy for chain, of, energy in traded if chain in named and of == side)
            ordered, money, cost = (sum(row[place] for row in rows) for place in range(3))
            sides[name] = _side_of_the_market(side, ordered, peer_to_peer, money, cost, reserve(side, tariff))
        return sides

    microgrids = sorted(set(tables.settlements.column("chain")), key=natural)
    total = both_sides(microgrids)
    bought = total["consumers"]["peer_to_peer_wh"]
    return {
        **total,
        **{key: sum(total[side][key] for side in SIDES) for key in ("gain", "imbalance_cost", "net_gain")},
        "joint": (tariff.buy_price - tariff.sell_price) * bought,
        "peer_to_peer_wh": bought,
        "chains": {chain: both_sides([chain]) for chain in microgrids},
    }


def _imbalance_cost(side: Side, ordered: int, imbalance: int | None, tariff: Tariff) -> int:
    """What it cost to have ordered something else than was metered; none is known: nothing."""
    signed = ordered if side == ASK else -ordered
    difference = imbalance or 0
    return _at_the_grid(signed + difference, tariff) - _at_the_grid(signed, tariff) - _at_the_grid(difference, tariff)


def _at_the_grid(energy: int, tariff: Tariff) -> int:
    """What the main grid pays for Wh above zero; what it charges, below zero, for those below."""
    return energy * (tariff.sell_price if energy > 0 else tariff.buy_price)


def _side_of_the_market(
    side: Side, ordered: int, peer_to_peer: int, money: int, imbalance_cost: int, grid_price: int
) -> dict[str, Any]:
    at_the_grid = ordered * grid_price
    gain = money - at_the_grid if side == ASK else at_the_grid - money
    return {
        "wh": ordered,
        "peer_to_peer_wh": peer_to_peer,
        "money": money,
        "mean_price": _rounded(money, ordered),
        "gain": gain,
        "percent_of_peer_to_peer": _percent(gain, peer_to_peer * grid_price),
        "percent_of_all": _percent(gain, at_the_grid),
        "imbalance_cost": imbalance_cost,
        "net_gain": gain - imbalance_cost,
        "net_percent_of_all": _percent(gain - imbalance_cost, at_the_grid),
    }


def _rounded(amount: int, parts: int) -> int | None:
    """The quotient, rounded half up; none without parts."""
    return (2 * amount + parts) // (2 * parts) if parts else None


def _percent(gain: int, of: int) -> float | None:
    """With two decimals; none where there is nothing to compare with."""
    return round(100 * gain / of, 2) if of else None
