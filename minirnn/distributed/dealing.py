"""Work dealt out to ranks like cards, and what they made of it put together again, in order.

Rank r of n gets number r, r + n, r + 2n, … So nobody has to say who does what, long and short work is
mixed, and what comes of it is what one process alone would have made. After each round the results travel
to the first rank, and so does an error: the others do not work on for hours when one has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from minirnn.distributed.communicator import Communicator

T = TypeVar("T")
R = TypeVar("R")

#: Things that a rank gets in a round. At its end all wait for the slowest: among eight, quick and slow ones
#: make up for each other.
ROUND = 8


def dealt_out(
    things: Sequence[T], work: Callable[[T], R], ranks: Communicator, round_of: int = ROUND
) -> Iterator[R]:
    """Have several ranks do something with each of many things.

        for result in dealt_out(photos, look_at, ranks):  # all ranks go through this loop
            print(result)                                 # but only the first comes here

    Args:
        things: the same at all ranks.
        work: called with each of them at one of the ranks; what it returns can be pickled.
        ranks: all of them go through what is returned, to its end.
        round_of: things that a rank gets between two exchanges.

    Returns:
        At the first rank, what `work` returned, in the order of the things; nothing elsewhere. Alone, each
        as soon as it is there.

    Raises:
        InputError: another rank met one; says which, and on which host.
        WorkerError: another rank ended by another error; says the same.
    """
    length = ranks.size * round_of if ranks.size > 1 else 1
    for start in range(0, len(things), length):
        hand = things[start : start + length]
        shares = ranks.gather([work(each) for each in hand[ranks.rank :: ranks.size]])
        if shares is not None:
            for place in range(len(hand)):
                turn, rank = divmod(place, ranks.size)
                yield shares[rank][turn]
