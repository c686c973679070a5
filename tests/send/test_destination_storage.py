"""Images stored by C-STORE and found by C-FIND: Orthanc, dcmtk's storescp and pynetdicom as receivers."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import UID, generate_uid
from pynetdicom import AE, evt
from pynetdicom.presentation import StoragePresentationContexts
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification, uid_to_service_class
from servers import LONG, certified, free_port, items, orthanc, outcome, storescp

from rtbids import dicomnet
from rtbids.clock import CLOCK
from rtbids.dicomnet import MR, UNCOMPRESSED, MayNotQuery, NoRoom, NotWanted, be_prompt
from rtbids.errors import ConnectionLost, UsageFault
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.send.destinations import TRUST, Failure, Item, NoAnswer, delivered, parse

CT = "1.2.840.10008.5.1.4.1.1.2"
NOT_THERE = f"said that it had stored the image, and does not list it; {TRUST}"


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def empty(pacs: Any) -> Any:
    pacs.clear()
    return pacs


def url(port: int, aet: str = "ORTHANC", scheme: str = "dicom") -> str:
    return f"{scheme}://{aet}@127.0.0.1:{port}"


def with_class(content: bytes, sop_class: str) -> bytes:
    """Return the same image as another class."""
    image = dcmread(BytesIO(content))
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    file = BytesIO()
    dcmwrite(file, image)
    return file.getvalue()


class Receiver:
    """A receiver of pynetdicom's that answers as it is told to."""

    def __init__(self, statuses: list[int] | None = None, classes: tuple[str, ...] = MR, **options: Any) -> None:
        self.stored: list[str] = []
        self.associations = 0
        self.asked: list[Any] = []
        self.statuses = statuses or []
        self.find = options.pop("find", None)
        self.hang = options.pop("hang", None)
        application = AE("PACS")
        application.maximum_associations = 10
        for sop_class in classes:
            application.add_supported_context(sop_class, options.pop("syntaxes", list(UNCOMPRESSED)))
        if self.find is not None:
            application.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        application.add_supported_context(Verification)
        handlers = [
            (evt.EVT_CONN_OPEN, be_prompt),
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._found),
        ]
        self._server = application.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, **options)
        self.port = self._server.socket.getsockname()[1]

    def close(self) -> None:
        self._server.shutdown()

    def _accepted(self, event: Any) -> None:
        self.associations += 1

    def _store(self, event: Any) -> int:
        status = self.statuses.pop(0) if self.statuses else 0
        if status == -1:
            event.assoc.dul.socket.close()
        if self.hang is not None:
            self.hang.wait(LONG)
        if status == 0 or status >> 12 == 0xB:
            self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return max(status, 0)

    def _found(self, event: Any) -> Iterator[Any]:
        self.asked.append(event.identifier)
        yield from self.find(self, event.identifier)


@contextmanager
def receiver(*arguments: Any, **options: Any) -> Iterator[Receiver]:
    one = Receiver(*arguments, **options)
    try:
        yield one
    finally:
        one.close()


def answer(uid: str) -> tuple[int, Any]:
    from pydicom import Dataset

    found = Dataset()
    found.QueryRetrieveLevel, found.SOPInstanceUID = "IMAGE", uid
    return 0xFF00, found


def all_of_the_series(receiver: Receiver, asked: Any) -> Iterator[Any]:
    """As a receiver that looks at the series alone and ignores what images are asked for."""
    yield from map(answer, receiver.stored)


def nothing_for_lists(receiver: Receiver, asked: Any) -> Iterator[Any]:
    """As a receiver that knows single images only."""
    wanted = asked.get("SOPInstanceUID")
    if isinstance(wanted, str) and wanted in receiver.stored:
        yield answer(wanted)


def test_images_are_stored_in_orthanc_and_found_there(empty: Any, tmp_path: Path) -> None:
    sent = items(tmp_path)
    assert outcome(url(empty.dicom), sent) == [None, None, None]
    assert empty.instances() == {item.instance for item in sent}


def test_what_was_not_sent_is_not_found(empty: Any, tmp_path: Path) -> None:
    sent = items(tmp_path)
    destination = parse(url(empty.dicom))
    with destination.open() as connection:
        list(connection.send(sent[:2]))
        assert connection.present(sent) == {item.instance for item in sent[:2]}


