"""Members that lie, for tests and for the injection of faults."""
