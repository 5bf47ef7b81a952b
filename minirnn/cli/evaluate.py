"""`minirnn evaluate`: COCO's numbers for a trained network."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minirnn.cli.datasets import open_dataset, subset_of, with_proposals
from minirnn.cli.networks import find_all, kinds_of, load_network, products_of, with_tf32
from minirnn.cli.options import (
    FILE,
    FOLDER,
    categories_option,
    device_option,
    image_ids_option,
    json_option,
    print_json,
    proposals_option,
    reporter,
    set_option,
    skip_invalid_option,
)
from minirnn.cli.outputs import check_outputs
from minirnn.cli.ranks import shared_out

if TYPE_CHECKING:
    from minirnn.distributed.communicator import Communicator


@click.command(short_help="Measure a network's average precision (AP).")
@click.option(
    "--weights", type=FILE, required=True, metavar="FILE", help="The network to evaluate."
)
@click.option("--data", "folder", type=FOLDER, required=True, metavar="DIR", help="The data set.")
@click.option("--split", default="val", show_default=True, help="The part to evaluate on.")
@click.option(
    "--out",
    type=FILE,
    metavar="FILE",
    help="Where the detections go.  [default: detections_SPLIT.json beside the weights]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Images at a time.",
)
@click.option("--per-category", is_flag=True, help="Also print the AP of each category.")
@proposals_option
@image_ids_option
@categories_option
@skip_invalid_option
@device_option
@click.option(
    "--tf32",
    is_flag=True,
    help="With products of TF32 (10 bits of mantissa): a GPU's own or, on a processor, imitated.",
)
@set_option("box_nms_iou=0.4")
@json_option
@shared_out
def evaluate(
    ranks: Communicator,
    weights: Path,
    folder: Path,
    split: str,
    out: Path | None,
    batch_size: int,
    per_category: bool,
    proposals: Path | None,
    image_ids: list[int] | None,
    only: list[str] | None,
    skip_invalid: bool,
    device: str,
    tf32: bool,
    overrides: dict[str, Any],
    as_json: bool,
) -> None:
    """Measure a network's average precision (AP) on images that it has not been trained on.

    \b
        minirnn evaluate --weights runs/first/checkpoint.safetensors --data data/shapes

    Prints COCO's numbers for boxes, and for masks and keypoints (by their similarity, OKS) where the
    network has such heads and the data set such truth, and writes all detections as a COCO results
    file, which pycocotools and others read (for AP of small, medium and large masks without the rows'
    boxes, whose areas it would take: docs/using.md). torchvision's weights can be used as they are:

    \b
        minirnn evaluate --weights maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth --data ../coco

    Several processes, also of several machines, share out the images, and write and print the same:

    \b
        mpiexec -n 4 minirnn evaluate --weights … --data ../coco

    What TF32 costs, without a GPU (two to four times slower than without; docs/gpu.md):

    \b
        minirnn evaluate --weights runs/first/checkpoint.safetensors --data data/shapes --tf32
    """
    from minirnn.evaluation import Evaluation, category_table, summary_table, write_results

    say = reporter(as_json, ranks)
    model = load_network(weights, overrides, device, ranks)
    dataset = open_dataset(
        folder, split, skip_invalid=skip_invalid, say=say, model=model, only=only
    )
    out = out or weights.parent / f"detections_{split}.json"
    check_outputs(results=[out], reads=[weights, dataset.file, proposals])
    images = with_proposals(subset_of(dataset, image_ids), proposals, model)
    with with_tf32(model) if tf32 else nullcontext():
        found = find_all(model, dataset, images, batch_size=batch_size, say=say, ranks=ranks)
    if ranks.rank:
        return
    write_results(out, found.results)
    evaluation = Evaluation(
        dataset.ground_truth, found.results, kinds_of(model, dataset), image_ids=images.image_ids
    )
    numbers = evaluation.summary()
    if as_json:
        report = {
            **numbers,
            **({"per_category": evaluation.per_category()} if per_category else {}),
            "images": len(images),
            "detections": len(found.results),
            "seconds_per_image": found.seconds / len(images),
            "results": out,
            "products": products_of(model, tf32),
        }
        print_json(report)
        return
    say(summary_table(numbers))
    if per_category:
        say(f"\n{category_table(evaluation.per_category())}")
    say(f"\n{len(images)} images, {found.seconds / len(images):.2f} s each")
    say(f"{len(found.results)} detections: {out}")
    if tf32:
        say(f"products: {products_of(model, tf32)}")
