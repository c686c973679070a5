"""The table of who became whom is on disk encrypted only, and the stock age tool opens it."""

import csv
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rtbids.deidentify.linkage import Link, Linkage
from rtbids.errors import CannotWrite, UsageFault

pyrage = pytest.importorskip("pyrage", reason="the extra crypt is not installed")

LINK = Link("MRN-4711", "P01", "ACC9", "A01", "1.2.3", "2.25.3", "1.2.3.4", "2.25.4", -64_321)


@pytest.fixture
def identity():
    return pyrage.x25519.Identity.generate()


def opened(path, identity):
    return list(csv.DictReader(pyrage.decrypt(path.read_bytes(), [identity]).decode().splitlines(), delimiter="\t"))


def test_who_holds_the_key_reads_who_became_whom(tmp_path, identity):
    linkage = Linkage(tmp_path / "links.tsv.age", [str(identity.to_public())])
    linkage.add(LINK)
    linkage.add(LINK)  # the second image of the series
    linkage.add(Link("Müller", "P02", "", "", "1.2.5", "2.25.5", "1.2.5.6", "2.25.6", None))
    linkage.write()
    rows = opened(tmp_path / "links.tsv.age", identity)
    assert [row["patient_id"] for row in rows] == ["MRN-4711", "Müller"]
    assert rows[0]["new_series_instance_uid"] == "2.25.4"
    assert rows[0]["shift_days"] == "-64321"
    assert rows[1]["accession_number"] == rows[1]["shift_days"] == "n/a"


@pytest.mark.skipif(not shutil.which("age"), reason="the age tool is not installed")
def test_the_stock_age_tool_opens_it(tmp_path):
    key = tmp_path / "key.txt"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
    linkage = Linkage(tmp_path / "links.age", [public])
    linkage.add(LINK)
    linkage.write()
    table = subprocess.run(["age", "-d", "-i", key, tmp_path / "links.age"], check=True, capture_output=True, text=True).stdout
    assert "MRN-4711\tP01" in table


def test_nothing_readable_and_nothing_half_written_is_on_disk(tmp_path, identity):
    linkage = Linkage(tmp_path / "links.age", [str(identity.to_public())])
    linkage.add(LINK)
    assert list(tmp_path.iterdir()) == []
    linkage.write()
    (file,) = tmp_path.iterdir()
    assert b"MRN-4711" not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_table_without_a_link_leaves_no_file(tmp_path, identity):
    Linkage(tmp_path / "links.age", [str(identity.to_public())]).write()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_refused_before_any_work(tmp_path, identity):
    (tmp_path / "links.age").write_text("another study's")
    with pytest.raises(CannotWrite, match="there already"):
        Linkage(tmp_path / "links.age", [str(identity.to_public())])


def test_a_file_that_came_meanwhile_is_not_overwritten(tmp_path, identity):
    linkage = Linkage(tmp_path / "links.age", [str(identity.to_public())])
    linkage.add(LINK)
    (tmp_path / "links.age").write_text("another study's")
    with pytest.raises(CannotWrite, match="there already"):
        linkage.write()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("links.age", "another study's")]


def test_a_folder_that_is_not_there_is_said_before_any_work(tmp_path, identity):
    with pytest.raises(CannotWrite, match="no such folder"):
        Linkage(tmp_path / "none/links.age", [str(identity.to_public())])


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write into")
def test_a_folder_that_cannot_be_written_is_said_in_a_line_before_any_work(identity):
    with pytest.raises(CannotWrite, match="cannot write"):
        Linkage(Path("/proc/self/links.age"), [str(identity.to_public())])


@pytest.mark.parametrize("text", ["age1nonsense", "", "ssh-ed25519 nonsense", "hello"])
def test_what_is_no_public_key_is_refused(tmp_path, text):
    with pytest.raises(UsageFault, match="expected a public key"):
        Linkage(tmp_path / "links.age", [text])


def test_a_key_that_was_mistyped_is_told_from_what_is_none(tmp_path, identity):
    key = str(identity.to_public())
    typed = key[:20] + ("q" if key[20] != "q" else "p") + key[21:]
    with pytest.raises(UsageFault, match="its checksum is wrong"):
        Linkage(tmp_path / "links.age", [typed])


def test_the_key_of_the_how_to_has_the_shape_of_one(tmp_path, repository):
    page = (repository / "docs/how-to/deidentify-by-recipe.rst").read_text(encoding="utf-8")
    keys = set(re.findall(r"age1[0-9a-z]+", page))
    assert len(keys) == 1
    Linkage(tmp_path / "links.age", [*keys])


def test_a_secret_key_is_refused_and_not_repeated(tmp_path, identity):
    secret = str(identity)
    with pytest.raises(UsageFault, match="a secret key") as caught:
        Linkage(tmp_path / "links.age", [secret])
    assert secret not in f"{caught.value} {caught.value.hint}"


def test_without_a_recipient_nobody_could_read_it(tmp_path):
    with pytest.raises(UsageFault, match="needs --linkage-recipient"):
        Linkage(tmp_path / "links.age", [])
