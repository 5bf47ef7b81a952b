"""Our Mask R-CNN and torchvision's, with the same weights, array by array.

    python -m minirnn.verify.parity inference --coco FOLDER --images 0 3 --min-size 800 --seed 0
    python -m minirnn.verify.parity training --coco FOLDER --images 3 4 --min-size 128

prints one table of errors, and exits with 1 if any is greater than its tolerance.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from minirnn.data import CocoDataset
from minirnn.verify.parity_inference import inference_parity
from minirnn.verify.parity_rows import Row, as_table
from minirnn.verify.parity_training import training_parity
from minirnn.verify.torchvision_cpu import missing

__all__ = ["Row", "as_table", "inference_parity", "main", "training_parity"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one comparison and print its table. Returns 0 if all agrees, 1 if not, 2 without torch."""
    parser = argparse.ArgumentParser(prog="python -m minirnn.verify.parity")
    parser.add_argument("what", choices=("inference", "training"))
    parser.add_argument("--coco", required=True, help="folder in COCO's layout")
    parser.add_argument("--split", default="val2017")
    parser.add_argument("--images", type=int, nargs="+", default=[3, 4], help="which of its images")
    parser.add_argument("--min-size", type=int, default=256, help="shorter side, in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    parser.add_argument("--steps", type=int, default=20, help="of SGD")
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
    dataset = CocoDataset.from_folder(options.coco, options.split)
    samples = [dataset[index] for index in options.images]
    if options.what == "inference":
        rows = inference_parity(
            [sample.image for sample in samples],
            options.seed,
            options.min_size,
            own_resize=not options.same_resize,
        )
    else:
        rows = training_parity(
            samples, options.seed, options.min_size, steps=options.steps, dtype=options.dtype
        )
    if options.json:
        print(json.dumps({"rows": [row.as_dict() for row in rows]}))
    else:
        print(as_table(rows))
    return 0 if all(row.agrees for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
