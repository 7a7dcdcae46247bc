"""Connection URIs, keywords, environment, service and password files, and that no secret shows on the way.

Where libpq reads the same URI, it is asked (through psycopg) and must agree.
"""

import logging
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hyperdjango.database import Database, _conninfo_keys, _passfile
from hyperdjango.database._connection_uri import redact_url, split
from hyperdjango.database._conninfo import parse
from hyperdjango.database._native import native
from hyperdjango.database._parameters import ConnectParameters
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

SECRET = "hunter2"


def read(
    url: str | None = None, environ: Mapping[str, str] | None = None, **keywords: Any
) -> ConnectParameters:
    return parse(url, environ={"PGPASSFILE": "/nonexistent"} if environ is None else environ, **keywords)


def opens_with(secret: native.Secret) -> bytes:
    """Tell passwords apart without reading them: the md5 answer for a fixed salt."""
    answer: bytes = native.md5_password(secret, "", b"salt")
    return answer


def is_password(secret: native.Secret, password: str) -> bool:
    return opens_with(secret) == opens_with(native.Secret(password))


SPLIT_TABLE: list[tuple[str, dict[str, str]]] = [
    ("postgresql://", {}),
    ("postgres://", {}),
    ("postgresql://host", {"host": "host"}),
    ("postgresql://host/", {"host": "host"}),
    ("postgresql:///db", {"dbname": "db"}),
    ("postgresql://host:5433/db", {"host": "host", "port": "5433", "dbname": "db"}),
    ("postgresql://u@host/db", {"user": "u", "host": "host", "dbname": "db"}),
    ("postgresql://u:p@host/db", {"user": "u", "password": "p", "host": "host", "dbname": "db"}),
    ("postgresql://u:@host/db", {"user": "u", "host": "host", "dbname": "db"}),
    ("postgresql://:p@host/db", {"password": "p", "host": "host", "dbname": "db"}),
    ("postgresql://u:a:b@host/db", {"user": "u", "password": "a:b", "host": "host", "dbname": "db"}),
    (
        "postgresql://u%40x:p%2F%3A%25@h/d%20b",
        {"user": "u@x", "password": "p/:%", "host": "h", "dbname": "d b"},
    ),
    ("postgresql://u:p+q@h/d", {"user": "u", "password": "p+q", "host": "h", "dbname": "d"}),
    ("postgresql://[::1]/db", {"host": "::1", "dbname": "db"}),
    ("postgresql://[2001:db8::7]:5433/db", {"host": "2001:db8::7", "port": "5433", "dbname": "db"}),
    ("postgresql://[fe80::1%25eth0]/db", {"host": "fe80::1%eth0", "dbname": "db"}),
    ("postgresql://%2Fvar%2Frun/db", {"host": "/var/run", "dbname": "db"}),
    ("postgresql:///db?host=/tmp&port=5433", {"host": "/tmp", "port": "5433", "dbname": "db"}),
    ("postgresql://h1,h2:5433/db", {"host": "h1,h2", "port": ",5433", "dbname": "db"}),
    ("postgresql://h1:1,[::1]:2,h3:3/db", {"host": "h1,::1,h3", "port": "1,2,3", "dbname": "db"}),
    ("postgresql://,h2/db", {"host": ",h2", "dbname": "db"}),
    ("postgresql://host?sslmode=require", {"host": "host", "sslmode": "require"}),
    ("postgresql://host/?dbname=db", {"host": "host", "dbname": "db"}),
    ("postgresql://a@h/d?user=b", {"user": "b", "host": "h", "dbname": "d"}),  # the later one wins
    ("postgresql:///d?user=a&user=b", {"dbname": "d", "user": "b"}),
    ("postgresql:///d?options=-c%20geqo%3Doff", {"dbname": "d", "options": "-c geqo=off"}),
    ("postgresql:///d?ssl=true", {"dbname": "d", "sslmode": "require"}),
    ("postgresql:///d?user=", {"dbname": "d", "user": ""}),
    ("postgresql://h/db/x?user=a", {"host": "h", "dbname": "db/x", "user": "a"}),
    ("postgresql://u?x@h/d", {"user": "u?x", "host": "h", "dbname": "d"}),
    ("postgresql:///\u00e4%C3%A4", {"dbname": "\u00e4\u00e4"}),
]


