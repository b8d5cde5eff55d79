"""A rejection carries a word for programs and a sentence for people."""

import pytest

from ledger.kernel.rejection import Rejected, require


def test_a_rejection_has_a_code_and_a_detail():
    rejected = Rejected("bad_signature", "request.signature: a signature of the account's key expected")
    assert (rejected.code, rejected.detail, str(rejected)) == (
        "bad_signature",
        "request.signature: a signature of the account's key expected",
        "bad_signature: request.signature: a signature of the account's key expected",
    )


def test_what_is_required_and_not_so_is_rejected():
    require(True, "never", "said")
    with pytest.raises(Rejected, match="energy: at least 1 Wh expected") as caught:
        require(False, "energy", "at least 1 Wh expected")
    assert caught.value.code == "energy"
