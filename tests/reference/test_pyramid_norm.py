"""A pyramid with normalisation, as torchvision's v2 detectors have it, against torchvision's own."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import numpy as np
import pytest

from minirnn.autograd import Tensor
from minirnn.backbones.fpn import FeaturePyramid
from minirnn.nn import GroupNorm

pytestmark = pytest.mark.reference
GROUPS = 2


def load_into(reference, module, rng):
    """Draw weights by name, the same in both."""
    import torch

    drawn = {
        name: rng.normal(0, 0.2, tuple(array.shape)).astype(np.float32)
        for name, array in reference.state_dict().items()
    }
    reference.load_state_dict({name: torch.from_numpy(array) for name, array in drawn.items()})
    module.load_state_dict(drawn)
    return reference


def gradients_agree(reference, module):
    theirs = {name: p.grad.numpy() for name, p in reference.named_parameters()}
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(
            parameter.grad,
            theirs[name],
            rtol=0,
            atol=2e-5 * np.abs(theirs[name]).max(),
            err_msg=name,
        )


def test_normalised_pyramid():
    import torch
    from torchvision.ops import FeaturePyramidNetwork

    rng = np.random.default_rng(1)
    mine = FeaturePyramid(
        [3, 4, 5], 8, extra_level=False, norm=lambda c: GroupNorm(c, GROUPS), rng=rng
    )
    theirs = FeaturePyramidNetwork([3, 4, 5], 8, norm_layer=partial(torch.nn.GroupNorm, GROUPS))
    reference = load_into(theirs, mine, rng)
    maps = [
        rng.standard_normal((2, c, 16 // k, 24 // k)).astype(np.float32)
        for c, k in ((3, 1), (4, 2), (5, 4))
    ]
    found = mine([Tensor(m) for m in maps])
    expected = reference(OrderedDict((str(k), torch.from_numpy(m)) for k, m in enumerate(maps)))
    mine_total, total = Tensor(np.zeros((), np.float32)), torch.zeros(())
    for a, b in zip(found, expected.values(), strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), atol=1e-4)
        dy = rng.standard_normal(a.shape).astype(np.float32)
        mine_total = mine_total + (a * Tensor(dy)).sum()
        total = total + (b * torch.from_numpy(dy)).sum()
    mine_total.backward()
    total.backward()
    gradients_agree(reference, mine)
