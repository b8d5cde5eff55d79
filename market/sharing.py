"""How integers are shared, and the uniform price correction.

**Apportionment.** A total is shared in proportion to weights: everybody gets the floor, then one unit each goes to those
with the largest fractional parts (Hamilton's method). Ties go by the smallest (rank + k) mod n, where rank is the place,
from 0, among those who share (whose weight is not zero) sorted by name, n is how many share, and k is the delivery
interval: the odd unit goes round, nobody is favoured for ever. The amounts add up to the total, each is less than one
unit away from its exact share, and nobody gets more than its weight when the total is not more than all weights.

**Routes.** The energy of the long side of a microgrid comes from several routes: the local market, the levels of the
hierarchy from the lowest up, the main grid. Each route is shared in turn, in proportion to what each participant still
lacks.

**Uniform price correction.** Within a microgrid everybody on the long side shares alike, whatever route its own energy
came by. With the local price p for Q Wh, E_l Wh at the price p_l from each level, and G Wh with the grid, the long side's
total is

    C = Q p + sum of E_l p_l + G P_grid

shared in proportion to energy. C is a magnitude; the side gives the sign: buyers pay it, sellers receive it. The short
side trades all its energy at p and knows nothing of the hierarchy, so what the long side pays is exactly what the short
side, the levels and the grid receive (and the other way round). Since each price lies within the grid's, so does each
participant's mean, also after rounding: an escrow at the grid's price always suffices.

One consequence of Hamilton's method: when C falls because a level found a partner, nobody loses more than the one
micro-penny of rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from ledger.kernel.encoding import Natural, Value
from market.units import MicroPence, MicroPencePerWattHour, WattHours


class Lot(Value):
    """Energy that a level of the hierarchy matched: level 1 is the parent chain, 2 its parent, and so on."""

    level: Natural
    energy: Natural
    price: Natural


class RoutedShare(Value):
    """What one participant of the long side got: its energy by route, and the money that it pays or receives for all.

    The routes are the local market, then the lots in their order, then the main grid.
    """

    participant: str
    energies: tuple[WattHours, ...]
    money: MicroPence


class Correction(Value):
    """The long side of a microgrid after the uniform price correction: totals by route, and the shares by name."""

    energies: tuple[WattHours, ...]
    money: MicroPence
    shares: tuple[RoutedShare, ...]


def apportion(total: int, weights: Sequence[int], interval: int) -> list[int]:
    """Share a total among weights that are listed in the order of rank: one amount for each weight."""
    whole = sum(weights)
    if not whole:
        assert total == 0, "something to share, and nobody to share it"
        return [0] * len(weights)
    amounts = [total * weight // whole for weight in weights]
    left = total - sum(amounts)
    if left:
        places = [place for place, weight in enumerate(weights) if weight]
        n = len(places)
        turns = sorted(
            (-(total * weights[place] % whole), (rank + interval) % n, place) for rank, place in enumerate(places)
        )
        for _, _, place in turns[:left]:
            amounts[place] += 1
    return amounts


def share(total: int, weights: Mapping[str, int], interval: int) -> dict[str, int]:
    """Share a total in proportion to the weights by participant. The result is in the order of the names."""
    names = sorted(weights)
    return dict(zip(names, apportion(total, [weights[name] for name in names], interval), strict=True))


def route_shares(
    ordered: Mapping[str, WattHours], routes: Sequence[WattHours], interval: int
) -> list[dict[str, WattHours]]:
    """Share the energy of the routes, one after another, by what each participant still lacks of what it ordered."""
    assert sum(routes) <= sum(ordered.values()), "more energy came than was ordered"
    lacking = dict(ordered)
    shares = []
    for energy in routes:
        portion = share(energy, lacking, interval)
        for name, amount in portion.items():
            lacking[name] -= amount
        shares.append(portion)
    return shares


def uniform_price_correction(
    ordered: Mapping[str, WattHours],
    local_energy: WattHours,
    local_price: MicroPencePerWattHour | None,
    lots: Sequence[Lot],
    grid_price: MicroPencePerWattHour,
    interval: int,
) -> Correction:
    """Settle the long side of a microgrid, once all that its hierarchy could match is known.

    ``ordered`` is the long side's energy by participant, ``local_energy`` (Q) and ``local_price`` (p, None without a local
    match) are the local clearing's, ``lots`` come in rising level; what none of them covers is traded with the grid.
    """
    assert all(lower.level < upper.level for lower, upper in pairwise(lots)), "levels must rise"
    assert local_price is not None or local_energy == 0, "a local match has a price"
    matched = [local_energy, *(lot.energy for lot in lots)]
    routes = (*matched, sum(ordered.values()) - sum(matched))
    assert routes[-1] >= 0, "more energy came than was ordered"
    prices = (local_price or 0, *(lot.price for lot in lots), grid_price)
    money = sum(energy * price for energy, price in zip(routes, prices, strict=True))
    portions = route_shares(ordered, routes, interval)
    payments = share(money, ordered, interval)
    shares = tuple(
        RoutedShare(name, tuple(portion[name] for portion in portions), payment) for name, payment in payments.items()
    )
    return Correction(routes, money, shares)
