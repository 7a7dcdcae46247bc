"""TLS without a PostgreSQL server: certificates read, contexts made, and a backend that cheats or differs."""

import contextlib
import hashlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from hyperdjango.database import _sync_io
from hyperdjango.database._channel_binding import server_end_point
from hyperdjango.database._connect import Established, cancel_steps, connect_steps
from hyperdjango.database._conninfo import parse
from hyperdjango.database._native import native
from hyperdjango.database._tls import TlsError, TlsFilter, _check_names
from hyperdjango.database._tls_context import context_for
from hyperdjango.database.errors import ConnectionFailed
from hypothesis import given
from hypothesis import strategies as st
from pg_certificates import Authority, Signed, rsa_key
from pgkit import (
    ScramServer,
    ScriptedBackend,
    accept_startup,
    close,
    expect_eof,
    messages,
    send,
    startup,
    startup_cleartext,
    startup_scram,
    wait,
)
from pgkit.frontend import SSLRequest

PASSWORD = "hunter2"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server_certificate(authority: Authority) -> Signed:
    return authority.sign("localhost", ["localhost", "127.0.0.1", "::1"], hash_algorithm=hashes.SHA384())


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / ".postgresql").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    return home


def server_context(signed: Signed) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate_file, signed.key_file)
    return context


@contextlib.contextmanager
def opened(url: str, **keywords: Any) -> Iterator[Established]:
    parameters = parse(url, environ={"PGPASSFILE": "/nonexistent"}, **keywords)
    established = _sync_io.run(connect_steps(parameters, native.TypeMap()))
    try:
        yield established
    finally:
        established.close()


def failure(url: str, **keywords: Any) -> ConnectionFailed:
    with pytest.raises(ConnectionFailed) as caught, opened(url, **keywords):
        pass
    return caught.value


def over_tls(context: ssl.SSLContext) -> list[Any]:
    return [accept_startup(context), *startup()[1:], expect_eof()]


# -- channel binding's hash --


