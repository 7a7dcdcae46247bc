"""The native half of the driver, built from `zig/`. Import it through `hyperdjango.database._native`."""

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from types import MemberDescriptorType
from typing import (
    Any,
    Final,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    final,
    type_check_only,
)

from typing_extensions import disjoint_base

_I = TypeVar("_I", bound=_Instance)
_D = TypeVar("_D")
_T = TypeVar("_T")
_P = ParamSpec("_P")
_Converter: TypeAlias = dict[Any, Any] | Callable[[Any], Any] | None
_Column: TypeAlias = tuple[MemberDescriptorType | str | None, _Converter]
_Node: TypeAlias = tuple[
    type[_Instance], int, MemberDescriptorType | None, tuple[_Column, ...], tuple[int, ...]
]

API_VERSION: Final[int]
BUILD_INFO: Final[str]
FREE_THREADED: Final[bool]

@type_check_only
class Filter(Protocol):
    """What stands between a Connection and its socket when TLS is on. Never blocks."""

    def read(self) -> bytes | None: ...  # b"" at the end of the stream, None when nothing is there yet
    def write(self, data: bytes) -> None: ...  # takes all of it
    def flush(self) -> bool: ...  # True when nothing waits to be sent any more

@final
class Secret:
    """A password. Nothing reads it back: repr and str are `***`, it cannot be pickled or copied."""

    def __new__(cls, value: str | bytes = b"", /) -> Secret: ...
    def __bool__(self) -> bool: ...

@final
class Scram:
    """The client's side of SCRAM-SHA-256(-PLUS). `nonce` is fresh random text from the caller."""

    def __new__(
        cls,
        secret: Secret,
        nonce: bytes,
        *,
        gs2: Literal["n", "y", "p=tls-server-end-point"] = "n",
        channel_binding: bytes = b"",
        iterations_max: int = 100_000,
    ) -> Scram: ...
    def client_first(self) -> bytes: ...
    def server_first(
        self, message: bytes, /
    ) -> None: ...  # ValueError: malformed, foreign nonce, too many iterations
    def recall(self) -> bool: ...  # uses the keys this Secret's last derive() left, where they fit
    def derive(self) -> None: ...  # PBKDF2 with the GIL released
    def client_final(self) -> bytes: ...
    def server_final(
        self, message: bytes, /
    ) -> None: ...  # ValueError: the server's signature is wrong, or e=...

def md5_password(secret: Secret, user: str, salt: bytes, /) -> bytes: ...

@final
class TypeMap:
    """Types by OID, shared by every connection of a pool, and what is known of each SQL text."""

    def __new__(
        cls,
        *,
        json_loads: Callable[[str], Any] | None = None,  # None: the standard library's
        json_dumps: Callable[[Any], str | bytes] | None = None,
        exact_intervals: bool = False,  # Interval instead of timedelta
    ) -> TypeMap: ...
    def knows(self, oid: int, /) -> bool: ...
    def note_pooler(self) -> None: ...  # from now on no connection prepares anything under a name
    def add_text(self, oid: int, name: str, /) -> None: ...  # always text format, str
    def add_string(
        self, oid: int, name: str, /
    ) -> None: ...  # binary format is the text itself: enum, citext
    def add_alias(
        self, oid: int, name: str, same_as: int, /
    ) -> None: ...  # a domain, or a known extension type
    def add_array(self, oid: int, name: str, element: int, delimiter: str, /) -> None: ...
    def add_composite(
        self, oid: int, name: str, names: Sequence[str], oids: Sequence[int], factory: type, /
    ) -> None: ...
    def add_range(self, oid: int, name: str, subtype: int, /) -> None: ...
    def add_multirange(self, oid: int, name: str, range_oid: int, /) -> None: ...
    def add_extension(
        self, oid: int, name: str, kind: Literal["hstore", "vector", "halfvec", "ltree"], /
    ) -> None: ...
    def add_codec(
        self,
        oid: int,
        name: str,
        encode: Callable[[Any], bytes | str],
        decode: Callable[[Any], Any],
        binary: bool,
        /,
    ) -> None: ...

# One value through the very encoders and decoders that parameters and columns go through; for tests.
# ValueError: the value does not fit, or has no Python form. LookupError: a type the map does not know.
def encode_value(
    type_map: TypeMap, oid: int, value: Any, /
) -> tuple[Literal["text", "binary"], bytes | None]: ...
def decode_value(
    type_map: TypeMap, oid: int, body: bytes, wire_format: Literal["text", "binary"] | None = None, /
) -> Any: ...

