"""TypeMap: which types are known, types that wait for others, codecs, and replaced types."""

import threading
from typing import Any

import pytest
from hyperdjango.database._native import native
from hyperdjango.database.types import Range, composite_type

INT4, TEXT, JSON, JSONS, INT4S = 23, 25, 114, 199, 1007


def words(*parts: int | bytes) -> bytes:
    out = b""
    for part in parts:
        out += part.to_bytes(4, "big") if isinstance(part, int) else len(part).to_bytes(4, "big") + part
    return out


def test_built_in_types_are_known_from_the_start() -> None:
    types = native.TypeMap()
    assert all(
        types.knows(oid) for oid in (16, 17, 20, 21, 23, 25, 114, 1700, 2950, 3802, 3904, 4451, 2249, 1007)
    )
    assert not any(types.knows(oid) for oid in (0, 1, 9999, 16_384, 2**32 - 1))


def test_a_type_is_known_when_all_its_parts_are() -> None:
    types = native.TypeMap()
    types.add_multirange(20_003, "m", 20_002)
    types.add_array(20_001, "_d", 20_000, ",")
    pair = composite_type("pair", ["ds"])
    types.add_composite(20_004, "pair", ["ds"], [20_001], pair)
    types.add_array(20_005, "_pair", 20_004, ",")
    assert not any(types.knows(oid) for oid in range(20_000, 20_006))
    types.add_alias(20_000, "d", INT4)
    assert [types.knows(oid) for oid in range(20_000, 20_006)] == [True, True, False, False, True, True]
    types.add_range(20_002, "r", 20_000)
    assert types.knows(20_003)


def test_types_that_contain_each_other_stay_unknown() -> None:
    types = native.TypeMap()
    types.add_array(20_001, "a", 20_002, ",")
    types.add_array(20_002, "b", 20_001, ",")
    types.add_array(20_003, "c", 20_003, ",")
    assert not any(types.knows(oid) for oid in (20_001, 20_002, 20_003))
    types.add_alias(20_001, "a", INT4)
    assert types.knows(20_002)
    types.add_array(20_001, "a", 20_002, ",")
    assert not any(types.knows(oid) for oid in (20_001, 20_002))


def test_a_codec_for_a_built_in_type_reaches_ranges_and_their_arrays() -> None:
    types = native.TypeMap()
    types.add_codec(INT4, "int4", lambda value: b"e", lambda body: "d", True)
    body = b"\x02" + words(b"x", b"y")
    assert native.decode_value(types, 3904, body) == Range("d", "d")
    assert native.decode_value(types, 3905, words(1, 0, 3904, 1, 1, body)) == [Range("d", "d")]
    assert native.decode_value(types, 4451, words(1, body)) == (Range("d", "d"),)
    assert native.encode_value(types, 22, [1]) == native.encode_value(native.TypeMap(), 22, [1])


def test_containers_of_text_types_are_text_themselves() -> None:
    types = native.TypeMap()
    types.add_text(20_000, "odd")
    types.add_array(20_001, "_odd", 20_000, ";")
    types.add_composite(20_002, "has_odd", ["a", "b"], [INT4, 20_000], composite_type("has_odd", ["a", "b"]))
    assert native.encode_value(types, 20_001, ["x", "y;"]) == ("text", b'{"x";"y;"}')
    assert native.decode_value(types, 20_001, b'{x;"y;"}') == ["x", "y;"]
    assert native.encode_value(types, 20_002, (1, 2)) == ("text", b'("1","2")')
    assert native.decode_value(types, 20_002, b"(1,x)") == (1, "x")


def test_a_type_made_again_is_seen_through_its_containers() -> None:
    types = native.TypeMap()
    for names in (["a"], ["a", "b"]):
        types.add_composite(20_000, "t", names, [INT4] * len(names), composite_type("t", names))
        if len(names) == 1:
            types.add_array(20_001, "_t", 20_000, ",")
    element = words(2, INT4, words(1), INT4, words(2))
    value = native.decode_value(types, 20_001, words(1, 0, 20_000, 1, 1, element))
    assert value == [(1, 2)]
    assert value[0].b == 2


