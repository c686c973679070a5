"""The simulated scanner's end of the network, against receivers that are absent, full, choosy, or vanish."""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from pynetdicom import AE, evt

from rtbids import dicomnet
from rtbids.clock import ManualClock
from rtbids.dicomnet import Address, NotWanted
from rtbids.errors import ConnectionLost
from rtbids.replay.arrival import Pace
from rtbids.replay.network import Modality
from rtbids.replay.plan import Delivery, State
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.wakeup import Wakeup

RUN = list(dicoms(Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=4)))
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
SUCCESS, NO_ROOM, NOT_SUPPORTED = 0x0000, 0xA700, 0x0122


class Receiver:
    """A storage SCP made of pynetdicom alone, which answers as it is told; None aborts the association instead."""

    def __init__(self, *answers: int | None, port: int = 0, syntaxes: list[str] = SYNTAXES) -> None:
        self.answers = list(answers)
        self.stored: list[Any] = []
        self.associations = 0
        application = AE("PACS")
        application.require_called_aet = True
        for sop_class in dicomnet.MR:
            application.add_supported_context(sop_class, syntaxes)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_ACCEPTED, self._accepted)]
        self._server = application.make_server(("127.0.0.1", port), evt_handlers=handlers)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.address = Address("PACS", "127.0.0.1", self._server.server_address[1])

    @property
    def numbers(self) -> list[int]:
        return [int(dataset.InstanceNumber) for dataset in self.stored]

    def _accepted(self, event: Any) -> None:
        self.associations += 1

    def _store(self, event: Any) -> int:
        answer = self.answers.pop(0) if self.answers else SUCCESS
        if answer is None:
            event.assoc.abort()
        elif answer == SUCCESS:
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            self.stored.append(dataset)
        return answer or SUCCESS

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        socketserver.BaseServer.shutdown(self._server)  # pynetdicom's own works for servers that its AE has started
        self._server.server_close()
        for association in self._server.active_associations:
            association.abort()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    begun: list[Receiver] = []

    def begin(*answers: int | None, **options: Any) -> Receiver:
        begun.append(Receiver(*answers, **options))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


