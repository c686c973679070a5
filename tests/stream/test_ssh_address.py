"""What a connection's address may look like, and what is no address."""

from __future__ import annotations

import pytest

from rtbids.errors import UsageFault
from rtbids.stream.ssh.address import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://cloud", Address("cloud")),
        ("ssh://me@cloud.example:2222/data/export", Address("cloud.example", "me", 2222, "/data/export")),
        ("ssh://me@[::1]:22/x", Address("::1", "me", 22, "/x")),
        ("ssh://[fe80::1%eth0]/", Address("fe80::1%eth0", path="/")),
        ("ssh://10.0.0.7/C/my data", Address("10.0.0.7", path="/C/my data")),
        ("ssh://dom%5Cme@cloud/a%20b", Address("cloud", "dom\\me", None, "/a b")),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize("text", ["ssh://me@cloud:2222/data", "ssh://cloud", "ssh://me@[::1]:22/x"])
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "cloud",
        "ssh://",
        "ssh://@cloud",
        "ssh:///data",
        "ssh://cloud:0",
        "ssh://cloud:65536",
        "ssh://cloud:ssh",
        "ssh://a b",
        "http://cloud",
        "ssh://-oProxyCommand=x",
        "ssh://-l@cloud",
    ],
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageFault) as refused:
        Address.parse(text)
    assert "ssh://user@host" in str(refused.value.hint)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageFault, match="no place in a command line") as refused:
        Address.parse("ssh://me:s3cret@cloud")
    assert "s3cret" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("text", ["s3/cret@host", "s3@cret@host", "s3@cret@host:99999", "s3 cret@host", "s3@cret/x@host"])
def test_nothing_of_a_password_is_said_wherever_it_may_end(text: str) -> None:
    with pytest.raises(UsageFault) as refused:
        Address.parse(f"ssh://u:{text}")
    said = f"{refused.value} {refused.value.hint}"
    assert "s3" not in said
    assert "cret" not in said
    assert "host" in said


@pytest.mark.parametrize("bad", ["%22", "%27", "%20", "%0A", "%00", "%1B", "%7F", "%C2%85", "%60", "%3B", "%24"])
@pytest.mark.parametrize("text", ["ssh://m{}e@cloud", "ssh://me@clo{}ud"])
def test_what_a_shell_or_a_terminal_would_take_for_more_than_a_name_is_in_none(text: str, bad: str) -> None:
    with pytest.raises(UsageFault, match="a name that no user and no host has") as refused:
        Address.parse(text.format(bad))
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("text", ["ssh://%2Dl@cloud", "ssh://%2DoProxyCommand=x", "ssh://me%5C@cloud"])
def test_a_dash_at_the_beginning_is_found_behind_its_code(text: str) -> None:
    with pytest.raises(UsageFault, match="a name that no user and no host has"):
        Address.parse(text)