def test_images_over_parallel_associations_are_all_there(empty: Any, tmp_path: Path) -> None:
    sent = items(tmp_path, list(dicoms(Phantom(shape=(8, 8, 4), voxel=(24.0, 24.0, 24.0), volumes=40))))
    failures: list[Failure | None] = []
    destination = parse(url(empty.dicom))

    def work(share: list[Item]) -> None:
        with destination.open() as connection:
            failures.extend(failure for _, failure in delivered(destination, connection, share))

    workers = [
        threading.Thread(target=work, args=(sent[start :: destination.parallel],)) for start in range(destination.parallel)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(LONG)
    assert failures == [None] * 40
    assert empty.instances() == {item.instance for item in sent}


def test_several_classes_and_transfer_syntaxes_go_over_one_association(tmp_path: Path) -> None:
    content = next(dicoms(Phantom(shape=(8, 8, 4), voxel=(24.0, 24.0, 24.0), volumes=1)))
    sent = items(tmp_path, [content, with_class(content, CT)])
    with receiver(classes=(*MR, CT), find=all_of_the_series) as pacs:
        destination = parse(url(pacs.port))
        with destination.open() as connection:
            assert [failure for _, failure in delivered(destination, connection, sent[:1])] == [None]
            assert [failure for _, failure in delivered(destination, connection, sent[1:])] == [None]
        assert pacs.associations == 2  # the second offers both: the first is given back
        assert pacs.stored == [item.instance for item in sent]


def test_more_classes_than_one_association_can_offer_go_over_several(tmp_path: Path) -> None:
    content = next(dicoms(Phantom(shape=(8, 8, 4), voxel=(24.0, 24.0, 24.0), volumes=1)))
    known = [str(context.abstract_syntax) for context in StoragePresentationContexts]
    classes = [known_class for known_class in known if uid_to_service_class(known_class) is StorageServiceClass][-70:]
    sent = items(tmp_path, [with_class(content, sop_class) for sop_class in classes])
    with receiver(classes=(*MR, *classes), find=all_of_the_series) as pacs:
        assert outcome(url(pacs.port), sent) == [None] * 70
        assert pacs.associations == 3
        assert pacs.stored == [item.instance for item in sent]


def test_a_compressed_image_is_sent_uncompressed_to_who_takes_nothing_else(real_data: Path, tmp_path: Path) -> None:
    path = next(path for path in sorted((real_data / "transfer_syntaxes" / "dicom").iterdir()) if _is_rle(path))
    sent = items(tmp_path, [path.read_bytes()])
    with receiver(find=all_of_the_series) as pacs:
        assert outcome(url(pacs.port), sent) == [None]
        assert pacs.stored == [sent[0].instance]


def _is_rle(path: Path) -> bool:
    return str(dcmread(path, stop_before_pixels=True, force=True).file_meta.get("TransferSyntaxUID")) == "1.2.840.10008.1.2.5"


@pytest.mark.parametrize("find", [all_of_the_series, nothing_for_lists])
def test_a_receiver_is_asked_in_the_way_that_it_understands(tmp_path: Path, find: Any) -> None:
    with receiver(find=find) as pacs:
        assert outcome(url(pacs.port), items(tmp_path)) == [None, None, None]


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (0x0000, None),
        (0xB000, None),
        (0xA700, Failure("is out of resources (status 0xA700)", permanent=False)),
        (0xA900, Failure("refused the image with status 0xA900: the image does not match its class", permanent=True)),
        (0xC123, Failure("refused the image with status 0xC123: it cannot understand the image", permanent=True)),
        (0x0111, Failure("refused the image with status 0x0111: it has an image of this UID already", permanent=True)),
        (0x0124, Failure("refused the image with status 0x0124: we are not authorised to store there", permanent=True)),
    ],
)
def test_a_status_says_whether_to_try_again_and_the_rest_goes_on(tmp_path: Path, status: int, failure: Failure | None) -> None:
    with receiver([0, status], find=all_of_the_series) as pacs:
        first, second, third = outcome(url(pacs.port), items(tmp_path))
        where = url(pacs.port)
    assert first is third is None
    assert second == (failure and replace(failure, reason=f"{where} {failure.reason}"))


def test_a_receiver_that_says_it_stored_and_lists_nothing_is_not_believed(tmp_path: Path) -> None:
    with receiver(find=lambda *_: ()) as pacs:
        failures = outcome(url(pacs.port), items(tmp_path))
    assert failures == [Failure(f"{url(pacs.port)} {NOT_THERE}", permanent=False)] * 3


