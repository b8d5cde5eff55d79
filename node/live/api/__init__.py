"""The HTTP interface of a live node: what it tells, what it takes, and the document that describes both."""
