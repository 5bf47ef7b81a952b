"""Our Mask R-CNN and torchvision's, with the same weights, array by array.

    python -m minirnn.verify.parity inference --coco FOLDER --images 0 3 --min-size 800 --seed 0
    python -m minirnn.verify.parity training --coco FOLDER --images 3 4 --min-size 128
    python -m minirnn.verify.parity training --coco FOLDER --images 1 2 --min-size 128 --keypoints
    python -m minirnn.verify.parity learning --out runs/learning --seeds 0 1 2 --steps 1000
    python -m minirnn.verify.parity learning --level people --out runs/people --seeds 0 1 2

prints one table of errors, and exits with 1 if any is greater than its tolerance.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from minirnn.data import CocoDataset
from minirnn.verify.parity_inference import inference_parity
from minirnn.verify.parity_learning import LEVELS, learning_parity
from minirnn.verify.parity_rows import Row, as_table
from minirnn.verify.parity_training import training_parity
from minirnn.verify.torchvision_cpu import missing

__all__ = ["Row", "as_table", "inference_parity", "learning_parity", "main", "training_parity"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one comparison and print its table. Returns 0 if all agrees, 1 if not, 2 without torch."""
    parser = argparse.ArgumentParser(prog="python -m minirnn.verify.parity")
    parser.add_argument("what", choices=("inference", "training", "learning"))
    parser.add_argument("--coco", help="folder in COCO's layout (not for learning)")
    parser.add_argument("--split", default="val2017")
    parser.add_argument("--images", type=int, nargs="+", default=[3, 4], help="which of its images")
    parser.add_argument(
        "--keypoints",
        action="store_true",
        help="Keypoint R-CNN, not Mask R-CNN (the folder has person_keypoints files)",
    )
    parser.add_argument("--min-size", type=int, default=256, help="shorter side, in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    parser.add_argument("--steps", type=int, help="of SGD  [default: 20; learning: 1000]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="learning: of runs")
    parser.add_argument(
        "--level",
        choices=tuple(LEVELS),
        default="easy",
        help="learning: easy for Mask R-CNN on shapes, people for Keypoint R-CNN on stick figures",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/learning"), help="learning: folder")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument(
        "--same-resize", action="store_true", help="inference from torchvision's resized images"
    )
    parser.add_argument("--json", action="store_true", help="print the rows as one JSON object")
    options = parser.parse_args(arguments)

    reason = missing()
    if reason:
        print(f"nothing to compare with: {reason}", file=sys.stderr)
        return 2
    if options.what == "learning":
        rows = learning_parity(
            options.out, options.seeds, level=options.level, steps=options.steps or 1000
        )
        return _show(rows, options.json)
    if options.coco is None:
        parser.error("--coco is missing: the folder with the photographs, in COCO's layout")
    dataset = CocoDataset.from_folder(options.coco, options.split, keypoints=options.keypoints)
    samples = [dataset[index] for index in options.images]
    if options.what == "inference":
        rows = inference_parity(
            [sample.image for sample in samples],
            options.seed,
            options.min_size,
            own_resize=not options.same_resize,
            keypoints=options.keypoints,
        )
    else:
        rows = training_parity(
            samples,
            options.seed,
            options.min_size,
            steps=options.steps or 20,
            dtype=options.dtype,
            keypoints=options.keypoints,
        )
    return _show(rows, options.json)


def _show(rows: Sequence[Row], as_json: bool) -> int:
    """Print the rows; 0 if all agree, else 1."""
    if as_json:
        print(json.dumps({"rows": [row.as_dict() for row in rows]}))
    else:
        print(as_table(rows))
    return 0 if all(row.agrees for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
