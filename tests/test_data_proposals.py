"""Proposals in files and in samples."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from minirnn.data import CocoDataset, generate
from minirnn.data.proposals import WithProposals, read_proposals
from minirnn.data.sample import Sample, Target
from minirnn.data.transforms import horizontal_flip, vertical_flip
from minirnn.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return generate(
        tmp_path_factory.mktemp("shapes") / "shapes", train=4, val=2, workers=0, progress=False
    )


def write(path, boxes):
    if path.suffix == ".npz":
        np.savez(path, **{str(name): value for name, value in boxes.items()})
    else:
        path.write_text(
            json.dumps({str(name): np.asarray(b).tolist() for name, b in boxes.items()})
        )
    return path


def target_of(**fields):
    boxes = np.array([[10, 10, 30, 40]], np.float32)
    return Target(boxes, np.array([1]), None, np.zeros(1, bool), **fields)


def test_flips_move_proposals_as_boxes():
    target = target_of(proposals=np.array([[10, 10, 30, 40], [0, 5, 100, 50]], np.float32))
    sample = Sample(np.zeros((50, 100, 3), np.uint8), target)
    for flip in (horizontal_flip, vertical_flip):
        flipped = flip(sample).target
        np.testing.assert_array_equal(flipped.proposals[0], flipped.boxes[0])
    np.testing.assert_array_equal(horizontal_flip(sample).target.proposals[1], [0, 5, 100, 50])
    np.testing.assert_array_equal(vertical_flip(sample).target.proposals[1], [0, 0, 100, 45])
    assert target.proposals[0].tolist() == [10, 10, 30, 40]  # left as it was


# ----------------------------------------------------------------- files of them


@pytest.mark.parametrize("name", ["p.json", "p.npz"])
def test_files_are_read(tmp_path, name):
    boxes = {3: [[0, 1, 2.5, 3]], 8: [], "a photo.jpg": [[1, 1, 2, 2], [0, 0, 9, 9]]}
    proposals = read_proposals(write(tmp_path / name, boxes))
    np.testing.assert_array_equal(proposals.of(3), [[0, 1, 2.5, 3]])
    assert proposals.of(8).shape == (0, 4)
    assert proposals.of("a photo.jpg").shape == (2, 4)
    with pytest.raises(InputError, match=rf"{name}: there are no proposals for image 4"):
        proposals.of(4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "is a list; it should be boxes by image id"),
        ("{", "cannot be read as proposals"),
        ('{"7": [[1, 2, 3]]}', r"image 7 have shape \(1, 3\)"),
        ('{"7": [[1, 2, 3, 4], [1, 2]]}', "image 7 are no boxes"),
        ('{"7": [[1, 2, 3, 4], [5, 2, 3, 4]]}', "image 7: number 1 is .* it should be x1 < x2"),
        ('{"7": "boxes"}', "image 7 are no boxes"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, text, message):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"bad\.json.*{message}"):
        read_proposals(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"p\.txt: a file of proposals should end in"):
        read_proposals(tmp_path / "p.txt")
    with pytest.raises(InputError, match=r"none\.npz cannot be read"):
        read_proposals(tmp_path / "none.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(InputError, match=r"broken\.npz cannot be read"):
        read_proposals(tmp_path / "broken.npz")


def test_a_data_set_with_proposals_is_still_that_data_set(folder, tmp_path):
    dataset = CocoDataset.from_folder(folder, "train")
    boxes = {image_id: [[0, 0, 10, 10 + image_id]] for image_id in dataset.image_ids}
    with_them = WithProposals(dataset, read_proposals(write(tmp_path / "p.json", boxes)))
    with_them = pickle.loads(pickle.dumps(with_them))
    assert len(with_them) == len(dataset)
    assert with_them.describe(1) == dataset.describe(1)
    image_id = dataset.image_ids[1]
    np.testing.assert_array_equal(with_them[1].target.proposals, [[0, 0, 10, 10 + image_id]])
