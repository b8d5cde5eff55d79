"""The files of identities: what is written is read again, each damage is told with file and field, secrets stay secret."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ledger.kernel.automaton import NodeId
from node.configuration import ConfigurationError
from node.configuration_file import load_configuration
from node.identities import HostSecrets, PublicIdentities, deal_identities
from node.live.identity_files import read_public, read_secrets, write_public, write_secrets
from node.plan import plan_of
from tests.harness.small_run import write_small

A1, TANGLE1 = NodeId("a1"), NodeId("tangle1")
TOKEN = "t" * 16
GENESIS = bytes(range(32))
Dealt = tuple[PublicIdentities, dict[NodeId, HostSecrets]]


@pytest.fixture(scope="module")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> Dealt:
    return deal_identities(1, plan_of(load_configuration(write_small(tmp_path_factory.mktemp("small")))))


def problems_of(reading) -> tuple[Any, ...]:
    with pytest.raises(ConfigurationError) as caught:
        reading()
    return caught.value.problems


def changed(path: Path, field: str, value: Any) -> None:
    """Replace, or take away, one field of a JSON file."""
    document = json.loads(path.read_text())
    *way, last = field.split(".")
    place = document
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if value is None:
        del place[last]
    elif isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
    path.write_text(json.dumps(document))


def test_public_identities_are_read_as_they_were_written(dealt, tmp_path):
    public, _ = dealt
    write_public(tmp_path / "public.json", GENESIS, public)
    assert read_public(tmp_path / "public.json") == (GENESIS, public)


@pytest.mark.parametrize("host", [A1, TANGLE1])
def test_secrets_are_read_as_they_were_written_and_nobody_else_may_read_them(dealt, tmp_path, host):
    public, secrets = dealt
    path = tmp_path / "secret.json"
    write_secrets(path, secrets[host], TOKEN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_secrets(path, public) == (secrets[host], TOKEN)


def test_no_secret_is_written_over_another(dealt, tmp_path):
    _, secrets = dealt
    write_secrets(tmp_path / "secret.json", secrets[A1], TOKEN)
    with pytest.raises(FileExistsError):
        write_secrets(tmp_path / "secret.json", secrets[TANGLE1], TOKEN)


def test_a_secret_that_everybody_can_read_is_refused_and_a_groups_is_not(dealt, tmp_path):
    public, secrets = dealt
    path = tmp_path / "secret.json"
    write_secrets(path, secrets[A1], TOKEN)
    path.chmod(0o640)
    assert read_secrets(path, public) == (secrets[A1], TOKEN)
    path.chmod(0o604)
    told = f"{path}: everybody has access, mode 0604: expected 0600 (chmod 600 {path})"
    assert problems_of(lambda: read_secrets(path, public)) == (told,)


FOUR = "expected 4, one for each member, not 0"
FIELDS = "expected one of members, signing, coin, decryption, opening_keys"
KEY = "expected 64 hexadecimal digits, a public key"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("format", "something else", "format: expected a file with 'tanglegrid public identities, 1'"),
        ("genesis", "00", "genesis: expected 64 hexadecimal digits, a digest"),
        ("hosts.a1", "00" * 32, f"hosts.a1: {KEY}"),
        ("hosts.a1", 17, f"hosts.a1: {KEY}"),
        ("hosts.a1", None, "chains.north.members: 'a1' is none of hosts|chains.town.members: 'a1' is none of hosts"),
        ("chains.north.coin", None, "chains.north.coin: is missing: expected a value"),
        ("chains.north.opening_keys.2", "zz" * 32, f"chains.north.opening_keys.2: {KEY}"),
        ("chains.north.signing.public_shares", [], f"chains.north.signing.public_shares: {FOUR}"),
        ("chains.north.members", ["a1", "a1", "a2", "a3"], "chains.north.members: expected each member once"),
        ("chains.north.colour", "red", f"chains.north.colour: is no field: {FIELDS}"),
    ],
)
def test_each_damage_of_public_identities_is_told_by_its_field(dealt, tmp_path, field, value, told):
    path = tmp_path / "public.json"
    write_public(path, GENESIS, dealt[0])
    changed(path, field, value)
    assert problems_of(lambda: read_public(path)) == tuple(f"{path}: {line}" for line in told.split("|"))


SCALAR = "expected 64 hexadecimal digits, a scalar below the group's order"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("host", "nobody", "host: 'nobody' is none of the public identities' hosts"),
        ("host", "", "host: expected a name: a letter, then letters, digits, - or _, at most 32"),
        ("signing", "0f", "signing: expected 64 hexadecimal digits, a secret"),
        ("signing", "0f" * 32, "signing: is not the secret of a1's public key"),
        ("chains.north.coin", "ff" * 32, f"chains.north.coin: {SCALAR}"),
        ("chains.north.coin", "0f" * 32, "chains.north.coin: is not the secret of a1's public share"),
        ("chains.north", "0f" * 32, "chains.north: expected a table of fields"),
        ("chains.north", None, "chains.north: is missing: a1 is a member"),
        ("api_token", "0f" * 7, "api_token: expected at least 16 characters"),
    ],
)
def test_each_damage_of_secrets_is_told_by_its_field_and_nothing_of_the_secret_is(dealt, tmp_path, field, value, told):
    public, secrets = dealt
    path = tmp_path / "secret.json"
    write_secrets(path, secrets[A1], TOKEN)
    changed(path, field, value)
    assert problems_of(lambda: read_secrets(path, public)) == (f"{path}: {told}",)
    assert "0f0f" not in str(problems_of(lambda: read_secrets(path, public)))


def test_what_is_no_json_is_told_with_its_line(dealt, tmp_path):
    path = tmp_path / "public.json"
    assert problems_of(lambda: read_public(path)) == (f"{path}: can't be read: No such file or directory",)
    path.write_text('{\n"format": }')
    assert problems_of(lambda: read_public(path)) == (f"{path}:2:11: expected JSON: Expecting value",)
    path.write_bytes(b"\xff\xfe")
    assert problems_of(lambda: read_public(path)) == (f"{path}: expected JSON in UTF-8",)
    path.write_text("[1]")
    assert problems_of(lambda: read_public(path)) == (
        f"{path}: format: expected a file with 'tanglegrid public identities, 1'",
    )


def test_no_secret_is_in_the_public_file(dealt, tmp_path):
    public, secrets = dealt
    write_public(tmp_path / "public.json", GENESIS, public)
    text = (tmp_path / "public.json").read_text()
    for secret in secrets.values():
        write_secrets(tmp_path / f"{secret.host}.json", secret, TOKEN)
        document = json.loads((tmp_path / f"{secret.host}.json").read_text())
        assert document["signing"] not in text
        assert not [value for member in document["chains"].values() for value in member.values() if value in text]
