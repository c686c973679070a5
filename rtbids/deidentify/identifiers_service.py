"""A service of identifiers behind a URL, asked by POST: where it may be, its token, and what its silence or refusal means."""

from __future__ import annotations

import http.client
import os
import ssl
import stat
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rtbids.deidentify.identifiers import Question, ServiceDown, ServiceRefuses, asked, read_answer
from rtbids.deidentify.mapping import Identifiers
from rtbids.errors import BadData, InputMissing, UsageFault

TOKEN_VARIABLE = "RTBIDS_IDENTIFIERS_TOKEN"
_LARGEST_ANSWER = 65536
_REMEMBERED = 256  # patients: more than a scanner sees while their images are under way
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Rest:
    """A service behind a URL, asked by POST; what it answered is remembered in memory for the patients of the moment.

    Parameters
    ----------
    url
        ``https://…``; ``http://`` only for a service on this machine.
    token
        Sent as ``Authorization: Bearer``; see `read_token`.
    timeout, tries
        Seconds that one try may last; tries before `ServiceDown`. Pauses between tries double from one second.
    pause
        How to wait; ``threading.Event.wait`` of whatever stops the caller: when it says that it is set, no more is asked.
    context
        How to encrypt; by default the machine's own authorities (``SSL_CERT_FILE`` names others), always verified.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 20,
        tries: int = 4,
        pause: Callable[[float], object] = time.sleep,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.url = _checked_url(url)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout, self._tries, self._pause = timeout, tries, pause
        encrypted = urllib.request.HTTPSHandler(context=context or ssl.create_default_context())
        self._opener = urllib.request.build_opener(encrypted, _NoRedirects)
        self._known: OrderedDict[Question, Identifiers] = OrderedDict()
        self._alone = threading.Lock()

    def ask(self, question: Question) -> Identifiers:
        """Return the replacements; raise `ServiceDown` or `ServiceRefuses`, never guess."""
        if not question.patient.strip():
            raise BadData("an image without a PatientID: the identifiers service cannot be asked about it")
        with self._alone:  # or several workers would ask for the same patient
            if question not in self._known:
                found = read_answer(self._answer(asked(question)), question)
                self._agrees(question, found)
                self._remember(question, found)
            self._known.move_to_end(question)
            return self._known[question]

    def _answer(self, body: bytes) -> bytes:
        """Post `body`, again where that may help."""
        for left in reversed(range(self._tries)):
            try:
                return self._post(body)
            except ServiceDown:
                if not left or self._pause(2.0 ** (self._tries - 1 - left)):
                    raise
        raise ServiceDown(f"{self.url}: never asked")

    def _post(self, body: bytes) -> bytes:
        request = urllib.request.Request(self.url, body, self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return _body(response, time.monotonic() + self._timeout, self.url)
        except urllib.error.HTTPError as error:
            error.close()
            raise _refusal(self.url, error.code) from None
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self.url, error) from None

    def _agrees(self, question: Question, found: Identifiers) -> None:
        """A patient has one replacement, or two sessions would become two people."""
        for other, known in self._known.items():
            same = (other.patient, other.study) == (question.patient, question.study)
            if same and (known.patient, known.shift_days) != (found.patient, found.shift_days):
                hint = "the service must give a patient of a study the same patient_id and date_shift_days each time"
                raise ServiceRefuses(f"{self.url}: two different answers for one patient", hint)

    def _remember(self, question: Question, found: Identifiers) -> None:
        self._known[question] = found
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def read_token(path: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token in the owner-only file `path`, or in the environment variable RTBIDS_IDENTIFIERS_TOKEN, or None."""
    if path is None:
        return environment.get(TOKEN_VARIABLE, "").strip() or None
    try:
        with path.open(encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            token = file.read(4096).strip()
    except OSError as error:
        raise InputMissing(f"cannot read the token in {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageFault(f"{path}: expected a token in plain ASCII") from None
    if mode & 0o077:
        raise UsageFault(f"{path}: others may read this token", f"chmod 600 {path}")
    if not token or not token.isprintable() or " " in token:
        raise UsageFault(f"{path}: expected one token on one line")
    return token


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token and who is meant to wherever it points."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise UsageFault(f"--identifiers: expected https://host/path, found {_without_password(url)!r}")
    if parts.username or parts.password:
        hint = f"put a token into {TOKEN_VARIABLE} or an owner-only file (--identifiers-token FILE)"
        raise UsageFault("--identifiers: a URL must not hold a name or password", hint)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise UsageFault(f"--identifiers: {url} would send patients' identifiers readable by all on the way", "use https://")
    return url


def _without_password(url: str) -> str:
    return url.rpartition("@")[2]


def _body(response: http.client.HTTPResponse, deadline: float, url: str) -> bytes:
    """Read the answer; one that drips in is given up at `deadline` like one that does not come."""
    parts: list[bytes] = []
    while part := response.read1(_LARGEST_ANSWER):
        parts.append(part)
        if time.monotonic() > deadline:
            raise ServiceDown(f"{url}: the answer did not end in time")
        if sum(map(len, parts)) > _LARGEST_ANSWER:
            raise ServiceDown(f"{url}: expected a short answer, found more than {_LARGEST_ANSWER} bytes")
    if response.length:
        raise ServiceDown(f"{url}: the answer broke off")
    return b"".join(parts)


def _refusal(url: str, status: int) -> ServiceDown | ServiceRefuses:
    if status in _AGAIN:
        return ServiceDown(f"{url}: the identifiers service answered {status}")
    if status in (401, 403):
        return ServiceRefuses(f"{url}: the token was not accepted ({status})", f"--identifiers-token FILE or {TOKEN_VARIABLE}")
    if status == 404:
        return ServiceRefuses(
            f"{url}: not found (404)", "the path is wrong, or the service does not know this patient or study"
        )
    if 300 <= status < 400:
        return ServiceRefuses(f"{url}: redirected ({status}); identifiers are not sent on", "name the service's final address")
    return ServiceRefuses(f"{url}: the identifiers service refused ({status})", "nothing was written; see to the service")


def _unreachable(url: str, error: OSError | http.client.HTTPException) -> ServiceDown | ServiceRefuses:
    cause = getattr(error, "reason", error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        hint = "SSL_CERT_FILE names the authorities of a site of its own"
        return ServiceRefuses(f"{url}: its certificate is not trusted ({cause.verify_message})", hint)
    if isinstance(cause, TimeoutError):
        return ServiceDown(f"{url}: no answer in time")
    reason = getattr(cause, "strerror", None) or type(cause).__name__
    return ServiceDown(f"{url}: cannot be reached ({reason})")