class Waiting(ManualClock):
    """A clock that notes for how long somebody waits, and lets something happen meanwhile."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None, after: int = 1) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._meanwhile, self._after = meanwhile, after

    def wait_until(self, moment: float) -> None:
        self.waits.append(round(moment - self.now(), 6))
        super().wait_until(moment)
        if len(self.waits) == self._after:
            self._meanwhile()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def leave(modality: Modality, files: list[bytes] = RUN, state: State = "whole", span: float = 0.0, clock: Any = None) -> None:
    for number, content in enumerate(files, 1):
        modality.receive(f"{number}.dcm", content, Delivery(0, 0.0, span, state), Pace(clock or ManualClock()))


def test_a_receiver_that_is_not_there_yet_is_waited_for(receiver, caplog):
    address = Address("PACS", "127.0.0.1", free_port())
    begun: list[Receiver] = []
    clock = Waiting(lambda: begun.append(receiver(port=address.port)), after=3)  # the first wait takes no time
    with caplog.at_level(logging.WARNING, "rtbids"), Modality(address, clock=clock) as modality:
        leave(modality)
    assert clock.waits == [0.0, 0.1, 0.2]
    assert begun[0].numbers == [1, 2, 3, 4]
    assert caplog.messages == [f"{address}: no DICOM receiver answers there; trying again for 10 s"]


def test_patience_has_an_end(caplog):
    clock = Waiting()
    with pytest.raises(ConnectionLost, match="no DICOM receiver answers there"):
        Modality(Address("PACS", "127.0.0.1", free_port()), patience=5.0, clock=clock).__enter__()
    assert 4.0 < sum(clock.waits) <= 5.0


def test_a_stop_ends_the_waiting():
    stop = Wakeup()
    stop.set()
    with Modality(Address("PACS", "127.0.0.1", free_port()), stop=stop) as modality:
        pass
    assert modality.stored == 0


def test_who_is_not_wanted_does_not_try_again(receiver):
    clock = Waiting()
    stranger = Address("OTHER", "127.0.0.1", receiver().address.port)
    with pytest.raises(NotWanted, match="Called AE title not recognised"):
        Modality(stranger, clock=clock).__enter__()
    assert clock.waits == []


@pytest.mark.parametrize("failure", [NO_ROOM, 0xA7FF, None])
def test_what_fails_for_now_is_sent_again(receiver, failure):
    pacs, clock = receiver(SUCCESS, failure, failure), Waiting()
    with Modality(pacs.address, clock=clock) as modality:
        leave(modality)
    assert pacs.numbers == [1, 2, 3, 4]
    assert (modality.stored, modality.refused) == (4, [])
    assert clock.waits == [0.0, 0.1]


def test_a_receiver_without_room_is_left_at_last_and_what_was_not_stored_is_said(receiver):
    pacs = receiver(SUCCESS, SUCCESS, *[NO_ROOM] * 100)
    expected = r"out of resources \(status 0xA700\): 2 files stored, 3.dcm and all after it not"
    modality = Modality(pacs.address, clock=Waiting(), patience=2.0)
    with pytest.raises(ConnectionLost, match=expected), modality:
        leave(modality)
    assert pacs.numbers == [1, 2]


def test_a_receiver_that_vanishes_and_comes_again_gets_the_rest(receiver):
    pacs, begun = receiver(), []
    clock = Waiting(lambda: begun.append(receiver(port=pacs.address.port)), after=2)
    with Modality(pacs.address, clock=clock) as modality:
        leave(modality, RUN[:2])
        pacs.close()
        leave(modality, RUN[2:])
    assert (pacs.numbers, begun[0].numbers) == ([1, 2], [3, 4])


def test_a_receiver_that_vanishes_for_good_is_said_with_what_was_stored(receiver):
    pacs = receiver()
    modality = Modality(pacs.address, clock=Waiting(pacs.close), patience=0.5)
    pacs.answers = [SUCCESS, None]
    with pytest.raises(ConnectionLost, match=r"1 file stored, 2.dcm and all after it not"), modality:
        leave(modality)


def test_an_image_that_is_refused_is_named_and_the_next_one_sent(receiver, caplog):
    pacs = receiver(SUCCESS, NOT_SUPPORTED)
    with caplog.at_level(logging.WARNING, "rtbids"), Modality(pacs.address, clock=ManualClock()) as modality:
        leave(modality)
    assert pacs.numbers == [1, 3, 4]
    assert (modality.stored, modality.refused) == (3, ["2.dcm"])
    assert caplog.messages == [
        f"2.dcm: not stored: {pacs.address} refused the image with status 0x0122: it does not take this class of image"
    ]
    assert pacs.associations == 1


def test_a_truncated_image_cuts_the_connection_and_the_next_one_goes_over_another(receiver):
    pacs = receiver()
    with Modality(pacs.address, clock=ManualClock()) as modality:
        leave(modality, RUN[:1])
        leave(modality, RUN[1:2], state="truncated")
        leave(modality, RUN[2:])
    assert pacs.numbers == [1, 3, 4]
    assert pacs.associations == 2
    assert modality.stored == 3


def test_a_short_image_lacks_half_of_its_pixels(receiver):
    pacs = receiver()
    with Modality(pacs.address, clock=ManualClock()) as modality:
        leave(modality, RUN[:1], state="short")
    whole = dcmread(BytesIO(RUN[0])).PixelData
    assert pacs.stored[0].PixelData == whole[: len(whole) // 2]


@pytest.mark.parametrize(("state", "span", "waits"), [("preallocated", 0.5, {0.5}), ("whole", 0.5, None)])
def test_an_image_may_take_its_time(receiver, state, span, waits):
    pacs, clock = receiver(), Waiting()
    with Modality(pacs.address, clock=ManualClock()) as modality:
        leave(modality, RUN[:1], state=state, span=span, clock=clock)
    assert pacs.stored[0].PixelData == dcmread(BytesIO(RUN[0])).PixelData
    assert max(clock.waits) == 0.5 if waits else max(clock.waits) < 0.1  # one stall, or many small ones
    assert clock.now() == pytest.approx(0.5, abs=0.1)


def as_syntax(content: bytes, syntax: Any) -> bytes:
    dataset, file = dcmread(BytesIO(content)), BytesIO()
    dataset.compress(syntax, generate_instance_uid=False)
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.parametrize("taken", SYNTAXES)
@pytest.mark.parametrize("stored_in", [ExplicitVRLittleEndian, RLELossless])
def test_a_receiver_of_one_syntax_gets_that(receiver, taken, stored_in):
    pacs = receiver(syntaxes=[taken])
    content = RUN[0] if stored_in == ExplicitVRLittleEndian else as_syntax(RUN[0], stored_in)
    with Modality(pacs.address, clock=ManualClock()) as modality:
        leave(modality, [content])
    (got,) = pacs.stored
    assert got.file_meta.TransferSyntaxUID == taken
    expected = dcmread(BytesIO(RUN[0]))
    assert got.PixelData == expected.PixelData
    different = {element.keyword for element in expected if got.get(element.tag) != expected.get(element.tag)}
    assert not {keyword for keyword in different if keyword}  # of private elements implicit VR loses what they are
