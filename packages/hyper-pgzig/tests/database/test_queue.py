"""The queue of those who wait for a connection."""

import asyncio
import contextvars
import gc
import threading
import time
import weakref
from typing import Any

from hyperdjango.database import Database, SyncDatabase
from hyperdjango.database._queue import LEFT_MAX, Ticket, TicketQueue
from pgkit.until import until

WAITERS = 10_000


def _ticket(number: int) -> Ticket:
    return Ticket(lambda: None, number)


def test_tickets_come_out_in_their_order_without_those_that_left() -> None:
    queue = TicketQueue()
    found: list[int] = []
    tickets = [Ticket(lambda n=n: found.append(n), n) for n in range(1, 11)]  # type: ignore[misc]
    for ticket in tickets:
        queue.append(ticket)
    for n in (0, 4, 9):
        queue.leave(tickets[n])
    assert (queue.waiting, queue.waiting_max) == (7, 10)
    while queue.serve(None, None):
        pass
    assert found == [2, 3, 4, 6, 7, 8, 9]
    assert queue.waiting == 0


def test_who_is_put_back_stands_before_those_who_came_later() -> None:
    queue = TicketQueue()
    refused: list[int] = []
    tickets = {n: Ticket(lambda n=n: refused.append(n), n) for n in (4, 6, 8, 5, 1, 9)}  # type: ignore[misc]
    for number in (4, 6, 8):
        queue.append(tickets[number])
    for number in (5, 1, 9):
        queue.insert(tickets[number])
    queue.refuse_all()
    assert refused == [1, 4, 5, 6, 8, 9]
    assert queue.waiting == 0


def test_leaving_costs_nothing_however_many_wait() -> None:
    queue = TicketQueue()
    tickets = [_ticket(n) for n in range(100_000)]
    for ticket in tickets:
        queue.append(ticket)
    # From behind: a search would take minutes.
    for ticket in reversed(tickets):
        queue.leave(ticket)
    assert queue.waiting == 0
    assert len(queue._tickets) <= LEFT_MAX  # pyright: ignore[reportPrivateUsage]
    assert not queue.serve(None, None)


def test_ten_thousand_tasks_on_four_connections_are_served_in_order(url: str) -> None:
    async def main() -> None:
        async with Database(url, 4, 4) as db:
            arrivals: dict[int, int] = {}
            served: list[int] = []
            kept: list[Ticket] = []
            pool = db._pool
            enter_with, claim, take_ticket = pool.enter_with, pool.claim, pool.take_ticket

            def note_arrival(ticket: Ticket) -> None:
                enter_with(ticket)
                arrivals[id(ticket)] = len(arrivals)
                kept.append(ticket)

            def note_claim(ticket: Ticket) -> Any:
                served.append(arrivals[id(ticket)])
                return claim(ticket)

            # Sent behind others, on a connection that is under way.
            def note_taken(owner: object) -> Ticket | None:
                ticket = take_ticket(owner)
                if ticket is not None:
                    served.append(arrivals[id(ticket)])
                return ticket

            def note_return(ticket: Ticket) -> None:
                served.remove(arrivals[id(ticket)])
                return_ticket(ticket)

            return_ticket = pool.return_ticket
            pool.enter_with, pool.claim = note_arrival, note_claim  # type: ignore[method-assign]
            pool.take_ticket, pool.return_ticket = note_taken, note_return  # type: ignore[method-assign]
            async with asyncio.TaskGroup() as group:
                for n in range(WAITERS):
                    group.create_task(_same(db, n))
            assert len(arrivals) >= WAITERS // 2
            assert sorted(served) == list(range(len(arrivals)))
            assert max(place - number for place, number in enumerate(served)) <= 4
            assert db.pool_stats()["max_waiting"] >= WAITERS // 2

    asyncio.run(main())


async def _same(db: Database, n: int) -> None:
    assert await db.query_val("SELECT $1::int", n) == n


def test_ten_thousand_waiters_can_be_cancelled_at_once(url: str) -> None:
    async def main() -> None:
        async with Database(url, 1, 1) as db:
            async with db.transaction():
                await db.query_val("SELECT 1")
                # A context of their own: they are outside of the block.
                tasks = [
                    asyncio.create_task(db.query_val("SELECT 1"), context=contextvars.Context())
                    for _ in range(WAITERS)
                ]
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert db.pool_stats()["waiting"] == WAITERS
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                assert db.pool_stats()["waiting"] == 0
            assert await db.query_val("SELECT 5") == 5
            assert db.pool_stats()["waited"] >= WAITERS

    asyncio.run(main())


def test_sixty_four_threads_make_a_hundred_thousand_calls(url: str) -> None:
    calls = 100_000 // 64
    with SyncDatabase(url, 1, 8) as db:
        problems: list[BaseException] = []

        def work(first: int) -> None:
            try:
                for n in range(first, first + calls):
                    assert db.query_val("SELECT $1::int", n) == n
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work, args=(n * calls,), daemon=True) for n in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads)
        assert problems == []
        stats = db.pool_stats()
        assert (stats["busy"], stats["waiting"]) == (0, 0)
        assert stats["total"] <= 8


def test_eight_loops_and_blocking_threads_share_one_pool(url: str) -> None:
    db = Database(url, 0, 5)
    db.sync.connect()
    problems: list[BaseException] = []

    async def loop(first: int) -> None:
        for start in range(first, first + 200, 20):
            await asyncio.gather(*(_same(db, n) for n in range(start, start + 20)))

    def blocking(first: int) -> None:
        sync = db.sync
        for n in range(first, first + 200):
            assert sync.query_val("SELECT $1::int", n) == n

    def run(work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=run, args=(lambda n=n: asyncio.run(loop(n)),)) for n in range(8)]
    threads += [threading.Thread(target=run, args=(blocking, 1000 * n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert db.pool_stats()["busy"] == 0
    assert db.pool_stats()["total"] <= 5
    db.sync.disconnect()


def test_each_thread_prefers_the_connection_it_used_last(url: str) -> None:
    with SyncDatabase(url, 3, 3) as db:
        pids: list[list[int]] = [[], [], []]
        barrier = threading.Barrier(3, timeout=10)

        def work(thread: int) -> None:
            # All at once, so that each has one of its own.
            with db.transaction():
                pids[thread].append(db.query_val("SELECT pg_backend_pid()"))
                barrier.wait()
            for _ in range(5):
                barrier.wait()
                time.sleep(0.01 * thread)
                # One after the other: all three connections are idle.
                pids[thread].append(db.query_val("SELECT pg_backend_pid()"))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [len(each) for each in pids] == [6, 6, 6]
        assert [len(set(each)) for each in pids] == [1, 1, 1]
        assert len({each[0] for each in pids}) == 3


def test_what_a_thread_remembers_keeps_no_connection_open(url: str) -> None:
    with SyncDatabase(url, 1, 1) as db:
        db.query_val("SELECT 1")
        sock = weakref.ref(next(iter(db._pool._idle.values())).established.sock)
        assert sock() is not None
    gc.collect()
    until(lambda: sock() is None)