@pytest.mark.parametrize(("url", "expected"), SPLIT_TABLE)
def test_a_uri_is_split_as_libpq_splits_it(url: str, expected: dict[str, str]) -> None:
    assert split(url) == expected
    theirs = conninfo_to_dict(url)
    # libpq keeps commas between ports that are all missing; the effect is the same.
    theirs = {key: value for key, value in theirs.items() if key != "port" or str(value).strip(",")}
    assert theirs == expected


BROKEN = [
    "host=h dbname=d",
    "http://h/d",
    "POSTGRESQL://h/d",
    "postgresql:/h/d",
    "postgresql://[::1/d",
    "postgresql://[]/d",
    "postgresql://[::1]x/d",
    "postgresql://h/%",
    "postgresql://h/%2",
    "postgresql://h/%zz",
    "postgresql://h/a%00b",
    "postgresql://h/d?user",
    "postgresql://h/d?user=a=b",
    "postgresql://h/d?=a",
    "postgresql://h/d?&",
]


@pytest.mark.parametrize("url", BROKEN)
def test_a_broken_uri_is_refused_as_libpq_refuses_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"URI|key"):
        split(url)
    if url != "host=h dbname=d":
        with pytest.raises(psycopg.ProgrammingError):
            conninfo_to_dict(url)


_PIECES = st.sampled_from(
    [
        *"ab1:@/?&=%,[]-._~+",
        "%41",
        "%2F",
        "%40",
        "host",
        "user=",
        "port=",
        "dbname=",
        "sslmode=disable",
        "localhost",
        "::1",
        "5432",
    ]
)


@given(st.lists(_PIECES, max_size=24).map("".join))
@example("u:p@h:1,h2:2/d?user=x&port=3")
def test_any_uri_is_read_as_libpq_reads_it_or_refused(tail: str) -> None:
    url = f"postgresql://{tail}"
    try:
        theirs: dict[str, Any] | None = conninfo_to_dict(url)
    except (psycopg.Error, UnicodeDecodeError):
        theirs = None
    try:
        ours: dict[str, str] | None = split(url)
    except ValueError as error:
        ours = None
        refused_by_us_alone = "@ too many" in str(error) or "port that is not a number" in str(error)
    else:
        refused_by_us_alone = False
    if theirs is None or refused_by_us_alone:
        assert ours is None
        return
    assert ours is not None, url
    if not str(theirs.get("port", "x")).strip(","):
        theirs.pop("port", None)
        if not ours.get("port", "x").strip(","):
            ours.pop("port")
    assert ours == theirs


@given(st.text())
def test_any_text_gives_a_result_or_a_value_error(text: str) -> None:
    refused = 0
    for url in (text, f"postgresql://{text}"):
        redact_url(url)
        try:
            split(url)
        except UnicodeError:
            raise
        except ValueError:
            refused += 1
    assert refused <= 2


# -- secrets --

LEAKY = [
    f"postgresql://u:{SECRET}@h/d",
    f"postgresql://u:x{SECRET}y@h:1/d?sslmode=require",
    f"postgresql://u:{SECRET}@h/d?nosuchkey=1",
    f"postgresql://u:{SECRET}@h:port/d",
    f"postgresql://u:{SECRET}@x@h/d",
    f"postgresql://u:x@{SECRET}@h/d",
    f"postgresql://u:x/{SECRET}@h/d",
    f"postgresql://u:x?{SECRET}=1@h/d",
    f"postgresql://u:x/?{SECRET}=1@h/d",
    f"postgresql://u:x/y?{SECRET}@h/d",
    f"postgresql://u:%zz{SECRET}@h/d",
    f"postgresql://u:{SECRET}%@h/d",
    f"postgresql://u:{SECRET}%ff@h/d",
    f"postgresql://u:{SECRET}%00@h/d",
    f"postgresql://h/d?password={SECRET}",
    f"postgresql://h/d?password={SECRET}&user=x",
    f"postgresql://h/d?pass%77ord={SECRET}",
    f"postgresql://h/d?sslpassword={SECRET}&nosuch=1",
    f"postgresql://h/d?password=a&{SECRET}",
    f"postgresql://h/d?password=a={SECRET}",
    f"postgresql://[::1/d?password={SECRET}",
    f"http://u:{SECRET}@h/d",
    f"postgres:/u:{SECRET}@h/d password={SECRET}",
    f"host=h password={SECRET}",
    f"host=h password = '{SECRET} and {SECRET}' dbname=d",
    f"postgresql://u:{SECRET}",
    f"postgresql://u:{SECRET}@h/",  # no database
    f"postgresql://u:{SECRET}@h/d?port=x",
    f"postgresql://u:{SECRET}@h/d?connect_timeout=x",
]


