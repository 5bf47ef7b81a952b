"""The keypoint head against torchvision's: targets, loss, decoding, and a whole network."""

import numpy as np
import pytest

from minirnn.autograd import Tensor
from minirnn.heads import keypoint
from minirnn.transform import scale_keypoints
from minirnn.verify.difference import host
from minirnn.verify.parity_inference import run_torchvision
from minirnn.verify.parity_keypoints import lead
from minirnn.verify.torchvision_model import build_pair

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch")


def regions(rng, count=12):
    boxes = rng.uniform(0, 300, (count, 4))
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(0.3, 250, (count, 2))
    return boxes


@pytest.mark.parametrize("seed", range(3))
def test_decoding(torchvision, seed):
    rng = np.random.default_rng(seed)
    boxes = regions(rng).astype(np.float32)
    maps = rng.standard_normal((len(boxes), 17, 56, 56)).astype(np.float32)
    theirs = torchvision.models.detection.roi_heads.heatmaps_to_keypoints
    points, scores = theirs(torch.tensor(maps), torch.tensor(boxes))
    ours = keypoint.keypoints_of_maps(maps, boxes)
    np.testing.assert_allclose(ours[..., :2], points.numpy()[..., :2], atol=1e-3)
    np.testing.assert_allclose(ours[..., 2], scores.numpy(), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_targets_loss_and_gradient(torchvision, seed):
    rng = np.random.default_rng(seed)
    boxes = regions(rng)
    places = rng.uniform(-0.1, 1.1, (len(boxes), 17, 2))
    points = np.concatenate(
        [
            boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2]),
            rng.integers(0, 3, (len(boxes), 17, 1)),
        ],
        axis=2,
    )
    points[0, 0] = [boxes[0, 2], boxes[0, 3], 2]  # on the far corner
    logits = rng.standard_normal((len(boxes), 17, 56, 56))
    theirs = torchvision.models.detection.roi_heads
    maps = torch.tensor(logits, requires_grad=True)
    loss = theirs.keypointrcnn_loss(
        maps, [torch.tensor(boxes)], [torch.tensor(points)], [torch.arange(len(boxes))]
    )
    loss.backward()
    cells = keypoint.keypoint_cells(points, boxes, 56)
    places, valid = theirs.keypoints_to_heatmap(torch.tensor(points), torch.tensor(boxes), 56)
    np.testing.assert_array_equal(cells, np.where(valid.numpy() > 0, places.numpy(), -1))
    own = Tensor(logits, requires_grad=True)
    ours = keypoint.keypoint_loss(own, cells)
    ours.backward()
    assert float(ours) == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(own.grad, maps.grad.numpy(), atol=1e-15)


def test_whole_network(torchvision):
    check_whole_network(np.random.default_rng(0).integers(0, 256, (192, 240, 3)).astype(np.uint8))


@pytest.mark.coco
def test_whole_network_on_a_photograph(torchvision, photographs):
    """One of its 1,700 keypoints was seen 80 pixels away: two wrists that score 1.54118 and 1.54110."""
    check_whole_network(photographs[3].image)


def check_whole_network(image):
    """The same random weights: the same keypoints, unless two places of a map are equal but for rounding.

    The maps of two networks, at the size of their regions, differ by some rounding error e. Where
    torchvision's largest place is another than ours, it is at most 2e behind in our map: for by theirs it
    leads, and at each of the two places they differ by e at most.
    """
    reference, model = build_pair(0, min_size=192, keypoints=True)
    theirs = run_torchvision(reference, [image])
    (detections,) = theirs["detections"]
    seen = model.stages(image)
    ours = seen["detections"]
    assert len(ours.boxes) == len(detections["boxes"]) > 0
    distance = np.abs(ours.boxes[:, None] - host(detections["boxes"])).max(axis=2)
    partner = distance.argmin(axis=1)
    assert len(set(partner)) == len(partner)

    # From torchvision's own maps and boxes every point is its own, with no exception.
    sizes = theirs["batch"][0].image_sizes[0], image.shape[:2]
    their_maps, their_boxes = host(theirs["keypoint_logits"]), host(theirs["found"][0]["boxes"])
    points, scores = host(detections["keypoints"]), host(detections["keypoints_scores"])
    same = scale_keypoints(keypoint.keypoints_of_maps(their_maps, their_boxes), *sizes)
    np.testing.assert_allclose(same[..., :2], points[..., :2], atol=1e-3)
    np.testing.assert_allclose(same[..., 2], scores, atol=1e-5)

    maps = host(seen["keypoint_logits"])
    points, scores, their_maps = points[partner], scores[partner], their_maps[partner]
    # The weights of a bicubic resize are up to 1.375 in the sum of their sizes, along each axis.
    rounding = 1.375**2 * np.abs(maps - their_maps).max()
    assert rounding < 1e-3 * np.abs(their_maps).max()
    elsewhere = np.abs(ours.keypoints[..., :2] - points[..., :2]).max(axis=2) > 0.05
    assert elsewhere.mean() < 0.005
    points = scale_keypoints(points, *sizes[::-1])
    for d in np.flatnonzero(elsewhere.any(axis=1)):
        behind = lead(maps[d], their_boxes[partner[d]], points[d])[elsewhere[d]]
        assert (behind <= 2 * rounding).all()
    np.testing.assert_allclose(ours.keypoints[..., 2], scores, atol=rounding)
