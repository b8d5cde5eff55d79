"""The settlement of an interval, as pure arithmetic: what every home traded, by which route, and for how much.

**Trading.** When an interval is final, each side of the book is settled by the uniform price correction: the local match,
the lots of the hierarchy in rising level, and the rest with the main grid. Under full matching one side is all local.
A buyer paid its escrow, energy x P_gb, with its order; it gets back what it did not cost. A seller is paid.

    |ordered| = local + sum of levels + grid                       (for every home)
    sum of buyers' costs = sum of sellers' money within the book + what levels and grid are paid

**Metering.** A home's reading is generation less load. Imbalance = metered - ordered, both signed, is bought from the grid
at P_gb where it is negative and sold at P_gs where it is positive, also against the home's own side: who ordered too much
sells the rest. A home without a reading is settled as if metered = ordered, and marked ``assumed``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from ledger.kernel.encoding import Frozen
from market.book import SIDES, ClearingRow, MeteredRow, MeteringRow, ReadingRow, Residual, RoutesRow, ShareRow, lots_of
from market.orders import ASK, BID, Order, Side, reserve
from market.sharing import Lot, RoutedShare, uniform_price_correction
from market.units import MicroPence, Tariff


class TradeSettlement(Frozen):
    """A final interval: the share of every home that had an order, by name, and the sums."""

    shares: tuple[tuple[str, ShareRow], ...]
    routes: RoutesRow

    def money_to_utility(self, tariff: Tariff) -> MicroPence:
        """What the grid's energy costs the buyers."""
        return self.routes.grid_bought * tariff.buy_price

    def money_of_utility(self, tariff: Tariff) -> MicroPence:
        """What the grid pays the sellers."""
        return self.routes.grid_sold * tariff.sell_price


class MeteringSettlement(Frozen):
    """Metered against ordered for every home, by name, and the sums."""

    metered: tuple[tuple[str, MeteredRow], ...]
    sums: MeteringRow


def settle_trades(
    clearing: ClearingRow, residuals: Mapping[Side, Residual], tariff: Tariff, interval: int
) -> TradeSettlement:
    """Settle both sides of a book whose residuals, by side, are closed."""
    shares: list[tuple[str, ShareRow]] = []
    levels: dict[int, dict[Side, int]] = {}
    grid = dict.fromkeys(SIDES, 0)
    for side in SIDES:
        orders = [order for order in clearing.orders if order.side == side]
        if not orders:
            continue
        residual = residuals.get(side)
        lots = lots_of(residual.lots) if residual else ()
        correction = uniform_price_correction(
            {order.participant: order.energy for order in orders},
            clearing.matched,
            clearing.price if clearing.matched else None,
            lots,
            reserve(side, tariff),
            interval,
        )
        for lot in lots:
            levels.setdefault(lot.level, dict.fromkeys(SIDES, 0))[side] += lot.energy
        grid[side] = correction.energies[-1]
        shares.extend(_share_rows(side, clearing, lots, correction.shares))
    routes = RoutesRow(
        clearing.matched,
        tuple((level, energies[BID], energies[ASK]) for level, energies in sorted(levels.items())),
        grid[BID],
        grid[ASK],
        clearing.price if clearing.matched else None,
    )
    return TradeSettlement(tuple(sorted(shares, key=itemgetter(0))), routes)


def signed_energy(order: Order | None) -> int:
    """An order as a meter would read it: what is sold above zero, what is bought below."""
    if order is None:
        return 0
    return order.energy if order.side == ASK else -order.energy


def settle_metering(
    homes: Sequence[str], orders: Mapping[str, Order], readings: Mapping[str, ReadingRow], tariff: Tariff
) -> MeteringSettlement:
    """Settle the imbalance of every home."""
    metered = []
    for home in homes:
        ordered, reading = signed_energy(orders.get(home)), readings.get(home)
        net = ordered if reading is None else reading.net
        imbalance = net - ordered
        price = tariff.sell_price if imbalance > 0 else tariff.buy_price
        metered.append((home, MeteredRow(net, imbalance, imbalance * price, reading is None)))
    imbalances = [row.imbalance for _, row in metered]
    sums = MeteringRow(
        sum(reading.load for reading in readings.values()),
        sum(reading.generation for reading in readings.values()),
        sum(min(reading.load, reading.generation) for reading in readings.values()),
        -sum(imbalance for imbalance in imbalances if imbalance < 0),
        sum(imbalance for imbalance in imbalances if imbalance > 0),
        sum(row.assumed for _, row in metered),
    )
    return MeteringSettlement(tuple(metered), sums)


def _share_rows(
    side: Side, clearing: ClearingRow, lots: Sequence[Lot], shares: Sequence[RoutedShare]
) -> list[tuple[str, ShareRow]]:
    """What stands in the state of the shares of one side."""
    sign = 1 if side == ASK else -1
    rows = []
    for portion in shares:
        local, *hierarchy, grid = portion.energies
        levels = tuple((lot.level, energy) for lot, energy in zip(lots, hierarchy, strict=True))
        price = clearing.price if clearing.matched else None
        row = ShareRow(side, sum(portion.energies), local, levels, grid, sign * portion.money, price)
        rows.append((portion.participant, row))
    return rows
