"""Images sent over the web: Orthanc's REST and DICOMweb, what they have in common and what each does of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.client import responses
from pathlib import Path
from typing import Any

import pytest
from servers import LONG, PASSWORD, USER, certified, free_port, items, orthanc, outcome
from web_service import Reply, Request, service

from rtbids import dicomnet
from rtbids.dicomnet import NotWanted
from rtbids.errors import ConnectionLost, InputMissing, UsageFault
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.send.credentials import PASSWORD as VARIABLE
from rtbids.send.destinations import TRUST, Failure, Item, parse
from rtbids.send.web import NAMELESS

OTHER = "has another image of this UID: its content is not the one that was sent"
BOTH = pytest.mark.parametrize("kind", ["orthanc", "dicomweb"])


@pytest.fixture(autouse=True)
def nobody_at_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the secrets of who runs it."""
    monkeypatch.setenv("NETRC", str(tmp_path_factory.mktemp("home") / "netrc"))
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def empty(pacs: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(VARIABLE, PASSWORD)
    pacs.clear()
    return pacs


def url(kind: str, port: int, user: str = f"{USER}@", scheme: str = "http", host: str = "127.0.0.1") -> str:
    return f"{kind}+{scheme}://{user}{host}:{port}" + ("/dicom-web" if kind == "dicomweb" else "")


def many(folder: Path, count: int = 45) -> list[Item]:
    return items(folder, list(dicoms(Phantom(shape=(8, 8, 4), voxel=(24.0, 24.0, 24.0), volumes=count))))


def other_content(item: Item) -> Item:
    content = bytearray(item.path.read_bytes())
    content[-1] ^= 1
    path = item.path.with_suffix(".other")
    path.write_bytes(content)
    return replace(item, path=path)


@BOTH
def test_images_are_stored_and_found(empty: Any, tmp_path: Path, kind: str) -> None:
    sent = many(tmp_path)
    assert outcome(url(kind, empty.http), sent) == [None] * 45
    assert empty.instances() == {item.instance for item in sent}


@BOTH
def test_what_was_not_sent_is_not_found(empty: Any, tmp_path: Path, kind: str) -> None:
    sent = many(tmp_path, 5)
    with parse(url(kind, empty.http)).open() as connection:
        assert connection.present(sent) == set()
        list(connection.send(sent[:2]))
        assert connection.present(sent) == {item.instance for item in sent[:2]}
        assert connection.present(sent[2:3]) == set()


@BOTH
def test_the_same_image_again_is_there_once(empty: Any, tmp_path: Path, kind: str) -> None:
    sent = items(tmp_path)
    assert outcome(url(kind, empty.http), sent) == outcome(url(kind, empty.http), sent) == [None] * 3
    assert len(empty.instances()) == 3


@BOTH
def test_another_image_of_a_uid_that_is_there_is_a_failure_for_good(empty: Any, tmp_path: Path, kind: str) -> None:
    sent = items(tmp_path)
    assert outcome(url(kind, empty.http), sent[:1]) == [None]
    failures = outcome(url(kind, empty.http), [other_content(sent[0]), *sent[1:]])
    assert failures == [Failure(f"{url(kind, empty.http)} {OTHER}", permanent=True), None, None]


@BOTH
def test_an_image_that_came_by_c_store_is_known_as_the_same(empty: Any, tmp_path: Path, kind: str) -> None:
    sent = items(tmp_path)
    assert outcome(f"dicom://ORTHANC@127.0.0.1:{empty.dicom}", sent) == [None] * 3
    with parse(url(kind, empty.http)).open() as connection:
        assert connection.present(sent) == {item.instance for item in sent}
    assert outcome(url(kind, empty.http), sent) == [None] * 3


@BOTH
def test_what_is_no_image_is_a_failure_and_the_rest_goes_on(empty: Any, tmp_path: Path, kind: str) -> None:
    sent = many(tmp_path, 4)
    sent[1].path.write_bytes(b"n" * sent[1].size)
    sent[2].path.unlink()
    first, nonsense, gone, last = outcome(url(kind, empty.http), sent)
    assert first is last is None
    assert nonsense == Failure(f"{url(kind, empty.http)} refused the image with status 400 (bad request)", permanent=True)
    assert gone == Failure("its file cannot be read: No such file or directory", permanent=True)


@BOTH
def test_a_user_without_a_password_is_said_before_anything_is_sent(pacs: Any, tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageFault, match="no password for the user of the URL"):
        outcome(url(kind, pacs.http), items(tmp_path))


@BOTH
@pytest.mark.parametrize("place", ["127.0.0.1", "127.0.0.1:{port}"])
def test_a_password_comes_from_a_file_of_the_owners(pacs: Any, tmp_path: Path, kind: str, place: str) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text(f"machine {place.format(port=pacs.http)} login {USER} password {PASSWORD}\n")
    secrets.chmod(0o600)
    sent = items(tmp_path / "files")
    assert outcome(url(kind, pacs.http), sent, credentials=secrets) == [None] * 3
    assert outcome(url(kind, pacs.http, user=""), sent, credentials=secrets) == [None] * 3


def test_netrc_is_read_where_no_file_is_named(pacs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = tmp_path / "netrc"
    secrets.write_text(f"machine 127.0.0.1\nlogin {USER}\npassword {PASSWORD}\n")
    secrets.chmod(0o600)
    monkeypatch.setenv("NETRC", str(secrets))
    assert outcome(url("orthanc", pacs.http, user=""), items(tmp_path / "files")) == [None] * 3


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_of_secrets_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text("machine pacs login rt password hidden\n")
    secrets.chmod(mode)
    with pytest.raises(UsageFault, match="others may read this file of secrets") as refused:
        outcome(url("orthanc", free_port()), items(tmp_path / "files"), credentials=secrets)
    assert refused.value.hint == f"chmod 600 {secrets}"


def test_a_file_of_secrets_that_is_none_is_named_by_its_line_and_not_quoted(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text("machine pacs\nhidden\n")
    secrets.chmod(0o600)
    with pytest.raises(UsageFault, match=r"line \d: expected machine HOST login NAME") as refused:
        outcome(url("orthanc", free_port()), items(tmp_path / "files"), credentials=secrets)
    assert "hidden" not in str(refused.value)
    with pytest.raises(InputMissing, match="no such file"):
        outcome(url("orthanc", free_port()), items(tmp_path / "files"), credentials=tmp_path / "none")


def test_a_token_is_sent_as_such(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text("machine 127.0.0.1 login bearer password abc.def\n")
    secrets.chmod(0o600)
    with service(lambda _: Reply(404)) as web, pytest.raises(NotWanted, match="no DICOMweb service"):
        outcome(url("dicomweb", web.port, user=""), items(tmp_path / "files"), credentials=secrets)
    assert web.requests[0].headers["Authorization"] == "Bearer abc.def"


@BOTH
def test_a_wrong_password_does_not_help_again_and_is_said_nowhere(
    pacs: Any, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "hidden")
    with pytest.raises(NotWanted, match=r"does not let us in \(status 401\)") as refused:
        outcome(url(kind, pacs.http), items(tmp_path))
    assert "hidden" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    "text",
    [
        "orthanc+https://rt:hidden@pacs",
        "dicomweb+https://rt:hid/den@pacs/dicom-web",
        "dicomweb+https://rt:hid#den@pacs",
        "s3://KEY:hidden@bucket",
        "dicom://AET:hidden@pacs:104",
        "orthanc+https://pacs/?token=hidden",
        "az://bucket/?sig=hidden",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageFault) as refused:
        parse(text)
    assert "hid" not in str(refused.value)
    assert "~/.netrc" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("pacs", "found no ://"),
        ("ftp://pacs", "found ftp://"),
        ("orthanc+http://", r"expected orthanc\+http://host\[:port\]"),
        ("orthanc+http://pacs:many", r"expected orthanc\+http://host\[:port\]"),
        ("dicomweb+https://pa cs", r"expected dicomweb\+https://host\[:port\]"),
    ],
)
def test_what_is_no_destination_is_a_wrong_option(text: str, complaint: str) -> None:
    with pytest.raises(UsageFault, match=complaint):
        parse(text)


@BOTH
def test_nobody_there_is_a_lost_connection(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConnectionLost, match="Connection refused") as lost:
        outcome(url(kind, free_port(), user=""), items(tmp_path))
    assert not isinstance(lost.value, NotWanted)


@BOTH
def test_a_service_of_another_kind_is_not_tried_again(tmp_path: Path, kind: str) -> None:
    with service(lambda _: Reply(404)) as web, pytest.raises(NotWanted, match="is no "):
        outcome(url(kind, web.port, user=""), items(tmp_path))


@BOTH
def test_no_answer_in_the_time_that_was_set_is_a_lost_connection(tmp_path: Path, kind: str) -> None:
    over = threading.Event()

    def hang(request: Request) -> Reply:
        over.wait(LONG)
        return Reply()

    with service(hang) as web:
        try:
            with pytest.raises(ConnectionLost, match=r"has not answered for 0\.3 s"):
                outcome(url(kind, web.port, user=""), items(tmp_path), timeout=0.3)
        finally:
            over.set()


@BOTH
def test_an_answer_that_is_cut_short_is_a_lost_connection(tmp_path: Path, kind: str) -> None:
    with service(lambda request: Reply(200, b"x" * 100, cut=10 if request.method == "POST" else None)) as web:  # noqa: SIM117
        with pytest.raises(ConnectionLost, match="in the midst of an answer"):
            outcome(url(kind, web.port, user=""), items(tmp_path), verify="status")


@BOTH
def test_another_address_is_named_and_secrets_do_not_follow(tmp_path: Path, kind: str) -> None:
    with (
        service(lambda _: Reply(302, headers={"Location": "http://127.0.0.1/elsewhere"})) as web,
        pytest.raises(NotWanted, match=r"sends us to another address \(status 302\)"),
    ):
        outcome(url(kind, web.port, user=""), items(tmp_path))


@BOTH
@pytest.mark.parametrize(
    ("status", "words", "permanent"),
    [
        (507, "is full (status 507)", False),
        (503, "refused the image with status 503 (service unavailable)", False),
        (429, "refused the image with status 429 (too many requests)", False),
        (500, "refused the image with status 500 (internal server error)", False),
        (413, f"refused the image with status 413 ({responses[413].lower()})", True),
        (415, "refused the image with status 415 (unsupported media type)", True),
    ],
)
def test_a_status_says_whether_to_try_again(tmp_path: Path, kind: str, status: int, words: str, permanent: bool) -> None:
    def full(request: Request) -> Reply:
        return Reply(status) if request.method == "POST" and not request.path.startswith("/tools") else Reply(200, [])

    with service(full) as web:
        failures = outcome(url(kind, web.port, user=""), items(tmp_path))
    assert failures == [Failure(f"{url(kind, web.port, user='')} {words}", permanent)] * 3


@BOTH
def test_a_success_without_an_image_is_not_believed(tmp_path: Path, kind: str) -> None:
    def lies(request: Request) -> Reply:
        if request.path == "/instances":
            return Reply(200, {"ID": "1", "Status": "Success"})
        return Reply(200, [] if request.method == "GET" or request.path.startswith("/tools") else {})

    with service(lies) as web:
        where = url(kind, web.port, user="")
        failures = outcome(where, items(tmp_path))
    missing = Failure(f"{where} said that it had stored the image, and does not list it; {TRUST}", permanent=False)
    assert failures == [missing] * 3


@BOTH
@pytest.mark.parametrize("uid", ["1.2 3", "1.2\u00e93", "1.2/../3", "", "1." + "2" * 70])
@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_an_image_without_proper_uids_holds_nothing_up(tmp_path: Path, kind: str, uid: str, level: str) -> None:
    good, bad = items(tmp_path)[:2]
    strange = replace(bad, **{level: uid})
    with service(lambda request: obliging(request, [good])) as web:
        where = url(kind, web.port, user="")
        assert outcome(where, [strange, good], verify="status") == [NAMELESS, None]
        with parse(where).open() as connection:
            assert connection.present([strange]) == set()


@BOTH
def test_an_image_that_is_forbidden_holds_nothing_up(tmp_path: Path, kind: str) -> None:
    sent = items(tmp_path)

    def picky(request: Request) -> Reply:
        if request.method == "POST" and sent[0].instance.encode() + b"\0" in request.body + b"\0":
            return Reply(403)
        return obliging(request, sent)

    with service(picky) as web:
        where = url(kind, web.port, user="")
        failures = outcome(where, sent, verify="status")
    assert failures == [Failure(f"{where} refused the image with status 403 (forbidden)", permanent=False), None, None]


@BOTH
def test_who_may_store_nothing_is_told_so_once(tmp_path: Path, kind: str) -> None:
    def reading(request: Request) -> Reply:
        return Reply(403) if request.method == "POST" else Reply(200, [])

    with service(reading) as web, pytest.raises(NotWanted, match=r"does not let us in \(status 403\)"):
        outcome(url(kind, web.port, user=""), items(tmp_path), verify="status")


def obliging(request: Request, sent: list[Item]) -> Reply:
    """Store all that comes."""
    if request.method != "POST":
        return Reply(200, [])
    if request.path == "/instances":
        return Reply(200, {"ID": "1", "Status": "Success"})
    return Reply(200, sequences([accepted(item) for item in sent if item.instance.encode() in request.body], []))


DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize(
    "answer",
    [{"Status": "AlreadyStored"}, {"Status": "AlreadyStored", "ID": "../../x"}, {"Status": "AlreadyStored", "ID": 7}, DEEP],
    ids=["no id", "a path", "a number", "deep"],
)
def test_an_orthanc_that_answers_strangely_is_asked_again_later(tmp_path: Path, answer: object) -> None:
    with (
        service(lambda request: Reply(200, answer if request.method == "POST" else {})) as web,
        pytest.raises(ConnectionLost) as lost,
    ):
        outcome(url("orthanc", web.port, user=""), items(tmp_path))
    assert not isinstance(lost.value, NotWanted)


@pytest.mark.parametrize("found", [{}, "x", None, DEEP], ids=["object", "text", "null", "deep"])
def test_a_strange_list_of_images_is_asked_for_again_later(tmp_path: Path, found: object) -> None:
    def strange(request: Request) -> Reply:
        return Reply(200, found if request.path == "/tools/find" else {"ID": "1", "Status": "Success"})

    with service(strange) as web, pytest.raises(ConnectionLost):
        outcome(url("orthanc", web.port, user=""), items(tmp_path))


@pytest.mark.parametrize("found", [[7], [{}], [{"MainDicomTags": 3}], [{"MainDicomTags": {"SOPInstanceUID": []}}]])
def test_images_that_a_list_does_not_name_are_not_there(tmp_path: Path, found: object) -> None:
    def strange(request: Request) -> Reply:
        return Reply(200, found if request.path == "/tools/find" else {"ID": "1", "Status": "Success"})

    with service(strange) as web:
        failures = outcome(url("orthanc", web.port, user=""), items(tmp_path))
    assert all(failure is not None and "does not list it" in failure.reason for failure in failures)


def test_a_deep_answer_of_a_dicomweb_service_is_none(tmp_path: Path) -> None:
    with service(lambda request: Reply(200, DEEP if request.method == "POST" else [])) as web:
        failures = outcome(url("dicomweb", web.port, user=""), items(tmp_path), verify="status")
    assert all(failure is not None and "did not say" in failure.reason for failure in failures)


def accepted(item: Item) -> dict[str, Any]:
    return {"00081155": {"vr": "UI", "Value": [item.instance]}}


def refused(item: Item, reason: int) -> dict[str, Any]:
    return {**accepted(item), "00081197": {"vr": "US", "Value": [reason]}}


def sequences(stored: list[Any], failed: list[Any]) -> dict[str, Any]:
    return {"00081199": {"vr": "SQ", "Value": stored}, "00081198": {"vr": "SQ", "Value": failed}}


XML = """<?xml version="1.0"?>
<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">
  <DicomAttribute tag="00081199" vr="SQ"><Item number="1">
    <DicomAttribute tag="00081155" vr="UI"><Value number="1">{}</Value></DicomAttribute>
  </Item></DicomAttribute>
  <DicomAttribute tag="00081198" vr="SQ"><Item number="1">
    <DicomAttribute tag="00081155" vr="UI"><Value number="1">{}</Value></DicomAttribute>
    <DicomAttribute tag="00081197" vr="US"><Value number="1">42752</Value></DicomAttribute>
  </Item></DicomAttribute>
</NativeDicomModel>"""


@pytest.mark.parametrize("status", [200, 202, 409])
@pytest.mark.parametrize("form", ["json", "xml"])
def test_what_is_accepted_in_half_is_told_image_by_image(tmp_path: Path, status: int, form: str) -> None:
    sent = items(tmp_path)[:2]
    json_form: object = sequences([accepted(sent[0])], [refused(sent[1], 0xA700)])
    content = json_form if form == "json" else XML.format(*(item.instance for item in sent)).encode()
    with service(lambda request: Reply(status, content) if request.method == "POST" else Reply(200, [])) as web:
        where = url("dicomweb", web.port, user="")
        failures = outcome(where, sent, verify="status")
    why = f"{where} refused the image with status 0xA700: it is out of resources"
    assert failures == [None, Failure(why, permanent=False)]


def test_a_request_that_is_too_large_is_sent_image_by_image(tmp_path: Path) -> None:
    sent = items(tmp_path)

    def narrow(request: Request) -> Reply:
        if request.method == "GET":
            return Reply(200, [])
        inside = [item for item in sent if item.instance.encode() in request.body]
        return Reply(413) if len(inside) > 1 else Reply(200, sequences([accepted(inside[0])], []))

    with service(narrow) as web:
        assert outcome(url("dicomweb", web.port, user=""), sent, verify="status") == [None] * 3
        assert len(web.of("POST", "/dicom-web/studies")) == 4


def test_requests_hold_twenty_images(tmp_path: Path) -> None:
    with service(lambda request: Reply(200, {} if request.method == "POST" else [])) as web:
        outcome(url("dicomweb", web.port, user=""), many(tmp_path), verify="status")
        bodies = [request.body for request in web.of("POST", "/dicom-web/studies")]
    assert [body.count(b"Content-Type: application/dicom") for body in bodies] == [20, 20, 5]


def test_a_service_that_knows_no_questions_for_several_images_is_asked_for_the_series(tmp_path: Path) -> None:
    sent = many(tmp_path, 30)

    def plain(request: Request) -> Reply:
        _, _, query = request.path.partition("?")
        if "SOPInstanceUID" in query:
            return Reply(204)
        first = int(query.partition("offset=")[2] or 0)
        page = sent[first : first + 7]  # its own idea of how long an answer may be
        return Reply(200, [{"00080018": {"vr": "UI", "Value": [item.instance]}} for item in page])

    with service(plain) as web, parse(url("dicomweb", web.port, user="")).open() as connection:
        assert connection.present(sent[:25]) == {item.instance for item in sent[:25]}
        asked = len(web.requests)
        assert connection.present(sent[:5]) == {item.instance for item in sent[:5]}
        assert not [request for request in web.requests[asked:] if "SOPInstanceUID" in request.path]


@pytest.mark.parametrize("answer", [Reply(501), Reply(200, b"<html>", kind="text/html")])
def test_a_service_that_answers_no_queries_is_named(tmp_path: Path, answer: Reply) -> None:
    with service(lambda request: Reply(200, {}) if request.method == "POST" else answer) as web:
        failures = outcome(url("dicomweb", web.port, user=""), items(tmp_path))
    why = f"{url('dicomweb', web.port, user='')} answers no queries (QIDO-RS); --proof status takes its word"
    assert failures == [Failure(f"{why} that it stored an image", permanent=True)] * 3


@BOTH
def test_a_certificate_that_nobody_vouches_for_gets_no_image(tmp_path: Path, kind: str) -> None:
    theirs, others = certified(tmp_path / "theirs"), certified(tmp_path / "others")
    tls = dicomnet.server_tls(*theirs, None)
    with service(lambda _: Reply(404), tls) as web:
        where = url(kind, web.port, user="", scheme="https")
        for access in ({}, {"ca": others[0]}):
            with pytest.raises(NotWanted, match="its certificate is not to be trusted") as refused:
                outcome(where, items(tmp_path / "files"), **access)
            assert "--ca FILE" in str(refused.value.hint)
        assert not web.requests
        with pytest.raises(NotWanted, match="is no "):
            outcome(where, items(tmp_path / "files"), ca=theirs[0])
        assert len(web.requests) == 1


@BOTH
def test_encryption_with_who_has_none_is_said(tmp_path: Path, kind: str) -> None:
    with service(lambda _: Reply()) as web, pytest.raises(NotWanted, match="no encrypted connection"):
        outcome(url(kind, web.port, user="", scheme="https"), items(tmp_path))


@BOTH
def test_our_own_certificate_is_shown_where_it_is_asked_for(tmp_path: Path, kind: str) -> None:
    theirs, ours = certified(tmp_path / "theirs"), certified(tmp_path / "ours")
    with service(lambda _: Reply(404), dicomnet.server_tls(*theirs, ours[0])) as web:
        where = url(kind, web.port, user="", scheme="https")
        with pytest.raises(NotWanted, match="is no "):
            outcome(where, items(tmp_path / "files"), ca=theirs[0], certificate=ours[0], key=ours[1])
        with pytest.raises(ConnectionLost):
            outcome(where, items(tmp_path / "files"), ca=theirs[0])
        assert len(web.requests) == 1