def test_a_composite_altered_since_is_asked_for_again() -> None:
    types = native.TypeMap()
    types.add_composite(20_000, "t", ["a"], [INT4], composite_type("t", ["a"]))
    body = words(2, INT4, words(1), INT4, words(2))
    with pytest.raises(LookupError, match="unknown type 20000"):
        native.decode_value(types, 20_000, body)
    assert not types.knows(20_000)
    types.add_composite(20_000, "t", ["a", "b"], [INT4, INT4], composite_type("t", ["a", "b"]))
    assert native.decode_value(types, 20_000, body) == (1, 2)


@pytest.mark.parametrize("binary", [False, True])
def test_a_codec_of_the_users_own(binary: bool) -> None:
    seen: list[Any] = []

    def decode(body: Any) -> Any:
        seen.append(body)
        return ("decoded", body)

    types = native.TypeMap()
    types.add_codec(20_000, "own", lambda value: f"<{value}>", decode, binary)
    types.add_array(20_001, "_own", 20_000, ",")
    form = "binary" if binary else "text"
    assert native.encode_value(types, 20_000, 5) == (form, b"<5>")
    assert native.encode_value(types, 20_000, None)[1] is None
    expected: bytes | str = b"x" if binary else "x"
    assert native.decode_value(types, 20_000, b"x") == ("decoded", expected)
    assert seen == [expected]
    encoded = native.encode_value(types, 20_001, [5, None])[1]
    assert encoded is not None
    assert b"<5>" in encoded
    assert native.decode_value(types, 20_001, encoded)[1] is None


def test_a_codec_that_fails_or_gives_nonsense() -> None:
    types = native.TypeMap()
    types.add_codec(20_000, "own", lambda value: value, lambda _: 1 // 0, True)
    with pytest.raises(ValueError, match="bytes or str from the codec"):
        native.encode_value(types, 20_000, 5)
    with pytest.raises(ZeroDivisionError):
        native.decode_value(types, 20_000, b"")


def test_a_codec_for_a_built_in_type_serves_its_arrays_too() -> None:
    types = native.TypeMap()
    types.add_codec(JSON, "json", lambda value: b"e", lambda body: body, True)
    assert native.decode_value(types, JSON, b"{}") == b"{}"
    assert native.decode_value(types, JSONS, words(1, 0, JSON, 1, 1, b"{}")) == [b"{}"]
    assert native.encode_value(types, JSONS, [{}]) == ("binary", words(1, 0, JSON, 1, 1, b"e"))
    assert native.decode_value(types, INT4, words(1)) == 1
    assert native.decode_value(native.TypeMap(), JSON, b"{}") == {}


def test_wrong_arguments_are_refused() -> None:
    door: Any = native
    types: Any = door.TypeMap()
    with pytest.raises(ValueError, match="32 bits"):
        types.knows(2**32)
    with pytest.raises((OverflowError, TypeError)):
        types.knows(-1)
    with pytest.raises(TypeError):
        types.add_text(1, 5)
    with pytest.raises(TypeError):
        types.add_text(1)
    with pytest.raises(TypeError, match="subclass of Composite"):
        types.add_composite(20_000, "t", ["a"], [INT4], tuple)
    with pytest.raises(ValueError, match="number"):
        types.add_composite(20_000, "t", ["a"], [], composite_type("t", ["a"]))
    with pytest.raises(ValueError, match="one of hstore"):
        types.add_extension(20_000, "x", "x")
    with pytest.raises(ValueError, match="one byte"):
        types.add_array(20_000, "x", INT4, ",,")
    with pytest.raises(TypeError):
        door.TypeMap(1)
    with pytest.raises(TypeError):
        door.decode_value(None, 23, b"")
    assert not types.knows(20_000)


def test_threads_add_and_look_up_at_once() -> None:
    types = native.TypeMap()
    errors: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for oid in range(start, start + 300):
                types.add_array(oid + 100_000, f"_t{oid}", oid, ",")
                types.add_alias(oid, f"t{oid}", INT4)
                assert native.decode_value(types, oid + 100_000, words(1, 0, oid, 1, 1, words(7))) == [7]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(20_000 + n * 1000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
