"""Files at the console: those in the folders that are allowed are read and written, and no others whatever a name says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rtbids.errors import CannotWrite, InputMissing, RtbidsError, UsageFault
from rtbids.run.console import allowed, call, searching
from rtbids.run.console.call import Call, Refused, TooLate
from rtbids.run.console.console import Console
from rtbids.run.console.files import Files

SECRET = b"not for the script"


def console(*texts: str) -> Console:
    return Console(Files([allowed.parse(text) for text in texts]).answer)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Return a folder that is allowed, beside one that is not."""
    folder = tmp_path / "export"
    (folder / "series").mkdir(parents=True)
    (folder / "protocol.txt").write_bytes(b"TR 1000\r\n")
    (folder / "series" / "one.txt").write_text("1")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "one.txt").write_bytes(SECRET)
    return folder


def test_a_file_is_read_byte_for_byte_by_its_relative_and_its_absolute_name(export):
    at_console = console(f"{export}:.txt")
    for name in ("protocol.txt", "./protocol.txt", str(export / "protocol.txt")):
        assert at_console.read(name) == b"TR 1000\r\n"
    assert at_console.text("series/one.txt") == "1"
    assert at_console.read(Path("series") / "one.txt") == b"1"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../secret/one.txt", "no '..'"),
        ("series/../../secret/one.txt", "no '..'"),
        ("{export}/../secret/one.txt", "no '..'"),
        ("{export}/../export/protocol.txt", "no '..'"),
        ("/etc/passwd", "lies in no allowed folder"),
        ("{export}2/one.txt", "lies in no allowed folder"),
        ("//etc/passwd", "lies in no allowed folder"),
        ("link.txt", "is a link"),
        ("inward.txt", "is a link"),
        ("dangling.txt", "is a link"),
        ("outside/one.txt", "outside is a link"),
        ("protocol.csv", r"only \.txt are allowed"),
        ("series", r"only \.txt are allowed"),
        (".txt", "hidden"),
        (".hidden.txt", "hidden"),
        (".git/one.txt", "hidden"),
        ("one\n.txt", "control characters"),
        ("one\0.txt", "control characters"),
        ("one\x1b[31m.txt", "control characters"),
        ("", "expected the name of a file"),
        ("folder.txt", "is no file"),
        ("pipe.txt", "is no file"),
        ("x" * 5000, "at most 4096 characters"),
    ],
)
@pytest.mark.parametrize("kind", ["read", "write"])
def test_what_leads_out_is_refused_and_nothing_is_touched(export, name, says, kind):
    (export / "link.txt").symlink_to("../secret/one.txt")
    (export / "inward.txt").symlink_to("protocol.txt")
    (export / "dangling.txt").symlink_to("../secret/new.txt")
    (export / "outside").symlink_to("../secret")
    (export / "protocol.csv").write_bytes(SECRET)
    (export / ".hidden.txt").write_bytes(SECRET)
    (export / "folder.txt").mkdir()
    os.mkfifo(export / "pipe.txt")
    before = sorted(export.parent.rglob("*"))
    at_console = console(f"{export}:.txt")
    name = name.format(export=export)
    with pytest.raises(UsageFault, match=says):
        at_console.read(name) if kind == "read" else at_console.write(name, b"x")
    assert sorted(export.parent.rglob("*")) == before
    assert (export.parent / "secret" / "one.txt").read_bytes() == SECRET
    assert (export / "protocol.txt").read_bytes() == b"TR 1000\r\n"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/tty"])
def test_a_device_is_refused_without_being_opened(device):
    with pytest.raises(UsageFault, match="is no file"):
        console("/dev").read(device)


def test_without_an_allowed_folder_the_option_to_give_is_said():
    with pytest.raises(UsageFault, match=r"--allow DIR"):
        console().read("protocol.txt")
    with pytest.raises(UsageFault, match=r"--allow DIR"):
        Console().newest("*.txt")


def test_an_allowed_folder_that_has_become_a_link_is_refused(export):
    at_console = console(str(export))
    export.rename(export.parent / "moved")
    export.symlink_to("secret")
    with pytest.raises(UsageFault, match="export is a link"):
        at_console.read("one.txt")


