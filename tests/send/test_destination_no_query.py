"""An account that may store and may not ask what is there: its images wait, and the permission that it lacks is named."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from send.outbox_parts import blank, folder_of
from servers import items, outcome
from web_service import Reply, Request, service

from rtbids.dicomnet import MayNotQuery, NotWanted
from rtbids.send.destinations import parse
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.settings import Settings
from rtbids.send.states import State

Told = Callable[[Request], Reply]
HINT = "ask who runs it for the permission to query; or --proof status takes its word that it stored an image"


def service_of(kind: str, denied: int, *, store: bool = True) -> Told:
    """Let nobody ask, and everybody store or nobody."""

    def told(request: Request) -> Reply:
        if request.path == "/system":
            return Reply(200, {})
        if request.method == "POST" and request.path in ("/instances", "/dicom-web/studies"):
            said = {"ID": "1", "Status": "Success"} if kind == "orthanc" else {}
            return Reply(200, said) if store else Reply(denied)
        return Reply(denied)

    return told


def url(kind: str, port: int) -> str:
    return f"{kind}+http://127.0.0.1:{port}" + ("/dicom-web" if kind == "dicomweb" else "")


def lacks(kind: str, denied: int) -> str:
    if kind == "orthanc":
        return f"does not let this account query (/tools/find, status {denied})"
    return "lets this account store (STOW-RS) and not query (QIDO-RS): images would be there unseen"


BOTH = pytest.mark.parametrize("kind", ["orthanc", "dicomweb"])
DENIED = pytest.mark.parametrize("denied", [401, 403])


@BOTH
@DENIED
def test_the_permission_that_lacks_is_named(tmp_path: Path, kind: str, denied: int) -> None:
    with service(service_of(kind, denied)) as web, pytest.raises(MayNotQuery) as refused:
        outcome(url(kind, web.port), items(tmp_path))
    assert str(refused.value) == f"{url(kind, web.port)} {lacks(kind, denied)}"
    assert refused.value.hint == HINT


@BOTH
@DENIED
def test_images_wait_for_the_permission_and_arrive_when_it_is_given(tmp_path: Path, kind: str, denied: int) -> None:
    allowed: list[bool] = []
    refusing = service_of(kind, denied)

    def told(request: Request) -> Reply:
        if not allowed or (request.method == "POST" and not request.path.endswith("find")):
            return refusing(request)
        bodies = b"".join(each.body for each in web.requests if not each.path.endswith("find"))
        sizes = {each.instance: each.clean_size for each in outbox.show(1).images if each.instance.encode() in bodies}
        if kind == "orthanc":
            return Reply(200, [{"FileSize": size, "MainDicomTags": {"SOPInstanceUID": uid}} for uid, size in sizes.items()])
        return Reply(200, [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in sizes])

    with service(told) as web, Outbox.open(tmp_path / "outbox") as outbox:
        where = parse(url(kind, web.port))
        found = folder_of(tmp_path / "in" / "7", range(3))
        first = run(outbox, iter([found]), [where], blank, Settings(watermark=0, attempts=1, age=0.0), threading.Event())
        assert (first.sent, first.errors, first.waiting) == (0, 0, 3)
        assert first.down == (f"{where.url}: {lacks(kind, denied)}: {HINT}",)
        again = run(outbox, iter([]), [where], blank, Settings(watermark=0), threading.Event())
        assert (again.errors, again.waiting) == (0, 3)
        stored = [each for each in web.requests if each.path == "/instances"]
        assert len(stored) <= 3  # they are not sent again and again
        allowed.append(True)
        last = run(outbox, iter([]), [where], blank, Settings(watermark=0), threading.Event())
        assert (last.sent, last.waiting) == (3, 0)
        assert outbox.status().images[State.DONE] == 3


@BOTH
@DENIED
def test_who_may_do_nothing_is_told_that(tmp_path: Path, kind: str, denied: int) -> None:
    if kind == "orthanc":
        told: Told = lambda request: Reply(denied)  # noqa: E731
    else:
        told = service_of(kind, denied, store=False)
    with service(told) as web, pytest.raises(NotWanted, match=rf"does not let us in \(status {denied}\)") as refused:
        outcome(url(kind, web.port), items(tmp_path))
    assert not isinstance(refused.value, MayNotQuery)


@BOTH
@DENIED
def test_its_word_is_enough_where_that_is_asked_for(tmp_path: Path, kind: str, denied: int) -> None:
    with service(service_of(kind, denied)) as web:
        failures = outcome(url(kind, web.port), items(tmp_path), verify="status")
    if kind == "orthanc":
        assert failures == [None] * 3
    else:  # this one says nothing of any image
        assert {failure and failure.permanent for failure in failures} == {False}
