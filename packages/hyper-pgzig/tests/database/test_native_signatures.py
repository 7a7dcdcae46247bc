"""What `help()` says of the extension: stubtest passes over a method that has no signature at all."""

import inspect

import pytest
from hyperdjango.database._native import native

CLASSES = [
    native.ArrowRows,
    native.ArrowStream,
    native.Connection,
    native.Gate,
    native.Hydration,
    native.Hydrator,
    native.Instance,
    native.LoadFuture,
    native.Origin,
    native.Request,
    native.Scram,
    native.Secret,
    native.TypeMap,
]
METHODS = [
    pytest.param(member, id=f"{owner.__name__}.{name}")
    for owner in CLASSES
    for name, member in vars(owner).items()
    if callable(member) and not name.startswith("__")
]
FUNCTIONS = [
    native.encode_value,
    native.decode_value,
    native.md5_password,
    native.set_slot,
    native.fill,
    native.construct,
    native.column,
    native.group,
    native.all_wait,
    native.answer,
    native.row_of_each,
    native.rows_of_each,
    native.quicken,
]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_tells_its_parameters_and_what_it_does(method: object) -> None:
    assert callable(method)
    assert next(iter(inspect.signature(method).parameters)) == "self"
    assert (inspect.getdoc(method) or "").endswith(".")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_tells_its_parameters_and_what_it_does(function: object) -> None:
    assert callable(function)
    assert inspect.signature(function).parameters
    assert (inspect.getdoc(function) or "").endswith(".")


@pytest.mark.parametrize("owner", CLASSES)
def test_a_class_and_its_properties_tell_what_they_are(owner: type) -> None:
    properties = [member for member in vars(owner).values() if inspect.isgetsetdescriptor(member)]
    assert {owner.__doc__ is None, *(member.__doc__ is None for member in properties)} == {False}


def test_a_class_that_is_made_from_python_tells_how() -> None:
    made = [owner for owner in CLASSES if owner not in {native.ArrowStream, native.Hydration, native.Request}]
    shown = {owner.__name__: str(inspect.signature(owner)) for owner in made}
    assert shown == {
        "ArrowRows": "(stream, /)",
        "Connection": "(fd, filter, type_map, *, message_size_max=1073741824, statement_cache_size=256, "
        "statement_prefix='h')",
        "Gate": "(loop, transactions, /, new_future=None)",
        "Hydrator": "(nodes, /)",
        "Instance": "()",
        "LoadFuture": "(*, loop)",
        "Origin": "(database, fetch_mode)",
        "Scram": "(secret, nonce, *, gs2='n', channel_binding=b'', iterations_max=100000)",
        "Secret": "(value=b'', /)",
        "TypeMap": "(*, json_loads=None, json_dumps=None, exact_intervals=False)",
    }