@pytest.mark.parametrize("url", LEAKY)
def test_no_error_repr_or_traceback_shows_a_password(url: str) -> None:
    if url[-len("u:" + SECRET) :] != "u:" + SECRET and not url.startswith("postgres:/u"):
        assert SECRET not in redact_url(url)
    try:
        parameters = read(url)
    except ValueError as caught:
        error = caught
    else:
        assert SECRET not in repr(parameters) + str(parameters.hosts) + str(parameters.tls) + parameters.url
        assert SECRET not in str(parameters.startup)
        return
    # The frames of this file know the URI; those of the package must have forgotten it.
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename != __file__
    ]
    assert frames
    shown = traceback.StackSummary.extract(iter(frames), capture_locals=True).format()
    assert SECRET not in str(error) + "".join(shown)
    assert error.__cause__ is None
    assert error.__suppress_context__
    context = error.__context__
    while context is not None:
        assert context.__traceback__ is None
        assert SECRET not in str(context)
        context = context.__context__


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h:5432/d", "postgresql://h:5432/d"),
        ("postgresql://:p@h/d", "postgresql://:***@h/d"),
        ("postgresql://u:p@x@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p/x@h/d", "postgresql://u:***@h/d"),
        ("postgresql://h:5432/d?user=a@b", "postgresql://h:5432/d?user=a@b"),
        ("postgresql://[::1]/d?user=a@b", "postgresql://[::1]/d?user=a@b"),
        ("postgresql://h/d?password=p&user=u", "postgresql://h/d?password=***&user=u"),
        ("postgresql://h/d?user=u&sslpassword=p", "postgresql://h/d?user=u&sslpassword=***"),
        ("host=h password=p user=u", "host=h password=*** user=u"),
        ("", ""),
    ],
)
def test_a_redacted_url_keeps_all_but_the_password(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_a_secret_given_by_keyword_is_taken_over_and_hidden() -> None:
    secret = native.Secret(SECRET)
    parameters = read("postgresql://u:other@h/d", password=secret)
    assert parameters.hosts[0].password is secret
    for password in (SECRET, SECRET.encode()):
        parameters = read("postgresql://u@h/d", password=password)
        assert is_password(parameters.hosts[0].password, SECRET)
        assert SECRET not in repr(parameters)
    with pytest.raises(ValueError, match="NUL") as caught:
        read("postgresql://u@h/d", password=SECRET + "\0")
    assert SECRET not in str(caught.value)


# -- unknown keys and bad values --


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("sslmod", "sslmode"),
        ("application", "application_name"),
        ("timeout", "connect_timeout"),
        ("SSLMODE", "sslmode"),
        ("databse", "dbname"),
        ("target_session_attr", "target_session_attrs"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_known_one(key: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"'{key}'; did you mean '[a-z_]+'") as caught:
        read(f"postgresql://h/d?{key}={SECRET}")
    assert f"'{nearest}'" in str(caught.value)
    assert SECRET not in str(caught.value)
    with pytest.raises(ValueError, match=f"'{key}'; did you mean"):
        read("postgresql://h/d", {}, **dict[str, Any]({key: "x"}))


@pytest.mark.parametrize(
    ("keyword", "nearest"),
    [
        ("max_sise", "max_size"),
        ("acquire_timeot", "acquire_timeout"),
        ("json_load", "json_loads"),
        ("on_conect", "on_connect"),
        ("leak_timout", "leak_timeout"),
    ],
)
def test_a_misspelt_argument_of_database_is_answered_with_the_nearest_argument(
    keyword: str, nearest: str
) -> None:
    with pytest.raises(
        ValueError, match=f"'{keyword}'; did you mean '{nearest}', a keyword argument of Database"
    ):
        Database("postgresql://h/d", **dict[str, Any]({keyword: "x"}))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("port=0", "port must be"),
        ("port=65536", "port must be"),
        ("port=x", "port must be"),
        ("port=1,2", "2 ports for 1 hosts"),
        ("host=a,b&port=1,2,3", "3 ports for 2 hosts"),
        ("host=a,b&hostaddr=127.0.0.1", "1 addresses for 2 hosts"),
        ("sslmode=maybe", "sslmode must be one of disable, allow"),
        ("sslnegotiation=x", "sslnegotiation must be"),
        ("sslnegotiation=direct", "needs sslmode require"),
        ("sslnegotiation=direct&sslmode=prefer", "needs sslmode require"),
        ("sslrootcert=system&sslmode=require", "sslmode=verify-full"),
        ("sslcertmode=require", "sslcertmode must be"),
        ("sslsni=yes", "sslsni must be"),
        ("ssl_min_protocol_version=SSLv3", "must be one of TLSv1,"),
        ("ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "is above"),
        ("channel_binding=maybe", "channel_binding must be"),
        ("target_session_attrs=master", "target_session_attrs must be"),
        ("load_balance_hosts=yes", "load_balance_hosts must be"),
        ("require_auth=scram", "methods are"),
        ("require_auth=md5,md5", "twice"),
        ("require_auth=md5,!password", "mixes"),
        ("connect_timeout=soon", "connect_timeout must be"),
        ("connect_timeout=nan", "connect_timeout must be"),
        ("keepalives_idle=x", "keepalives_idle must be"),
        ("tcp_user_timeout=99999999999", "tcp_user_timeout must be"),
        ("scram_iterations_max=0", "scram_iterations_max must be"),
        ("client_encoding=LATIN1", "client_encoding must be UTF8"),
        ("replication=database", "replication: not supported"),
        ("gssencmode=require", "gssencmode: not supported"),
        ("sslcompression=1", "sslcompression: not supported"),
        ("min_protocol_version=3.2", "min_protocol_version: not supported"),
    ],
)
def test_a_bad_value_is_named_by_its_key(query: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read(f"postgresql://h/d?{query}")


@pytest.mark.parametrize(
    "query",
    [
        "replication=false",
        "gssencmode=prefer",
        "sslcompression=0",
        "max_protocol_version=latest",
        "client_encoding=utf-8",
        "client_encoding=auto",
        "krbsrvname=postgres",
    ],
)
def test_values_that_ask_for_nothing_unsupported_pass(query: str) -> None:
    assert read(f"postgresql://h/d?{query}").dbname == "d"


def test_a_missing_database_name_says_what_is_missing() -> None:
    for url in (None, "postgresql://u@h", "postgresql://h/?dbname="):
        with pytest.raises(ValueError, match=r"no database name: .*PGDATABASE"):
            read(url)


def test_types_that_no_key_takes_are_type_errors() -> None:
    with pytest.raises(TypeError, match="must be str, not bytes"):
        read(b"postgresql://h/d")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="port cannot be a list"):
        read("postgresql://h/d", port=[5432])
    with pytest.raises(TypeError, match="server_settings"):
        read("postgresql://h/d", server_settings={"x": None})


# -- defaults and precedence --


def test_defaults_without_anything_else() -> None:
    parameters = read(environ={"PGDATABASE": "d", "PGPASSFILE": "/nonexistent"})
    (host,) = parameters.hosts
    assert (host.name, host.port, bool(host.password)) == ("localhost", 5432, False)
    assert (parameters.user, parameters.dbname) == ("postgres", "d")
    assert parameters.connect_timeout == 10
    assert parameters.tls.mode == "prefer"
    assert parameters.channel_binding == "prefer"
    assert parameters.require_auth is None
    assert not parameters.allow_cleartext
    assert parameters.target_session_attrs == "any"
    assert parameters.scram_iterations_max == 100_000
    assert parameters.tcp.keepalives
    assert parameters.tcp.user_timeout_ms
    assert dict(parameters.startup) == {"user": "postgres", "database": "d", "client_encoding": "UTF8"}


@pytest.mark.parametrize(
    ("environ", "user"),
    [
        ({"PGUSER": "a", "USER": "b", "USERNAME": "c"}, "a"),
        ({"USER": "b", "USERNAME": "c"}, "b"),
        ({"USERNAME": "c"}, "c"),
        ({"PGUSER": "", "USER": "", "USERNAME": "c"}, "c"),
        ({}, "postgres"),
    ],
)
def test_the_user_comes_from_the_first_that_names_one(environ: dict[str, str], user: str) -> None:
    assert read("postgresql:///d", environ).user == user


ENVIRONMENT: dict[str, tuple[str, str, Any]] = {
    "user": ("PGUSER", "alice", lambda p: p.user),
    "dbname": ("PGDATABASE", "shop", lambda p: p.dbname),
    "host": ("PGHOST", "db.example", lambda p: p.hosts[0].name),
    "hostaddr": ("PGHOSTADDR", "192.0.2.1", lambda p: p.hosts[0].address),
    "port": ("PGPORT", "6543", lambda p: str(p.hosts[0].port)),
    "options": ("PGOPTIONS", "-c geqo=off", lambda p: p.startup["options"]),
    "application_name": ("PGAPPNAME", "app", lambda p: p.startup["application_name"]),
    "sslmode": ("PGSSLMODE", "require", lambda p: p.tls.mode),
    "sslcert": ("PGSSLCERT", "/c", lambda p: p.tls.certificate),
    "sslkey": ("PGSSLKEY", "/k", lambda p: p.tls.key),
    "sslcertmode": ("PGSSLCERTMODE", "disable", lambda p: p.tls.certificate_mode),
    "sslrootcert": ("PGSSLROOTCERT", "/r", lambda p: p.tls.root_certificate),
    "sslcrl": ("PGSSLCRL", "/l", lambda p: p.tls.revocation_list),
    "sslcrldir": ("PGSSLCRLDIR", "/ld", lambda p: p.tls.revocation_directory),
    "sslsni": ("PGSSLSNI", "0", lambda p: str(int(p.tls.server_name))),
    "requirepeer": ("PGREQUIREPEER", "postgres", lambda p: p.require_peer),
    "require_auth": ("PGREQUIREAUTH", "md5", lambda p: ",".join(p.require_auth)),
    "channel_binding": ("PGCHANNELBINDING", "require", lambda p: p.channel_binding),
    "connect_timeout": ("PGCONNECT_TIMEOUT", "3", lambda p: str(int(p.connect_timeout))),
    "target_session_attrs": ("PGTARGETSESSIONATTRS", "standby", lambda p: p.target_session_attrs),
    "load_balance_hosts": ("PGLOADBALANCEHOSTS", "random", lambda p: p.load_balance_hosts),
    "ssl_min_protocol_version": ("PGSSLMINPROTOCOLVERSION", "TLSv1.3", lambda p: p.tls.version_min),
    "ssl_max_protocol_version": ("PGSSLMAXPROTOCOLVERSION", "TLSv1.3", lambda p: p.tls.version_max),
}


@pytest.mark.parametrize("key", ENVIRONMENT)
def test_each_variable_of_the_environment_is_read_and_stands_behind_the_uri(key: str) -> None:
    variable, value, get = ENVIRONMENT[key]
    database = {} if key == "dbname" else {"PGDATABASE": "d"}
    assert get(read(None, {**database, variable: value})) == value
    assert _conninfo_keys.ENVIRONMENT[key] == variable
    # By keyword and by URI the same value gives the same; an empty one in the URI hides the environment.
    assert get(read("postgresql:///d", {}, **{key: value})) == value
    hidden = read(f"postgresql:///d?{key}={'e' if key == 'dbname' else ''}", {variable: value})
    try:
        assert get(hidden) != value
    except (KeyError, TypeError):  # not there at all
        assert value not in str(hidden.startup)


def test_every_key_of_libpq_is_known() -> None:
    theirs = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    never = {key for key in theirs if key.startswith(("oauth_", "scram_", "sslkeylog"))}
    assert theirs - never <= set(_conninfo_keys.ENVIRONMENT)
    for option in psycopg.pq.Conninfo.get_defaults():
        key = option.keyword.decode()
        if option.envvar and key not in never and key != "client_encoding":
            assert _conninfo_keys.ENVIRONMENT[key] == option.envvar.decode()


def test_run_time_parameters_from_environment_keywords_and_settings() -> None:
    parameters = read(
        "postgresql:///d?statement_timeout=5s&fallback_application_name=f",
        {"PGTZ": "Europe/Rome", "PGDATESTYLE": "default", "PGGEQO": "off", "PGCLIENTENCODING": "LATIN1"},
        server_settings={"work_mem": "8MB", "jit": False, "random_page_cost": 1.5, "timezone": "UTC"},
    )
    assert dict(parameters.startup) == {
        "user": "postgres",
        "database": "d",
        "client_encoding": "UTF8",
        "timezone": "UTC",
        "geqo": "off",
        "application_name": "f",
        "statement_timeout": "5s",
        "work_mem": "8MB",
        "jit": "off",
        "random_page_cost": "1.5",
    }
    assert read("postgresql:///d", {}, statement_timeout=250).startup["statement_timeout"] == "250"
    for name in ("user", "database", "Replication", "_pq_.x", ""):
        with pytest.raises(ValueError, match="server_settings cannot set"):
            read("postgresql:///d", server_settings={name: "x"})
    with pytest.raises(ValueError, match="NUL"):
        read("postgresql:///d", server_settings={"x": "a\0b"})
    with pytest.raises(ValueError, match="client_encoding must be UTF8"):
        read("postgresql:///d", server_settings={"client_encoding": "LATIN1"})
    with pytest.raises(ValueError, match="UTF-8"):
        read("postgresql:///d", {"USER": "\udc80"})


def test_keywords_stand_before_the_uri() -> None:
    parameters = read(
        "postgresql://u@h:1/d?sslmode=disable", user="v", port=2, sslmode="require", keepalives=False
    )
    assert (parameters.user, parameters.hosts[0].port, parameters.tls.mode) == ("v", 2, "require")
    assert not parameters.tcp.keepalives
    assert read("postgresql://u@h:1/d", user=None).user == "u"


def test_several_hosts_with_their_ports() -> None:
    def places(
        url: str, environ: dict[str, str] | None = None, **keywords: Any
    ) -> list[tuple[str, str | None, int]]:
        return [(h.name, h.address, h.port) for h in read(url, environ, **keywords).hosts]

    assert places("postgresql://a:1,b:2/d") == [("a", None, 1), ("b", None, 2)]
    assert places("postgresql://a,b:2/d") == [("a", None, 5432), ("b", None, 2)]
    assert places("postgresql://a,b/d") == [("a", None, 5432), ("b", None, 5432)]
    assert places("postgresql://a,b/d", {"PGPORT": "7"}) == [("a", None, 7), ("b", None, 7)]
    assert places("postgresql://a,b/d?port=9") == [("a", None, 9), ("b", None, 9)]
    assert places("postgresql://a,,[::1]:3/d") == [
        ("a", None, 5432),
        ("localhost", None, 5432),
        ("::1", None, 3),
    ]
    assert places("postgresql:///d?hostaddr=192.0.2.1,::1&port=1,2") == [("", "192.0.2.1", 1), ("", "::1", 2)]
    assert places("postgresql://a,b/d?hostaddr=192.0.2.1,192.0.2.2")[1] == ("b", "192.0.2.2", 5432)
    assert places("postgresql://a/d", host="/tmp,b") == [("/tmp", None, 5432), ("b", None, 5432)]


def test_unix_sockets() -> None:
    (host,) = read("postgresql://%2Fvar%2Frun%2Fpostgresql:5433/d").hosts
    assert host.is_unix
    assert host.socket_path == "/var/run/postgresql/.s.PGSQL.5433"
    assert str(host) == 'socket "/var/run/postgresql/.s.PGSQL.5433"'
    (host,) = read("postgresql:///d?host=@abstract").hosts
    assert host.is_unix
    assert host.socket_path == "\0abstract/.s.PGSQL.5432"
    (host,) = read("postgresql:///d?host=/tmp&hostaddr=127.0.0.1").hosts
    assert not host.is_unix


def test_an_at_sign_too_many_is_explained() -> None:
    with pytest.raises(ValueError, match=r"@ too many: percent-encode .*%40"):
        read("postgresql://u:p@ss@h/d")
    with pytest.raises(ValueError, match="percent-encode"):
        read("postgresql://u:p/ss@h/d")


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 10.0), ("0", None), ("-1", None), ("2", 2.0), ("0.5", 0.5), (" 3 ", 3.0)]
)
def test_connect_timeout(text: str, seconds: float | None) -> None:
    assert read("postgresql:///d", {}, connect_timeout=text).connect_timeout == seconds


