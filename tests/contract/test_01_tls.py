"""Section 1 of the contract, authentication and TLS, against the system's server, which has a user for each method."""

import asyncio
import ssl
from typing import Any

import pytest
from contract.certificates import Authority
from contract.guarded import MANY_ROUNDS, Guarded
from contract.wire import Deaf
from hyperdjango.database import ConnectionFailed, Database


async def who(url: str, **arguments: Any) -> tuple[str, bool]:
    """Connect; return the user's name and whether the session is encrypted."""
    async with Database(url, 1, 1, **arguments) as db:
        row = await db.query_one(
            "SELECT current_user::text, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", into=tuple
        )
        assert row is not None
        name, encrypted = row
        return str(name), bool(encrypted)


# -- authentication --


@pytest.mark.line("1.auth.scram")
async def test_scram_sha_256(guarded: Guarded) -> None:
    """SCRAM-SHA-256."""
    url = guarded.url("scrammed", sslmode="disable", require_auth="scram-sha-256")
    assert await who(url) == ("scrammed", False)
    with pytest.raises(ConnectionFailed, match="password authentication failed"):
        await who(guarded.server.url_for(user="scrammed", password="wrong", sslmode="disable"))


@pytest.mark.line("1.auth.scram_plus")
async def test_scram_sha_256_plus(guarded: Guarded) -> None:
    """SCRAM-SHA-256-PLUS (channel binding)."""
    assert await who(guarded.url("scrammed", channel_binding="require")) == ("scrammed", True)


@pytest.mark.line("1.auth.md5")
async def test_md5(guarded: Guarded) -> None:
    """Authentication: md5."""
    assert (await who(guarded.url("hashed", require_auth="md5")))[0] == "hashed"


@pytest.mark.line("1.auth.cleartext")
async def test_cleartext(guarded: Guarded) -> None:
    """Authentication: cleartext, here over loopback and over TLS."""
    assert await who(guarded.url("clear", sslmode="disable")) == ("clear", False)
    assert await who(guarded.url("clear", sslmode="require")) == ("clear", True)


@pytest.mark.line("1.auth.certificate")
async def test_a_client_certificate(guarded: Guarded) -> None:
    """Authentication: client certificate, by sslcert and sslkey."""
    url = guarded.server.url_for(user="certified", sslmode="require")
    files = {"sslcert": str(guarded.client.certificate), "sslkey": str(guarded.client.key)}
    assert await who(url, **files) == ("certified", True)
    with pytest.raises(ConnectionFailed, match="certificate"):
        await who(url, sslcertmode="disable")


@pytest.mark.line("1.auth.none")
async def test_no_authentication(guarded: Guarded) -> None:
    """Authentication: none."""
    assert (await who(guarded.server.url_for(user="trusted")))[0] == "trusted"


@pytest.mark.line("1.auth.require_auth")
@pytest.mark.parametrize(
    ("user", "wanted"), [("hashed", "scram-sha-256"), ("clear", "!password"), ("trusted", "md5")]
)
async def test_require_auth_refuses_other_methods(guarded: Guarded, user: str, wanted: str) -> None:
    """require_auth as in libpq."""
    with pytest.raises(ConnectionFailed, match="require_auth"):
        await who(guarded.url(user, require_auth=wanted))


@pytest.mark.line("1.auth.channel_binding")
async def test_channel_binding_require_wants_tls(guarded: Guarded) -> None:
    """channel_binding as in libpq."""
    with pytest.raises(ConnectionFailed, match="channel"):
        await who(guarded.url("scrammed", sslmode="disable", channel_binding="require"))
    assert await who(guarded.url("scrammed", channel_binding="disable")) == ("scrammed", True)


@pytest.mark.line("1.auth.iterations")
async def test_more_than_100_000_rounds_are_refused_unless_asked_for(guarded: Guarded) -> None:
    """SCRAM iterations above 100 000 are refused (configurable)."""
    with pytest.raises(ConnectionFailed, match="more than 100000"):
        await who(guarded.url("over"))
    assert (await who(guarded.url("over", scram_iterations_max="100001")))[0] == "over"


@pytest.mark.line("1.auth.off_loop")
async def test_the_event_loop_turns_while_a_password_is_hashed(guarded: Guarded) -> None:
    """PBKDF2 runs off the event loop."""
    turns = 0
    connecting = asyncio.create_task(
        who(guarded.url("patient", scram_iterations_max=str(MANY_ROUNDS), connect_timeout="60"))
    )
    while not connecting.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert (await connecting)[0] == "patient"
    # A connection without hashing takes some few turns, and a loop that was held no more than that.
    assert turns > 10


