"""The energy market: orders, clearing, settlement, the hierarchy of microgrids and those who bid in it."""
