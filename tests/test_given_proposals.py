"""Fast R-CNN: the same detector, with proposals that are given."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from test_data_proposals import write

from minirnn.cli import cli
from minirnn.data import CocoDataset, generate, read_image
from minirnn.data.proposals import WithProposals, read_proposals
from minirnn.data.sample import Target
from minirnn.errors import InputError
from minirnn.models import PRESETS, build_model
from minirnn.training import TrainingSettings, train
from minirnn.transform import prepare_target

TINY = {
    "small_widths": (8, 8, 8), "fpn_channels": 8, "box_width": 16, "mask_width": 8,
    "mask_convolutions": 1, "box_score_threshold": 0.05, "roi_samples": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return generate(
        tmp_path_factory.mktemp("shapes") / "shapes", train=4, val=2, workers=0, progress=False
    )


@pytest.fixture(scope="module")
def faster():
    return build_model("maskrcnn_shapes", seed=1, **TINY)


def same_network(faster, **overrides):
    """Fast R-CNN with the weights that Faster R-CNN has beside its region proposal network."""
    model = build_model("maskrcnn_shapes", proposals="given", **{**TINY, **overrides})
    weights = faster.state_dict()
    own = model.state_dict()
    assert own.keys() == {name for name in weights if not name.startswith("rpn.")}
    model.load_state_dict({name: weights[name] for name in own})
    return model


def proposals_of(model, image):
    """What Faster R-CNN proposes, in the image's own pixels (no image here is scaled)."""
    (boxes,) = model.stages(image)["proposals"]
    return np.asarray(boxes)


def target_of(**fields):
    boxes = np.array([[10, 10, 30, 40]], np.float32)
    return Target(boxes, np.array([1]), None, np.zeros(1, bool), **fields)


# ------------------------------------------------------------- the same detector


@pytest.mark.parametrize("split", ["train", "val"])
def test_given_faster_rcnn_s_proposals_it_finds_exactly_the_same(folder, faster, split):
    fast = same_network(faster)
    samples = list(CocoDataset.from_folder(folder, split))
    some = 0
    for sample in samples:  # one at a time: a matrix product of other sizes rounds otherwise
        (one,) = faster.predict([sample.image])
        given = proposals_of(faster, sample.image)
        (other,) = fast.predict([sample.image], proposals=[given])
        some += len(one.boxes)
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.masks, other.masks)
    assert some > 0


def test_proposals_are_scaled_with_their_image():
    model = build_model("maskrcnn_shapes", proposals="given", **TINY, min_size=(64,))
    image = np.full((128, 192, 3), 90, np.uint8)
    given = np.array([[12, 20, 60, 100], [0, 0, 500, 500]], np.float32)
    (boxes,) = model.stages(image, proposals=[given])["proposals"]
    np.testing.assert_allclose(boxes, [[6, 10, 30, 50], [0, 0, 96, 64]], rtol=1e-6)


def test_it_has_the_box_and_mask_losses_and_no_others(folder, faster):
    fast = same_network(faster)
    sample = CocoDataset.from_folder(folder, "train")[0]
    target = sample.target
    target.proposals = proposals_of(faster, sample.image)
    losses = fast.losses([sample.image], [target])
    assert set(losses) == {"roi_class", "roi_box", "mask"}
    sum(losses.values(), start=0 * losses["mask"]).backward()
    assert all(p.grad is not None for p in fast.parameters() if p.requires_grad)


def test_the_preset_is_faster_rcnn_without_a_region_proposal_network():
    fast, faster = PRESETS["fastrcnn_resnet50_fpn"], PRESETS["fasterrcnn_resnet50_fpn"]
    assert fast.replace(proposals="rpn") == faster
    with pytest.raises(InputError, match="proposals is 'guessed'; it should be one of rpn, given"):
        fast.replace(proposals="guessed")


def test_missing_proposals_are_named(faster):
    fast = same_network(faster)
    image = np.zeros((128, 128, 3), np.uint8)
    with pytest.raises(InputError, match="image 0 has no proposals, and the model has no region"):
        fast.predict([image])
    target = target_of(image_id=17)
    target.masks = np.ones((1, 128, 128), bool)
    with pytest.raises(InputError, match="image 17 has no proposals"):
        fast.losses([image], [target])
    with pytest.raises(InputError, match="2 images, but proposals of 1"):
        fast.predict([image, image], proposals=[np.zeros((0, 4))])
    with pytest.raises(InputError, match=r"image 0: proposals have shape \(2, 3\)"):
        fast.predict([image], proposals=[np.zeros((2, 3))])