def test_require_auth_lists_what_is_left() -> None:
    assert read("postgresql:///d?require_auth=scram-sha-256,md5").require_auth == frozenset(
        {"scram-sha-256", "md5"}
    )
    left = read("postgresql:///d?require_auth=!password,!none")
    assert left.require_auth is not None
    assert {"password", "none"} & left.require_auth == set()
    assert "scram-sha-256" in left.require_auth
    assert not left.allow_cleartext
    assert read("postgresql:///d?require_auth=password").allow_cleartext
    assert not read(
        "postgresql:///d?require_auth=!md5"
    ).allow_cleartext  # allowed by accident is not asked for


def test_sslrootcert_system_means_verify_full() -> None:
    assert read("postgresql:///d?sslrootcert=system").tls.mode == "verify-full"
    assert read("postgresql:///d", {"PGREQUIRESSL": "1"}).tls.mode == "require"


def test_keepalives_take_zero_for_the_systems_own() -> None:
    tcp = read("postgresql:///d?keepalives=0&keepalives_idle=0&keepalives_interval=7&tcp_user_timeout=0").tcp
    assert (tcp.keepalives, tcp.idle, tcp.interval, tcp.user_timeout_ms) == (False, None, 7, None)


# -- password file --

PASSFILE = rf"""
# comment:*:*:*:no
exact.example:5432:shop:alice:{SECRET}
exact.example:*:*:*:second
with\:colon:*:*:*:a\:b\\c
localhost:*:*:*:local
short:line
*:5433:*:*:by port
*:*:db:*:trailing:colons:
"""


