"""The trained network that comes with the package: small, whole, and it knows its shapes."""

import numpy as np
import pytest

from minirnn import lessons
from minirnn.boxes.geometry import iou
from minirnn.errors import InputError
from minirnn.files.safetensors_file import read_safetensors
from minirnn.weights import convert, model_from
from minirnn.weights.shipped import shipped


def test_it_is_small_and_has_no_optimiser():
    path = shipped()
    assert path.stat().st_size <= 6_000_000
    arrays = read_safetensors(path)[0]
    assert not [name for name in arrays if name.startswith("optimiser")]
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}


def test_it_finds_what_is_in_made_up_scenes():
    model = lessons.network()
    assert [name for _, name in model.categories] == ["circle", "square", "triangle"]
    found = total = 0
    for number in range(8):
        scene = lessons.scene(number)
        detections = model.predict([scene.image], score_threshold=0.5)[0]
        overlaps = iou(scene.boxes, detections.boxes.astype(float))
        same = scene.labels[:, None] == detections.labels
        found += int(((overlaps > 0.5) & same).any(axis=1).sum())
        total += len(scene.boxes)
    assert found >= 0.7 * total


def test_half_precision_changes_little(tmp_path):
    model = model_from(shipped())
    model.state_dict()["roi_heads.box_head.fc6.bias"][:] += 1e-3
    from minirnn.files import save_checkpoint

    save_checkpoint(tmp_path / "whole.safetensors", model.state_dict(), model.config)
    convert(tmp_path / "whole.safetensors", tmp_path / "half.safetensors", half=True)
    whole = (tmp_path / "whole.safetensors").stat().st_size
    assert (tmp_path / "half.safetensors").stat().st_size < 0.52 * whole
    again = model_from(tmp_path / "half.safetensors")
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(again.state_dict()[name], array, rtol=1e-3, atol=1e-6)
        assert again.state_dict()[name].dtype == array.dtype


def test_another_name_is_refused():
    with pytest.raises(InputError, match="there is maskrcnn_shapes"):
        shipped("maskrcnn_photographs")
