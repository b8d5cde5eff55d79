"""Hosts, runtimes, the command line and experiments: the only floor that knows clocks, files and sockets."""