@pytest.mark.parametrize("find", [None, lambda *_: iter([(0xC000, None)])])
def test_a_receiver_that_answers_no_queries_is_named_and_its_status_is_enough_where_that_is_asked_for(
    tmp_path: Path, find: Any
) -> None:
    sent = items(tmp_path)
    with receiver(find=find) as pacs:
        assert outcome(url(pacs.port), sent, verify="status") == [None, None, None]
        refused = outcome(url(pacs.port), sent)
        assert all(failure is not None and "--proof status takes its word" in failure.reason for failure in refused)
        with (
            parse(url(pacs.port)).open() as connection,
            pytest.raises(NoAnswer, match=r"takes no queries|did not answer a query"),
        ):
            connection.present(sent)


def test_a_receiver_that_cannot_answer_queries_now_is_asked_again_later(tmp_path: Path) -> None:
    with receiver(find=lambda *_: iter([(0xA700, None)])) as pacs, pytest.raises(NoRoom, match="answers no queries now"):
        outcome(url(pacs.port), items(tmp_path))


def test_a_receiver_that_does_not_let_us_query_is_waited_for_and_the_permission_named(tmp_path: Path) -> None:
    with (
        receiver(find=lambda *_: iter([(0x0124, None)])) as pacs,
        pytest.raises(MayNotQuery, match=r"does not let our AE title query \(C-FIND, status 0x0124\)") as refused,
    ):
        outcome(url(pacs.port), items(tmp_path))
    assert "--proof status takes its word" in str(refused.value.hint)


def test_storescp_takes_images_whose_status_is_enough(tmp_path: Path) -> None:
    with storescp(tmp_path / "out") as port:
        assert outcome(url(port), items(tmp_path / "files"), verify="status") == [None, None, None]
        assert len(list((tmp_path / "out").iterdir())) == 3


def test_an_association_that_the_receiver_ended_while_it_lay_idle_is_begun_anew(tmp_path: Path) -> None:
    sent = items(tmp_path)
    with receiver(find=all_of_the_series) as pacs:
        destination = parse(url(pacs.port))
        with destination.open() as connection:
            assert [failure for _, failure in delivered(destination, connection, sent[:1])] == [None]
            for association in pacs._server.active_associations:
                association.abort()
            connection._open[0]._association.join(LONG)  # type: ignore[attr-defined]
            assert [failure for _, failure in delivered(destination, connection, sent[1:])] == [None, None]


def test_a_link_that_breaks_says_what_had_arrived(tmp_path: Path) -> None:
    sent, answered = items(tmp_path), []
    with receiver([0, -1], find=all_of_the_series) as pacs:
        destination = parse(url(pacs.port))
        with pytest.raises(ConnectionLost, match="ended the association"), destination.open() as connection:  # noqa: PT012
            for answer in connection.send(sent):
                answered.append(answer)
        with destination.open() as connection:
            there = connection.present(sent)
    assert answered == [(sent[0], None)]
    assert sent[0].instance in there
    assert sent[2].instance not in there


def test_a_receiver_that_does_not_answer_is_given_up_in_the_time_that_was_set(tmp_path: Path) -> None:
    hang = threading.Event()
    with receiver(hang=hang) as pacs:
        try:
            with pytest.raises(ConnectionLost, match=r"has not answered for 0\.5 s whether it stored the image"):
                outcome(url(pacs.port), items(tmp_path), timeout=0.5)
        finally:
            hang.set()


