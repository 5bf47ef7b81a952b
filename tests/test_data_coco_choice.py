"""Which images of COCO are taken: balanced, drawn the same everywhere, and named by lists."""

from __future__ import annotations

from collections import Counter

import pytest
from coco_cases import (
    INSTANCES,
    NAMES,
    SHOWN,
    annotation,
    shown_by,
    wanted,
)

from minirnn.data import id_list as lists
from minirnn.data.coco_choice import choose
from minirnn.data.id_list import find_list, read_list
from minirnn.errors import InputError


def test_each_image_drawn_shows_the_category_that_fewest_show_so_far():
    images = {37 * number: set(shown) for number, shown in enumerate(SHOWN, start=1)}
    wanted_ids = {1, 17, 18}
    for seed in range(20):
        ids = choose(INSTANCES, sorted(wanted_ids), len(SHOWN), seed)
        assert sorted(ids) == [i for i, shown in images.items() if shown & wanted_ids]
        for step, image_id in enumerate(ids):
            left = set().union(*(images[i] for i in ids[step:])) & wanted_ids
            counts = shown_by(ids[:step])
            fewest = min(counts[c] for c in left)
            assert any(counts[c] == fewest for c in images[image_id] & left)


def test_rare_categories_come_as_often_as_frequent_ones():
    shown = [1] * 100 + [17] * 5 + [18] * 5
    content = {"annotations": [annotation(i, i, c, 0) for i, c in enumerate(shown, start=1)]}
    drawn = Counter(shown[i - 1] for i in choose(content, [1, 17, 18], 15, seed=0))
    assert drawn == {1: 5, 17: 5, 18: 5}
    more = Counter(shown[i - 1] for i in choose(content, [1, 17, 18], 30, seed=0))
    assert more == {1: 20, 17: 5, 18: 5}


def test_the_same_seed_gives_the_same_images_whatever_the_order_of_the_file_and_of_the_names():
    turned = {key: value[::-1] for key, value in INSTANCES.items() if isinstance(value, list)}
    for seed in range(5):
        first = choose(INSTANCES, [1, 17, 18], 9, seed)
        assert choose(turned, [18, 1, 17], 9, seed) == first
    assert wanted(names=("dog", "person", "cat")).as_text() == wanted().as_text()
    # Written down once: another machine, system, Python or NumPy gives these, too.
    assert choose(INSTANCES, [1, 17, 18], 6, 0) == [111, 629, 148, 296, 1147, 407]


def test_other_seeds_give_other_images():
    assert len({tuple(choose(INSTANCES, [1, 17, 18], 9, seed)) for seed in range(10)}) == 10


def test_a_longer_choice_begins_with_the_shorter_one():
    longest = choose(INSTANCES, list(NAMES), 36, 3)
    for count in range(36):
        assert choose(INSTANCES, list(NAMES), count, 3) == longest[:count]


def test_a_crowd_or_a_box_without_area_does_not_show_its_category():
    ids = choose(INSTANCES, [17, 18], 36, 0)
    assert 37 not in ids  # it has a crowd of dogs and a cat without area
    assert len(ids) == 16


def test_the_ready_lists_can_be_read_and_are_found_by_name(tmp_path, monkeypatch):
    folder = lists.FOLDERS[-1]
    assert {path.stem for path in folder.glob("*.txt")} >= {"small-train2017", "small-val2017"}
    for path in folder.glob("*.txt"):
        found = read_list(path)
        assert found.split in ("train2017", "val2017")
        assert f"{len(found.ids)} images of {found.split}" in found.title
        assert path.read_text(encoding="utf-8") == found.as_text()
        assert find_list(path.stem).samefile(path)
    monkeypatch.setattr(lists, "FOLDERS", (tmp_path,))
    with pytest.raises(InputError, match="no lists are ready here"):
        find_list("small-val2017")
