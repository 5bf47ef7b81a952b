"""What the comparisons with torchvision share: a reason to skip, images, and quiet threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from minirnn.data import CocoDataset
from minirnn.verify.torchvision_cpu import import_torchvision, missing


@pytest.fixture(scope="session", autouse=True)
def torchvision():
    reason = missing()
    if reason:
        pytest.skip(reason)
    return import_torchvision()


@pytest.fixture(scope="session")
def photographs(coco_subset: Path) -> CocoDataset:
    return CocoDataset.from_folder(coco_subset, "val2017")
