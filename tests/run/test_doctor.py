"""``rtbids doctor`` on real folders, ports and machines."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sshd

from rtbids.cli import doctor_screen
from rtbids.cli.main import cli, run
from rtbids.dicomnet import Address
from rtbids.errors import CannotWrite
from rtbids.run.doctor import conversion, disk, events, far_side, folder, receiver, script, site_key, storing
from rtbids.run.doctor.probe_folder import PREFIX, probe_folder
from rtbids.run.doctor.row import Mark, look, ok
from rtbids.stream.ssh.address import Address as SshAddress
from rtbids.stream.ssh.settings import SshOptions
from rtbids.watch import directory
from rtbids.watch.associations import Guests, networks
from rtbids.watch.changes import Changes
from rtbids.watch.finished import Rule
from rtbids.watch.folders import batches
from rtbids.watch.mounts import changes_of


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return conversion.mosaics()[:6]


def doctor(*arguments: str | Path) -> int:
    return run(cli, ["doctor", *map(str, arguments)])


def facts(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def of(found: dict, name: str) -> dict:
    return next(row for row in found["rows"] if row["name"] == name)


def test_a_folder_tells_of_files_that_are_closed_and_renamed(tmp_path):
    with probe_folder(tmp_path) as inner:
        heard = events.measure(inner, tmp_path)
    assert heard.missed == 0
    assert heard.took is not None
    assert heard.took.count == 2 * events.COUNT
    assert 0 < heard.took.median < 0.1


def test_a_folder_that_is_polled_has_no_events_to_measure(tmp_path):
    with probe_folder(tmp_path) as inner:
        assert events.measure(inner, tmp_path, poll=True).took == events.POLLED
        assert list(inner.iterdir()) == []


def test_no_watch_takes_what_is_tried(tmp_path):
    with probe_folder(tmp_path) as inner:
        events.measure(inner, tmp_path)
        faults: list[str] = []
        with pytest.raises(Exception, match="found an empty folder"):
            list(directory.instances(tmp_path, wait=False, faults=faults))
        assert faults == []
        assert list(batches(tmp_path, rule=Rule(), wait=False)) == []


def test_volumes_are_written_and_synced(tmp_path):
    found = disk.measure(tmp_path)
    assert 0 < found.written.median <= found.written.worst
    assert (tmp_path / ".probe.nii").stat().st_size == found.written.count * folder.VOLUME


def test_nothing_stays_where_something_was_tried(tmp_path):
    with contextlib.suppress(ZeroDivisionError), probe_folder(tmp_path) as inner:
        (inner / "file").touch()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_one_left_is_removed_by_the_next_and_what_is_at_work_is_not(tmp_path):
    left, others = tmp_path / f"{PREFIX}left", tmp_path / f"{PREFIX}others"
    for each in (left, others):
        each.mkdir()
    os.utime(left, (0, 0))
    with probe_folder(tmp_path):
        assert (left.exists(), others.exists()) == (False, True)


def test_a_phantom_is_converted_and_a_script_asked(files):
    found, volumes = conversion.measure(files)
    assert found.took.count == len(files) - 1
    assert script.measure(volumes).took.count == len(files) - script.WARM


def test_images_are_stored_over_the_network(files):
    assert storing.measure(files).took.count == len(files) - storing.WARM


def test_a_receiver_answers_itself():
    found = receiver.measure(Address("RTBIDS", "127.0.0.1", 0), Guests(frozenset({"MR1"})))
    assert found.echo is not None
    assert (found.aets, found.hosts) == (("MR1",), None)


def test_where_this_machine_may_not_send_it_does_not_try():
    found = receiver.measure(Address("RTBIDS", "127.0.0.1", 0), Guests(hosts=networks(("10.1.1.5",))))
    assert (found.is_tried, found.echo) == (False, None)


def test_a_busy_port_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        place = f"127.0.0.1:{busy.getsockname()[1]}"
        with pytest.raises(CannotWrite, match="address already in use"):
            receiver.measure(Address("RTBIDS", "127.0.0.1", busy.getsockname()[1]), Guests())
        assert doctor(f"dicom-scp://{place}", "--json") == 73
    found = facts(capsys)
    assert of(found, "port")["text"] == f"cannot listen on {place}: address already in use"
    assert "take another port" in of(found, "port")["do"]
    assert found["sentence"] == "It cannot work like this: look at port above."
    assert "feedback" not in found["facts"]


def test_one_screen_says_it_all_and_leaves_nothing(tmp_path, capsys):
    assert doctor(tmp_path, "--tr", "1.5") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= doctor_screen.WIDEST
    assert "This machine can give feedback 0." in out.replace("\n", " ")
    assert "at a TR of 1.5 s" in out.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_that_has_no_arrows_is_served_too(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "RTBIDS_SITE_KEY": str(tmp_path / "none")}
    command = [sys.executable, "-m", "rtbids", "doctor", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert "64 × 64 × 36".encode("latin-1") in ended.stdout
    assert b"? put back its copy" in ended.stdout


def test_the_same_facts_are_there_as_json(tmp_path, capsys):
    assert doctor(tmp_path, "--json") == 0
    found = facts(capsys)
    assert list(found["facts"]) == (
        ["versions", "machine", "clock", "site_key", "folder", "events", "disk", "conversion", "script", "feedback"]
    )
    parts = found["facts"]["feedback"]["parts"]
    assert [part["name"] for part in parts] == ["folder", "archive", "conversion", "script"]
    assert found["facts"]["feedback"]["p99"] == pytest.approx(sum(part["p99"] for part in parts))
    assert found["facts"]["disk"]["synced"]["count"] > 0


def test_where_one_happens_to_be_is_no_fault(monkeypatch, capsys):
    if not Path("/proc/self").exists():
        pytest.skip("no /proc, which nobody may write")
    monkeypatch.chdir("/proc")
    assert doctor("--json") == 0
    assert "name the folder that you mean" in [row["do"] for row in facts(capsys)["rows"]]


def test_a_missing_folder_and_a_file_in_place_of_one_are_said(tmp_path, capsys):
    assert doctor(tmp_path / "nowhere", "--json") == 66
    assert of(facts(capsys), "folder")["text"] == f"there is nothing at {tmp_path / 'nowhere'}"
    (tmp_path / "file").touch()
    assert doctor(tmp_path / "file", "--json") == 64
    assert of(facts(capsys), "folder")["text"] == f"{tmp_path / 'file'} is no folder"


@pytest.mark.skipif(os.getuid() != 0 or not Path("/proc/self").exists(), reason="needs root, and /proc")
def test_a_folder_that_cannot_be_written_though_it_seems_so_is_said(capsys):
    assert doctor("/proc", "--json") == 73
    assert of(facts(capsys), "disk")["text"] == "/proc cannot be written"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc, which nobody may write")
def test_a_folder_that_may_only_be_read_is_watched_and_not_tried(capsys):
    assert doctor("/proc/self", "--json") == 0
    found = facts(capsys)
    assert of(found, "writing")["mark"] == "look here"
    assert "events" not in found["facts"]
    assert "after a volume is here" in found["sentence"]


def test_a_folder_in_memory_is_looked_at(capsys):
    if folder.place(Path("/dev/shm")).filesystem != "tmpfs":
        pytest.skip("/dev/shm is no tmpfs here")
    assert doctor("/dev/shm", "--json") == 0
    assert of(facts(capsys), "folder")["why"].startswith("in memory")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://host"], "expected a folder, ssh://"),
        ([".", "/"], "one folder, one ssh:// and one dicom-scp:// at a time"),
        ([".", "--allow-aet", "MR1"], "of the DICOM network"),
        (["ssh://user:secret@host"], "a password has no place"),
        ([".", "--tr", "0"], "Invalid value"),
    ],
)
def test_what_is_no_place_is_a_usage_fault(arguments, said, capsys):
    assert doctor(*arguments) == 64
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["missing", "open to others", "damaged"])
def test_the_site_key_is_judged(damage, tmp_path, monkeypatch):
    path = tmp_path / "site.key"
    monkeypatch.setenv("RTBIDS_SITE_KEY", str(path))
    if damage != "missing":
        site_key.Key.make(path)
        assert site_key.examine().rows[0].mark is Mark.OK
        assert path.read_text().split()[-1] not in str(site_key.examine())
    if damage == "open to others":
        path.chmod(0o644)
    elif damage == "damaged":
        path.write_text("rtbids site key 1 12")
    (row,) = site_key.examine().rows
    assert (row.mark, row.code) == {
        "missing": (Mark.LOOK, 0),
        "open to others": (Mark.CANNOT, 64),
        "damaged": (Mark.CANNOT, 65),
    }[damage]


def test_an_unreachable_host_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert doctor(f"ssh://me@127.0.0.1:{port}", "--json") == 75
    assert of(facts(capsys), "ssh")["text"] == f"127.0.0.1:{port} refuses connections on port {port}"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[sshd.Sshd]:
    with sshd.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def test_the_way_to_another_machine_is_measured(server, files):
    _, volumes = conversion.measure(files)
    found = far_side.measure(SshAddress.parse(server.address), _options(server), volumes)
    assert found.known_by == f"{server.folder / 'known_hosts'}:1"
    assert found.machine["cores"] >= 1
    assert 0 < found.trip.median < found.crossing.p99
    assert min(found.out, found.back) > 1e6  # loopback takes 100 times that
    assert found.compression == ""  # loopback is faster than any compressor
    assert abs(found.offset or 0.0) <= (found.uncertainty or 0.0) + 0.05  # one and the same clock


def test_a_host_that_is_not_known_is_said_with_its_key(server, tmp_path, capsys):
    (tmp_path / "known_hosts").touch()
    options = ["--identity", server.folder / "id", "--known-hosts", tmp_path / "known_hosts"]
    assert doctor(server.address, *options, "--json") == 74
    row = of(facts(capsys), "ssh")
    assert sshd.fingerprint(server.folder / "host_key.pub") in row["text"]
    assert "ssh-keygen -l" in row["do"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_that_is_stopped_leaves_nothing(number, code, tmp_path):
    temporary = tmp_path / "tmp"
    export = tmp_path / "export"
    temporary.mkdir()
    export.mkdir()
    command = [sys.executable, "-m", "rtbids", "doctor", str(export)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, text=True) as process:
        _until_something_is_tried(export)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert said.startswith("rtbids: stopped")
    assert "Traceback" not in said
    assert (list(export.iterdir()), list(temporary.iterdir())) == ([], [])


class _Interrupted(list):
    """Volumes during which the user presses Ctrl-C."""

    def __getitem__(self, number):
        raise KeyboardInterrupt


def test_one_that_is_stopped_leaves_nothing_on_the_far_side(server):
    with pytest.raises(KeyboardInterrupt):
        far_side.measure(SshAddress.parse(server.address), _options(server), _Interrupted([None]))
    for file in server.folder.glob("far/rtbids/run/*/*.json"):  # unless it has ended already
        with contextlib.suppress(OSError, ValueError):
            descriptor = os.pidfd_open(json.loads(file.read_text())["pid"])
            assert select.select([descriptor], [], [], 20)[0]
            os.close(descriptor)
    assert list(server.folder.glob("far/rtbids/run/*/*.json")) == []


def _options(server: sshd.Sshd) -> SshOptions:
    return SshOptions(server.folder / "id", server.folder / "known_hosts")


def _wait(changes: Changes, is_so: Callable[[], bool]) -> None:
    while not is_so():
        assert select.select([changes.fileno()], [], [], 30)[0]
        changes.read()


def _until_something_is_tried(export: Path) -> None:
    with contextlib.closing(changes_of(export, poll=False)) as changes:
        _wait(changes, lambda: any(export.iterdir()))


def test_a_row_goes_on_under_its_text_and_a_path_is_never_broken():
    path = "/data/" + "a" * 90
    text = doctor_screen.lines(look("folder", f"{path}: ext4, a folder with one long name", "why", "what to do"), 80)
    shown = [line.plain for line in text]
    assert path in shown[0] + shown[1]
    assert [line[:23] for line in shown[1:]] == [" " * 23] * (len(shown) - 1)
    assert shown[-1].strip() == "→ what to do"


def test_what_another_machine_says_cannot_move_the_cursor():
    (line,) = doctor_screen.lines(ok("far side", "Python \x1b[2J"), 80)
    assert "\x1b" not in line.plain
