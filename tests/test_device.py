"""What a GPU does otherwise than NumPy, held without one: on the stand-in, which counts and refuses."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from cuda_shim import on_host, why_not
from standin import counted, standin
from test_model import scene

from minirnn import boxes as box_ops
from minirnn import matching
from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.models import build_model
from minirnn.ops.losses import cross_entropy
from minirnn.proposals import rpn
from minirnn.require import gathered, require
from minirnn.training.optimiser import SGD, clip_gradients
from minirnn.training.whole import Whole

TINY32 = np.float32(1e-30)  # its square is no normal number, and 0 where CuPy has compiled


def test_the_stand_in_flushes_what_is_not_normal():
    tiny = standin.asarray(np.array([TINY32, 1], np.float32))
    assert to_host(tiny * tiny).tolist() == [0, 1]
    assert to_host(standin.square(tiny)).tolist() == [0, 1]
    tiny *= tiny
    assert to_host(tiny).tolist() == [0, 1]
    wide = standin.asarray(np.array([1e-30]))
    assert to_host(wide * 1e-10).tolist() == [1e-30 * 1e-10]  # float64 keeps its own
    assert float(standin.asarray(np.array(1e-300)) * 1e-15) > 0


def test_boxes_whose_area_is_flushed_overlap_nothing(xp):
    boxes = np.array([[0, 0, TINY32, TINY32], [0, 0, 0, 0], [3, 3, 3, 9], [0, 0, 4, 4]], np.float32)
    boxes = xp.asarray(boxes)
    for overlap in (box_ops.iou(boxes, boxes), box_ops.crowd_iou(boxes, boxes)):
        found = to_host(overlap)
        assert not np.isnan(found).any()
        assert (found >= 0).all()
        assert (found <= 1).all()
        np.testing.assert_array_equal(found[1:3], 0)
        assert found[3, 3] == 1


def test_the_stand_in_refuses_another_thread():
    array, refused = standin.asarray(np.ones(2)), []

    def use():
        for what in (lambda: array + 1, array.get, lambda: array.sum(), lambda: array[0]):
            try:
                what()
            except RuntimeError as error:
                refused.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(refused) == 4
    assert "stream are per thread" in refused[0]


def test_the_stand_in_counts():
    host = np.arange(6, dtype=np.float32).reshape(2, 3)
    with counted() as work:
        a = standin.asarray(host)
        a[:, 1:].reshape(4).T  # noqa: B018 (views are no work)
        assert (work.copies, work.launches, work.waits.total()) == (1, 0, 0)
        b = a * 2 + a.sum(axis=0)
        assert work.launches == 3
        int(b.max()), a[a > 2], standin.nonzero(a), b.get()
        assert work.waits.total() == 4
        standin.lib.stride_tricks.sliding_window_view(a, (2, 2))
        standin.argpartition(a, 1)
        assert work.waits.total() == 6
    a + a
    assert work.copies == 1


@pytest.mark.parametrize("many", [1, 7, 50])
def test_the_best_are_found_without_waiting_and_in_the_same_order(many):
    scores = np.random.default_rng(0).integers(0, 9, 40).astype(np.float32)
    on_device = standin.asarray(scores)
    with counted() as work:
        best = rpn._top(on_device, many)
    assert not work.waits
    np.testing.assert_array_equal(to_host(best), np.argsort(-scores, kind="stable")[:many])


def test_sampled_anchors_do_not_come_back_to_the_host():
    anchors = np.array([[0, 0, 8, 8], [4, 4, 12, 12], [20, 20, 28, 28]], np.float32)
    target = scene(0)[1]
    target.boxes, target.labels = anchors[:1] + 1, target.labels[:1]
    target.masks, target.is_crowd = target.masks[:1], target.is_crowd[:1]
    found = []
    for xp in (np, standin):
        target.boxes = xp.asarray(to_host(target.boxes))
        matches = xp.asarray(np.array([0, matching.BACKGROUND, matching.BACKGROUND]))
        sampled = matching.sample(matches, 3, 0.5, np.random.default_rng(0))
        arrays = [xp.asarray(np.ones(shape, np.float32)) for shape in [(1, 3), (1, 3, 4)]]
        boxes = xp.asarray(anchors)
        with counted() as work, gathered():
            losses = rpn.rpn_losses(*arrays, boxes, [target], [matches], [sampled])
        assert work.waits.total() <= 1, work.waits  # of the checks, together
        found.append([float(loss) for loss in losses])
    assert found[0] == pytest.approx(found[1])


# ------------------------------------------------------------- checks, gathered


def test_checks_of_a_device_are_asked_together():
    right, wrong = (standin.asarray(np.array(value)) for value in (True, False))
    with counted() as work, gathered():
        for _ in range(5):
            require(right, lambda: InputError("never"))
        assert not work.waits
    assert work.waits.total() == 1
    asked = gathered()
    asked.__enter__()
    require(right, lambda: InputError("first"))
    require(wrong, lambda: InputError("second"))
    require(wrong, lambda: InputError("third"))
    with pytest.raises(InputError, match="second"):
        asked.__exit__(None, None, None)
    with pytest.raises(InputError, match="at once"):
        require(wrong, lambda: InputError("at once"))


def test_checks_of_the_host_are_asked_at_once():
    with gathered():
        require(np.bool_(True), lambda: InputError("never"))
        with pytest.raises(InputError, match="here"):
            require(np.bool_(False), lambda: InputError("here"))


def test_the_input_is_blamed_and_not_what_came_of_it():
    logits = standin.asarray(np.zeros((2, 3), np.float32))
    labels = standin.asarray(np.array([1, 7]))
    with pytest.raises(InputError, match="labels go from 1 to 7"), gathered():
        cross_entropy(
            logits, labels
        )  # the stand-in does not find a column 7; CuPy finds some other
    with gathered():  # and nothing is left over
        require(standin.asarray(np.array(True)), lambda: InputError("never"))


# ------------------------------------------------------ waiting, of whole networks

#: How often the host may wait for the device, in one inference and one training step of R-18-FPN. Each is
#: something that the host has to know: how many there are (of boxes left over, of boxes kept), which are
#: drawn, or what is handed out.
MOST_WAITS = {"inference": 12, "step": 7}
SMALL = {
    "fpn_channels": 16, "box_width": 32, "mask_width": 16, "mask_convolutions": 1, "min_size": (64,),
    "max_size": 96, "rpn_pre_nms_train": 100, "rpn_post_nms_train": 40, "roi_samples": 16,
    "rpn_samples": 32, "rpn_pre_nms_test": 100, "rpn_post_nms_test": 40, "box_score_threshold": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def small():
    """ResNet-18 with a pyramid, as wide as it is, and narrow heads."""
    return build_model("maskrcnn_resnet18_fpn", num_classes=4, **SMALL).to_library(standin)


@pytest.fixture
def _by_kernels():
    if why_not():
        pytest.skip(str(why_not()))
    with on_host():
        yield


@pytest.mark.usefixtures("_by_kernels")
def test_waits_of_an_inference_are_few(small):
    small.predict([scene(0)[0]])  # compiles
    with counted() as work:
        (found,) = small.predict([scene(0)[0]])
    assert len(found.boxes)
    assert work.waits.total() <= MOST_WAITS["inference"], work.waits


@pytest.mark.usefixtures("_by_kernels")
def test_waits_of_a_training_step_are_few(small):
    image, target = scene(0)
    target.is_crowd[-1] = True
    optimiser, passes = SGD(small), Whole(small)
    with counted() as work:
        losses = passes.losses([image], [target], [np.random.default_rng(0)])
        passes.backward()
        clip_gradients(optimiser.parameters(), 10.0)
        optimiser.step(0.001)
    assert set(losses) == {"rpn_objectness", "rpn_box", "roi_class", "roi_box", "mask"}
    assert work.waits.total() <= MOST_WAITS["step"], work.waits


def test_a_training_step_stays_in_its_thread(monkeypatch):
    """CuPy's device and stream are per thread: with several threads allowed, all work is still in one."""
    from test_model import _tiny

    monkeypatch.setenv("MINIRNN_THREADS", "4")
    model = _tiny().to_library(standin)
    image, target = scene(0)
    passes = Whole(model)
    losses = passes.losses([image], [target], [np.random.default_rng(0)])
    passes.backward()
    clip_gradients(SGD(model).parameters(), 1.0)
    SGD(model).step(0.01)
    assert all(np.isfinite(list(losses.values())))


def test_traps_are_sent_through_the_device():
    """What `through_device` puts in place of a test file's functions really computes there."""
    import test_boxes
    import test_roi_align
    from through_device import patches

    assert "roi_align" in patches(test_roi_align)
    taken = patches(test_boxes)["fast"]  # the module minirnn.boxes
    box = np.array([[0, 0, 2, 2]], np.float32)
    with counted() as work:
        found = taken.iou(box, box)
    assert work.launches
    assert isinstance(found, np.ndarray)
    assert found == 1
