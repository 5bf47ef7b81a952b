"""The X-ray: each link of a chain is what the stage before it gave, and each gate loses what it should."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from cli_cases import call
from PIL import Image

from minirnn import build_model, explain, lessons
from minirnn.boxes.geometry import iou
from minirnn.errors import InputError
from minirnn.explain.fate import GATES, fate
from minirnn.explain.report import xray_page
from minirnn.explain.trace import Candidates, Proposals


@pytest.fixture(scope="module")
def model():
    return lessons.network()


@pytest.fixture(scope="module")
def seen(model):
    return explain.trace(model, lessons.scene(2).image)


def test_a_chain_leads_back_to_the_anchor(seen):
    assert len(seen.detections.scores) > 2
    for number in range(len(seen.detections.scores)):
        chain = seen.chain(number)
        np.testing.assert_allclose(chain.box, seen.detections.boxes[number], atol=1e-4)
        assert chain.score == pytest.approx(chain.probabilities[chain.label], abs=1e-5)
        assert chain.probabilities.sum() == pytest.approx(1)
        rpn = seen.proposals
        before = rpn.kept[chain.region]
        np.testing.assert_allclose(rpn.before_boxes[before], chain.region_box, atol=1e-4)
        assert rpn.before[before] == chain.anchor
        size = seen.image.shape[1::-1]
        cut = np.clip(rpn.moved[chain.anchor], 0, [*size, *size])
        np.testing.assert_allclose(cut, chain.region_box, atol=1e-3)
        assert chain.objectness == rpn.objectness[chain.anchor]
        assert chain.anchor_level == rpn.anchor_levels[chain.anchor]
        candidates = seen.candidates
        assert (candidates.labels[chain.rivals] == chain.label).all()
        overlaps = iou(chain.box[None], candidates.boxes[chain.rivals])[0]
        assert (overlaps > seen.nms_iou - 1e-6).all()
        assert (candidates.scores[chain.rivals] <= chain.score + 1e-6).all()
        assert not set(chain.rivals) & set(candidates.kept)


def test_every_candidate_was_kept_or_is_somebodys_rival(seen):
    count = len(seen.detections.scores)
    rivals = {int(k) for n in range(count) for k in seen.chain(n).rivals}
    assert rivals | set(seen.candidates.kept.tolist()) == set(range(len(seen.candidates.scores)))


def test_scaled_photographs_come_back_in_their_own_pixels(model):
    scene = lessons.scene(2)
    large = np.asarray(Image.fromarray(scene.image).resize((256, 256), Image.Resampling.NEAREST))
    trace = explain.trace(model, large)
    chain = trace.chain(0)
    np.testing.assert_allclose(chain.box, trace.detections.boxes[0], atol=1e-3)
    assert iou(chain.region_box[None], chain.box[None])[0, 0] > 0.3


@pytest.mark.parametrize("preset", ["maskrcnn_resnet50_c4", "fasterrcnn_resnet50_fpn"])
def test_other_networks(preset):
    small = {"backbone": "resnet18", "stride_in_1x1": False, "num_classes": 3}
    untrained = build_model(preset, seed=0, min_size=(64,), max_size=96, **small)
    trace = explain.trace(untrained, lessons.scene(1).image, score_threshold=0.0)
    page = xray_page(trace, [(b, 1, trace.fate(b, 1)) for b in lessons.scene(1).boxes])
    assert "X-ray" in page
    if len(trace.detections.scores):
        assert trace.chain(0).level in trace.map_names


def test_there_is_no_such_detection(seen):
    with pytest.raises(InputError, match="detection is 999"):
        seen.chain(999)


@pytest.mark.parametrize("box", [[0, 0, 0, 5], [5, 5, 1, 9], [1, 2, 3], "left"])
def test_an_object_needs_a_box(seen, box):
    with pytest.raises((InputError, ValueError)):
        seen.fate(box, 1)


def test_an_object_needs_a_label(seen):
    with pytest.raises(InputError, match=r"label is 4; it should be 1…3"):
        seen.fate([0, 0, 5, 5], 4)


OBJECT = np.array([10.0, 10, 50, 50])
NEAR = OBJECT + 2
FAR = np.array([100.0, 100, 140, 140])


def made_up(gate):
    """A trace in which an object of label 1 is lost at a gate, and at no other."""
    at = GATES.index(gate) if gate else len(GATES)
    lost = [number == at for number in range(len(GATES))]
    anchors = np.array([FAR if lost[0] else NEAR, FAR])
    moved = np.array([FAR if at <= 1 else NEAR, FAR])
    before = np.array([FAR if at <= 2 else NEAR, FAR, FAR + 1])
    kept = np.array([1] if at <= 3 else [0, 1])
    regions = before[kept]
    sure = [0.1, 0.8, 0.1] if at > 4 else [0.97, 0.01, 0.02]
    probabilities = np.array([sure, [0.9, 0.05, 0.05]])[: len(kept)]
    boxes = np.array([FAR if at <= 5 else NEAR, [*(OBJECT[:2]), *(OBJECT[2:] + 28)], FAR])
    scores = np.array([0.6, 0.9, 0.5])
    final = np.array([1, 2] if at <= 6 else [0, 2])
    config = SimpleNamespace(
        num_classes=3,
        category=lambda label: (label, ("", "cat", "dog")[label]),
        box=SimpleNamespace(score_threshold=0.05, max_detections=100),
    )
    return SimpleNamespace(
        model=SimpleNamespace(config=config),
        proposals=Proposals(anchors, np.zeros(2, int), moved, np.array([0.01, 0.9]),
                            np.array([0, 1, 1]), before, kept),
        regions=regions,
        probabilities=probabilities,
        candidates=Candidates(boxes, np.array([1, 1, 1]), scores, np.array([0, 0, 1]), final),
        nms_iou=0.3,
    )  # fmt: skip


@pytest.mark.parametrize("gate", ["", *GATES])
def test_each_gate_loses_what_it_should(gate):
    result = fate(made_up(gate), OBJECT, 1)
    assert result.lost_at == gate, result.sentence
    assert all(0 <= value <= 1 for value in result.best.values())
    passed = list(GATES if not gate else GATES[: GATES.index(gate) + 1])
    assert [name for name in result.best if name in passed] == list(result.best)
    if gate == "suppression":
        np.testing.assert_array_equal(result.by, [*(OBJECT[:2]), *(OBJECT[2:] + 28)])
    if gate == "class":
        assert "background (0.97)" in result.sentence


def test_given_proposals_have_no_anchors():
    trace = made_up("")
    trace.proposals = None
    assert fate(trace, OBJECT, 1).lost_at == ""
    assert fate(trace, OBJECT + 300, 1).lost_at == "proposal"


def test_the_page_is_whole_and_needs_no_network(seen):
    page = xray_page(seen, [(OBJECT, 1, seen.fate(OBJECT, 1))], "a </script> of a name")
    assert not re.search(r"""(src|href)=["']https?:""", page)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert data["title"] == "a </script> of a name"
    assert len(data["detections"]) == len(seen.detections.scores)
    assert [each["name"] for each in data["maps"]] == ["P2", "P3", "P4"]
    assert len(page) < 5_000_000


def test_the_command(tmp_path):
    Image.fromarray(lessons.scene(2).image).save(tmp_path / "scene.png")
    arguments = ["explain", tmp_path / "scene.png", "--missed", "13,72,61,108:square"]
    result = call(*arguments, "--json")
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert (tmp_path / "scene.xray.html").exists()
    assert report["missed"][0]["lost_at"] in ("", *GATES)
    said = call(*arguments).out
    assert "open it in a browser" in said
    assert report["missed"][0]["sentence"] in said


@pytest.mark.parametrize(
    ("missed", "told"),
    [
        ("1,2,3:square", "it should be like"),
        ("1,2,3,4", "it should be like"),
        ("a,2,3,4:square", "it should be like"),
        ("1,2,3,4:hexagon", "the network knows no 'hexagon'; it knows circle, square, triangle"),
        ("1,2,1,4:square", "x1 < x2"),
    ],
)
def test_what_was_asked_wrongly_is_named(tmp_path, missed, told):
    Image.fromarray(lessons.scene(2).image).save(tmp_path / "scene.png")
    result = call("explain", tmp_path / "scene.png", "--missed", missed)
    assert result.code == 1
    assert told in result.err