@final
class Request:
    """One statement on its way, from `Connection.submit` to `result`."""

    @property
    def done(self) -> bool: ...
    @property
    def stale(self) -> bool: ...  # the prepared plan was out of date; the same call can be made again
    @property
    def failed(self) -> bool: ...  # `result` will raise
    @property
    def undone(self) -> bool: ...  # nothing of it has run or will; the same call can be made anywhere
    @property
    def carried(self) -> bool: ...  # commands that were owed went in front of it
    waiter: Any  # who waits for it; looked at by nobody here
    @property
    def tag(self) -> str: ...  # the last command tag
    @property
    def affected(self) -> int: ...  # rows, summed over a batch
    @property
    def completed(self) -> int: ...  # commands of a batch that were answered
    @property
    def unknown_oids(self) -> tuple[int, ...]: ...
    @property
    def suspended(self) -> bool: ...  # the portal has more rows than were asked for
    @property
    def columns(self) -> tuple[str, ...]: ...  # their names, once it is done
    @property
    def binary_records(self) -> bool: ...  # every column has a binary form that feed_records can write
    @property
    def records(self) -> int: ...  # records of a COPY that were written
    def result(self) -> Any: ...  # once; raises what went wrong

@final
class ArrowStream:
    """All rows of a result as Arrow columns; whatever reads Arrow can read it, any number of times."""

    @property
    def num_rows(self) -> int: ...
    @property
    def num_columns(self) -> int: ...
    @property
    def num_batches(self) -> int: ...  # record batches that the rows are in
    @property
    def column_names(self) -> tuple[str, ...]: ...  # in order, with duplicates
    def __arrow_c_schema__(self) -> object: ...  # a capsule with an ArrowSchema
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...  # with an ArrowArrayStream

@final
class ArrowRows:
    """An Arrow stream as the data of a COPY; takes it out of its capsule."""

    def __new__(cls, stream: object, /) -> ArrowRows: ...
    @property
    def column_names(self) -> tuple[str, ...]: ...  # in order, with duplicates
    @property
    def row_count(self) -> int: ...  # rows encoded so far
    def bind(
        self, described: Request, indices: tuple[int, ...], /
    ) -> bool: ...  # whether the columns go in binary, else as text; DataError: one cannot go at all
    def read(self) -> bool: ...  # takes the next batch, GIL released; False at the end
    def encode(self, size: int, /) -> bytes | None: ...  # whole rows; None: the batch is over
    def finish(self) -> bytes: ...  # the end of the COPY's data

# No `__new__` here: it takes any arguments and looks at none, and checkers go by the subclass's `__init__`.
@type_check_only
class _Instance(Protocol):
    """What an Instance is to the functions here; the models' package has a class of its own to tell checkers of."""

    _origin: Origin | None
    _changed: set[str] | None
    _extra: dict[str, Any] | None

@disjoint_base
class Instance:
    """The base of all models. Setting an attribute writes down its name, unless that begins with "_"."""

    _origin: Origin | None  # None: it is in no database yet
    _changed: set[str] | None
    _extra: dict[str, Any] | None  # values that are in no slot

def set_slot(instance: _Instance, descriptor: MemberDescriptorType, value: object, /) -> None: ...
def fill(
    instance: _Instance,
    descriptors: tuple[MemberDescriptorType, ...],
    values: tuple[object, ...] | list[object],
    /,
) -> None: ...
def construct(
    instance: _Instance,
    values: dict[str, Any],
    setters: dict[str, Any],  # a slot, or what is called with the instance and the value
    defaults: tuple[tuple[str, str | None, MemberDescriptorType, Any, Any], ...],
    /,
) -> str | None: ...  # the name that there is no setter for
def column(instances: list[_I], descriptor: MemberDescriptorType, default: _D, /) -> list[Any | _D]: ...
def group(
    instances: list[_I], descriptor: MemberDescriptorType, /
) -> dict[Any, list[_I]]: ...  # ValueError: a slot holds nothing
def all_wait(futures: list[Any], /) -> bool: ...
def answer(
    futures: list[Any], values: list[Any], /
) -> int: ...  # how many: it stops before a future that is done, and a value that is an exception
def row_of_each(
    rows: list[Any],
    column: str | int,  # of a dict or an object, or the position in a tuple
    keys: list[Any],
    fold: Callable[[Any], Any] | None,  # what keys and columns are compared by
    several: Callable[[Any], Any],  # what stands for a key of several rows
    /,
) -> list[Any]: ...  # None for a key without a row
def rows_of_each(
    rows: list[_D], column: str | int, keys: list[Any], fold: Callable[[Any], Any] | None, /
) -> list[list[_D]]: ...
def quicken(
    cls: type[_Instance], /
) -> None: ...  # its `__getattr__` is no burden for attributes that are there