@pytest.mark.line("1.auth.cleartext_refused")
async def test_cleartext_is_not_sent_over_an_open_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never over a connection that is neither TLS nor loopback/Unix, unless require_auth=password asks for it."""
    # A machine may have no address but loopback, so this one is taken for another's.
    monkeypatch.setattr("hyperdjango.database._authenticate.is_local", lambda sock: False)
    async with Deaf(b"R\0\0\0\x08\0\0\0\x03") as server:
        url = f"postgresql://me:tiger@127.0.0.1:{server.port}/app?sslmode=disable&connect_timeout=1"
        with pytest.raises(ConnectionFailed, match="in cleartext"):
            await Database(url, 1).connect()
        assert b"tiger" not in server.received
        with pytest.raises(ConnectionFailed):
            await Database(url, 1, require_auth="password").connect()
        assert b"tiger" in server.received


# -- TLS --


@pytest.mark.line("1.tls.disable")
async def test_disable_never_encrypts(guarded: Guarded) -> None:
    """sslmode disable."""
    assert await who(guarded.url("scrammed", sslmode="disable")) == ("scrammed", False)


@pytest.mark.line("1.tls.prefer")
@pytest.mark.parametrize(("mode", "encrypted"), [("allow", False), ("prefer", True)])
async def test_allow_and_prefer_take_what_there_is(guarded: Guarded, mode: str, encrypted: bool) -> None:
    """sslmode allow and prefer, with libpq's meanings."""
    assert await who(guarded.url("scrammed", sslmode=mode)) == ("scrammed", encrypted)


@pytest.mark.line("1.tls.require")
async def test_require_takes_tls_or_nothing(guarded: Guarded) -> None:
    """sslmode require."""
    assert await who(guarded.url("scrammed", sslmode="require")) == ("scrammed", True)
    async with Deaf(b"N") as server:
        url = f"postgresql://me@127.0.0.1:{server.port}/app?sslmode=require"
        with pytest.raises(ConnectionFailed, match=r"TLS|SSL"):
            await Database(url, 1).connect()


@pytest.mark.line("1.tls.verify_ca")
async def test_verify_ca_looks_at_who_signed(
    guarded: Guarded, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """sslmode verify-ca, sslrootcert."""
    url = guarded.url("scrammed", sslmode="verify-ca")
    assert await who(url, sslrootcert=str(guarded.authority.file)) == ("scrammed", True)
    stranger = Authority(tmp_path_factory.mktemp("stranger"))
    with pytest.raises(ConnectionFailed, match="certificate"):
        await who(url, sslrootcert=str(stranger.file))


@pytest.mark.line("1.tls.verify_full")
async def test_verify_full_looks_at_the_name_as_well(guarded: Guarded) -> None:
    """sslmode verify-full."""
    root = str(guarded.authority.file)
    assert await who(guarded.url("scrammed", sslmode="verify-full"), sslrootcert=root) == ("scrammed", True)
    other = guarded.server.url_for(
        user="scrammed", password="secret", host="localhost", sslmode="verify-full", hostaddr="127.0.0.1"
    )
    with pytest.raises(ConnectionFailed, match="localhost"):
        await who(other, sslrootcert=root)
    assert (await who(other.replace("verify-full", "verify-ca"), sslrootcert=root))[1]


@pytest.mark.line("1.tls.direct")
async def test_direct_negotiation_begins_with_tls() -> None:
    """sslnegotiation=direct: the first byte is a TLS record's, not a message's."""
    async with Deaf(closes=True) as server:
        url = f"postgresql://me@127.0.0.1:{server.port}/app?sslmode=require&sslnegotiation=direct"
        with pytest.raises(ConnectionFailed):
            await Database(url, 1).connect()
    assert server.received[:1] == b"\x16"
    assert b"postgresql" in server.received  # the protocol, by ALPN


@pytest.mark.line("1.tls.context")
async def test_an_ssl_context_takes_the_keys_place(guarded: Guarded) -> None:
    """Or an ssl.SSLContext by keyword: TLS is OpenSSL through Python's ssl."""
    context = ssl.create_default_context(cafile=str(guarded.authority.file))
    assert await who(guarded.url("scrammed"), ssl_context=context) == ("scrammed", True)
    with pytest.raises(ConnectionFailed, match="certificate"):
        await who(guarded.url("scrammed"), ssl_context=ssl.create_default_context())
