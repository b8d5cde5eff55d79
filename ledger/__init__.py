"""Layer 1: the Tangle, a DAG ledger with tip selection, proof of work, UTXO and vote-weighted finality."""