def test_who_takes_a_connection_and_never_speaks_is_given_up_in_the_time_that_was_set(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = CLOCK.now()
        with pytest.raises(ConnectionLost, match="no DICOM receiver answers there"):
            outcome(url(silent.getsockname()[1]), items(tmp_path), timeout=0.5)
        assert CLOCK.now() - begun < LONG


def test_a_receiver_that_does_not_know_us_does_not_want_us(empty: Any, tmp_path: Path) -> None:
    with pytest.raises(NotWanted, match="refused the association") as refused:
        outcome(url(empty.dicom), items(tmp_path), calling="STRANGER")
    assert "its list of known AE titles" in str(refused.value.hint)


def test_nobody_there_is_a_lost_connection(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match="no DICOM receiver answers there") as lost:
        outcome(url(free_port()), items(tmp_path))
    assert not isinstance(lost.value, NotWanted)


def test_a_file_that_is_gone_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    sent = items(tmp_path)
    sent[1].path.unlink()
    with receiver(find=all_of_the_series) as pacs:
        first, gone, third = outcome(url(pacs.port), sent)
    assert first is third is None
    assert gone == Failure("its file cannot be read: No such file or directory", permanent=True)


def test_a_file_that_is_not_dicom_is_named(tmp_path: Path) -> None:
    sent = items(tmp_path)
    sent[1].path.write_bytes(b"something else" * 100)
    with receiver(find=all_of_the_series) as pacs:
        failure = outcome(url(pacs.port), sent)[1]
    assert failure == Failure("expected a DICOM file with its meta information, found something else", permanent=True)


def server_tls(certificate: Path, key: Path, clients: Path | None = None) -> ssl.SSLContext:
    context = dicomnet.server_tls(certificate, key, clients)
    assert context is not None
    return context


def test_images_go_encrypted_each_side_knowing_the_others_certificate(tmp_path: Path) -> None:
    theirs, ours = certified(tmp_path / "theirs"), certified(tmp_path / "ours")
    with receiver(find=all_of_the_series, ssl_context=server_tls(*theirs, ours[0])) as pacs:
        where = url(pacs.port, scheme="dicom+tls")
        assert parse(where).url == where
        sent = items(tmp_path / "files")
        assert outcome(where, sent, ca=theirs[0], certificate=ours[0], key=ours[1]) == [None, None, None]


def test_images_go_encrypted_to_orthanc_and_are_found_there(tmp_path: Path) -> None:
    theirs, ours = certified(tmp_path / "theirs"), certified(tmp_path / "ours")
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs[0]),
        "DicomTlsPrivateKey": str(theirs[1]),
        "DicomTlsTrustedCertificates": str(ours[0]),
    }
    sent = items(tmp_path / "files")
    with orthanc(tmp_path / "orthanc", **settings) as pacs:
        where = url(pacs.dicom, scheme="dicom+tls")
        assert outcome(where, sent, ca=theirs[0], certificate=ours[0], key=ours[1]) == [None] * 3
        assert pacs.instances() == {item.instance for item in sent}
        with pytest.raises(NotWanted, match="it wants a certificate of ours that it trusts"):
            outcome(where, sent, ca=theirs[0])
        with pytest.raises(ConnectionLost, match="no DICOM receiver answers there"):
            outcome(url(pacs.dicom), sent)


def test_images_go_encrypted_to_storescp(tmp_path: Path) -> None:
    certificate, key = certified(tmp_path)
    with storescp(tmp_path / "out", "+tls", key, certificate, "+cf", certificate) as port:
        access = {"ca": certificate, "certificate": certificate, "key": key, "verify": "status"}
        assert outcome(url(port, scheme="dicom+tls"), items(tmp_path / "files"), **access) == [None, None, None]
        assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_certificate_that_nobody_vouches_for_gets_no_image(tmp_path: Path) -> None:
    theirs, others = certified(tmp_path / "theirs"), certified(tmp_path / "others")
    with receiver(ssl_context=server_tls(*theirs)) as pacs:
        with pytest.raises(NotWanted, match=r"its certificate is not to be trusted \(self-signed certificate\)"):
            outcome(url(pacs.port, scheme="dicom+tls"), items(tmp_path), ca=others[0])
        assert pacs.associations == 0


def test_a_certificate_of_another_host_gets_no_image(tmp_path: Path) -> None:
    theirs = certified(tmp_path)
    with receiver(ssl_context=server_tls(*theirs)) as pacs, pytest.raises(NotWanted, match="localhost"):
        outcome(f"dicom+tls://PACS@localhost:{pacs.port}", items(tmp_path), ca=theirs[0])


def test_who_lacks_the_certificate_that_is_asked_for_hears_so(tmp_path: Path) -> None:
    theirs, ours = certified(tmp_path / "theirs"), certified(tmp_path / "ours")
    with (
        receiver(ssl_context=server_tls(*theirs, ours[0])) as pacs,
        pytest.raises(NotWanted, match="it wants a certificate of ours that it trusts"),
    ):
        outcome(url(pacs.port, scheme="dicom+tls"), items(tmp_path), ca=theirs[0])


def test_an_address_that_is_none_is_a_wrong_option() -> None:
    with pytest.raises(UsageFault, match="expected the receiver's AE title"):
        parse("dicom://pacs:104")


def test_encryption_with_who_has_none_names_the_destination_as_it_was_given(tmp_path: Path) -> None:
    with receiver() as pacs:
        where = url(pacs.port, scheme="dicom+tls")
        with pytest.raises(NotWanted) as refused:
            outcome(where, items(tmp_path))
    assert str(refused.value).startswith(f"{where}: no encrypted connection")
