"""Random books for the properties of the market: small numbers, so that ties, exact meetings and empty sides are common."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from market.orders import ASK, BID, Order
from market.units import Tariff

SMALL_TARIFF = Tariff(buy_price=13, sell_price=0)
"""Room for the prices 1 to 12."""
PAPER_TARIFF = Tariff(buy_price=18_900, sell_price=3_200)

sides = st.sampled_from([BID, ASK])
prices = st.integers(1, 12)
energies = st.one_of(st.integers(0, 4), st.sampled_from([7, 60]))


@st.composite
def books(draw, names_differ=True, min_size=0):
    """A tuple of orders inside the reserves of ``SMALL_TARIFF``."""
    order = st.tuples(st.sampled_from("abcdefgh"), sides, energies, prices).map(lambda fields: Order(*fields))
    unique_by = (lambda order: order.participant) if names_differ else None
    return tuple(draw(st.lists(order, min_size=min_size, max_size=8, unique_by=unique_by)))


def dearest_first(orders: Sequence[Order], side: str | None = None) -> list[int]:
    """The price of every single Wh of one side, or of both in one pool, from the dearest down."""
    chosen = [order for order in orders if side in (None, order.side)]
    return sorted((order.price for order in chosen for _ in range(order.energy)), reverse=True)
