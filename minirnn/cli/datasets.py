"""Opening a data set as the options say."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minirnn.errors import InputError

if TYPE_CHECKING:
    from minirnn.data import CocoDataset, Sample
    from minirnn.models import RCNN
    from minirnn.training import TrainingSettings

#: What to do with a data set of boxes alone.
WITHOUT_MASKS = (
    "train with --set mask=false (or --preset fasterrcnn_resnet50_fpn), which finds boxes"
)


@dataclass(frozen=True)
class Subset:
    """Some images of a data set, in the order of `places`.

    Attributes:
        dataset: the whole.
        places: of the images in it.
        lasting: an image that cannot be read is named, once, and a blank one stands for it: an evaluation
            in the middle of a run of hours should not end the run. What is to be found in it is missed.
        known_as: the fingerprint of the run that goes on with it; "" for none.
    """

    dataset: CocoDataset
    places: list[int]
    lasting: bool = False
    known_as: str = ""
    _named: set[int] = field(default_factory=set, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        place = self.places[index]
        try:
            return self.dataset[place]
        except InputError as error:
            if not self.lasting:
                raise
            if place not in self._named:
                from minirnn.progress import tell

                self._named.add(place)
                tell(f"{error}. A blank picture stands for it in evaluations, so their AP is lower")
            return self.dataset.blank(place)

    def describe(self, index: int) -> str:
        """What to call image number `index` in a message."""
        return self.dataset.describe(self.places[index])

    @property
    def fingerprint(self) -> str:
        """A text that is another for other data, see `minirnn.data.loader.Dataset`.

        All images have the data set's own, so that a run can be begun in Python and go on here, or the
        reverse. Runs of earlier versions have the places in it all the same.
        """
        own = self.dataset.fingerprint
        with_places = f"{own} {zlib.crc32(repr(self.places).encode()):08x}"
        everything = self.places == list(range(len(self.dataset)))
        return own if everything and not self.known_as.startswith(with_places) else with_places

    @property
    def keypoint_names(self) -> tuple[str, ...] | None:
        """The names of the data set's keypoints; flips exchange left and right by them."""
        return self.dataset.keypoint_names

    @property
    def image_ids(self) -> list[int]:
        """The ids of the images."""
        return [self.dataset.image_ids[place] for place in self.places]


def with_proposals(images: Any, file: Path | None, model: RCNN, option: str = "--proposals") -> Any:
    """A data set whose samples bring the proposals of a file, if the network takes given ones.

    Args:
        images: the data set.
        file: with the proposals, or None.
        model: the network.
        option: that names the file, for the message.

    Raises:
        InputError: there is a file and the network makes its own proposals, or the reverse; the file
            cannot be read.
    """
    from minirnn.data.proposals import WithProposals, read_proposals

    proposals_wanted(file, model, option)
    return images if file is None else WithProposals(images, read_proposals(file))


def proposals_wanted(file: Path | None, model: RCNN, option: str = "--proposals") -> None:
    """Refuse a file for a network that makes its own proposals, and no file for one that does not.

    Raises:
        InputError: see above.
    """
    if file is None and model.takes_proposals:
        raise InputError(f"this network takes given proposals: {option} FILE is missing")
    if file is not None and not model.takes_proposals:
        raise InputError(
            f"{file}: this network makes its own proposals; --preset fastrcnn_resnet50_fpn or "
            "--set proposals=given takes given ones"
        )


def subset_of(
    dataset: CocoDataset,
    image_ids: Sequence[int] | None,
    *,
    lasting: bool = False,
    known_as: str | None = None,
) -> Subset:
    """The images with these ids (None: all); `lasting` and `known_as` are `Subset`'s.

    Raises:
        InputError: an id is not in the data set.
    """
    if image_ids is None:
        return Subset(dataset, list(range(len(dataset))), lasting, known_as or "")
    place = {image_id: i for i, image_id in enumerate(dataset.image_ids)}
    for image_id in image_ids:
        if image_id not in place:
            raise InputError(f"{dataset.file}: there is no image {image_id} (from --image-ids)")
    places = [place[image_id] for image_id in image_ids]
    return Subset(dataset, places, lasting, known_as or "")


def open_dataset(
    folder: Path,
    split: str,
    *,
    skip_invalid: bool,
    say: Callable[[str], None],
    model: RCNN | None = None,
    keypoints: bool = False,
    only: Sequence[str] | None = None,
) -> CocoDataset:
    """A split of a data set, with its labels as a trained model counts them.

    Args:
        folder: holds `annotations/` and the folders of images.
        split: "train", "val".
        skip_invalid: leave out what cannot be used, and say how much.
        say: prints a line for a person.
        model: the trained one; None takes the labels from the file.
        keypoints: the file's keypoints are wanted, too; so they are where the model has such a head.
        only: names of the categories to use; None for all.

    Raises:
        InputError: the data set cannot be used, or not with this model.
    """
    from minirnn.data import CocoDataset

    keypoints = keypoints or (model is not None and "keypoints" in model.finds)
    categories = list(model.config.categories) if model else []
    if model and not categories:
        # A model that names no categories counts as COCO does: label 18 is category 18, a dog.
        own = CocoDataset.from_folder(folder, split, skip_invalid=skip_invalid, keypoints=keypoints)
        names, most = dict(own.categories), len(model.categories)
        highest = max(names)
        if highest > most:
            raise InputError(
                f"{folder}: category {highest} ({names[highest]!r}), but the model knows 1…{most}"
            )
        categories = [(i, names.get(i, f"unused {i}")) for i in range(1, most + 1)]
    dataset = CocoDataset.from_folder(
        folder,
        split,
        skip_invalid=skip_invalid,
        categories=categories or None,
        keypoints=keypoints,
        only=only,
    )
    if dataset.skipped_summary:
        say(dataset.skipped_summary)
    return dataset


def masks_wanted(dataset: CocoDataset, model: RCNN) -> None:
    """Refuse a data set of boxes alone for a network that learns masks.

    Raises:
        InputError: see above; names the setting.
    """
    if "masks" in model.finds and not dataset.has_masks:
        raise InputError(
            f"{dataset.file}: the objects have boxes and no masks, and this network learns masks: "
            f"{WITHOUT_MASKS}"
        )


def without_pasting(
    settings: TrainingSettings, dataset: CocoDataset, asked: bool, say: Callable[[str], None]
) -> TrainingSettings:
    """Without masks nothing can be cut out to be pasted: a recipe's `copy_paste` is left out, and said.

    Args:
        settings: of the training.
        dataset: to train on.
        asked: a person has set copy_paste, and no recipe.
        say: told what is left out.

    Raises:
        InputError: it was asked for.
    """
    if dataset.has_masks or not settings.copy_paste:
        return settings
    why = "the objects have boxes and no masks to be cut out along"
    if asked:
        raise InputError(
            f"{dataset.file}: copy_paste is {settings.copy_paste:g}, but {why}: leave it out, or --set "
            "copy_paste=0"
        )
    say(f"left out of the recipe: copy_paste, since {why}")
    return settings.replace(copy_paste=0.0)