def test_an_allowed_folder_may_be_named_by_a_link_of_the_experimenters_own(export):
    (export.parent / "short").symlink_to(export)
    at_console = console(f"{export.parent}/short")
    assert at_console.read("series/one.txt") == b"1"
    assert at_console.newest(f"{export.parent}/short/series/*") == f"{export.parent}/short/series/one.txt"


SWAPPER = """
import os, sys
folder, aside, link = sys.argv[1:]
def both_ways():
    os.symlink("../secret", link)
    os.rename(folder, aside)
    os.rename(link, folder)
    yield
    os.unlink(folder)
    os.rename(aside, folder)
    yield
print("begun", flush=True)
while True:
    for _ in both_ways():
        for _ in range(2000):
            pass
"""


@contextmanager
def swapped(folder: Path) -> Iterator[None]:
    """Have another process make a folder be itself and a link to another one in turn, many times a second."""
    names = [str(folder), str(folder.with_name("aside")), str(folder.with_name("link"))]
    process = subprocess.Popen([sys.executable, "-c", SWAPPER, *names], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        assert process.poll() is None, "it has swapped to the end"
    finally:
        process.kill()
        process.communicate()


def test_a_folder_that_is_replaced_by_a_link_while_it_is_walked_leads_nowhere(export):
    at_console, secret = console(str(export)), export.parent / "secret"
    found, refused, until = set(), set(), time.monotonic() + 2.0
    with swapped(export / "series"):
        while time.monotonic() < until:
            try:
                found.add(at_console.read("series/one.txt"))
                at_console.write("series/two.txt", b"2")
                found.update(entry.name for entry in at_console.list("series"))
            except RtbidsError as error:
                refused.add(type(error))
    assert found <= {b"1", "series/one.txt", "series/two.txt"}
    assert b"1" in found
    assert Refused in refused  # else the link was never there when the folder was asked for
    assert [path.name for path in secret.iterdir()] == ["one.txt"]


def test_a_file_that_is_too_long_is_refused(export):
    with (export / "long.txt").open("wb") as file:
        file.truncate(call.MOST + 1)
    at_console = console(str(export))
    with pytest.raises(UsageFault, match="more than 64 MB"):
        at_console.read("long.txt")
    os.truncate(export / "long.txt", call.MOST)
    assert len(at_console.read("long.txt")) == call.MOST
    with pytest.raises(UsageFault, match="more than 64 MB"):
        at_console.write("new.txt", bytes(call.MOST + 1))
    assert not (export / "new.txt").exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a file that is longer than it says: /proc")
def test_a_file_that_is_longer_than_it_says_is_read_whole():
    """Those of /proc say 0 bytes, as does a file that was empty when it was opened."""
    at_console = console(f"/proc/{os.getpid()}")
    assert Path("/proc/self/limits").stat().st_size == 0
    assert at_console.read("limits") == Path("/proc/self/limits").read_bytes()


@pytest.mark.parametrize("name", ["Schädel 頭.txt", "cafe\u0301.txt", "\u3000.txt", "a:b,c.TXT", "one*[1]?.txt", "\\..\\x.txt"])
def test_names_are_any_that_a_file_may_have(export, name):
    at_console = console(f"{export}:.txt")
    at_console.write(name, name)
    assert (export / name).read_text() == at_console.text(name) == name
    assert name in [entry.name for entry in at_console.list()]


def test_a_name_that_is_no_text_is_left_out_of_lists(export):
    (export / os.fsdecode(b"caf\xe9.txt")).write_text("latin 1")
    assert [entry.name for entry in console(str(export)).list()] == ["protocol.txt"]


def test_half_a_character_in_a_name_or_a_text_is_refused(export):
    at_console = console(str(export))
    with pytest.raises(UsageFault, match="half a character"):
        at_console.read("\ud800.txt")
    with pytest.raises(UsageFault, match="half a character"):
        at_console.write("new.txt", "\ud800")


def test_the_newest_is_the_one_written_to_last_in_folders_that_match(export):
    for age, name in enumerate(["series/one.txt", "protocol.txt"]):
        os.utime(export / name, (1000 - age, 1000 - age))
    (export / "series" / "two.dat").write_text("newer")
    (export / "series" / ".three.txt").write_text("newer")
    (export / "series" / "link.txt").symlink_to("two.dat")
    at_console = console(f"{export}:.txt")
    assert at_console.newest("*.txt") == "protocol.txt"
    assert at_console.newest("*/*.txt") == at_console.newest("series/*") == "series/one.txt"
    assert at_console.newest(f"{export}/s*/*") == f"{export}/series/one.txt"
    assert at_console.read(at_console.newest("s*/o*")) == b"1"
    assert at_console.newest("*.csv") is None
    assert at_console.newest("no_such/*.txt") is None


def test_a_list_has_names_sizes_and_times_in_order_and_no_links(export):
    (export / "b.txt").write_text("bb")
    os.utime(export / "b.txt", (5, 1234.5))
    (export / "link.txt").symlink_to("b.txt")
    at_console = console(f"{export}:.txt")
    (b, protocol) = at_console.list()
    assert (b.name, b.size, b.modified) == ("b.txt", 2, 1234.5)
    assert protocol.name == "protocol.txt"
    assert [entry.name for entry in at_console.list("series")] == ["series/one.txt"]
    assert at_console.list(pattern="*.csv") == ()
    with pytest.raises(InputMissing, match="no such file"):
        at_console.list("no_such")


def test_a_list_that_would_be_too_long_asks_for_a_pattern(export, monkeypatch):
    monkeypatch.setattr(searching, "MOST_ENTRIES", 3)
    for index in range(5):
        (export / f"{index}.txt").touch()
    at_console = console(str(export))
    with pytest.raises(UsageFault, match="more than 3 files"):
        at_console.list()
    assert len(at_console.list(pattern="[0-2].txt")) == 3


def test_of_several_folders_the_prefix_decides_or_the_first_that_has_it(tmp_path):
    for name in ("a", "b", "a/in"):
        (tmp_path / name).mkdir()
    (tmp_path / "b" / "only.txt").write_text("b")
    (tmp_path / "b" / "both.txt").write_text("b")
    (tmp_path / "a" / "both.txt").write_text("a")
    (tmp_path / "a" / "in" / "x.csv").write_text("in")
    at_console = console(f"{tmp_path}/a:.txt", f"{tmp_path}/b", f"{tmp_path}/a/in:.csv")
    assert at_console.text("both.txt") == "a"
    assert at_console.text("only.txt") == at_console.text(f"{tmp_path}/b/both.txt") == "b"
    assert at_console.text(f"{tmp_path}/a/in/x.csv") == "in"
    with pytest.raises(UsageFault, match=r"only \.csv"):
        at_console.write(f"{tmp_path}/a/in/x.txt", "")
    at_console.write("new.dat", "")
    assert (tmp_path / "b" / "new.dat").exists()
    assert at_console.newest("*.csv") == "x.csv"
    with pytest.raises(InputMissing, match="no such file"):
        at_console.read("neither.txt")


def test_a_file_is_written_whole_and_for_its_owner_alone(export):
    at_console = console(f"{export}:.txt")
    at_console.write("series/new.txt", "né")
    at_console.write(str(export / "protocol.txt"), b"")
    assert (export / "series" / "new.txt").read_bytes() == "né".encode()
    assert (export / "series" / "new.txt").stat().st_mode & 0o777 == 0o600
    assert (export / "protocol.txt").read_bytes() == b""
    assert sorted(path.name for path in (export / "series").iterdir()) == ["new.txt", "one.txt"]
    with pytest.raises(InputMissing, match="no such file"):
        at_console.write("no_such/new.txt", b"")


def test_a_link_that_is_put_in_the_place_of_a_file_is_replaced_and_not_followed(export, monkeypatch):
    """The link comes between the look and the new name."""
    victim, rename = export.parent / "secret" / "one.txt", os.rename

    def late(*names, **folders):
        (export / "new.txt").symlink_to(victim)
        rename(*names, **folders)

    monkeypatch.setattr(os, "rename", late)
    console(str(export)).write("new.txt", b"mine")
    assert not (export / "new.txt").is_symlink()
    assert victim.read_bytes() == SECRET


WRITER = """
import os, signal, sys
from rtbids.run.console import allowed, writing
from rtbids.run.console.console import Console
from rtbids.run.console.files import Files
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
Console(Files([allowed.parse(sys.argv[1])]).answer).write("protocol.txt", b"new" * 1000000)
"""


def test_a_write_that_is_killed_half_way_leaves_the_old_file(export):
    done = subprocess.run([sys.executable, "-c", WRITER, str(export)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (export / "protocol.txt").read_bytes() == b"TR 1000\r\n"
    (left,) = [path.name for path in export.iterdir() if path.name.startswith(".")]
    at_console = console(str(export))
    assert [entry.name for entry in at_console.list()] == ["protocol.txt"]
    with pytest.raises(UsageFault, match="hidden"):
        at_console.read(left)


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(export, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match="no space left"):
        console(str(export)).write("protocol.txt", b"new")
    assert sorted(path.name for path in export.iterdir()) == ["protocol.txt", "series"]
    assert (export / "protocol.txt").read_bytes() == b"TR 1000\r\n"


def test_what_nobody_waits_for_any_more_is_neither_read_nor_written(export):
    files = Files([allowed.parse(str(export))])
    for kind in ("read", "write", "list", "newest"):
        late = Call(kind, "" if kind == "list" else "protocol.txt", "*", b"new", timeout=1.0, since=time.monotonic() - 2)
        with pytest.raises(TooLate, match="not answered after 1 s"):
            files.answer(late)
    assert (export / "protocol.txt").read_bytes() == b"TR 1000\r\n"
    assert sorted(path.name for path in export.iterdir()) == ["protocol.txt", "series"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_why(export):
    (export / "protocol.txt").chmod(0)
    with pytest.raises(InputMissing, match="Permission denied"):
        console(str(export)).read("protocol.txt")


@pytest.mark.parametrize("content", [1, None, ["x"]])
def test_what_is_neither_bytes_nor_text_is_not_written(export, content):
    with pytest.raises(UsageFault, match="expected bytes or text"):
        console(str(export)).write("new.txt", content)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e12])
def test_a_time_out_that_is_none_is_refused(export, timeout):
    with pytest.raises(UsageFault, match="seconds above 0"):
        console(str(export)).read("protocol.txt", timeout)


@pytest.mark.parametrize(
    ("text", "endings"),
    [("{}", ()), ("{}:.txt", (".txt",)), ("{}:.TXT,.nii.gz", (".txt", ".nii.gz")), ("{}/a:b", ()), ("{}/a:b:.c", (".c",))],
)
def test_an_option_is_a_folder_and_perhaps_endings(tmp_path, text, endings):
    (tmp_path / "a:b").mkdir()
    assert allowed.parse(text.format(tmp_path)).endings == endings


@pytest.mark.parametrize("endings", [".", ".txt,", ".txt,csv", ".txt,.", ".txt,,.csv"])
def test_endings_that_are_none_are_refused(tmp_path, endings):
    with pytest.raises(UsageFault, match="expected DIR"):
        allowed.parse(f"{tmp_path}:{endings}")


@pytest.mark.parametrize("name", ["no_such", "file", "file:.txt", ":.txt", ""])
def test_a_folder_that_is_not_there_is_said_at_the_start(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputMissing, match="no such folder"):
        allowed.parse(name)


def test_endings_count_with_capitals_or_not(export):
    (export / "IM1.IMA").write_bytes(b"x")
    assert console(f"{export}:.ima").read("IM1.IMA") == b"x"


def test_a_refusal_is_a_fault_of_usage_and_holds_no_content(export):
    (export / "link.txt").symlink_to("../secret/one.txt")
    with pytest.raises(Refused) as refused:
        console(str(export)).read("link.txt")
    assert str(refused.value) == "link.txt: is a link, and links are not followed"
