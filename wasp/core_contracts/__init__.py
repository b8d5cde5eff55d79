"""The contracts that every chain has: accounts, blocklog, governance and root."""
