"""The market's units, and the prices of the main grid.

Energy is counted in watt-hours, prices in micro-pence per watt-hour, money in micro-pence, all in integers: every product
of energy and price is exact, and every node computes the same. 18.9 p/kWh is 18,900 micro-pence per Wh.

People write and read kWh, p/kWh and pence. The conversions go through decimals, never through floats, and refuse by name
what is finer than the unit: nothing is rounded on the way in.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import TypeAlias

from ledger.kernel.encoding import Value
from ledger.kernel.rejection import Rejected, require

WattHours: TypeAlias = int
"""Energy in Wh."""
MicroPence: TypeAlias = int
"""Money in millionths of a penny."""
MicroPencePerWattHour: TypeAlias = int
"""A price. A thousand of them are 1 p/kWh."""

AMOUNT_MAX = 10**12
"""The largest kWh or p/kWh that people may write: beyond every market, and small enough for every decimal here."""
_DECIMAL_PLACES = 3
"""1 kWh is 10^3 Wh, and 1 p/kWh is 10^3 micro-pence per Wh."""
_PENNY_PLACES = 6
"""1 p is 10^6 micro-pence."""
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])


class Tariff(Value):
    """The main grid's prices, the *reserves* of the market: nobody buys dearer, nobody sells cheaper than there.

    ``buy_price`` (P_gb) is what a home pays the grid per Wh, ``sell_price`` (P_gs) what the grid pays a home. At least one
    price lies strictly between them. Errors: ``Rejected("bad_tariff", ...)``.
    """

    buy_price: MicroPencePerWattHour
    sell_price: MicroPencePerWattHour

    def __post_init__(self) -> None:
        require(self.sell_price >= 0, "bad_tariff", f"the grid's sell price is {self.sell_price}, at least 0 expected")
        require(
            self.buy_price - self.sell_price >= 2,
            "bad_tariff",
            f"the grid's buy price is {self.buy_price}, at least {self.sell_price + 2} expected: 2 above its sell price",
        )

    @property
    def lowest_price(self) -> MicroPencePerWattHour:
        """The lowest price that an order may play: one above what the grid pays."""
        return self.sell_price + 1

    @property
    def highest_price(self) -> MicroPencePerWattHour:
        """The highest price that an order may play: one below what the grid takes."""
        return self.buy_price - 1

    def clamp(self, price: MicroPencePerWattHour) -> MicroPencePerWattHour:
        """The price that an order may play and that is nearest to this one."""
        return max(self.lowest_price, min(price, self.highest_price))


def price_of(pence_per_kilowatt_hour: str | int | Decimal) -> MicroPencePerWattHour:
    """A price that people wrote: 18.9 p/kWh is 18,900.

    Errors: ``Rejected`` with code ``not_a_number``, ``out_of_range`` (negative, or above ``AMOUNT_MAX``) or ``too_fine``
    (finer than 0.001 p/kWh).
    """
    return _thousandths(pence_per_kilowatt_hour, "p/kWh")


def energy_of(kilowatt_hours: str | int | Decimal) -> WattHours:
    """An energy that people wrote: 0.42 kWh is 420.

    Errors: ``Rejected`` with code ``not_a_number``, ``out_of_range`` (negative, or above ``AMOUNT_MAX``) or ``too_fine``
    (finer than 1 Wh).
    """
    return _thousandths(kilowatt_hours, "kWh")


def pence_per_kilowatt_hour(price: MicroPencePerWattHour) -> Decimal:
    """A price as people read it: 18,900 is 18.900 p/kWh."""
    return Decimal(price).scaleb(-_DECIMAL_PLACES, _EXACT)


def kilowatt_hours(energy: WattHours) -> Decimal:
    """An energy as people read it: 420 is 0.420 kWh."""
    return Decimal(energy).scaleb(-_DECIMAL_PLACES, _EXACT)


def pence(money: MicroPence) -> Decimal:
    """Money as people read it: 1,500,000 is 1.500000 p."""
    return Decimal(money).scaleb(-_PENNY_PLACES, _EXACT)


def _thousandths(amount: str | int | Decimal, unit: str) -> int:
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise Rejected("not_a_number", f"{amount!r} is not a decimal number of {unit}") from None
    require(value.is_finite(), "not_a_number", f"{amount!r} is not a finite number of {unit}")
    require(0 <= value <= AMOUNT_MAX, "out_of_range", f"{amount} {unit}, between 0 and {AMOUNT_MAX} expected")
    try:
        scaled = value.scaleb(_DECIMAL_PLACES, _EXACT)
    except Inexact:
        scaled = Decimal("0.5")
    require(scaled == scaled.to_integral_value(), "too_fine", f"{amount} {unit} is finer than 0.001 {unit}")
    return int(scaled)
