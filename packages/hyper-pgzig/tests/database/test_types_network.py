"""Addresses, bits, and the server's own types that come as str: as it prints them, and as parameters."""

import ipaddress
from collections.abc import Iterator

import pytest
from hyperdjango.database import DataError, SyncDatabase, UndefinedFunction
from postgres_servers import Server
from typekit import Case, cases, check, check_parameter, check_result, fresh_database, identify, texts


@pytest.fixture(scope="module")
def db(server: Server) -> Iterator[SyncDatabase]:
    with fresh_database(server, "CREATE TABLE subject (id int4)") as database:
        yield database


INET_CASES = [
    "1.2.3.4/32",
    "1.2.3.4/24",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "::/0",
    "::1/128",
    "2001:db8::ff00:42:8329/64",
    "::ffff:1.2.3.4/128",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    "1:0:0:2::3/128",
]

CASES = [
    *texts("cidr", "10.0.0.0/8", "1.2.3.4/32", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1/128"),
    *texts("macaddr", "08:00:2b:01:02:03", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"),
    *texts("macaddr8", "08:00:2b:01:02:03:04:05", "ff:ff:ff:ff:ff:ff:ff:ff"),
    *texts("bit", "0", "1"),
    *texts("bit(8)", "00000000", "10101010"),
    *texts("bit(9)", "101010101"),
    *texts("varbit", "", "1", "0000000", "101010101", "1" * 1000),
    *texts("pg_lsn", "0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"),
]

# The server has no binary form for these, or one that only it can read: they travel as text.
TEXT_ONLY = [
    *texts("regclass", "pg_class", "subject"),
    *texts("regtype", "integer", "character varying", "text[]"),
    *texts("regproc", "now"),
    *texts("regprocedure", "abs(integer)"),
    *texts("regoperator", "+(integer,integer)"),
    *texts("regnamespace", "pg_catalog"),
    *texts("regrole", "postgres"),
    *texts("regconfig", "english"),
    *texts("regdictionary", "simple"),
    *texts("regcollation", '"C"'),
    *texts("aclitem", "postgres=r/postgres", "=UC/postgres"),
    *texts("tid", "(0,1)", "(4294967295,65535)"),
    *texts("pg_snapshot", "10:20:10,14,15"),
    *texts("txid_snapshot", "10:20:"),
]


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_a_value_is_the_same_on_every_way(db: SyncDatabase, case: Case) -> None:
    check(db, case)


@pytest.mark.parametrize("literal", INET_CASES)
def test_an_inet_keeps_its_host_bits_and_hides_a_full_mask(db: SyncDatabase, literal: str) -> None:
    # inet's cast to text always shows the mask, its output function and ours only where it is not full.
    printed = db.query_val(f"SELECT format('%s', inet '{literal}')")
    for case in cases("inet", (literal, printed)):
        assert db.query_val(f"SELECT inet '{literal}'") == printed
        assert db.query_val(f"SELECT ARRAY[inet '{literal}', NULL]") == [printed, None]
        assert list(db.query_val(f"SELECT ROW(inet '{literal}', 7)")) == [printed, 7]
        check_parameter(db, case)
    assert db.query_val("SELECT $1::inet", ipaddress.ip_interface(literal)) == printed


def test_objects_of_ipaddress_serve_as_inet_and_cidr(db: SyncDatabase) -> None:
    assert db.query_val("SELECT $1::inet", ipaddress.ip_address("10.1.2.3")) == "10.1.2.3"
    assert db.query_val("SELECT $1::inet", ipaddress.ip_address("2001:db8::1")) == "2001:db8::1"
    assert db.query_val("SELECT $1::inet", ipaddress.ip_network("10.0.0.0/8")) == "10.0.0.0/8"
    assert db.query_val("SELECT $1::cidr", ipaddress.ip_network("10.0.0.0/8")) == "10.0.0.0/8"
    assert db.query_val("SELECT $1::cidr[]", [ipaddress.ip_network("::/0"), None]) == ["::/0", None]
    with pytest.raises(DataError, match="invalid cidr value"):
        db.query_val("SELECT $1::cidr", ipaddress.ip_interface("10.1.2.3/8"))


def test_ipv4_in_ipv6_is_printed_as_the_server_does(db: SyncDatabase) -> None:
    for literal in ("::1.2.3.4", "::ffff:0:0", "::ffff:10.0.0.1", "::13.1.68.3", "64:ff9b::1.2.3.4", "::1:0"):
        assert db.query_val(f"SELECT inet '{literal}'") == db.query_val(
            f"SELECT format('%s', inet '{literal}')"
        )


def test_bit_lengths_are_in_bits(db: SyncDatabase) -> None:
    for size in range(1, 18):
        digits = ("10" * 9)[:size]
        assert db.query_val(f"SELECT B'{digits}'") == digits
        assert db.query_val(f"SELECT $1::bit({size})", digits) == digits
        assert db.query_val("SELECT length($1::varbit)", digits) == size
    db.execute("CREATE TABLE bits (b bit(3))")
    with pytest.raises(DataError, match=r"bit string length 2 does not match type bit\(3\)"):
        db.execute("INSERT INTO bits VALUES ($1)", "11")


@pytest.mark.parametrize("case", TEXT_ONLY, ids=identify)
def test_a_type_without_a_readable_binary_form_comes_as_text(db: SyncDatabase, case: Case) -> None:
    if case.type == "tid" and db.query_val("SELECT current_setting('server_version_num')::int4 < 140000"):
        pytest.skip("tid has no cast to text before 14")
    printed = db.query_val(f"SELECT format('%s', '{case.literal}'::{case.type})")
    assert printed == case.value
    assert db.query_val(f"SELECT '{case.literal}'::{case.type}") == case.value
    assert db.query_val(f"SELECT NULL::{case.type}") is None
    assert db.query_val(f"SELECT ARRAY['{case.literal}'::{case.type}, NULL]") == [case.value, None]
    assert db.query_val(f"SELECT $1::{case.type}", case.value) == case.value
    assert db.query_val(f"SELECT $1::{case.type}[]", [[case.value, None]]) == [[case.value, None]]
    assert db.query_val(f"SELECT format('%s', $1::{case.type})", case.value) == case.value
    if case.type == "aclitem":  # the server itself cannot send it in binary, as values inside a record go
        with pytest.raises(UndefinedFunction, match="no binary output function"):
            db.query_val(f"SELECT ROW(1, '{case.literal}'::{case.type}) AS row")
        return
    # Inside a record it arrives in binary, which nobody can read; the way out is named.
    with pytest.raises(
        DataError, match=rf'column "row" \(record\): {case.type} inside a record .* cast it to text'
    ):
        db.query_val(f"SELECT ROW(1, '{case.literal}'::{case.type}) AS row")
    assert db.query_val("SELECT 1") == 1


def test_result_formats_are_chosen_per_column(db: SyncDatabase) -> None:
    row = db.query_one(
        "SELECT 7 AS n, relacl AS acl, oid::regclass AS class, true AS flag, relname AS name"
        " FROM pg_class WHERE relname = 'pg_class'"
    )
    assert row is not None
    assert row["acl"] == ["postgres=arwdDxtm/postgres", "=r/postgres"] or row["acl"][1] == "=r/postgres"
    assert (row["n"], row["class"], row["flag"], row["name"]) == (7, "pg_class", True, "pg_class")


def test_oidvector_and_int2vector_are_lists(db: SyncDatabase) -> None:
    assert db.query_val("SELECT '1 2 4294967295'::oidvector") == [1, 2, 2**32 - 1]
    assert db.query_val("SELECT '-1 2'::int2vector") == [-1, 2]
    assert db.query_val("SELECT ''::int2vector") == []
    assert db.query_val("SELECT ($1::int2vector)::text", [5, -6]) == "5 -6"
    assert db.query_val("SELECT ($1::oidvector)::text", [7, 8]) == "7 8"
    assert db.query_val("SELECT ARRAY['1 2'::int2vector, '3'::int2vector]") == [[1, 2], [3]]
    keys = db.query_val("SELECT indkey FROM pg_index WHERE indexrelid = 'pg_class_oid_index'::regclass")
    assert keys == [1]


def test_whole_catalogs_can_be_read(db: SyncDatabase) -> None:
    """Every type that the catalogs themselves use, in every row."""
    for name in (
        "pg_type",
        "pg_class",
        "pg_attribute",
        "pg_proc",
        "pg_index",
        "pg_constraint",
        "pg_settings",
    ):
        rows = db.query(f"SELECT * FROM pg_catalog.{name}")
        assert len(rows) == db.query_val(f"SELECT count(*) FROM pg_catalog.{name}")


def test_statistics_of_any_element_type_come_as_text(db: SyncDatabase) -> None:
    db.execute("INSERT INTO subject SELECT generate_series(1, 100) % 5")
    db.execute("ANALYZE subject")
    row = db.query_one("SELECT most_common_vals, most_common_freqs FROM pg_stats WHERE tablename = 'subject'")
    assert row is not None
    assert sorted(row["most_common_vals"].strip("{}").split(",")) == list("01234")
    assert row["most_common_freqs"] == pytest.approx([0.2] * 5)


def test_check_result_covers_what_it_says(db: SyncDatabase) -> None:
    with pytest.raises(AssertionError):
        check_result(db, Case("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:04"))
    with pytest.raises(AssertionError):
        check_parameter(db, Case("int4", "5", 6))