@pytest.mark.parametrize("algorithm", [hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize("kind", ["rsa", "rsa-pss", "ecdsa"])
def test_the_hash_is_that_of_the_certificates_signature(
    tmp_path: Path, kind: str, algorithm: hashes.HashAlgorithm
) -> None:
    options: dict[str, Any] = {}
    key: Any = ec.generate_private_key(ec.SECP256R1()) if kind == "ecdsa" else rsa_key()
    if kind == "rsa-pss":
        options["rsa_padding"] = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH)
    signed = Authority(tmp_path, key=key).sign("x", hash_algorithm=algorithm, **options)
    assert signed.certificate.signature_hash_algorithm is not None
    assert signed.certificate.signature_hash_algorithm.name == algorithm.name
    assert server_end_point(signed.der) == hashlib.new(algorithm.name, signed.der).digest()


@pytest.mark.parametrize(
    ("oid", "name"),
    [
        (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", "sha256"),  # md5WithRSAEncryption
        (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", "sha256"),  # sha1WithRSAEncryption
        (b"\x2a\x86\x48\xce\x3d\x04\x01", "sha256"),  # ecdsa-with-SHA1
        (b"\x60\x86\x48\x01\x65\x03\x04\x03\x0a", "sha3_256"),  # ecdsa-with-sha3-256
        (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", None),  # RSA-PSS without its parameters
        (b"\x2b\x65\x70", None),  # Ed25519
        (b"\x2a\x03\x04", None),  # unknown
    ],
)
def test_weak_hashes_become_sha256_and_unknown_ones_give_none(oid: bytes, name: str | None) -> None:
    algorithm = b"\x06" + bytes([len(oid)]) + oid
    body = b"\x30\x00" + b"\x30" + bytes([len(algorithm)]) + algorithm + b"\x03\x01\x00"
    certificate = b"\x30" + bytes([len(body)]) + body
    expected = hashlib.new(name, certificate).digest() if name else None
    assert server_end_point(certificate) == expected


def test_ed25519_has_no_channel_binding(tmp_path: Path) -> None:
    signed = Authority(tmp_path, key=ed25519.Ed25519PrivateKey.generate()).sign("x")
    assert server_end_point(signed.der) is None


def test_every_prefix_of_a_certificate_gives_none(server_certificate: Signed) -> None:
    der = server_certificate.der
    assert server_end_point(der) is not None
    assert [server_end_point(der[:size]) for size in range(len(der))] == [None] * len(der)


@given(st.binary(max_size=80))
def test_any_bytes_as_a_certificate_do_no_harm(data: bytes) -> None:
    found = server_end_point(b"\x30\x50\x30\x00\x30\x20" + data)
    assert found is None or len(found) >= 28


# -- contexts --


def context(**keywords: Any) -> ssl.SSLContext:
    return context_for(parse("postgresql:///d", environ={}, **keywords).tls)


@pytest.mark.parametrize(
    ("mode", "verify", "names"),
    [
        ("prefer", True, False),
        ("require", True, False),
        ("verify-ca", True, False),
        ("verify-full", True, True),
    ],
)
def test_a_root_certificate_is_used_whatever_the_mode(
    authority: Authority, mode: str, verify: bool, names: bool
) -> None:
    made = context(sslmode=mode, sslrootcert=authority.file)
    assert (made.verify_mode == ssl.CERT_REQUIRED) is verify
    assert made.check_hostname is names


def test_without_a_root_certificate(empty_home: Path, authority: Authority) -> None:
    assert context(sslmode="require").verify_mode == ssl.CERT_NONE
    for mode in ("verify-ca", "verify-full"):
        with pytest.raises(TlsError, match=f"sslmode={mode} needs certificates to trust: name a file"):
            context(sslmode=mode)
    with pytest.raises(TlsError, match="does not exist"):
        context(sslmode="require", sslrootcert="/nonexistent")
    (empty_home / "rubbish").write_text("rubbish")
    with pytest.raises(TlsError, match="cannot be read"):
        context(sslmode="require", sslrootcert=empty_home / "rubbish")
    # The file in its usual place is found, and taken again when it changes.
    root = empty_home / ".postgresql" / "root.crt"
    root.write_bytes(authority.file.read_bytes())
    made = context(sslmode="require")
    assert made.verify_mode == ssl.CERT_REQUIRED
    assert context(sslmode="require") is made
    root.unlink()
    assert context(sslmode="require").verify_mode == ssl.CERT_NONE


def test_the_systems_certificates() -> None:
    made = context(sslrootcert="system")
    assert made.verify_mode == ssl.CERT_REQUIRED
    assert made.check_hostname


def test_protocol_versions() -> None:
    made = context(sslmode="require")
    assert made.minimum_version == ssl.TLSVersion.TLSv1_2
    made = context(sslmode="require", ssl_min_protocol_version="TLSv1.3", ssl_max_protocol_version="TLSv1.3")
    assert (made.minimum_version, made.maximum_version) == (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)


def test_client_certificates_and_their_keys(authority: Authority, empty_home: Path) -> None:
    signed = authority.sign("alice")
    files = {"sslcert": signed.certificate_file, "sslkey": signed.key_file}
    context(sslmode="require", **files)
    with pytest.raises(TlsError, match="certificate file '/nonexistent' does not exist"):
        context(sslmode="require", sslcert="/nonexistent")
    with pytest.raises(TlsError, match="certificate present, but not private key"):
        context(sslmode="require", sslcert=signed.certificate_file)
    context(sslmode="require", sslcert="/nonexistent", sslcertmode="disable")
    other = authority.sign("bob")
    with pytest.raises(TlsError, match="KEY_VALUES_MISMATCH"):
        context(sslmode="require", sslcert=signed.certificate_file, sslkey=other.key_file)
    for mode in (0o640, 0o604, 0o660):
        signed.key_file.chmod(mode)
        with pytest.raises(TlsError, match="group or world access"):
            context(sslmode="require", **files)
    signed.key_file.chmod(0o600)


def test_an_encrypted_key_wants_sslpassword_and_never_asks_the_terminal(authority: Authority) -> None:
    signed = authority.sign("carol", key_password=PASSWORD)
    files = {"sslcert": signed.certificate_file, "sslkey": signed.key_file}
    context(sslmode="require", sslpassword=PASSWORD, **files)
    with pytest.raises(TlsError, match="is encrypted, and there is no sslpassword"):
        context(sslmode="require", **files)
    with pytest.raises(TlsError) as caught:
        context(sslmode="require", sslpassword="wrong" + PASSWORD, **files)
    assert PASSWORD not in str(caught.value)
    tls = parse("postgresql:///d", environ={}, sslpassword=PASSWORD).tls
    assert PASSWORD not in repr(tls)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files that root owns")
def test_a_key_that_root_owns_may_be_readable_by_a_group(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = authority.sign("dave")
    signed.key_file.chmod(0o640)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    context(sslmode="require", sslcert=signed.certificate_file, sslkey=signed.key_file)
    signed.key_file.chmod(0o644)
    with pytest.raises(TlsError, match="group or world access"):
        context(sslmode="require", sslcert=signed.certificate_file, sslkey=signed.key_file)


def test_a_context_by_keyword_is_used_as_it_is(authority: Authority) -> None:
    mine = ssl.create_default_context(cafile=str(authority.file))
    parameters = parse("postgresql:///d", environ={}, ssl_context=mine)
    assert parameters.tls.mode == "require"
    assert context_for(parameters.tls) is mine


# -- names, where OpenSSL must not be told them (sslsni=0) --


@pytest.mark.parametrize(
    ("names", "wanted", "fits"),
    [
        (["db.example"], "db.example", True),
        (["db.example"], "DB.Example.", True),
        (["DB.example"], "db.example", True),
        (["db.example"], "x.db.example", False),
        (["*.example.com"], "db.example.com", True),
        (["*.example.com"], "a.b.example.com", False),
        (["*.example.com"], "example.com", False),
        (["*.com"], "example.com", False),
        (["a.example", "b.example"], "b.example", True),
        (["192.0.2.1"], "192.0.2.1", False),  # a DNS name that looks like an address is none
        ([], "db.example", False),
    ],
)
def test_host_names_are_compared_as_rfc_6125_says(names: list[str], wanted: str, fits: bool) -> None:
    certificate: dict[str, object] = {"subjectAltName": tuple(("DNS", name) for name in names)}
    if fits:
        _check_names(certificate, wanted)
    else:
        with pytest.raises(TlsError, match="not made out to"):
            _check_names(certificate, wanted)


def test_addresses_are_compared_as_addresses() -> None:
    certificate: dict[str, object] = {
        "subjectAltName": (("IP Address", "0:0:0:0:0:0:0:1"), ("IP Address", "192.0.2.1"))
    }
    _check_names(certificate, "::1")
    _check_names(certificate, "192.0.2.1")
    with pytest.raises(TlsError):
        _check_names(certificate, "192.0.2.2")


# -- every sslmode against every kind of server --

WORKS: dict[str, dict[str, str]] = {
    #              no TLS    trusted   other name  unknown authority (a root certificate is given)
    "disable": {"none": "plain", "trusted": "plain", "other-name": "plain", "unknown": "plain"},
    "allow": {"none": "plain", "trusted": "plain", "other-name": "plain", "unknown": "plain"},
    "prefer": {"none": "plain", "trusted": "tls", "other-name": "tls", "unknown": "plain"},
    "require": {
        "none": "does not support TLS",
        "trusted": "tls",
        "other-name": "tls",
        "unknown": "not trusted",
    },
    "verify-ca": {
        "none": "does not support TLS",
        "trusted": "tls",
        "other-name": "tls",
        "unknown": "not trusted",
    },
    "verify-full": {
        "none": "does not support TLS",
        "trusted": "tls",
        "other-name": "not trusted",
        "unknown": "not trusted",
    },
}


@pytest.mark.parametrize("server", ["none", "trusted", "other-name", "unknown"])
@pytest.mark.parametrize("mode", WORKS)
def test_every_sslmode_against_every_server(
    mode: str, server: str, authority: Authority, server_certificate: Signed, tmp_path: Path
) -> None:
    signed = {
        "none": None,
        "trusted": server_certificate,
        "other-name": authority.sign("other", ["other.example"]),
        "unknown": Authority(tmp_path, "Stranger").sign("localhost", ["127.0.0.1"]),
    }[server]
    script = over_tls(server_context(signed)) if signed is not None else [*startup(), expect_eof()]
    expected = WORKS[mode][server]
    tls_of_script = server_context(signed) if signed is not None else None

    def answer(talk: Any) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            accept_startup(tls_of_script)(talk)
            for step in script[1:]:
                step(talk)

    with ScriptedBackend([answer], frontend_may_leave=True) as backend:
        url = backend.url(sslmode=mode, sslrootcert=str(authority.file))
        if expected in {"plain", "tls"}:
            with opened(url) as established:
                assert (established.tls is not None) is (expected == "tls")
        else:
            assert expected in str(failure(url))


def test_without_a_root_certificate_require_takes_any_certificate(tmp_path: Path) -> None:
    signed = Authority(tmp_path, "Stranger").sign("whoever")
    with (
        ScriptedBackend(over_tls(server_context(signed))) as backend,
        opened(backend.url(sslmode="require")) as established,
    ):
        assert established.tls is not None
        assert established.tls.version == "TLSv1.3"


def test_sslsni_0_sends_no_name_and_still_verifies_it(
    authority: Authority, server_certificate: Signed
) -> None:
    seen: list[str | None] = []
    tls = server_context(server_certificate)
    tls.sni_callback = lambda _sock, name, _context: seen.append(name)
    other = server_context(authority.sign("other", ["other.example"]))
    with ScriptedBackend(over_tls(tls)) as backend:
        url = backend.url(sslmode="verify-full", sslrootcert=str(authority.file)).replace(
            "127.0.0.1", "localhost"
        )
        with opened(url):
            pass
        with opened(url + "&sslsni=0"):
            pass
    assert seen == ["localhost", None]
    with ScriptedBackend(over_tls(other), frontend_may_leave=True) as backend:
        url = backend.url(sslmode="verify-full", sslrootcert=str(authority.file), sslsni="0")
        assert "not made out to '127.0.0.1'" in str(failure(url))


def test_a_revoked_certificate_is_refused(authority: Authority, server_certificate: Signed) -> None:
    revoked = authority.sign("revoked", ["127.0.0.1"])
    crl = str(authority.revoke(revoked))

    def serving(signed: Signed) -> list[Any]:
        def answer(talk: Any) -> None:
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                for step in over_tls(server_context(signed)):
                    step(talk)

        return [answer]

    query = {"sslmode": "verify-full", "sslrootcert": str(authority.file), "sslcrl": crl}
    with ScriptedBackend(serving(revoked), frontend_may_leave=True) as backend:
        assert "certificate revoked" in str(failure(backend.url(**query)))
    with ScriptedBackend(serving(server_certificate)) as backend, opened(backend.url(**query)):
        pass
    with pytest.raises(TlsError, match=r"revocation list .* does not exist"):
        context(**{**query, "sslcrl": "/nonexistent"})


# -- a server, or someone in between, that cheats --


def test_plaintext_behind_the_answer_to_ssl_request_ends_it() -> None:
    injected = messages.error_response("28000", f"please send your password to {PASSWORD}.example")

    def answer(talk: Any) -> None:
        talk.expect(SSLRequest)
        talk._socket.sendall(b"S" + injected)

    with ScriptedBackend([answer, expect_eof()], frontend_may_leave=True) as backend:
        time.sleep(0)
        error = failure(backend.url(sslmode="require"))
    assert "unencrypted data" in str(error) or "TLS failed" in str(error)
    assert PASSWORD not in str(error)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (messages.error_response("08P01", "leaked text"), "answered the request for TLS with an error"),
        (b"X", "invalid answer"),
        (b"", "closed the connection"),
    ],
)
def test_other_answers_to_ssl_request_end_it_and_their_text_is_not_shown(data: bytes, text: str) -> None:
    def answer(talk: Any) -> None:
        talk.expect(SSLRequest)
        talk._socket.sendall(data)

    with ScriptedBackend([answer, close()], frontend_may_leave=True) as backend:
        error = failure(backend.url(sslmode="require"))
        assert text in str(error)
        assert "leaked" not in f"{error} {getattr(error, '__notes__', '')}"
        assert len(backend.conversations) == 1


def test_prefer_goes_on_in_the_clear_where_tls_fails() -> None:
    def not_tls(talk: Any) -> None:
        talk.expect(SSLRequest)
        talk._socket.sendall(b"S")
        talk._socket.recv(1000)
        talk._socket.sendall(b"this is no ServerHello")

    with ScriptedBackend([not_tls, close()], [*startup(), expect_eof()], frontend_may_leave=True) as backend:
        with opened(backend.url(sslmode="prefer")) as established:
            assert established.tls is None
        assert [type(m).__name__ for m in backend.conversations[1].received][:1] == ["StartupMessage"]


def test_allow_and_prefer_try_the_other_way_where_pg_hba_says_no(server_certificate: Signed) -> None:
    tls = server_context(server_certificate)
    no_entry = send(messages.error_response("28000", "no pg_hba.conf entry", severity="FATAL"))
    refusing_plain = [accept_startup(), no_entry, close()]
    refusing_tls = [accept_startup(tls), no_entry, close()]
    backend = ScriptedBackend(refusing_plain, over_tls(tls))
    with backend, opened(backend.url(sslmode="allow")) as established:
        assert established.tls is not None
    backend = ScriptedBackend(refusing_tls, [*startup(), expect_eof()])
    with backend, opened(backend.url(sslmode="prefer")) as established:
        assert established.tls is None
    with ScriptedBackend(refusing_tls) as backend:
        assert failure(backend.url(sslmode="require")).sqlstate == "28000"
        assert len(backend.conversations) == 1


def test_unix_sockets_have_no_tls_whatever_the_mode() -> None:
    backend = ScriptedBackend([*startup(), expect_eof()], unix=True)
    with backend, opened(backend.url(sslmode="verify-full")) as established:
        assert established.tls is None


# -- direct negotiation --


@pytest.mark.parametrize("alpn", [["postgresql"], ["http/1.1"], None])
def test_direct_negotiation_wants_the_protocol_agreed(
    server_certificate: Signed, alpn: list[str] | None
) -> None:
    tls = server_context(server_certificate)
    if alpn is not None:
        tls.set_alpn_protocols(alpn)

    def direct(talk: Any) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            talk.start_tls(tls)
            for step in (accept_startup(), *startup()[1:], expect_eof()):
                step(talk)

    with ScriptedBackend([direct], frontend_may_leave=True) as backend:
        url = backend.url(sslmode="require", sslnegotiation="direct")
        if alpn == ["postgresql"]:
            with opened(url) as established:
                assert established.tls is not None
        else:
            assert any(word in str(failure(url)) for word in ("ALPN", "TLS failed"))


# -- passwords and channel binding under TLS --


def test_scram_plus_binds_to_the_certificate(server_certificate: Signed) -> None:
    tls = server_context(server_certificate)
    binding = hashlib.sha384(server_certificate.der).digest()
    script = startup_scram(
        lambda: ScramServer(PASSWORD, channel_binding=binding),
        mechanisms=["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"],
        tls=tls,
    )
    with ScriptedBackend([*script, expect_eof()]) as backend:
        for wish in ("prefer", "require"):
            with opened(backend.url(password=PASSWORD, sslmode="require", channel_binding=wish)):
                pass


@pytest.mark.parametrize("wish", ["prefer", "require"])
def test_a_hidden_offer_of_channel_binding_is_noticed(server_certificate: Signed, wish: str) -> None:
    tls = server_context(server_certificate)
    seen: list[bytes] = []

    class Watching(ScramServer):
        def first(self, client_first: bytes) -> bytes:
            seen.append(client_first[:2])
            return super().first(client_first)

    script = startup_scram(lambda: Watching(PASSWORD), tls=tls)
    with ScriptedBackend([*script, expect_eof()], frontend_may_leave=True) as backend:
        url = backend.url(password=PASSWORD, sslmode="require", channel_binding=wish)
        if wish == "require":
            assert "channel binding is required, but the server does not offer it" in str(failure(url))
            assert seen == []
        else:
            with opened(url):
                pass
            assert seen == [b"y,"]  # tells a server that did offer it


def test_a_certificate_without_a_hash_has_no_channel_binding(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    signed = Authority(tmp_path, key=key).sign("x")
    tls = server_context(signed)
    mechanisms = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
    script = startup_scram(lambda: ScramServer(PASSWORD), mechanisms=mechanisms, tls=tls)
    with ScriptedBackend([*script, expect_eof()], frontend_may_leave=True) as backend:
        with opened(backend.url(password=PASSWORD, sslmode="require")):
            pass
        url = backend.url(password=PASSWORD, sslmode="require", channel_binding="require")
        assert "certificate allows none" in str(failure(url))


def test_cleartext_may_go_through_tls(server_certificate: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperdjango.database._authenticate.is_local", lambda _: False)
    script = startup_cleartext(PASSWORD, tls=server_context(server_certificate))
    with (
        ScriptedBackend([*script, expect_eof()]) as backend,
        opened(backend.url(password=PASSWORD, sslmode="require")),
    ):
        pass


def test_channel_binding_require_refuses_cleartext_under_tls(server_certificate: Signed) -> None:
    script = startup_cleartext(PASSWORD, tls=server_context(server_certificate))
    with ScriptedBackend(script, frontend_may_leave=True) as backend:
        url = backend.url(password=PASSWORD, sslmode="require", channel_binding="require")
        assert "asks for a method that has none" in str(failure(url))


def test_a_cancel_request_goes_through_tls(server_certificate: Signed) -> None:
    tls = server_context(server_certificate)
    with ScriptedBackend(over_tls(tls), [accept_startup(tls), wait(0), close()]) as backend:
        with opened(backend.url(sslmode="require")) as established:
            _sync_io.run(cancel_steps(established.cancel_target))
        (request,) = backend.cancel_requests
        assert request.process_id == 4711
        assert "F SSLRequest" in backend.conversations[1].trace[0]


def test_a_cancel_request_is_not_sent_in_the_clear(server_certificate: Signed) -> None:
    tls = server_context(server_certificate)
    with ScriptedBackend(over_tls(tls), [accept_startup(), expect_eof()], frontend_may_leave=True) as backend:
        with opened(backend.url(sslmode="require")) as established:
            target = established.cancel_target
        with pytest.raises(TlsError, match="was not sent"):
            _sync_io.run(cancel_steps(target))
        assert not backend.cancel_requests


# -- the filter --


def test_the_filter_takes_and_gives_any_amount_without_blocking(server_certificate: Signed) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    tls = server_context(server_certificate)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    data = os.urandom(3_000_000)
    echoed = threading.Event()

    def echo() -> None:
        with tls.wrap_socket(theirs, server_side=True) as wrapped:
            received = b""
            while len(received) < len(data):
                received += wrapped.recv(1 << 20)
            echoed.set()
            wrapped.sendall(received)
            with contextlib.suppress(ssl.SSLError):  # we close without a word
                wrapped.unwrap()

    thread = threading.Thread(target=echo)
    thread.start()
    filter_ = TlsFilter(ours, client, None)
    _sync_io.run(filter_.handshake_steps(), 5)
    assert filter_.read() is None
    filter_.write(data)
    filter_.write(b"")
    assert not filter_.flush()  # the peer reads while we write, but not all of it at once
    deadline = time.monotonic() + 10
    while not filter_.flush() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert echoed.wait(10)
    back = b""
    while len(back) < len(data) and time.monotonic() < deadline:
        piece = filter_.read()
        if piece is None:
            time.sleep(0.001)
        else:
            assert piece
            back += piece
    assert back == data
    while (end := filter_.read()) is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert end == b""
    assert filter_.read() == b""
    ours.close()
    thread.join()


def test_a_connection_cut_inside_tls_reads_as_its_end(server_certificate: Signed) -> None:
    tls = server_context(server_certificate)
    script = [accept_startup(tls), *startup()[1:], lambda talk: talk._socket.detach()]

    def cut(talk: Any) -> None:
        raw = socket.socket(fileno=talk._socket.detach())
        raw.close()
        talk._socket = socket.socket()

    script[-1] = cut
    with ScriptedBackend(script) as backend, opened(backend.url(sslmode="require")) as established:
        assert established.tls is not None
        deadline = time.monotonic() + 5
        while (data := established.tls.read()) is None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert data == b""


def test_tls_that_asks_for_a_newer_version_than_the_server_has(server_certificate: Signed) -> None:
    tls = server_context(server_certificate)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2

    def answer(talk: Any) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            for step in over_tls(tls):
                step(talk)

    with ScriptedBackend([answer], frontend_may_leave=True) as backend:
        assert "TLS failed" in str(
            failure(backend.url(sslmode="require", ssl_min_protocol_version="TLSv1.3"))
        )
        with opened(backend.url(sslmode="require")) as established:
            assert established.tls is not None
            assert established.tls.version == "TLSv1.2"


def test_a_mistake_in_the_tls_parameters_is_no_reason_to_go_on_in_the_clear() -> None:
    with ScriptedBackend([*startup(), expect_eof()]) as backend:
        error = failure(backend.url(sslmode="prefer", sslrootcert="/nonexistent"))
        assert "root certificate file '/nonexistent' does not exist" in str(error)
        with opened(backend.url(sslmode="disable")):
            pass
        assert len(backend.conversations) == 1
