"""The virtual machine of a chain: contracts, sandbox, gas and the execution of a batch."""
