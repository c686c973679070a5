"""A service of identifiers is asked over a real connection, waited for, and never guessed at."""

import contextlib
import datetime
import http.server
import ipaddress
import json
import logging
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rtbids.deidentify.identifiers import Question, ServiceDown, ServiceRefuses, read_answer
from rtbids.deidentify.identifiers_service import Rest, read_token
from rtbids.deidentify.mapping import Identifiers
from rtbids.errors import BadData, ConnectionLost, InputMissing, UsageFault

WHO = Question("MRN-4711-X", "ACC20010203", "pain")
GOOD = {"patient_id": "IR7a3", "accession_number": "IR7a4", "date_shift_days": -17}


class Told(http.server.BaseHTTPRequestHandler):
    """Answers as the server's `answers` say, the last one again and again; keeps what it was asked."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers), json.loads(body)))
        answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        answer(self)

    do_GET = do_POST

    def log_message(self, *_):
        pass


def says(content, status=200, length=None, headers=()):
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()

    def answer(handler):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(raw) if length is None else length))
        handler.end_headers()
        with contextlib.suppress(OSError):  # the client may have gone
            handler.wfile.write(raw)

    return answer


def hangs_up(handler):
    handler.close_connection = True


@pytest.fixture
def service():
    """Start a service that gives `answers`; returns its URL and what it was asked."""
    with contextlib.ExitStack() as stack:

        def start(*answers, context=None):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told)
            server.answers, server.asked = list(answers), []
            if context:
                server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return f"http{'s' if context else ''}://127.0.0.1:{server.server_port}/identify", server.asked

        yield start


def asking(url, **settings):
    pauses = []
    return Rest(url, pause=pauses.append, **settings), pauses


def test_what_the_service_says_takes_the_place_of_ours(service):
    url, asked = service(says(GOOD))
    rest, pauses = asking(url, token="s3cret")
    assert rest.ask(WHO) == Identifiers("IR7a3", "IR7a4", -17)
    ((path, headers, body),) = asked
    assert (path, headers["Authorization"]) == ("/identify", "Bearer s3cret")
    assert body == {"patient_id": "MRN-4711-X", "accession_number": "ACC20010203", "study": "pain"}
    assert pauses == []


def test_one_who_is_known_is_not_asked_for_again(service):
    url, asked = service(says(GOOD))
    rest, _ = asking(url)
    assert rest.ask(WHO) is rest.ask(Question("MRN-4711-X", "ACC20010203", "pain"))
    assert len(asked) == 1


@pytest.mark.parametrize("accession", [None, "absent"])
def test_accession_number_and_shift_may_be_left_to_us(accession):
    answer = (
        {"patient_id": "IR7a3"} if accession else {"patient_id": "IR7a3", "accession_number": None, "date_shift_days": None}
    )
    assert read_answer(json.dumps(answer).encode(), WHO) == Identifiers("IR7a3", None, None)


@pytest.mark.parametrize("first", [says(b"", 503), says(b"", 500), says(b"", 429), hangs_up, says(b"{}", length=99)])
def test_a_service_that_stumbles_is_asked_again(service, first):
    url, asked = service(first, says(GOOD))
    rest, pauses = asking(url, timeout=2)
    assert rest.ask(WHO).patient == "IR7a3"
    assert (len(asked), pauses) == (2, [1.0])


def test_after_several_tries_with_longer_and_longer_pauses_it_is_down(service):
    url, asked = service(says(b"", 503))
    rest, pauses = asking(url)
    with pytest.raises(ServiceDown, match="answered 503"):
        rest.ask(WHO)
    assert (len(asked), pauses) == (4, [1.0, 2.0, 4.0])
    assert issubclass(ServiceDown, ConnectionLost)


def test_who_waits_may_say_that_it_is_over(service):
    url, asked = service(says(b"", 503))
    rest = Rest(url, pause=lambda seconds: True)
    with pytest.raises(ServiceDown, match="answered 503"):
        rest.ask(WHO)
    assert len(asked) == 1


def test_several_workers_ask_for_a_patient_once(service):
    url, asked = service(says(GOOD))
    rest, _ = asking(url)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(rest.ask, [WHO] * 20)) == {Identifiers("IR7a3", "IR7a4", -17)}
    assert len(asked) == 1


def test_a_service_that_is_not_there_is_down():
    rest, _ = asking("http://127.0.0.1:1/identify")
    with pytest.raises(ServiceDown, match="cannot be reached"):
        rest.ask(WHO)


@pytest.fixture
def over():
    """What a handler waits for that answers late or never: the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def test_a_service_that_does_not_answer_in_time_is_down(service, over):
    url, _ = service(lambda handler: over.wait(20))
    rest, _ = asking(url, timeout=0.2, tries=1)
    with pytest.raises(ServiceDown, match="in time"):
        rest.ask(WHO)


def test_an_answer_that_drips_in_is_given_up(service, over):
    def drips(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "60000")
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not over.wait(0.02):
                handler.wfile.write(b" ")
                handler.wfile.flush()

    url, _ = service(drips)
    rest, _ = asking(url, timeout=0.3, tries=1)
    with pytest.raises(ServiceDown, match="did not end in time"):
        rest.ask(WHO)


