from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.encoding import digest
from ledger.kernel.instant import MINUTE
from ledger.output import BasicOutput, ChainAddress, Expiration, OutputId, chain_id
from wasp.crosschain import Inbox, is_open, next_opening
from wasp.request import OnLedgerRequest

HERE, THERE = chain_id("net", "mg1"), chain_id("net", "mg2")
EXPIRY = 100 * MINUTE


def never_executed(request_id):
    return False


def to(target, expires_to=None, timelock=None):
    expiration = None if expires_to is None else Expiration(EXPIRY, ChainAddress(expires_to))
    return BasicOutput(5, ChainAddress(target), expiration, timelock)


def opening(output, at):
    return next_opening(output, HERE, MINUTE, at)


def test_an_output_without_conditions_may_be_taken_at_once_and_by_its_address_only():
    assert opening(to(HERE), 7) == 7
    assert opening(to(THERE), 7) is None


def test_a_target_leaves_an_output_alone_in_the_last_minute_before_it_expires():
    output = to(HERE, expires_to=THERE)
    assert is_open(output, HERE, MINUTE, EXPIRY - MINUTE - 1)
    assert opening(output, EXPIRY - MINUTE) is None
    assert opening(output, EXPIRY + MINUTE) is None


def test_the_return_address_takes_an_output_back_from_its_expiry_on():
    output = to(THERE, expires_to=HERE)
    assert not is_open(output, HERE, MINUTE, EXPIRY - 1)
    assert opening(output, 0) == EXPIRY
    assert is_open(output, HERE, MINUTE, EXPIRY)


def test_nobody_takes_an_output_before_its_timelock():
    output = to(HERE, timelock=50)
    assert opening(output, 0) == 50
    assert not is_open(output, HERE, MINUTE, 49)
    assert is_open(output, HERE, MINUTE, 50)
    assert opening(to(THERE, expires_to=HERE, timelock=EXPIRY + 3), 0) == EXPIRY + 3


@given(st.integers(0, 2 * EXPIRY), st.integers(0, 2 * EXPIRY), st.booleans())
def test_target_and_return_address_never_may_take_an_output_at_the_same_time(at, timelock, locked):
    output = to(HERE, expires_to=THERE, timelock=timelock if locked else None)
    assert not (is_open(output, HERE, MINUTE, at) and is_open(output, THERE, MINUTE, at))


def place(number):
    return OutputId(digest("place", number), 0)


def test_the_inbox_offers_what_is_open_in_the_order_of_coming_and_not_what_was_executed():
    inbox = Inbox(HERE, MINUTE)
    for number, output in enumerate((to(HERE), to(HERE, timelock=50), to(HERE), to(THERE, expires_to=HERE))):
        inbox.add(place(number), output)
    first, third = OnLedgerRequest(place(0), to(HERE)), OnLedgerRequest(place(2), to(HERE))
    assert inbox.takeable(10, never_executed) == [first, third]
    assert inbox.takeable(10, lambda request_id: request_id == first.id) == [third]
    assert inbox.next_opening(10, never_executed) == 50
    assert inbox.next_opening(50, never_executed) == EXPIRY
    assert inbox.next_opening(EXPIRY, never_executed) is None


def test_the_inbox_tells_when_a_request_may_be_taken():
    inbox, output_id = Inbox(HERE, MINUTE), OutputId(digest("locked"), 0)
    inbox.add(output_id, to(HERE, expires_to=THERE, timelock=50))
    request_id = OnLedgerRequest(output_id, to(HERE)).id
    assert [inbox.opening(request_id, at) for at in (10, 50, 60, EXPIRY)] == [50, 50, 60, None]


def test_a_spent_output_is_gone_for_good_and_the_whole_view_replaces_what_was_known():
    inbox = Inbox(HERE, MINUTE)
    inbox.add(place(0), to(HERE))
    inbox.add(place(1), to(HERE))
    inbox.remove(place(0))
    assert [request.output_id for request in inbox.takeable(0, never_executed)] == [place(1)]
    inbox.synchronize([(place(2), to(HERE))])
    assert [request.output_id for request in inbox.takeable(0, never_executed)] == [place(2)]
    assert inbox.request(OnLedgerRequest(place(2), to(HERE)).id) == OnLedgerRequest(place(2), to(HERE))
    assert inbox.request(OnLedgerRequest(place(1), to(HERE)).id) is None
