"""Objects of another picture: whole where they are pasted, and cut out of what lies below them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirnn.data.batches import DRAWS
from minirnn.data.copy_paste import paste_objects
from minirnn.data.loader import Loader
from minirnn.errors import InputError, WorkerError
from minirnn.masks import boxes_of_masks
from minirnn.structures import Sample, Target

#: Labels of the other picture's objects begin here, so that one can tell whose an object is.
OTHERS = 100


def a_sample(seed: int, count: int, height: int, width: int, first_label: int = 1) -> Sample:
    """Ellipses, some of them crowds, each with a visible keypoint in the middle of its box."""
    rng = np.random.default_rng(seed)
    low = np.stack([rng.integers(0, side, count) for side in (width, height)], 1)
    high = np.stack([rng.integers(low[:, a] + 1, (width, height)[a] + 1) for a in (0, 1)], 1)
    y, x = np.mgrid[:height, :width] + 0.5
    middle, half = (high + low) / 2, (high - low) / 2
    masks = np.zeros((count, height, width), bool)
    for mask, (mx, my), (hx, hy) in zip(masks, middle, half, strict=True):
        mask[:] = ((x - mx) / hx) ** 2 + ((y - my) / hy) ** 2 <= 1
    points = np.full((count, 1, 3), 2, np.float32)
    points[:, 0, :2] = np.floor(middle)
    target = Target(
        boxes_of_masks(masks),
        np.arange(first_label, first_label + count),
        masks,
        rng.random(count) < 0.2,
        points,
        image_id=seed,
        file_name=f"{seed}.png",
        proposals=np.array([[0, 0, width, height]], np.float32),
    )
    return Sample(rng.integers(0, 256, (height, width, 3), np.uint8), target)


sizes = {"count": st.integers(0, 4), "height": st.integers(1, 24), "width": st.integers(1, 24)}
samples = st.builds(a_sample, st.integers(0, 9999), **sizes)
others = st.builds(a_sample, st.integers(0, 9999), **sizes, first_label=st.just(OTHERS))
scales = st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(sorted)


def paste(sample: Sample, other: Sample, seed: int = 0, **settings) -> Sample:
    return paste_objects(
        sample, other, np.random.default_rng(seed), keypoint_names=("nose",), **settings
    )


def assert_equal(a: Sample, b: Sample) -> None:
    np.testing.assert_array_equal(a.image, b.image)
    for name, value in vars(a.target).items():
        np.testing.assert_array_equal(value, getattr(b.target, name), err_msg=name)


@given(sample=samples, other=others, seed=st.integers(0, 999), scale=scales, least=st.floats(0, 1))
def test_what_is_left_is_sound(sample, other, seed, scale, least):
    settings = {"scale": scale, "min_visible": least}
    pasted = paste(sample, other, seed, **settings)
    assert_equal(pasted, paste(sample, other, seed, **settings))  # same seed, same picture
    target, count = pasted.target, len(pasted.target.boxes)
    assert pasted.image.shape == sample.image.shape
    assert pasted.image.dtype == np.uint8
    assert target.masks.shape == (count, *sample.image.shape[:2])
    assert len(target.labels) == len(target.is_crowd) == len(target.keypoints) == count
    assert target.masks.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(target.boxes, boxes_of_masks(target.masks))
    assert target.boxes.dtype == target.keypoints.dtype == np.float32

    # Below: never more than before, by no pixel. Crowds: exactly as before.
    new = target.labels >= OTHERS
    cover = target.masks[new].any(axis=0)
    assert set(target.labels[~new]) <= set(sample.target.labels)
    for label, mask, crowd in zip(
        target.labels[~new], target.masks[~new], target.is_crowd[~new], strict=True
    ):
        before = sample.target.masks[label - 1]
        if sample.target.is_crowd[label - 1]:
            np.testing.assert_array_equal(mask, before)
            assert crowd
        else:
            np.testing.assert_array_equal(mask, before & ~cover)
            assert crowd == (mask.sum() < least * before.sum())
    # Dropped is what is covered altogether, and nothing else.
    for label in set(sample.target.labels) - set(target.labels):
        assert not sample.target.is_crowd[label - 1]
        assert not (sample.target.masks[label - 1] & ~cover).any()
    # The picture is as it was where nothing was pasted.
    np.testing.assert_array_equal(pasted.image[~cover], sample.image[~cover])


@given(sample=samples, other=others, seed=st.integers(0, 999), scale=scales)
def test_what_is_pasted_is_of_the_other_and_disjoint(sample, other, seed, scale):
    target = paste(sample, other, seed, scale=scale).target
    new = target.labels >= OTHERS
    numbers = target.labels[new] - OTHERS
    assert len(set(numbers)) == len(numbers)
    assert not other.target.is_crowd[numbers].any()  # crowds are never pasted
    assert (target.masks[new].sum(axis=0) <= 1).all()
    mine = target.masks[~new & ~target.is_crowd]
    assert not (mine & target.masks[new].any(axis=0)).any()
    assert len(target.proposals) >= 1 + new.sum()


@given(sample=samples, other=others, seed=st.integers(0, 999))
def test_the_arguments_are_as_they_were(sample, other, seed):
    copies = [
        Sample(
            s.image.copy(),
            replace(
                s.target,
                boxes=s.target.boxes.copy(),
                masks=s.target.masks.copy(),
                keypoints=s.target.keypoints.copy(),
                is_crowd=s.target.is_crowd.copy(),
            ),
        )
        for s in (sample, other)
    ]
    pasted = paste(sample, other, seed, min_visible=0.5)
    for before, after in zip(copies, (sample, other), strict=True):
        assert_equal(before, after)
    assert not np.shares_memory(pasted.image, sample.image)
    assert not np.shares_memory(pasted.target.masks, sample.target.masks)


@given(sample=samples, seed=st.integers(0, 999))
def test_a_picture_without_objects_gives_none(sample, seed):
    other = a_sample(0, 2, 9, 9, OTHERS)
    other.target.is_crowd[:] = True
    assert_equal(paste(sample, other, seed), sample)


@given(other=others.filter(lambda s: not s.target.is_crowd.all()), seed=st.integers(0, 999))
def test_one_object_at_least(other, seed):
    empty = a_sample(0, 0, 30, 30)
    assert len(paste(empty, other, seed, scale=(1, 1)).target.labels) >= 1


def test_a_box_that_is_not_its_masks_does_no_harm():
    sample, other = two_layers()
    other.target.boxes = np.array([[8, 8, 9, 9]], np.float32)  # 30 px off, as in some files
    assert paste(sample, other, scale=(1, 1)).target.labels.tolist() == [1, OTHERS]


def test_size_is_relative_to_the_picture():
    """A tenth of the other picture's side is a tenth of this one's, whatever their pixels."""
    other = a_sample(0, 1, 200, 200, OTHERS)
    other.target.is_crowd[:] = False
    other.target.masks[:] = False
    other.target.masks[0, 60:100, 60:80] = True
    (box,) = paste(a_sample(0, 0, 100, 150), other, scale=(1, 1)).target.boxes
    assert (box[2:] - box[:2]).tolist() == [10, 20]
    (box,) = paste(a_sample(0, 0, 100, 150), other, scale=(2, 2)).target.boxes
    assert (box[2:] - box[:2]).tolist() == [20, 40]
    (box,) = paste(a_sample(0, 0, 100, 150), other, scale=(10, 10)).target.boxes
    assert (box[2:] - box[:2]).tolist() == [50, 100]  # as large as it fits in


def two_layers() -> tuple[Sample, Sample]:
    """A square of 8 × 8 with three keypoints, and another of the same size as the whole picture."""
    sample, other = a_sample(0, 1, 10, 10), a_sample(1, 1, 10, 10, OTHERS)
    for each in (sample, other):
        each.target.is_crowd[:] = False
        each.target.masks[:] = False
    sample.target.masks[0, 1:9, 1:9] = True
    sample.target.boxes = np.array([[1.25, 0.75, 9, 9]], np.float32)  # as an annotator drew it
    sample.target.keypoints = np.array([[[1, 1, 2]]], np.float32)
    other.target.masks[0, :, :5] = True
    other.target.keypoints = np.array([[[0, 3, 2]]], np.float32)
    return sample, other


def test_boxes_move_where_the_mask_is_cut_and_keypoints_are_hidden():
    sample, other = two_layers()
    seen = set()
    for seed in range(30):
        pasted = paste(sample, other, seed, scale=(1, 1))
        columns = np.flatnonzero(pasted.target.masks[-1].any(axis=0))
        box, point = pasted.target.boxes[0].tolist(), pasted.target.keypoints[0, 0].tolist()
        first, last = columns[0], columns[-1]
        assert len(columns) == 5
        left = max(1.25, last + 1) if first <= 1 else 1.25
        right = first if last >= 8 else 9
        assert box == [left, 0.75, right, 9]
        assert point == [1, 1, 1 if first <= 1 else 2]  # covered: labelled, and hidden
        mirrored = pasted.target.keypoints[1, 0, 0] == last
        assert pasted.target.keypoints[1, 0].tolist() == [last if mirrored else first, 3, 2]
        seen.add((first, bool(mirrored)))
    assert len(seen) > 8


def test_hardly_left_is_set_aside_and_covered_is_dropped():
    sample, other = two_layers()
    for columns, least, labels, crowd in (
        (7, 0.3, [1, OTHERS], [True, False]),  # a quarter is left, or an eighth
        (7, 0.1, [1, OTHERS], [False, False]),
        (10, 0.3, [OTHERS], [False]),
    ):
        other.target.masks[0, :, :columns] = True
        target = paste(sample, other, scale=(1, 1), min_visible=least).target
        assert target.labels.tolist() == labels
        assert target.is_crowd.tolist() == crowd


def test_the_seam_is_soft_and_the_inside_is_the_object():
    sample, other = two_layers()
    sample.image[:], other.image[:] = 0, 200
    image = paste(sample, other, scale=(1, 1)).image[..., 0]
    values = set(np.unique(image).tolist())
    assert {0, 200} <= values
    assert values <= {0, 89, 133, 200}  # 4 of 9 pixels at a corner, 6 of 9 along an edge


def test_without_masks_it_is_refused():
    sample, other = two_layers()
    other.target.masks = None
    with pytest.raises(
        InputError, match=r"image 1 \(1.png\) has boxes alone; copy_paste should be 0"
    ):
        paste(sample, other)
    with pytest.raises(InputError, match=r"image 1 \(1.png\) has boxes alone"):
        paste(other, sample)
    with pytest.raises(InputError, match="copy_paste_scale is "):
        paste(sample, sample, scale=(2, 1))


# ------------------------------------------------------------------ in the loader


@dataclass
class Scenes:
    """Pictures of some objects; those numbers that are in `broken` cannot be read."""

    count: int = 8
    broken: tuple[int, ...] = ()
    error: type[Exception] = InputError
    masks: bool = True
    empty: tuple[int, ...] = ()

    keypoint_names = ("nose",)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if index in self.broken:
            raise self.error(f"picture {index} is broken")
        sample = a_sample(index, 0 if index in self.empty else 3, 18, 24, 1 + 10 * index)
        if not self.masks:
            sample.target.masks = None
        return sample


def all_of(scenes: Scenes, **settings) -> list[Sample]:
    loader = Loader(scenes, 3, steps=5, seed=2, **({"copy_paste": 0.6} | settings))
    return [sample for batch in loader for sample in batch]


def owners(samples: list[Sample]) -> list[set[int]]:
    """From which pictures each sample's objects are."""
    return [set(((s.target.labels - 1) // 10).tolist()) for s in samples]


def test_the_loader_pastes_objects_of_other_pictures():
    on, helped = all_of(Scenes()), all_of(Scenes(), workers=1)
    for a, b in zip(on, helped, strict=True):
        assert_equal(a, b)
    for a, b in zip(on[6:], all_of(Scenes(), start_step=2), strict=True):
        assert_equal(a, b)
    foreign = [own - {s.target.image_id} for own, s in zip(owners(on), on, strict=True)]
    assert 3 < sum(map(bool, foreign)) < 14
    assert all(len(each) <= 1 for each in foreign)
    always = all_of(Scenes(), copy_paste=1.0)
    assert all(own - {s.target.image_id} for own, s in zip(owners(always), always, strict=True))


def test_a_picture_that_cannot_be_read_is_named_and_another_taken(capsys):
    some = all_of(Scenes(broken=(3, 5)), unreadable=0.5, copy_paste=1.0)
    assert len(some) == 15
    assert not set().union(*owners(some)) & {3, 5}
    said = capsys.readouterr().err
    assert said.count("picture 3 is broken") == said.count("picture 5 is broken") == 1
    for a, b in zip(
        some[6:],
        all_of(Scenes(broken=(3, 5)), unreadable=0.5, copy_paste=1.0, start_step=2),
        strict=True,
    ):
        assert_equal(a, b)
    with pytest.raises(InputError, match="picture 3 is broken"):
        all_of(Scenes(broken=(3,)), copy_paste=1.0)


def test_where_no_other_can_be_read_nothing_is_pasted():
    (batch,) = Loader(
        Scenes(2, broken=(1,)), 1, steps=1, seed=1, flip=0, copy_paste=1.0, unreadable=0.5
    )
    assert_equal(batch[0], Scenes()[0])
    (batch,) = Loader(Scenes(1), 1, steps=1, seed=1, flip=0, copy_paste=1.0)  # its own objects
    assert owners(batch) == [{0}]


def test_pictures_without_objects_are_passed_over():
    some = all_of(Scenes(empty=(0, 1, 2, 4, 5)), copy_paste=1.0)
    pasted = [own - {s.target.image_id} for own, s in zip(owners(some), some, strict=True)]
    assert sum(map(bool, pasted)) > len(pasted) * (1 - (5 / 7) ** DRAWS) - 4


@pytest.mark.parametrize("workers", [0, 1])
def test_another_error_names_the_picture(workers):
    with pytest.raises(WorkerError, match="item 3: KeyError: 'picture 3 is broken'"):
        all_of(Scenes(broken=(3,), error=KeyError), copy_paste=1.0, workers=workers)


def test_a_data_set_of_boxes_is_refused():
    with pytest.raises(InputError, match="copy_paste should be 0 for this data set"):
        all_of(Scenes(masks=False), copy_paste=1.0)
    all_of(Scenes(masks=False), copy_paste=0.0)
    with pytest.raises(InputError, match="copy_paste is 2"):
        all_of(Scenes(), copy_paste=2)
