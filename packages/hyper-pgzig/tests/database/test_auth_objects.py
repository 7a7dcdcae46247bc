"""Secret, Scram and md5_password against the standard library's hashes and tables."""

import base64
import copy
import gc
import hashlib
import hmac
import pickle
import stringprep
import sys
import threading
import unicodedata

import pytest
from hyperdjango.database._native import native
from hypothesis import given
from hypothesis import strategies as st


def saslprep(password: str) -> bytes:
    """Prepare as a PostgreSQL backend does: checks before normalization, refused passwords raw."""
    raw = password.encode()
    if password.isascii():
        return raw
    text = "".join(
        " " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c)
    )
    forbidden = (
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
        stringprep.in_table_a1,
    )
    if not text or any(table(c) for table in forbidden for c in text):
        return raw
    if any(map(stringprep.in_table_d1, text)) and (
        any(map(stringprep.in_table_d2, text))
        or not stringprep.in_table_d1(text[0])
        or not stringprep.in_table_d1(text[-1])
    ):
        return raw
    return unicodedata.normalize("NFKC", text).encode()


class Backend:
    """The server's side of one SCRAM conversation, from the password it was told."""

    def __init__(self, password: bytes, *, salt: bytes = b"0123456789abcdef", iterations: int = 4096) -> None:
        salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        self.stored_key = hashlib.sha256(client_key).digest()
        self.server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.challenge = b",s=%b,i=%d" % (base64.b64encode(salt), iterations)
        self.auth_message = b""

    def first(self, client_first: bytes) -> bytes:
        self.header, bare = (
            client_first[: client_first.index(b"n=,")],
            client_first[client_first.index(b"n=,") :],
        )
        self.nonce = bare.removeprefix(b"n=,r=") + b"+server"
        answer = b"r=" + self.nonce + self.challenge
        self.auth_message = bare + b"," + answer + b","
        return answer

    def final(self, client_final: bytes, binding: bytes = b"") -> bytes:
        without_proof, proof = client_final.rsplit(b",p=", 1)
        assert without_proof == b"c=" + base64.b64encode(self.header + binding) + b",r=" + self.nonce
        self.auth_message += without_proof
        signature = hmac.digest(self.stored_key, self.auth_message, "sha256")
        key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        if hashlib.sha256(key).digest() != self.stored_key:
            return b"e=invalid-proof"
        return b"v=" + base64.b64encode(hmac.digest(self.server_key, self.auth_message, "sha256"))


def log_in(secret: native.Secret, backend: Backend, **options: object) -> native.Scram:
    scram = native.Scram(secret, b"client-nonce", **options)  # type: ignore[arg-type]
    scram.server_first(backend.first(scram.client_first()))
    if not scram.recall():
        scram.derive()
    binding = options.get("channel_binding", b"")
    assert isinstance(binding, bytes)
    scram.server_final(backend.final(scram.client_final(), binding))
    return scram


@pytest.mark.parametrize(
    "password",
    ["pencil", "", "p\u00e4ss w\u00f6rd", "I\u00adX\u2168", "\u0627\u0031", "x" * 300, "\u1e69\u0307"],
)
def test_scram_logs_in_where_the_backend_knows_the_same_password(password: str) -> None:
    log_in(native.Secret(password), Backend(saslprep(password)))


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12))
def test_passwords_are_prepared_as_the_backend_prepares_them(password: str) -> None:
    log_in(native.Secret(password), Backend(saslprep(password), iterations=1))


def test_every_assigned_character_is_prepared_as_the_backend_prepares_it() -> None:
    assigned = [
        chr(code)
        for code in range(1, sys.maxunicode + 1)
        if not 0xD800 <= code < 0xE000 and not stringprep.in_table_a1(chr(code))
    ]
    changed = [c for c in assigned if unicodedata.normalize("NFKC", c) != c or unicodedata.combining(c)]
    assert len(changed) > 4000
    # One character more or less in a hundred shows as a failed login, so a hundred go in one password.
    for start in range(0, len(changed), 100):
        for password in (
            "".join(changed[start : start + 100]),
            "e" + "\u0301".join(changed[start : start + 100]),
        ):
            log_in(native.Secret(password), Backend(saslprep(password), iterations=1))


@pytest.mark.parametrize(
    ("gs2", "binding"), [("n", b""), ("y", b""), ("p=tls-server-end-point", b"the certificate's hash")]
)
def test_scram_carries_the_channel_binding(gs2: str, binding: bytes) -> None:
    log_in(native.Secret("pencil"), Backend(b"pencil", iterations=1), gs2=gs2, channel_binding=binding)


def test_a_wrong_password_is_told_from_a_backend_that_does_not_know_it() -> None:
    with pytest.raises(ValueError, match="invalid-proof"):
        log_in(native.Secret("guess"), Backend(b"pencil", iterations=1))
    backend = Backend(b"pencil", iterations=1)
    backend.server_key = b"x" * 32
    with pytest.raises(ValueError, match="does not know the password"):
        log_in(native.Secret("pencil"), backend)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"r=client-nonce,s=AAAA,i=1", "does not extend"),
        (b"r=other,s=AAAA,i=1", "does not extend"),
        (b"r=client-nonce+,s=AAAA,i=11", "more than 10 SCRAM iterations"),
        (b"r=client-nonce+,s=AAA,i=1", "malformed"),
        (b"\xff", "malformed"),
    ],
)
def test_bad_challenges_are_refused(message: bytes, text: str) -> None:
    scram = native.Scram(native.Secret("x"), b"client-nonce", iterations_max=10)
    scram.client_first()
    with pytest.raises(ValueError, match=text):
        scram.server_first(message)
    with pytest.raises(RuntimeError, match="out of order"):
        scram.derive()