@final
class LoadFuture(Future[_T]):
    """What `DataLoader.load` returns where the loop makes asyncio's own futures."""

    def __new__(cls, *, loop: AbstractEventLoop) -> LoadFuture[_T]: ...
    def __init__(self, *, loop: AbstractEventLoop) -> None: ...

@final
class LoadFutureIterator:
    """What `await` makes of a LoadFuture."""

    def __iter__(self) -> LoadFutureIterator: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any, /) -> Any: ...
    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> Any: ...
    def close(self) -> None: ...

@final
class Gate:
    """The usual load of a loader, on the loop that it serves. Made in the loop's thread."""

    def __new__(
        cls,
        loop: AbstractEventLoop,
        transactions: ContextVar[Any],  # a tuple of those that the running task is in
        /,
        new_future: Callable[[], Any] | None = None,  # None: a LoadFuture
    ) -> Gate: ...
    @property
    def hits(self) -> int: ...
    def use(
        self,
        cache: dict[Any, Any],  # key to future
        keys: list[Any],  # those that wait
        futures: list[Any],  # theirs
        /,
    ) -> None: ...

@final
class QuickLoad(Generic[_P, _T]):
    """A method of a loader: `function`, which is not called where the Gate in the loader's slot has the future."""

    def __new__(
        cls, function: Callable[_P, _T], gate: object, /
    ) -> QuickLoad[_P, _T]: ...  # gate: a member descriptor
    def __get__(self, instance: object, owner: type | None = None, /) -> Any: ...
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _T: ...
    @property
    def __wrapped__(self) -> Callable[_P, _T]: ...

@final
class Origin:
    """What the instances of one class in one result have in common. It keeps none of them alive."""

    def __new__(cls, database: Any, fetch_mode: Any) -> Origin: ...
    @property
    def database(self) -> Any: ...
    @property
    def fetch_mode(self) -> Any: ...
    context: Any
    def peers(self) -> list[Any]: ...  # the instances that are still alive, in the order of their rows

@final
class Hydrator:
    """How a row becomes instances: for each node of a tree of joins what stands in `_Node`.

    Its class; the index of its parent, -1 for the first; the parent's slot for it; for each of its columns
    what that goes into (a slot, a name in `_extra`, nothing) and what converts it; which of these columns
    are NULL where the join has found nothing, by their positions in the node. Without any it is always there.
    """

    def __new__(cls, nodes: tuple[_Node, ...], /) -> Hydrator: ...
    def begin(self, origins: tuple[Origin, ...], /) -> Hydration: ...  # one for each node

@final
class Hydration:
    """The target of one request of the shape `MODEL`."""

    @property
    def origins(self) -> tuple[Origin, ...]: ...

