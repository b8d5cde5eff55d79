"""Protocols with a leader, and what they share."""
