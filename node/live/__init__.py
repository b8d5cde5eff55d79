"""The live node: the same hosts as processes, with real sockets, clocks and disks."""
