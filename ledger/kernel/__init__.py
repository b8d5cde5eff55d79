"""Floor 0: the shape of every protocol participant, and the primitives that all of them share."""