@pytest.mark.parametrize(
    ("host", "port", "dbname", "user", "password"),
    [
        ("exact.example", 5432, "shop", "alice", SECRET),
        ("exact.example", 5432, "shop", "bob", "second"),
        ("EXACT.example", 5432, "shop", "alice", None),
        ("with:colon", 1, "x", "y", "a:b\\c"),
        ("/var/run/postgresql", 1, "x", "y", "local"),
        ("/elsewhere", 1, "x", "y", None),
        ("/elsewhere", 5433, "x", "y", "by port"),
        ("h", 1, "db", "y", "trailing:colons:"),
        ("# comment", 1, "x", "y", None),
    ],
)
def test_the_password_file_is_searched_line_by_line(
    host: str, port: int, dbname: str, user: str, password: str | None
) -> None:
    assert _passfile.find(PASSFILE.splitlines(), host=host, port=port, dbname=dbname, user=user) == password


def test_the_password_file_is_used_per_host_and_only_where_nothing_else_is_given(tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    file.write_text("a:*:*:*:for a\nb:*:*:*:for b\n192.0.2.1:*:*:*:by address\n")
    file.chmod(0o600)
    environ = {"PGPASSFILE": str(file)}
    first, second, third = read("postgresql://a,b,c/d", environ).hosts
    assert is_password(first.password, "for a")
    assert is_password(second.password, "for b")
    assert not third.password
    assert is_password(read("postgresql://a/d", {}, passfile=file).hosts[0].password, "for a")
    assert is_password(read("postgresql:///d?hostaddr=192.0.2.1", environ).hosts[0].password, "by address")
    assert is_password(read("postgresql://u:given@a/d", environ).hosts[0].password, "given")
    assert is_password(read("postgresql://a/d", {**environ, "PGPASSWORD": "env"}).hosts[0].password, "env")
    # An empty password in the URI hides PGPASSWORD, and the file is asked, as with libpq.
    assert is_password(
        read("postgresql://a/d?password=", {**environ, "PGPASSWORD": "x"}).hosts[0].password, "for a"
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_password_file_that_others_can_read_is_ignored_and_logged(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:*:*:{SECRET}\n")
    file.chmod(mode)
    with caplog.at_level(logging.WARNING, "hyperdjango.database"):
        assert not read("postgresql://a/d", {"PGPASSFILE": str(file)}).hosts[0].password
    assert "group or world access" in caplog.text
    assert SECRET not in caplog.text


def test_a_password_file_that_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert _passfile.read(tmp_path / "missing") == []
    assert caplog.text == ""
    assert _passfile.read(tmp_path) == []
    assert "not a plain file" in caplog.text


# -- service file --

SERVICES = f"""
# comment
[other]
host=wrong
[shop]
  host=db.example
port=5433
port=5434
dbname=shop
user=alice
password={SECRET}
options=-c a=b
[shop]
host=second
"""


def service_file(tmp_path: Path, text: str = SERVICES) -> Path:
    file = tmp_path / "services.conf"
    file.write_text(text)
    return file


def test_a_service_stands_between_uri_and_environment(tmp_path: Path) -> None:
    environ = {
        "PGSERVICEFILE": str(service_file(tmp_path)),
        "PGUSER": "env",
        "PGDATABASE": "env",
        "PGAPPNAME": "env",
    }
    for url, more in (
        ("postgresql://?service=shop&user=uri", {}),
        ("postgresql://?user=uri", {"PGSERVICE": "shop"}),
    ):
        parameters = read(url, {**environ, **more})
        (host,) = parameters.hosts
        assert (host.name, host.port) == ("db.example", 5433)
        assert is_password(host.password, SECRET)
        assert (parameters.user, parameters.dbname) == ("uri", "shop")
        assert parameters.startup["options"] == "-c a=b"
        assert parameters.startup["application_name"] == "env"


def test_the_system_wide_service_file_is_asked_last(tmp_path: Path) -> None:
    (tmp_path / "pg_service.conf").write_text("[wide]\ndbname=wide\n")
    environ = {"PGSYSCONFDIR": str(tmp_path), "PGSERVICEFILE": str(service_file(tmp_path))}
    assert read("postgresql://?service=wide", environ).dbname == "wide"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[other]\nhost=h\n", "definition of service 'shop' not found"),
        (f"[shop]\n{SECRET}\n", "line 2 .* is not key=value"),
        ("[shop]\nservice=other\n", "line 2 .*cannot name another service"),
        (f"[shop]\nhots={SECRET}\n", "line 2 .*'hots'; did you mean 'host'"),
    ],
)
def test_a_broken_service_file_names_the_line_and_no_values(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read("postgresql:///d?service=shop", {"PGSERVICEFILE": str(service_file(tmp_path, text))})
    assert SECRET not in str(caught.value)


def test_a_missing_or_unreadable_service_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not found"):
        read("postgresql:///d?service=x", {"PGSERVICEFILE": str(tmp_path / "missing")})
    (tmp_path / "binary").write_bytes(b"[x]\nhost=\xff\n")
    with pytest.raises(ValueError, match="UTF-8") as caught:
        read("postgresql:///d", {}, service="x", servicefile=tmp_path / "binary")
    assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize(
    ("word", "keyword"), [("maxsize", "max_size"), ("min", "min_size"), ("acquiretimeout", "acquire_timeout")]
)
def test_a_word_for_the_pools_size_is_told_from_a_connection_key(word: str, keyword: str) -> None:
    keys: dict[str, Any] = {word: "4"}
    with pytest.raises(ValueError, match=f"the pool's '{keyword}' is a keyword argument of Database"):
        parse("postgresql://localhost/x", environ={}, **keys)
