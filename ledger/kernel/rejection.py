"""A rejection: an input is invalid. (A *fault* is something else: a peer broke the protocol.)

Pure checks of untrusted input raise ``Rejected``; the automaton at whose door the input came in catches it and turns it
into a fault against the sender, an answer to the submitter, or a receipt. It never crosses an automaton's door.
"""


class Rejected(Exception):
    """An input is invalid.

    ``code`` is a stable word for programs and counters ("bad_signature"), ``detail`` a sentence for people that names
    the field and what was expected.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def require(condition: bool, code: str, detail: str) -> None:
    """Raise ``Rejected(code, detail)`` unless the condition holds."""
    if not condition:
        raise Rejected(code, detail)
