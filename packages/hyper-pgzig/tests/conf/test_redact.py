"""`hyperdjango.conf.redact_url`: no password comes through, whatever the form it was written in."""

import pytest
from hyperdjango.conf import redact_url
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:s3cret@host:5432/db", "postgresql://u:***@host:5432/db"),
        ("postgres://u:s3cret@h1:1,h2:2/db?sslmode=require", "postgres://u:***@h1:1,h2:2/db?sslmode=require"),
        ("postgres://u:@host/db", "postgres://u:***@host/db"),
        ("postgres://:s3cret@host/db", "postgres://:***@host/db"),
        ("postgres://u:s3cret@[::1]:5432/db", "postgres://u:***@[::1]:5432/db"),
        ("postgres://u:s3cret@/db?host=/tmp", "postgres://u:***@/db?host=/tmp"),
        # characters that should have been percent-encoded
        ("postgres://u:s3@cret@host/db", "postgres://u:***@host/db"),
        ("postgres://u:s3/cret@host/db", "postgres://u:***@host/db"),
        ("postgres://u:s3?cret@host/db", "postgres://u:***@host/db"),
        ("postgres://u:s3:cret@host/db", "postgres://u:***@host/db"),
        ("postgres://u:12?s3cret@host/db", "postgres://u:***@host/db"),
        ("postgres://u:s3\ncret@host/db", "postgres://u:***@host/db"),
        # in the query
        ("postgres://host/db?password=s3cret&user=u", "postgres://host/db?password=***&user=u"),
        ("postgres://host/db?a=b&sslpassword=s3cret", "postgres://host/db?a=b&sslpassword=***"),
        ("postgres://host/db?p%61ssword=s3cret", "postgres://host/db?p%61ssword=***"),
        ("postgres://u:s3cret@h/d?password=s3cret", "postgres://u:***@h/d?password=***"),
        # keyword/value strings
        ("host=h password=s3cret user=u", "host=h password=*** user=u"),
        ("host=h password = 's3 \\' cret' user=u", "host=h password = *** user=u"),
        ("password=s3\\ cret user=u", "password=*** user=u"),
        ("PASSWORD='s3cret", "PASSWORD=***"),
    ],
)
def test_a_password_is_hidden(text: str, shown: str) -> None:
    assert redact_url(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "postgresql://",
        "postgresql:///db",
        "postgresql://host",
        "postgresql://host:5432/db",
        "postgresql://one:1,two:,[::1]:3/db?options=-c%20a=b",
        "postgresql://host:5432/db?application_name=a@b",
        "postgresql://u@host/db?application_name=a@b",
        "postgresql://%2Frun%2Fpostgresql/db",
        "host=localhost dbname=db",
    ],
)
def test_what_holds_no_password_stays_as_it_is(text: str) -> None:
    assert redact_url(text) == text


@given(st.text(min_size=1).filter(lambda password: not set(password) & set("/@?")))
def test_whatever_the_password_is_nothing_of_it_is_left(password: str) -> None:
    assert redact_url(f"postgresql://user:{password}@host/db") == "postgresql://user:***@host/db"


@given(st.text(alphabet=st.characters(), max_size=60))
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(redact_url(text), str)
    assert isinstance(redact_url(f"postgresql://{text}"), str)
