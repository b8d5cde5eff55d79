"""Layer 2: committee chains that agree on batches of requests and anchor their state in layer 1."""
