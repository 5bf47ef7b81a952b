"""The whole chain: a picture becomes maps, maps become proposals, regions, and what the heads find.

Training and inference walk the same way as far as the proposals. Then training draws regions of them
and compares what the heads say with the truth; inference takes the heads' word. Which parts there are,
and with which settings, is decided where they are put together (`minirnn.models.build`): Mask R-CNN,
Faster R-CNN and Fast R-CNN are this same code.

Source: He et al., "Mask R-CNN", 2017, section 3; with pyramid: Lin et al., "Feature pyramid
networks", 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minirnn.autograd import Tensor, no_grad
from minirnn.heads.head import Found, Head, RoIHeads
from minirnn.heads.regions import RegionSampler
from minirnn.images import pictures_of
from minirnn.models.config import Config
from minirnn.nn import Module
from minirnn.ops.losses import LossTerm
from minirnn.record import note, recording
from minirnn.require import gathered
from minirnn.structures import Detections, Target
from minirnn.transform import Batch, Transform

Rngs = np.random.Generator | Sequence[np.random.Generator] | None


class RCNN(Module):
    """A detector of regions: Mask R-CNN and its relatives.

    Args:
        transform: from photographs to the network's input.
        backbone: images (N, 3, H, W) → maps by name.
        proposer: where something might be.
        sampler: which proposals the heads learn from.
        heads: the box head, then those for masks and keypoints, if there are any.

    Attributes:
        config: what it was built from.
        builder: function that builds the model anew, from a configuration and a random generator.
        facts: what there is to say of it in a report, by name.
        finds: what it says of an object: "boxes", and "masks", "keypoints" where it has such heads.
        takes_proposals: whether boxes have to be given with each image.
    """

    config: Config
    builder: Callable[[Config, np.random.Generator], RCNN]
    facts: Mapping[str, Any]

    def __init__(
        self,
        transform: Transform,
        backbone: Any,
        proposer: Any,
        sampler: RegionSampler,
        heads: Sequence[Head],
    ) -> None:
        self.transform = transform
        self.backbone = backbone
        self.rpn = proposer
        self.sampler = sampler
        self.roi_heads = RoIHeads(heads)
        self.finds = tuple(head.finds for head in heads)
        self.takes_proposals: bool = proposer.takes_proposals

    @property
    def categories(self) -> list[tuple[int, str]]:
        """(id, name) of label 1, 2, …; the label for both where they have no names."""
        return [self.config.category(label) for label in range(1, self.config.num_classes)]

    def losses(
        self, images: Sequence[np.ndarray], targets: Sequence[Target], rng: Rngs = None
    ) -> dict[str, Tensor]:
        """The losses of a batch; training minimises their sum.

        Args:
            images: each (H, W, 3) uint8 RGB, of any size.
            targets: ground truth of each image, in its pixels.
            rng: draws scales, anchors and regions; one generator, or one for each image; None for the same
                draw in every call.

        Returns:
            Scalars by name: rpn_objectness and rpn_box (with an RPN), roi_class, roi_box, and mask and
            keypoint where there are such heads.

        Raises:
            InputError: images or targets that nothing can be learned from; names the image.
        """
        with gathered():
            terms = self.loss_terms(images, targets, rng)
        return {name: term.mean for name, term in terms.items()}

    def loss_terms(
        self, images: Sequence[np.ndarray], targets: Sequence[Target], rng: Rngs = None
    ) -> dict[str, LossTerm]:
        """`losses`, each with the number of anchors, regions or masks that it is a mean over."""
        rng = np.random.default_rng(0) if rng is None else rng
        rngs = rng.spawn(len(images)) if isinstance(rng, np.random.Generator) else rng
        batch, truth = self.transform.with_truth(images, targets, rngs, self.xp)
        for head in self.roi_heads:
            for target in truth:
                head.check(target)

        features = self.backbone(Tensor(batch.images))
        losses, proposals = self.rpn.losses(features, batch, truth, rngs)
        regions = [self.sampler(*each) for each in zip(proposals, truth, rngs, strict=True)]
        note("sampled_regions", regions)
        for head in self.roi_heads:
            losses |= head.losses(features, regions, truth)
        return losses

    def predict(
        self,
        images: Sequence[Any],
        *,
        proposals: Sequence[np.ndarray] | None = None,
        **options: Any,
    ) -> list[Detections]:
        """Find the objects in images.

        Args:
            images: each (H, W, 3) uint8 RGB, of any size; or the path of a file, or an image of Pillow's,
                both turned upright as their EXIF says.
            proposals: (P, 4) boxes of each image, in its pixels, for a model that takes given ones.
            **options: for the heads, for this call: `score_threshold` leaves out what scores less.

        Returns:
            For each image its detections, by falling score, on the host, in the image's own pixels.
            Images of other sizes in the same call may add to its padding, which may move a box a little.

        Raises:
            InputError: an image is not (H, W, 3) uint8, or has no proposals where the model needs them
                (names its number); a file cannot be read (names it); images is one image and no list
                of them; or an option is out of range.
        """
        images, detections = pictures_of(images), dict[int, Detections]()
        for indices, batch in self.transform.parts(images, self.xp, proposals):
            detections.update(zip(indices, self._detect(batch, options), strict=True))
        return [detections[index] for index in range(len(images))]

    def _detect(self, batch: Batch, options: Mapping[str, Any]) -> list[Detections]:
        with no_grad(), gathered():
            features = self.backbone(batch.images)
            proposals = self.rpn.propose(features, batch)
            found = [Found.proposed(boxes) for boxes in proposals]
            for head in self.roi_heads:
                found = head.predict(features, found, batch, **options)
            sizes = zip(found, batch.sizes, batch.original_sizes, strict=True)
            return [self.roi_heads.finish(*each) for each in sizes]

    def stages(self, image: np.ndarray, **options: Any) -> dict[str, Any]:
        """Everything that `predict` computes on its way for one image, by name.

        input, C2…, P2…, anchors, objectness, anchor_deltas, proposals_before_nms, proposals; what each
        head reads (box_regions, box_levels, box_features, mask_regions, …) and says (class_logits,
        box_deltas, detections_before_nms, mask_logits, masks, …); and "detections", as predicted.
        `minirnn.explain` follows a detection back through them.
        """
        with recording() as seen:
            (seen["detections"],) = self.predict([image], **options)
        return seen

    def training_stages(
        self, image: np.ndarray, target: Target, rng: Rngs = None
    ) -> dict[str, Any]:
        """The same for one image of training: anchor_matches, sampled_anchors, sampled_regions, …"""
        with recording() as seen:
            seen["losses"] = self.losses([image], [target], rng)
        return seen