def test_no_proposals_no_detections(faster):
    (found,) = same_network(faster).predict(
        [np.zeros((128, 128, 3), np.uint8)], proposals=[np.zeros((0, 4), np.float32)]
    )
    assert found.boxes.shape == (0, 4)
    assert found.masks.shape == (0, 128, 128)


# ---------------------------------------------------------- they ride in the sample


def test_scaling_moves_proposals_as_boxes():
    target = target_of(proposals=np.array([[10, 10, 30, 40]], np.float32))
    scaled = prepare_target(target, (50, 100), (75, 150))
    np.testing.assert_array_equal(scaled.proposals, scaled.boxes)
    assert prepare_target(target_of(), (50, 100), (75, 150)).proposals is None


# ------------------------------------------------------------- train, evaluate, predict


def test_it_learns(folder, tmp_path):
    """From proposals around the objects it learns to tell them apart within 40 steps."""
    dataset = CocoDataset.from_folder(folder, "train")
    rng = np.random.default_rng(0)
    boxes = {}
    for sample in dataset:
        moved = np.repeat(sample.target.boxes, 8, axis=0)
        moved = moved + rng.uniform(-3, 3, moved.shape)
        corners = rng.uniform(0, 90, (30, 2))
        boxes[sample.target.image_id] = [
            *moved.tolist(),
            *np.hstack([corners, corners + 30]).tolist(),
        ]
    images = WithProposals(dataset, read_proposals(write(tmp_path / "p.npz", boxes)))
    model = build_model(
        "maskrcnn_shapes", proposals="given", mask=False, **{**TINY, "roi_samples": 32}
    )
    chosen = TrainingSettings(
        steps=40, batch_size=2, learning_rate=0.02, warmup_steps=5, workers=0, log_every=1
    )
    train(model, images, chosen, tmp_path / "run", progress=False)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    course = [json.loads(line)["total"] for line in lines]
    assert np.mean(course[-5:]) < 0.8 * np.mean(course[:5])


def test_the_commands_take_them(folder, tmp_path):
    run = CliRunner()

    def call(*arguments, fails=False):
        result = run.invoke(cli, [str(a) for a in arguments])
        assert (result.exit_code != 0) == fails, result.output
        return result.output if fails else result.stdout

    files = {}
    for split in ("train", "val"):
        dataset = CocoDataset.from_folder(folder, split)
        boxes = {sample.target.image_id: sample.target.boxes for sample in dataset}
        files[split] = write(tmp_path / f"{split}.json", boxes)
    tiny = [f"--set={name}={value}" for name, value in TINY.items()]
    begin = [
        "train", "--data", folder, "--preset", "maskrcnn_shapes", *tiny, "--steps", 2,
        "--batch-size", 2, "--set", "workers=0", "--out", tmp_path / "run",
    ]  # fmt: skip
    given = [*begin, "--set", "proposals=given"]
    assert "--proposals FILE is missing" in call(*given, fails=True)
    output = call(*begin, "--proposals", files["train"], fails=True)
    assert "this network makes its own proposals" in output
    measured = [*given, "--proposals", files["train"], "--evaluate-every", 2]
    assert "--val-proposals FILE is missing" in call(*measured, fails=True)
    call(*given, "--proposals", files["train"], "--val-proposals", files["val"],
         "--evaluate-every", 2)  # fmt: skip
    weights = tmp_path / "run" / "checkpoint.safetensors"
    evaluated = ["evaluate", "--weights", weights, "--data", folder, "--json"]
    assert "--proposals FILE is missing" in call(*evaluated, fails=True)
    assert "bbox" in json.loads(call(*evaluated, "--proposals", files["val"]))
    wrong = write(tmp_path / "wrong.json", {99: []})
    assert "wrong.json: there are no proposals for image" in call(
        *evaluated, "--proposals", wrong, fails=True
    )
    photo = sorted((folder / "val").iterdir())[0]
    assert read_image(photo).shape == (128, 128, 3)
    by_name = write(tmp_path / "photos.json", {photo.name: [[10, 10, 60, 60]]})
    report = call("predict", photo, "--weights", weights, "--proposals", by_name, "--score", 0,
                  "--out", tmp_path / "out", "--json")  # fmt: skip
    assert json.loads(report)["photos"][0]["detections"]
