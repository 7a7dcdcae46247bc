"""The test kit: a backend that follows a script, and a proxy that spoils the line to a real one.

    script = [*startup(), serve({"SELECT 1": Answer([Column("n", 23, 4)], [[b"\\0\\0\\0\\1"]])})]
    with ScriptedBackend(script) as backend:
        db = SyncDatabase(backend.url())

Importable from the tests of every package; `pythonpath` in the workspace's pyproject.toml names this folder.
"""

from pgkit.backend import (
    Conversation,
    EndOfScript,
    FrontendLeft,
    Script,
    ScriptedBackend,
    ScriptFailure,
    Step,
)
from pgkit.messages import Column
from pgkit.proxy import Direction, Ending, Link, Proxy
from pgkit.scram import ScramServer
from pgkit.serve import SIMPLE_SELECT, Answer, serve
from pgkit.steps import (
    accept_startup,
    close,
    dribble,
    expect,
    expect_eof,
    expect_through,
    ready,
    refuse,
    reset,
    send,
    signal,
    startup,
    startup_cleartext,
    startup_md5,
    startup_scram,
    wait,
    wait_for,
)

__all__ = [
    "SIMPLE_SELECT",
    "Answer",
    "Column",
    "Conversation",
    "Direction",
    "EndOfScript",
    "Ending",
    "FrontendLeft",
    "Link",
    "Proxy",
    "ScramServer",
    "Script",
    "ScriptFailure",
    "ScriptedBackend",
    "Step",
    "accept_startup",
    "close",
    "dribble",
    "expect",
    "expect_eof",
    "expect_through",
    "ready",
    "refuse",
    "reset",
    "send",
    "serve",
    "signal",
    "startup",
    "startup_cleartext",
    "startup_md5",
    "startup_scram",
    "wait",
    "wait_for",
]
