"""The two operators that we declare for a torchvision that has none of its own."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.textbook.boxes import nms as textbook_nms
from minirnn.textbook.roi_align import roi_align as textbook_roi_align
from minirnn.verify import torchvision_cpu

pytestmark = pytest.mark.reference


def test_why_nothing_can_be_compared(monkeypatch):
    monkeypatch.setattr(torchvision_cpu.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="torch, torchvision"):
        torchvision_cpu.import_torchvision()


def test_nms_of_three_boxes():
    import torch

    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [1, 1, 10, 10]])
    scores = torch.tensor([0.5, 0.9, 0.7])
    # IoU with box 1 is 0.5 for box 0: equal to the threshold is not more than it.
    assert torchvision_cpu.nms(boxes, scores, 0.5).tolist() == [1, 2]
    assert torchvision_cpu.nms(boxes, scores, 0.9).tolist() == [1, 2, 0]
    assert torchvision_cpu.nms(boxes[:0], scores[:0], 0.5).tolist() == []


@pytest.mark.parametrize("seed", range(3))
def test_nms_is_the_textbooks(torchvision, seed):
    import torch

    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(0, 30, (60, 2)), rng.uniform(1, 20, (60, 2))
    boxes, scores = np.concatenate([corner, corner + side], 1), rng.permutation(60) / 60
    kept = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.4)
    np.testing.assert_array_equal(kept.numpy(), textbook_nms(boxes, scores, 0.4))


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align_is_the_textbooks_and_has_its_gradient(torchvision, aligned, ratio):
    import torch

    rng = np.random.default_rng(0)
    features = rng.standard_normal((2, 3, 7, 9))
    corner, side = rng.uniform(-8, 30, (6, 2)), rng.uniform(0.5, 25, (6, 2))
    boxes, image = np.concatenate([corner, corner + side], 1), np.array([0, 1, 1, 0, 0, 1])
    rois = torch.from_numpy(np.concatenate([image[:, None], boxes], 1))
    tensor = torch.from_numpy(features).requires_grad_()

    def align(x):
        return torchvision.ops.roi_align(x, rois, (2, 3), 0.25, ratio, aligned)

    wanted = textbook_roi_align(
        features, boxes, image, output_size=(2, 3), spatial_scale=0.25, sampling_ratio=ratio,
        aligned=aligned,
    )  # fmt: skip
    np.testing.assert_allclose(align(tensor).detach().numpy(), wanted, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(align, tensor)