def test_keys_are_remembered_per_salt_and_iterations() -> None:
    secret = native.Secret("pencil")

    def challenged(backend: Backend) -> native.Scram:
        scram = native.Scram(secret, b"n")
        scram.server_first(backend.first(scram.client_first()))
        return scram

    log_in(secret, Backend(b"pencil", iterations=7))
    assert challenged(Backend(b"pencil", iterations=7)).recall()
    assert not challenged(Backend(b"pencil", iterations=8)).recall()
    assert not challenged(Backend(b"pencil", iterations=7, salt=b"other")).recall()
    log_in(secret, Backend(b"pencil", iterations=7))  # the remembered keys do log in
    log_in(secret, Backend(b"pencil", iterations=3, salt=b"s" * 65))  # too long a salt is not kept
    assert challenged(Backend(b"pencil", iterations=7)).recall()


def test_derive_runs_beside_other_python_threads_and_one_at_a_time() -> None:
    scram = native.Scram(native.Secret("x"), b"n", iterations_max=10_000_000)
    scram.client_first()
    scram.server_first(b"r=n+,s=AAAA,i=300000")
    thread = threading.Thread(target=scram.derive)
    thread.start()
    turned_away = 0
    while thread.is_alive():  # this loop turning is what shows that the GIL is free
        try:
            scram.recall()
        except RuntimeError as error:
            turned_away += "another thread" in str(error)
    thread.join()
    assert turned_away > 10


def test_a_secret_shows_nothing() -> None:
    secret = native.Secret("hunter2")
    scram = native.Scram(secret, b"n")
    assert repr(secret) == str(secret) == f"{secret}" == "***"
    for thing in (secret, scram):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            copy.copy(thing)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError):
                pickle.dumps(thing, protocol)
        assert not any(
            isinstance(getattr(thing, name), (bytes, str)) and "hunter2" in str(getattr(thing, name))
            for name in dir(thing)
        )
        with pytest.raises(AttributeError):
            thing.anything = 1  # type: ignore[union-attr]
    assert native.Secret("x")
    assert not native.Secret()
    assert not native.Secret(b"")
    with pytest.raises(TypeError):
        type("Peek", (native.Secret,), {})


def test_a_secret_refuses_what_cannot_be_sent_without_showing_it() -> None:
    with pytest.raises(ValueError, match="NUL") as caught:
        native.Secret("hunter2\0")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match="UTF-8") as caught:
        native.Secret("hunter2\udc80")
    assert "hunter2" not in repr(vars(caught.value)) + repr(caught.value.args)
    assert not isinstance(caught.value, UnicodeError)
    for wrong in (1, None, ["hunter2"]):
        with pytest.raises(TypeError):
            native.Secret(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        native.Secret(value="x")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("not a secret", b"n"), {}, TypeError),
        ((native.Secret("x"), "n"), {}, TypeError),
        ((native.Secret("x"), b"a,b"), {}, ValueError),
        ((native.Secret("x"), b""), {}, ValueError),
        ((native.Secret("x"), b"n"), {"gs2": "z"}, ValueError),
        ((native.Secret("x"), b"n"), {"gs2": "p=tls-server-end-point"}, ValueError),
        ((native.Secret("x"), b"n"), {"channel_binding": b"x"}, ValueError),
        ((native.Secret("x"), b"n"), {"iterations_max": 0}, ValueError),
        ((native.Secret("x"), b"n"), {"iterations_max": -1}, ValueError),
        ((native.Secret("x"), b"n"), {"nothing": 1}, TypeError),
    ],
)
def test_scram_refuses_wrong_arguments(
    arguments: tuple[object, ...], options: dict[str, object], error: type
) -> None:
    with pytest.raises(error):
        native.Scram(*arguments, **options)  # type: ignore[arg-type]


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(min_size=4, max_size=4),
)
def test_md5_password_is_the_manuals_formula(password: str, user: str, salt: bytes) -> None:
    inner = hashlib.md5(password.encode() + user.encode()).hexdigest().encode()
    expected = b"md5" + hashlib.md5(inner + salt).hexdigest().encode()
    assert native.md5_password(native.Secret(password), user, salt) == expected


def test_md5_password_refuses_wrong_arguments() -> None:
    secret = native.Secret("x")
    with pytest.raises(ValueError, match="4 bytes"):
        native.md5_password(secret, "u", b"123")
    for arguments in ((), (secret, "u"), ("x", "u", b"1234"), (secret, 1, b"1234"), (secret, "u", "1234")):
        with pytest.raises(TypeError):
            native.md5_password(*arguments)


def test_objects_and_blocks_stay_flat_over_many_logins() -> None:
    def rounds() -> int:
        for _ in range(2000):
            secret = native.Secret("pencil")
            log_in(secret, Backend(b"pencil", iterations=1))
            with pytest.raises(ValueError, match="UTF-8"):
                native.Secret("\udc80")
            scram = native.Scram(secret, b"n")
            scram.client_first()
            with pytest.raises(ValueError, match="malformed"):
                scram.server_first(b"")
            native.md5_password(secret, "u", b"1234")
        gc.collect()
        return sys.getallocatedblocks()

    rounds()
    assert abs(rounds() - rounds()) < 500
