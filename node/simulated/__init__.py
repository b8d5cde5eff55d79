"""The deterministic discrete-event runtime."""
