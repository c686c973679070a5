"""Host keys against files that ``ssh-keygen`` itself made and looks through."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
import sshd

from rtbids.errors import StreamBroken
from rtbids.stream.ssh import known_hosts
from rtbids.stream.ssh.known_hosts import Key

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="no ssh-keygen (apt-get install openssh-client)")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Key, str]]:
    """Public keys of two types, and one more of the first: the key, and its text in a file."""
    folder, made = tmp_path_factory.mktemp("keys"), {}
    for name, kind in (("first", "ed25519"), ("other", "ed25519"), ("rsa", "rsa"), ("ecdsa", "ecdsa")):
        sshd.make_key(folder / name, kind)
        kind, content = (folder / f"{name}.pub").read_text().split()[:2]
        made[name] = (Key(kind, base64.b64decode(content)), f"{kind} {content}")
        shown = subprocess.run(
            ["ssh-keygen", "-l", "-f", str(folder / name)], capture_output=True, text=True, check=True
        ).stdout
        assert made[name][0].fingerprint == shown.split()[1]
    return made


def written(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ("cloud", "cloud"),
        ("Cloud,10.0.0.7", "10.0.0.7"),
        ("*.example,!bad.example", "good.example"),
        ("[cloud]:2222", "[cloud]:2222"),
        ("[*]:2222", "[cloud]:2222"),
        ("clou?", "cloud"),
    ],
)
def test_a_host_is_found_by_its_names_and_patterns(
    names: str, label: str, tmp_path: Path, keys: dict[str, tuple[Key, str]]
) -> None:
    file = written(tmp_path / "known_hosts", "# a remark", f"{names} {keys['first'][1]} comment")
    assert [(found.key, found.place) for found in known_hosts.known(label, [file])] == [(keys["first"][0], f"{file}:2")]


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ("cloud", "cloudy"),
        ("cloud", "[cloud]:2222"),
        ("[cloud]:2222", "cloud"),
        ("*.example,!bad.example", "bad.example"),
    ],
)
def test_another_host_is_not_found(names: str, label: str, tmp_path: Path, keys: dict[str, tuple[Key, str]]) -> None:
    assert known_hosts.known(label, [written(tmp_path / "known_hosts", f"{names} {keys['first'][1]}")]) == []


@pytest.mark.parametrize("label", ["cloud", "[cloud]:2222"])
def test_a_host_whose_name_ssh_keygen_has_hashed_is_found(label: str, tmp_path: Path, keys: dict[str, tuple[Key, str]]) -> None:
    file = written(tmp_path / "known_hosts", f"elsewhere {keys['other'][1]}", f"{label} {keys['first'][1]}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert "cloud" not in file.read_text()
    assert [found.key for found in known_hosts.known(label, [file])] == [keys["first"][0]]


def test_damaged_lines_authorities_and_absent_files_say_nothing(tmp_path: Path, keys: dict[str, tuple[Key, str]]) -> None:
    file = written(
        tmp_path / "known_hosts",
        "cloud ssh-ed25519 %%%",
        "cloud",
        "|1|x cloud",
        f"|1|nothing|else {keys['first'][1]}",
        f"@cert-authority cloud {keys['first'][1]}",
        "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
    )
    assert known_hosts.known("cloud", [file, tmp_path / "absent"]) == []


def test_the_server_is_asked_for_the_sorts_of_key_that_it_is_known_by(tmp_path: Path, keys: dict[str, tuple[Key, str]]) -> None:
    offered = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
    file = written(tmp_path / "known_hosts", f"cloud {keys['rsa'][1]}", f"cloud {keys['ecdsa'][1]}")
    order = known_hosts.algorithms(known_hosts.known("cloud", [file]), offered)
    assert order == ["rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp256", "ssh-ed25519"]


def test_a_changed_key_says_where_the_known_one_stands_and_both_fingerprints(
    tmp_path: Path, keys: dict[str, tuple[Key, str]]
) -> None:
    file = written(tmp_path / "known_hosts", f"cloud {keys['rsa'][1]}", f"cloud {keys['first'][1]}")
    found = known_hosts.known("cloud", [file])
    with pytest.raises(StreamBroken, match="has changed") as refused:
        known_hosts.check("cloud", keys["other"][0], found, [file])
    for part in (keys["other"][0].fingerprint, keys["first"][0].fingerprint, f"{file}:2"):
        assert part in str(refused.value)
    removed = str(refused.value.hint).partition("; if it is right, ")[2].partition(" forgets")[0]
    subprocess.run(removed, shell=True, check=True, capture_output=True)  # noqa: S602  what the user would type
    assert known_hosts.known("cloud", [file]) == []


def test_a_revoked_key_is_refused_though_it_is_known_and_its_fingerprint_given(
    tmp_path: Path, keys: dict[str, tuple[Key, str]]
) -> None:
    key, text = keys["first"]
    file = written(tmp_path / "known_hosts", f"cloud {text}", f"@revoked * {text}")
    with pytest.raises(StreamBroken, match=r"revoked in .*:2"):
        known_hosts.check("cloud", key, known_hosts.known("cloud", [file]), [file], key.fingerprint)
