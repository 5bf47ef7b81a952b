"""Batches that several machines share out: each image once an epoch, and by one of them only."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_loader import Numbers, assert_same, sample_of

from minirnn.data import Augmentation, Loader
from minirnn.data.batches import BatchMaker
from minirnn.errors import InputError


class Noted(Numbers):
    """Remembers which pictures were read, and cannot read some."""

    def __init__(self, count, broken=()):
        super().__init__(count)
        self.read, self.broken = [], broken

    def __getitem__(self, index):
        self.read.append(index)
        if index in self.broken:
            raise InputError(f"picture {index} is torn")
        return sample_of(index)


@given(
    count=st.integers(1, 15),
    batch_size=st.integers(1, 12),
    seed=st.integers(0, 2**40),
    epochs=st.integers(1, 3),
)
@settings(max_examples=30)
def test_every_epoch_has_every_image_once_whatever_the_number_of_ranks(
    count, batch_size, seed, epochs
):
    steps = -(-count * epochs // batch_size)
    alone = BatchMaker(Numbers(count), batch_size, seed, Augmentation())
    whole = [index for k in range(steps) for index in alone.indices(k)]
    for ranks in range(1, batch_size + 1):
        row = []
        for k in range(steps):
            batch = [None] * batch_size
            for rank in range(ranks):
                maker = BatchMaker(
                    Numbers(count), batch_size, seed, Augmentation(), rank=rank, ranks=ranks
                )
                part = maker.indices(k)
                assert batch_size // ranks <= len(part) <= -(-batch_size // ranks)
                assert batch[rank::ranks] == [None] * len(part)  # nobody else's place
                batch[rank::ranks] = part
            row += batch
        assert row == whole
        for epoch in range(epochs):
            assert sorted(row[epoch * count : (epoch + 1) * count]) == list(range(count))


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_an_image_is_changed_as_in_one_process(ranks):
    """Mirrored, cropped and coloured: whatever was drawn for the images before it."""
    settings = {"steps": 4, "seed": 3, "crop": 0.5, "colour": 0.4, "zoom": (0.5, 2)}
    whole = list(Loader(Numbers(7), 5, **settings))
    parts = [list(Loader(Numbers(7), 5, **settings, rank=r, ranks=ranks)) for r in range(ranks)]
    for k, batch in enumerate(whole):
        for rank in range(ranks):
            assert_same([batch[rank::ranks]], [parts[rank][k]])


def test_a_rank_reads_its_own_images_only():
    data = [Noted(12) for _ in range(4)]
    for rank, each in enumerate(data):
        list(Loader(each, 8, steps=3, seed=1, rank=rank, ranks=4))
        assert len(each.read) == 6
    read = [index for each in data for index in each.read]
    assert sorted(read) == sorted([*range(12)] * 2)  # 24 places are two epochs


def test_what_stands_in_for_a_broken_image_is_the_same_on_any_rank():
    settings = {"steps": 6, "seed": 5, "unreadable": 1.0}
    whole = list(Loader(Noted(6, broken=(2, 4)), 4, **settings))
    parts = [
        list(Loader(Noted(6, broken=(2, 4)), 4, **settings, rank=r, ranks=2)) for r in range(2)
    ]
    assert any(batch.left_out for batch in whole)
    for k, batch in enumerate(whole):
        for rank in range(2):
            assert_same([batch[rank::2]], [parts[rank][k]])
        assert batch.left_out == parts[0][k].left_out | parts[1][k].left_out


def test_each_rank_may_find_its_share_of_unreadable_images():
    settings = {"steps": 10, "seed": 5, "unreadable": 0.4}
    list(Loader(Noted(10, broken=(1, 2, 3)), 4, **settings))
    with pytest.raises(InputError, match="3 of 10 images cannot be read; at most 2"):
        list(Loader(Noted(10, broken=(1, 2, 3)), 4, **settings, rank=0, ranks=2))


@pytest.mark.parametrize(("rank", "ranks"), [(2, 2), (-1, 2), (0, 5), (0, 0)])
def test_a_rank_that_cannot_be(rank, ranks):
    with pytest.raises(InputError, match=f"rank is {rank} of {ranks}, and batch_size 4"):
        Loader(Numbers(), 4, steps=1, seed=0, rank=rank, ranks=ranks)
