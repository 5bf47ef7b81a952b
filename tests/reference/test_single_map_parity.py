"""ResNets with a dilated stage, and C4's regions, against torchvision's layers with the same weights."""

import numpy as np
import pytest

from minirnn.autograd import data_of
from minirnn.backbones.resnet import ResNet
from minirnn.models import build_model

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch")


def give(theirs, arrays):
    state = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("fc." in n or "num_batches" in n for n in missing)
    return theirs.eval()


def scatter(module, rng):
    """Normalisations that do something, with values that stay in range."""
    state = module.state_dict()
    for name, array in state.items():
        if "bn" in name or "downsample.1" in name:
            low, high = (0.5, 1) if name.endswith(("weight", "var")) else (-0.1, 0.1)
            state[name] = rng.uniform(low, high, array.shape).astype(array.dtype)
    module.load_state_dict(state)


def test_dilated_resnet_is_torchvisions(torchvision):
    rng = np.random.default_rng(0)
    ours = ResNet(50, dilated=True, rng=rng).astype(np.float64)
    scatter(ours, rng)
    theirs = torchvision.models.resnet50(
        weights=None, replace_stride_with_dilation=[False, False, True]
    ).double()
    give(theirs, ours.state_dict())
    x = rng.standard_normal((1, 3, 96, 64))
    with torch.no_grad():
        y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(torch.from_numpy(x)))))
        expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(y)))).numpy()
    found = data_of(ours(x)["C5"])
    assert found.shape == (1, 2048, 6, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_c4_regions_are_torchs(torchvision):
    rng = np.random.default_rng(0)
    model = build_model(
        "maskrcnn_resnet50_c4", stride_in_1x1=False, roi_sampling=2, num_classes=5
    ).astype(np.float64)
    scatter(model, rng)
    state = model.state_dict()
    body = {
        name.replace("backbone.body.", "").replace("roi_heads.res5.", "layer4."): value
        for name, value in state.items()
        if name.startswith(("backbone.body.", "roi_heads.res5."))
    }
    theirs = give(torchvision.models.resnet50(weights=None).double(), body)
    x = rng.standard_normal((1, 3, 96, 96))
    boxes = np.array([[3.0, 5, 70, 90], [20, 20, 40, 31.5]])

    def weight(name):
        return torch.from_numpy(np.array(state[f"roi_heads.{name}"]))

    with torch.no_grad():
        y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(torch.from_numpy(x)))))
        c4 = theirs.layer3(theirs.layer2(theirs.layer1(y)))
        pooled = torchvision.ops.roi_align(
            c4, [torch.from_numpy(boxes)], 14, 1 / 16, sampling_ratio=2, aligned=True
        )
        trunk = theirs.layer4(pooled)
        flat = trunk.mean((2, 3))
        scores, deltas = (
            flat @ weight(f"box_predictor.{name}.weight").T + weight(f"box_predictor.{name}.bias")
            for name in ("cls_score", "bbox_pred")
        )
        larger = torch.nn.functional.conv_transpose2d(
            trunk, weight("mask_predictor.conv5_mask.weight"),
            weight("mask_predictor.conv5_mask.bias"), stride=2,
        ).relu()  # fmt: skip
        masks = torch.nn.functional.conv2d(
            larger, weight("mask_predictor.mask_fcn_logits.weight"),
            weight("mask_predictor.mask_fcn_logits.bias"),
        )  # fmt: skip
    features = model.backbone(x)
    box_head, mask_head = model.roi_heads
    found = (*box_head(features, [boxes]), mask_head(features, [boxes]))
    assert found[2].shape == (2, 4, 14, 14)
    for ours, expected in zip(found, (scores, deltas, masks), strict=True):
        expected = expected.numpy()
        np.testing.assert_allclose(
            data_of(ours), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max()
        )