def test_an_endless_answer_is_given_up(service):
    url, _ = service(says(b" " * 200_000))
    rest, _ = asking(url, tries=1)
    with pytest.raises(ServiceDown, match="short answer"):
        rest.ask(WHO)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "token was not accepted"),
        (403, "token was not accepted"),
        (404, "not found"),
        (400, "refused"),
        (302, "redirected"),
    ],
)
def test_a_refusal_is_not_asked_again(service, status, words):
    url, asked = service(says(b"", status, headers=[("Location", "http://127.0.0.1:1/")]))
    rest, pauses = asking(url)
    with pytest.raises(ServiceRefuses, match=words):
        rest.ask(WHO)
    assert (len(asked), pauses) == (1, [])
    assert issubclass(ServiceRefuses, UsageFault)


@pytest.mark.parametrize(
    "content",
    [
        b"<html>login</html>",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"patient_id": 7}',
        b'{"patient_id": "  "}',
        b'{"patient_id": "A\\\\B"}',
        b'{"patient_id": "A\\u0000B"}',
        b'{"patient_id": "../../etc"}',
        b'{"patient_id": ".."}',
        json.dumps({"patient_id": "x" * 65}).encode(),
        b'{"patient_id": "IR7a3", "accession_number": "seventeen letters"}',
        b'{"patient_id": "IR7a3", "date_shift_days": "-17"}',
        b'{"patient_id": "IR7a3", "date_shift_days": true}',
        b'{"patient_id": "IR7a3", "date_shift_days": 1e9}',
        b"{}",
    ],
)
def test_a_malformed_answer_is_no_answer(content):
    with pytest.raises(ServiceDown, match="identifiers service"):
        read_answer(content, WHO)


@pytest.mark.parametrize(
    "echo",
    [
        {"patient_id": "MRN-4711-X"},
        {"patient_id": " mrn-4711-x "},
        {"patient_id": "anon_MRN-4711-X"},
        {"patient_id": "IR7a3", "accession_number": "ACC20010203"},
    ],
)
def test_an_answer_that_gives_the_original_back_is_refused(echo):
    with pytest.raises(ServiceRefuses, match="gave an original identifier back"):
        read_answer(json.dumps(echo).encode(), WHO)


def test_a_short_original_may_be_part_of_a_replacement_by_chance():
    assert read_answer(b'{"patient_id": "IR12"}', Question("12")).patient == "IR12"


def test_a_shift_of_no_days_is_refused():
    with pytest.raises(ServiceRefuses, match="no days"):
        read_answer(b'{"patient_id": "IR7a3", "date_shift_days": 0}', WHO)


def test_a_patient_who_becomes_two_people_is_refused(service):
    url, _ = service(says(GOOD), says({**GOOD, "patient_id": "IR9"}))
    rest, _ = asking(url)
    rest.ask(WHO)
    with pytest.raises(ServiceRefuses, match="two different answers"):
        rest.ask(Question(WHO.patient, "ACC2", WHO.study))


def test_an_image_without_a_patient_is_not_asked_about(service):
    url, asked = service(says(GOOD))
    rest, _ = asking(url)
    with pytest.raises(BadData, match="without a PatientID"):
        rest.ask(Question("  ", "ACC1"))
    assert asked == []


def test_no_message_holds_who_was_asked_about(service, caplog):
    caplog.set_level(logging.DEBUG)
    for answer in (says(b"", 503), says(b"", 404), says({"patient_id": WHO.patient}), says(b"no"), hangs_up):
        url, _ = service(answer)
        rest, _ = asking(url, token="s3cret", tries=1)
        with pytest.raises((ServiceDown, ServiceRefuses)) as caught:
            rest.ask(WHO)
        said = f"{caught.value!r} {caught.value.hint} {caplog.text}"
        assert not any(secret in said for secret in (WHO.patient, WHO.accession, "s3cret"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://service.example/identify", "readable by all"),
        ("https://user:word@service.example/", "must not hold a name or password"),
        ("ftp://service.example/", "expected https"),
        ("service.example", "expected https"),
    ],
)
def test_a_url_that_would_give_secrets_away_is_refused(url, words):
    with pytest.raises(UsageFault, match=words) as caught:
        Rest(url)
    assert "word@" not in str(caught.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that vouches for itself, and its key, in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ids.test")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(36_500))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "ids.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + secret)
    return path


def serving(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_service_is_asked_over_tls(service, certificate):
    url, _ = service(says(GOOD), context=serving(certificate))
    rest, _ = asking(url, context=ssl.create_default_context(cafile=str(certificate)))
    assert rest.ask(WHO).patient == "IR7a3"


def test_ssl_cert_file_names_the_authority_of_a_site(service, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    url, _ = service(says(GOOD), context=serving(certificate))
    rest, _ = asking(url)
    assert rest.ask(WHO).patient == "IR7a3"


def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_asked(service, certificate):
    url, asked = service(says(GOOD), context=serving(certificate))
    rest, pauses = asking(url)
    with pytest.raises(ServiceRefuses, match="certificate is not trusted"):
        rest.ask(WHO)
    assert (asked, pauses) == ([], [])


def test_the_token_comes_from_an_owner_only_file_or_the_environment(tmp_path):
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    assert read_token(file, {}) == "s3cret"
    assert read_token(None, {"RTBIDS_IDENTIFIERS_TOKEN": " other "}) == "other"
    assert read_token(None, {}) is None


@pytest.mark.parametrize(
    ("content", "mode", "words"), [("s", 0o640, "others may read"), ("", 0o600, "one token"), ("é", 0o600, "ASCII")]
)
def test_a_token_file_that_others_read_or_that_holds_none_is_refused(tmp_path, content, mode, words):
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    file.chmod(mode)
    with pytest.raises(UsageFault, match=words):
        read_token(file, {})


def test_a_token_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(InputMissing, match="cannot read the token"):
        read_token(tmp_path / "none", {})