@final
class Connection:
    """One session with a backend, over a socket it borrows. Only `look` and `wait` ever wait for it.

    Progress, as `advance`, `look`, `wait` and `resume` return it: 0 the socket has nothing more now, 1 done,
    2 call `advance` again soon, 3 `Request.unknown_oids` must be added to the TypeMap and `resume` called.
    """

    on_notice: Callable[[dict[str, str]], object] | None
    on_notification: Callable[[str, str, int], object] | None  # channel, payload, process ID
    corked: bool  # what is submitted waits for push: more is to leave with it
    round_trip_ns: int  # the least that one takes; calls that were alone on the connection lower it

    def __new__(
        cls,
        fd: int,
        filter: Filter | None,  # noqa: A002 - the word for it
        type_map: TypeMap,
        *,
        message_size_max: int = 2**30,
        statement_cache_size: int = 256,
        statement_prefix: str = "h",  # of the names of prepared statements: unlike any other connection's
    ) -> Connection: ...
    @property
    def fd(self) -> int: ...
    @property
    def type_map(self) -> TypeMap: ...
    @property
    def parameters(self) -> dict[str, str]: ...
    @property
    def transaction_status(self) -> str: ...  # "I", "T" or "E", from the last ReadyForQuery
    @property
    def statement_count(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def busy(self) -> bool: ...  # a request is under way
    @property
    def is_clean(self) -> bool: ...  # open, nothing under way, not in a transaction, session as it was opened
    @property
    def session_changed(self) -> bool: ...  # since it was opened, or since DISCARD ALL
    @property
    def depth(self) -> int: ...  # requests under way
    @property
    def owed(self) -> int: ...  # commands that go in front of the next statement
    @property
    def has_pooler(self) -> bool: ...  # noticed: nothing is prepared under a name
    @property
    def progress(self) -> int: ...  # what the last step of the request under way said
    @property
    def wants_write(self) -> bool: ...

    # Start-up. These only write into the buffer.
    def send_startup(self, parameters: dict[str, str], /) -> None: ...
    def send_password(self, secret: Secret, /) -> None: ...
    def send_md5(self, secret: Secret, user: str, salt: bytes, /) -> None: ...
    def send_sasl_initial(self, mechanism: str, data: bytes, /) -> None: ...
    def send_sasl_response(self, data: bytes, /) -> None: ...
    def startup_event(self) -> tuple[Any, ...] | None: ...  # its kind first; None: receive more
    def flush(self) -> bool: ...  # True when nothing is left; OSError
    def receive(
        self,
    ) -> int: ...  # one recv: bytes, 0 at the end of the stream, -1 when it would block; OSError

    # Requests. Without `arguments`: the simple protocol. With `first_set` they are the sets of a batch.
    def submit(
        self,
        sql: str,
        arguments: tuple[Any, ...] | None,
        shape: int,
        target: Any,
        first_only: bool,
        first_set: int | None,
        /,
    ) -> Request: ...
    def advance(self) -> int: ...
    def advance_lone(
        self,
    ) -> int: ...  # as advance, and waits microseconds for more of a result that is coming in
    def look(self) -> int: ...  # waits for the reply for microseconds, where that has paid for this statement
    def wait(
        self, timeout_ns: int, /
    ) -> int: ...  # blocks, GIL released; negative: no limit; 0 when time is over
    def resume(self) -> int: ...
    def drop(
        self, request: Request | None, exception: BaseException, /
    ) -> None: ...  # read the rest and throw it away; the outcome is `exception`
    def suspend_request(self) -> Request | None: ...  # take out the first one, which waits for types
    def restore_request(self, request: Request, /) -> None: ...  # on any connection of the pool

    # A portal whose rows come in pieces. It lives as long as its transaction.
    def open_portal(
        self, sql: str, arguments: tuple[Any, ...], shape: int, target: Any, row_limit: int, /
    ) -> Request: ...
    def fetch(self, request: Request, /) -> Request: ...
    def close_portal(self, request: Request, /) -> Request: ...

    # COPY. Progress 4: it takes data; 5: a part is here.
    def copy_in(self, sql: str, /) -> Request: ...
    def feed(self, data: str | bytes | bytearray | memoryview, /) -> int: ...
    def feed_records(
        self,
        iterator: Iterator[object],
        described: Request,
        binary: bool,
        /,
    ) -> bool: ...
    def end_copy(self) -> int: ...
    def copy_out(
        self, sql: str, described: Request | None, shape: int, target: Any, part_size: int, /
    ) -> Request: ...
    def take_part(self, request: Request, /) -> Any: ...

    # Several under way. What `append` and `prepare` write leaves with `push`.
    def append(
        self,
        sql: str,
        arguments: tuple[Any, ...],
        shape: int,
        target: Any,
        first_only: bool,
        budget_ns: int | None,  # None: in order, on a connection of one's own
        /,
    ) -> Request | None: ...  # None: better sent elsewhere, or later
    def ask(self, sql: str, shape: int, /) -> Request | None: ...  # None: it cannot go yet
    def prepare(self, sql: str, /) -> Request: ...  # Parse and Describe alone
    def push(self) -> None: ...
    def take_finished(self) -> list[Request] | None: ...  # those with a waiter that are done
    def is_stuck(self, limit_ns: int, /) -> bool: ...  # the first one has run for longer, nothing has come

    # One statement with many sets of values, the first of which go with `begin_many`.
    def begin_many(
        self,
        sql: str,
        sets: tuple[tuple[Any, ...], ...],
        shape: int,
        target: Any,
        first_set: int,
        /,
    ) -> Request | None: ...  # None: prepare it first
    def extend(self, sets: tuple[tuple[Any, ...], ...], start: int, /) -> int: ...  # how many were sent
    def end_many(self) -> None: ...
    @property
    def takes_more(self) -> bool: ...  # one is under way that takes more sets and has not failed

    # Commands without parameters and rows, which go out in front of the next statement.
    def owe(self, sql: str, /) -> None: ...
    def disown(self, sql: str | None, /) -> bool: ...  # the last one, if it is this; None: all but a reset
    def run_owed(self) -> Request: ...
    def settle(self) -> None: ...  # the session as it is now is as it was opened
    def is_alive(self) -> bool: ...  # idle connection: no round trip
    def hear(
        self, take: Callable[[tuple[str, str, int]], object], count_max: int, /
    ) -> (
        bool
    ): ...  # idle connection: what has come unasked; notifications to `take`; True: maybe more is here
    def knows(self, sql: str, /) -> bool: ...  # described here, or on another connection of the pool
    def forget(self, sql: str, /) -> None: ...
    def terminate(self) -> None: ...
    def close(self) -> None: ...
