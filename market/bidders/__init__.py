"""Bidding strategies."""
