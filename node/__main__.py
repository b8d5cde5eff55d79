"""``python -m node`` is ``tanglegrid``: how a cluster's nodes are started, wherever the script is."""

from __future__ import annotations

from node.cli import main

if __name__ == "__main__":
    main(prog_name="tanglegrid")
