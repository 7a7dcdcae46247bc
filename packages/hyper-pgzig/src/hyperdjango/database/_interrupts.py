"""What an interrupt that is still being handled keeps alive.

The traceback of a KeyboardInterrupt has the frames of ours that it has ended, and they may have a connection
that it left without an owner. `except KeyboardInterrupt:` and `finally:` are where people use the database
once more, or disconnect. `_sync_pool` calls this before it waits for a connection to come back.
Python docs: inspect, "Types and members", frame.clear.
"""

import contextlib
import sys
from pathlib import Path
from typing import Final

# And the frames of contextlib, which has the generators behind our blocks.
_FILES: Final = (str(Path(__file__).parent), contextlib.__file__)


def let_go() -> None:
    """Drop what our own frames have in the traceback of the interrupt that this thread handles."""
    error = sys.exception()
    while error is not None:
        if not isinstance(error, Exception):
            each = error.__traceback__
            while each is not None:
                if each.tb_frame.f_code.co_filename.startswith(_FILES):
                    with contextlib.suppress(RuntimeError):  # it has not ended
                        each.tb_frame.clear()
                each = each.tb_next
        error = error.__context__
