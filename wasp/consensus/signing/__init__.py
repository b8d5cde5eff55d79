"""How a committee signs its anchor."""
