"""Work that is dealt out to ranks is all of it, nothing twice, and comes back in order."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from minirnn.distributed import Alone
from minirnn.distributed.cores import own_cores
from minirnn.distributed.dealing import dealt_out
from minirnn.kernels import thread_count


class Thread:
    """A rank that is a thread of this process."""

    def __init__(self, rank: int, size: int, meeting: threading.Barrier, table: list) -> None:
        self.rank, self.size, self._meeting, self._table = rank, size, meeting, table

    def gather(self, thing: Any) -> list[Any] | None:
        self._table[self.rank] = thing
        self._meeting.wait()
        found = list(self._table) if self.rank == 0 else None
        self._meeting.wait()
        return found


def everywhere(size: int, things: list, round_of: int) -> tuple[list[list], list[list]]:
    """What comes out at each rank, and what each was given to do."""
    meeting, table = threading.Barrier(size, timeout=20), [None] * size
    out: list[list] = [[] for _ in range(size)]
    done: list[list] = [[] for _ in range(size)]

    def work(rank: int) -> None:
        def negative(x: int) -> int:
            done[rank].append(x)
            return -x

        member: Any = Thread(rank, size, meeting, table)
        out[rank] += dealt_out(things, negative, member, round_of)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out, done


@pytest.mark.parametrize("size", range(1, 5))
@pytest.mark.parametrize("round_of", [1, 3])
def test_everything_is_done_once_and_comes_in_order_to_the_first(size, round_of):
    for count in range(20):
        things = list(range(count))
        out, done = everywhere(size, things, round_of)
        assert out == [[-x for x in things]] + [[]] * (size - 1)
        assert sorted(x for share in done for x in share) == things
        assert max(map(len, done)) - min(map(len, done)) <= 1


def test_alone_each_comes_before_the_next_is_begun():
    order = []
    for result in dealt_out("abc", lambda x: order.append(f"{x} begun"), Alone()):
        order.append("there")
        assert result is None
    assert order == ["a begun", "there", "b begun", "there", "c begun", "there"]


class Seen(Alone):
    """A rank that hears from others which cores they may run on."""

    def __init__(self, *others: tuple[str, set[int]], local: int) -> None:
        self.host, self.size, self.local_size, self._others = "here", len(others) + 1, local, others

    def share(self, obj: Any) -> list[Any]:
        return [obj, *self._others]


@pytest.mark.parametrize(
    ("own", "others", "local", "threads"),
    [
        (range(8), [("here", range(8))], 2, 4),  # nobody has dealt out the cores
        (range(4), [("here", range(4, 8))], 2, 4),  # the launcher has
        (range(8), [("here", range(8)), ("there", range(8, 24))], 2, 4),
        (range(2), [("here", range(2))] * 3, 4, 1),
    ],
)
def test_ranks_of_a_machine_share_its_cores(monkeypatch, own, others, local, threads):
    monkeypatch.delenv("MINIRNN_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(own), raising=False)
    monkeypatch.setattr("minirnn.kernels.threads._allowed", lambda _: len(own))
    with own_cores(Seen(*((host, set(cores)) for host, cores in others), local=local)):
        assert thread_count() == threads
    monkeypatch.setenv("MINIRNN_THREADS", "3")
    with own_cores(Seen(("here", set(own)), local=local)):
        assert thread_count() == len(own)  # no limit of ours
