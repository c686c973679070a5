"""New identifiers from the site's key: the same each time, and nobody's without it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from rtbids.deidentify.mapping import Identifiers, Key, Mapping, key_path
from rtbids.errors import BadData, CannotWrite, InputMissing, UsageFault

KEY = Key(bytes(range(32)))
OLD = "1.3.12.2.1107.5.2.32.35131.2014031012580590504189357"


def test_a_new_uid_is_a_uuid_of_version_8_as_a_decimal_number() -> None:
    new = Mapping(KEY).uid(OLD)
    number = uuid.UUID(int=int(new.removeprefix("2.25.")))
    assert new.startswith("2.25.")
    assert len(new) <= 64
    assert (number.version, number.variant) == (8, uuid.RFC_4122)


def test_another_process_gives_the_same() -> None:
    script = (
        "from rtbids.deidentify.mapping import Key, Mapping; m = Mapping(Key(bytes(range(32))));"
        f"print(m.uid('{OLD}'), m.patient('4711'), m.shift('4711'))"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    here = Mapping(KEY)
    assert there == [here.uid(OLD), here.patient("4711"), str(here.shift("4711"))]


def test_with_another_key_everything_differs() -> None:
    one, other = Mapping(KEY), Mapping(Key(bytes(range(1, 33))))
    assert one.uid(OLD) != other.uid(OLD)
    assert one.patient("4711") != other.patient("4711")
    assert sum(one.shift(str(n)) == other.shift(str(n)) for n in range(100)) < 3  # 1 in 9131 by chance


def test_patients_and_uids_do_not_meet() -> None:
    mapping = Mapping(KEY)
    assert len({mapping.uid(f"1.2.{n}") for n in range(5000)}) == 5000
    assert len({mapping.patient(str(n)) for n in range(5000)}) == 5000


def test_dates_of_our_time_land_in_1925_or_earlier_and_no_more_than_two_centuries_back() -> None:
    shifts = [Mapping(KEY).shift(str(n)) for n in range(2000)]
    assert max(shifts) <= -64_000  # days: 175 years
    assert min(shifts) > -73_200
    assert max(shifts) - min(shifts) > 8_000  # spread over all of the 25 years


def test_identifiers_of_a_service_take_the_place_of_the_keyed_ones() -> None:
    given = Mapping(KEY).with_identifiers(lambda patient, accession: Identifiers(f"new {patient} {accession}"))
    assert given.identifiers is not None
    assert given.identifiers("a", "b") == Identifiers("new a b")
    assert Mapping(KEY).identifiers is None


def test_a_key_is_the_owners_alone_and_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "site.key"
    made = Key.make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert Key.load(path) == made
    assert [other.name for other in path.parent.iterdir()] == ["site.key"]


def test_two_keys_differ(tmp_path: Path) -> None:
    assert Key.make(tmp_path / "a") != Key.make(tmp_path / "b")


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    made = Key.make(tmp_path / "site.key")
    with pytest.raises(CannotWrite, match="already") as error:
        Key.make(tmp_path / "site.key")
    assert "without --new-key" in str(error.value.hint)
    assert Key.load(tmp_path / "site.key") == made


def test_a_missing_key_is_an_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="no site key") as error:
        Key.load(tmp_path / "site.key")
    assert "--new-key" in str(error.value.hint)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [b"", b"rtbids site key 1 ", b"rtbids site key 1 zz", b"0" * 64, bytes(83), b"\xff" * 83])
def test_a_damaged_key_is_an_error(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "site.key"
    path.write_bytes(damage)
    path.chmod(0o600)
    with pytest.raises(BadData, match="no site key, or a damaged one"):
        Key.load(path)


def test_a_key_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    Key.make(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(BadData, match="damaged"):
        Key.load(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "site.key"
    Key.make(path)
    path.chmod(mode)
    with pytest.raises(UsageFault, match="can be read by others") as error:
        Key.load(path)
    assert "chmod 600" in str(error.value.hint)


def test_a_key_is_not_shown() -> None:
    assert KEY.secret.hex() not in repr(KEY) + str(KEY) + repr(Mapping(KEY))


def test_where_the_key_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RTBIDS_SITE_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/of/mine")
    assert key_path() == Path("/etc/of/mine/rtbids/site.key")
    monkeypatch.setenv("RTBIDS_SITE_KEY", "/elsewhere/key")
    assert key_path() == Path("/elsewhere/key")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_key_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CannotWrite, match="cannot write"):
        Key.make(tmp_path / "site.key")
