"""No signal leaves a lock taken that `with` was about to guard."""

import random
import signal
import threading
from typing import Any

from hyperdjango.conf._lock import Lock

ROUNDS = 400


class Interrupted(Exception):  # noqa: N818 - as KeyboardInterrupt
    """What the signal's handler raises."""


def is_free(lock: Any) -> bool:
    """Whether another thread can have it."""
    had: list[bool] = []

    def take() -> None:
        had.append(lock.acquire(blocking=False))
        if had[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return had[0]


def test_a_signal_at_any_moment_leaves_the_lock_free() -> None:
    lock = Lock()

    def on_alarm(*_: object) -> None:
        raise Interrupted

    def use() -> None:
        while True:
            with lock, lock:  # reentrant
                pass

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        for n in range(ROUNDS):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 1e-3))
                use()
            except Interrupted:
                assert is_free(lock), f"round {n}"
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_while_another_thread_has_it_leaves_it_to_that_one() -> None:
    lock = Lock()
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            done.wait(30)

    def on_alarm(*_: object) -> None:
        raise Interrupted

    thread = threading.Thread(target=hold)
    thread.start()
    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        assert taken.wait(30)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        try:
            with lock:
                raise AssertionError("another thread has it")
        except Interrupted:
            assert not is_free(lock)
    finally:
        signal.signal(signal.SIGALRM, before)
        done.set()
        thread.join()
    assert is_free(lock)
