"""What ImageNet's weights and each choice of the recipe are worth: the runs behind docs/few-photographs.md.

    few="python -m minirnn.bench.few_photographs --data ../shared/coco-subset --categories person"
    $few --out runs/few
    $few --out runs/choices --choices --seeds 0

Each run is a `minirnn train` of its own, with the command printed; one that is there already is not made
again, and one that was stopped goes on. The AP is that of the weights at the end, on the val split, and
nothing is chosen by it.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from minirnn.boxes import area
from minirnn.errors import InputError
from minirnn.files import write_whole
from minirnn.verify.printing import as_markdown

PRESET = "maskrcnn_few_photographs"
#: The same network from fresh weights; with GroupNorm, since frozen BatchNorm has statistics from weights.
SCRATCH = "--weights none --set norm=group_norm"
STARTS = {"imagenet": "", "scratch": SCRATCH}
#: What a choice is changed from: the recipe on smaller images for fewer steps, so that all of them take two
#: and a half hours of one core and not six.
BASE = ("min_size=320", "max_size=533", "frozen_stages=2", "copy_paste=0")
BASE_STEPS = 600
#: One choice changed at a time, by what is added to the command.
CHOICES = {
    "base": "",
    "one-half": "--set mask_rule=threshold",
    "mirrored-only": "--set zoom=(1,1) --set focus=0 --set colour=0",
    "no-colour": "--set colour=0",
    "copy-paste": "--set copy_paste=0.5",
    "rate-1e-3": "--learning-rate 1e-3",
    "sgd": "--set optimiser=sgd --learning-rate 0.02 --set weight_decay=1e-4",
    "all-frozen": "--set frozen_stages=5",
    "none-frozen": "--set frozen_stages=0",
    "larger": "--set min_size=416 --set max_size=693",
    "batch-of-4": "--batch-size 4 --half",
    "own-canvas": "--set turns=2",
}
SURE = 0.7  # detections with a lower score are not drawn
KINDS = {"bbox": "box", "segm": "mask"}


@dataclass(frozen=True)
class Run:
    """How one run came out.

    Attributes:
        name: of the choice.
        seed: of the run.
        minutes: of training, by the clock.
        scores: AP50 by kind, "bbox" and "segm", of the weights that the run recommends.
        overall: AP, over all thresholds, of the same weights.
        plain: the same of the last weights, where the others are their running mean.
    """

    name: str
    seed: int
    minutes: float
    scores: dict[str, float]
    overall: dict[str, float]
    plain: dict[str, float]


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path), help="In COCO's layout.")
@click.option("--categories", help="Which to learn, separated by commas.  [default: all]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Holds all runs.")
@click.option("--seeds", default="0,1,2", show_default=True, help="Of each run.")
@click.option("--steps", type=int, help="Of each run.  [default: the recipe's, or 600]")
@click.option("--choices", is_flag=True, help="One choice of the recipe changed at a time.")
@click.option("--only", help="These of the runs, separated by commas.")
@click.option("--set", "sets", multiple=True, help="As of minirnn train, for all runs.")
@click.option("--picture", type=click.Path(path_type=Path), help="What was found, on the images.")
@click.option("--outlines", type=click.Path(path_type=Path), help="The same, on white.")
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="All figures.")
def main(
    data: Path,
    categories: str | None,
    out: Path,
    seeds: str,
    steps: int | None,
    choices: bool,
    only: str | None,
    sets: Sequence[str],
    picture: Path | None,
    outlines: Path | None,
    as_json: Path | None,
) -> None:
    """Train from ImageNet's weights and from scratch, with several seeds, and compare.

    \b
        python -m minirnn.bench.few_photographs --data data/cups --out runs/few
    """
    table = {name: from_base(words) for name, words in CHOICES.items()} if choices else STARTS
    steps = steps or (BASE_STEPS if choices else None)
    names = only.split(",") if only else list(table)
    if unknown := [name for name in names if name not in table]:
        raise click.UsageError(f"no such run: {', '.join(unknown)}; there are {', '.join(table)}")
    about = ["--data", str(data), *(["--categories", categories] if categories else [])]
    more = [word for each in sets for word in ("--set", each)]
    runs = []
    for seed in (int(seed) for seed in seeds.split(",")):
        for name in names:
            words = _words(table[name], steps)
            runs.append(_trained(out / f"{name}-{seed}", name, seed, about, [*more, *words]))
    if as_json:
        write_whole(as_json, json.dumps([vars(run) for run in runs], indent=2) + "\n")
    for path in (picture, outlines):
        if path:
            folders = {name: out / f"{name}-{seeds.split(',')[0]}" for name in names}
            _draw(folders, data, categories, path, on_white=path == outlines)
    click.echo(table_of(runs))


def from_base(words: str) -> str:
    """The words of a choice, and of the base what it does not change."""
    kept = [each for each in BASE if each.split("=")[0] + "=" not in words]
    return " ".join([*(f"--set {each}" for each in kept), words])


def table_of(runs: Sequence[Run]) -> str:
    """Mean and range over the seeds, a line for each choice."""
    columns = [f"{kind} {name}" for name in ("AP50", "AP") for kind in KINDS.values()]
    rows = [["", "seeds", "minutes", *columns, "AP50, not averaged"]]
    for name in dict.fromkeys(run.name for run in runs):
        mine = [run for run in runs if run.name == name]
        minutes = statistics.mean(run.minutes for run in mine)
        plain = " / ".join(f"{statistics.mean(r.plain[kind] for r in mine):.3f}" for kind in KINDS)
        scores = [_spread([run.scores[kind] for run in mine]) for kind in KINDS]
        scores += [f"{statistics.mean(run.overall[kind] for run in mine):.3f}" for kind in KINDS]
        rows.append([name, str(len(mine)), f"{minutes:.1f}", *scores, plain])
    return as_markdown(rows, right=range(1, len(rows[0])))


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def _words(options: str, steps: int | None) -> list[str]:
    """The words that a choice adds to the command; --half stands for half as many steps."""
    from minirnn.training.recipes import settings_of

    words = shlex.split(options)
    wanted = steps or settings_of(PRESET).steps
    if "--half" in words:
        words.remove("--half")
        return [*words, "--steps", str(wanted // 2)]
    return [*words, "--steps", str(wanted)] if steps else words


def _trained(folder: Path, name: str, seed: int, about: Sequence[str], more: Sequence[str]) -> Run:
    """One run, made if it is not there, and its AP."""
    ended = folder / "ended.json"
    if not ended.exists():
        going_on = (folder / "checkpoint.safetensors").exists()
        command = ["train", *about, "--preset", PRESET, "--seed", str(seed), *more]
        _minirnn(*command, "--out", str(folder), *(["--resume"] if going_on else []))
        found = {}
        for kept in ("averaged", "checkpoint"):
            if (weights := folder / f"{kept}.safetensors").exists():
                asked = ["evaluate", "--weights", str(weights), *about, "--json"]
                found[kept] = json.loads(_minirnn(*asked, silent=True))
        last = (folder / "metrics.jsonl").read_text().splitlines()[-1]
        found["minutes"] = json.loads(last)["elapsed"] / 60
        write_whole(ended, json.dumps(found))  # there only if it is whole
    found = json.loads(ended.read_text())
    plain = {kind: found["checkpoint"][kind]["AP50"] for kind in KINDS}
    best = found.get("averaged", found["checkpoint"])
    scores, overall = ({kind: best[kind][of] for kind in KINDS} for of in ("AP50", "AP"))
    return Run(name, seed, found["minutes"], scores, overall, plain)


def _minirnn(*arguments: str, silent: bool = False) -> str:
    """Run the command, and give what it printed."""
    if not silent:
        click.echo("minirnn " + shlex.join(arguments), err=True)
    done = subprocess.run(
        [sys.executable, "-m", "minirnn", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InputError(f"minirnn {shlex.join(arguments)} ended with {done.returncode}")
    return done.stdout


def _draw(
    folders: Mapping[str, Path],
    data: Path,
    categories: str | None,
    path: Path,
    *,
    on_white: bool,
    most: int = 6,
) -> None:
    """The truth, and what each run finds, of the val images with the largest objects."""
    from minirnn.data import CocoDataset
    from minirnn.draw.detections import pair_of_pictures
    from minirnn.draw.picture import Picture
    from minirnn.weights import model_from

    dataset = CocoDataset.from_folder(
        data, "val", only=categories.split(",") if categories else None
    )
    samples = sorted(
        (dataset[index] for index in range(len(dataset))),
        key=lambda s: -area(s.target.boxes).max(initial=0),
    )[:most]
    labels = [name for _, name in dataset.categories]
    models = [model_from(_weights(folder)) for folder in folders.values()]
    rows, columns = 1 + len(models), len(samples)
    figure = Picture(figsize=(2.2 * columns, 1.9 * rows), dpi=110)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.03)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#bbbbbb")  # where the image ends
    for column, sample in zip(panels.T, samples, strict=True):
        ground = np.full_like(sample.image, 255) if on_white else sample.image
        shown = dataclasses.replace(sample, image=ground)
        for row, model in enumerate(models, start=1):
            (found,) = model.predict([sample.image])
            scale = 2.2 * figure.dpi / max(ground.shape[:2])
            pictures = pair_of_pictures(shown, found, labels, SURE, scale=scale, text_size=9)
            for axes, drawn in zip((column[0], column[row]), pictures, strict=True):
                axes.imshow(drawn)
    for axes, title in zip(panels[:, 0], ("truth", *folders), strict=True):
        axes.set_ylabel(title, fontsize=11)
    figure.savefig(path)


def _weights(folder: Path) -> Path:
    averaged = folder / "averaged.safetensors"
    return averaged if averaged.exists() else folder / "checkpoint.safetensors"


if __name__ == "__main__":
    main()
