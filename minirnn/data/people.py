"""Stick figures with COCO's 17 keypoints.

A figure is a list of parts, painted from the back to the front. Each keypoint lies on a part or at
the joint of two, so a look at its pixel tells whether it can be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
# Pairs of keypoints joined by a line, counted from 1 as COCO's files do.
SKELETON = (
    *((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9)),
    *((8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)),
)
PARTS = (
    *("left_thigh", "right_thigh", "left_shin", "right_shin", "torso", "neck", "head"),
    *("left_ear", "right_ear", "hair", "left_eye", "right_eye", "nose"),
    *("left_upper_arm", "right_upper_arm", "left_forearm", "right_forearm"),
)
# The parts that a keypoint is on; for a left or right one, without the side.
ON_PARTS = {
    "nose": ("nose",),
    "eye": ("eye",),
    "ear": ("ear",),
    "shoulder": ("upper_arm", "torso"),
    "elbow": ("upper_arm", "forearm"),
    "wrist": ("forearm",),
    "hip": ("torso", "thigh"),
    "knee": ("thigh", "shin"),
    "ankle": ("shin",),
}
# Lengths, as parts of the figure's height when it stands upright.
HEAD, SHOULDERS, HIPS, TORSO = 0.085, 0.11, 0.075, 0.33
UPPER_ARM, FOREARM, THIGH, SHIN = 0.17, 0.16, 0.25, 0.24
# What share of a figure's width and height may lie beyond the picture's border.
MOST_CUT = 0.15
# The share of figures seen from behind: left and right change sides, which only the face tells. With a
# share of one half, a small network never learns the sides, and each limb's point goes astray.
FROM_BEHIND = 0.2


@dataclass
class Person:
    """A painted figure.

    Attributes:
        parts: (H, W) int, an index into PARTS, or -1 where the figure is not.
        colours: (len(PARTS), 3) RGB of 0 to 255.
        points: (17, 2) float, x and y of the keypoints, in pixels, also beyond the picture.
    """

    parts: np.ndarray
    colours: np.ndarray
    points: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: where the figure is."""
        return self.parts >= 0

    def keypoints_seen(self, visible: np.ndarray) -> np.ndarray:
        """The keypoints in COCO's form, given where the figure is not covered by others.

        Visibility is 2 if the part that the keypoint is on is seen at its pixel, 1 if something is
        painted over it (another person, the figure's own arm, or the back of the head over the face), and 0
        with x = y = 0 if it is outside the picture.

        Args:
            visible: (H, W) bool, the pixels of the figure that are to be seen.

        Returns:
            (17, 3) int64: pixel column, pixel row, visibility.
        """
        height, width = self.parts.shape
        keypoints = np.zeros((len(KEYPOINTS), 3), np.int64)
        for row, name, (x, y) in zip(keypoints, KEYPOINTS, np.floor(self.points), strict=True):
            if 0 <= x < width and 0 <= y < height:
                i, j = int(y), int(x)
                seen = visible[i, j] and PARTS[self.parts[i, j]] in _parts_under(name)
                row[:] = j, i, 2 if seen else 1
        return keypoints


def draw_person(rng: np.random.Generator, size: int, colour: Callable[[], np.ndarray]) -> Person:
    """A figure in a random pose, seen from the front or (one in five) from behind.

    Seen from the front, a person's left is at the picture's right. What tells front from behind is
    the face, so left and right can be learnt.

    Args:
        rng: decides the pose, the place and the size (0.45 to 0.9 of the picture).
        size: height and width of the picture, in pixels.
        colour: gives a random colour, (3,) of 0 to 255; called for skin, shirt, trousers and hair.
    """
    front = bool(rng.random() >= FROM_BEHIND)
    points, neck, head = _pose(rng, 1 if front else -1)
    points, neck, head, height = _place(rng, points, neck, head, size)
    at = dict(zip(KEYPOINTS, points, strict=True))
    skin, shirt, trousers, hair = (colour() for _ in range(4))
    dark = np.full(3, 20.0) if skin.mean() > 110 else np.full(3, 235.0)

    limb = max(0.032 * height, 1.3)
    dot = max(0.022 * height, 0.8)
    middle = (at["left_hip"] + at["right_hip"]) / 2
    painted: dict[str, tuple[np.ndarray, np.ndarray, float, np.ndarray]] = {
        "torso": (neck, middle, 0.095 * height, shirt),
        "neck": (neck, head, limb, skin),
        "head": (head, head, HEAD * height, skin),
        "nose": (at["nose"], at["nose"], dot, dark),
    }
    for side in ("left", "right"):
        shoulder, elbow, wrist = (at[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        hip, knee, ankle = (at[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        eye, ear = at[f"{side}_eye"], at[f"{side}_ear"]
        painted[f"{side}_upper_arm"] = (shoulder, elbow, limb, shirt)
        painted[f"{side}_forearm"] = (elbow, wrist, limb, skin)
        painted[f"{side}_thigh"] = (hip, knee, 1.2 * limb, trousers)
        painted[f"{side}_shin"] = (knee, ankle, limb, trousers)
        painted[f"{side}_eye"] = (eye, eye, dot, dark)
        painted[f"{side}_ear"] = (ear, ear, dot, skin)
    if not front:
        painted["hair"] = (head, head, 0.95 * HEAD * height, hair)
        for name in ("nose", "left_eye", "right_eye"):
            del painted[name]

    parts = np.full((size, size), -1)
    colours = np.zeros((len(PARTS), 3))
    for number, name in enumerate(PARTS):
        if name in painted:
            start, stop, radius, colours[number] = painted[name]
            _paint_capsule(parts, start, stop, radius, number)
    return Person(parts, colours, points)


def _parts_under(keypoint: str) -> tuple[str, ...]:
    side, _, joint = keypoint.rpartition("_")
    return tuple(f"{side}_{p}" if side and p != "torso" else p for p in ON_PARTS[joint])


def _pose(rng: np.random.Generator, facing: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The (17, 2) keypoints, the neck and the middle of the head, of a figure of height 1.

    Args:
        rng: draws the angles at the joints.
        facing: 1 if the person's left is at the right, -1 if at the left.
    """
    lean = rng.normal(0, 0.2)
    tilt = lean + rng.normal(0, 0.15)
    neck = _away(np.zeros(2), TORSO, np.pi + lean)
    head = _away(neck, HEAD + 0.035, np.pi + tilt)
    across, beside = (
        _away(np.zeros(2), 1, np.pi / 2 + lean),
        _away(np.zeros(2), 1, np.pi / 2 + tilt),
    )
    up = _away(np.zeros(2), 1, np.pi + tilt)
    at = {"nose": head - 0.01 * up}
    for name, side in (("left", facing), ("right", -facing)):
        at[f"{name}_eye"] = head + 0.036 * side * beside + 0.025 * up
        at[f"{name}_ear"] = head + HEAD * side * beside
        at[f"{name}_shoulder"] = neck + SHOULDERS * side * across
        at[f"{name}_hip"] = HIPS * side * across
        # Angles from hanging straight down, outwards.
        arm = rng.uniform(-0.2, 2.8)
        fore = arm + rng.uniform(-0.6, 1.8)
        thigh = rng.uniform(-0.1, 0.7)
        shin = thigh + rng.uniform(-0.8, 0.3)
        at[f"{name}_elbow"] = _away(at[f"{name}_shoulder"], UPPER_ARM, side * arm + lean)
        at[f"{name}_wrist"] = _away(at[f"{name}_elbow"], FOREARM, side * fore + lean)
        at[f"{name}_knee"] = _away(at[f"{name}_hip"], THIGH, side * thigh)
        at[f"{name}_ankle"] = _away(at[f"{name}_knee"], SHIN, side * shin)
    return np.array([at[name] for name in KEYPOINTS]), neck, head


def _away(start: np.ndarray, length: float, angle: float) -> np.ndarray:
    """The point `length` from `start`; angle 0 is down, and a quarter turn is to the right."""
    return start + length * np.array([np.sin(angle), np.cos(angle)])


def _place(
    rng: np.random.Generator, points: np.ndarray, neck: np.ndarray, head: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Scale and move a figure of height 1 to a random place; the last result is its height."""
    edge = np.concatenate([points, [head - HEAD, head + HEAD]])
    low, high = edge.min(0), edge.max(0)
    height = rng.uniform(0.45, 0.9) * size
    extent = (high - low) * height
    corner = rng.uniform(-MOST_CUT * extent, size - (1 - MOST_CUT) * extent)
    points, neck, head = (((p - low) * height + corner) for p in (points, neck, head))
    return points, neck, head, height


def _paint_capsule(
    parts: np.ndarray, start: np.ndarray, stop: np.ndarray, radius: float, number: int
) -> None:
    """Write `number` to the pixels whose centres are within `radius` of a line (or of a point)."""
    size = len(parts)
    ends = np.array([start, stop])
    left, top = np.clip(np.floor(ends.min(0) - radius), 0, size).astype(int)
    right, bottom = np.clip(np.ceil(ends.max(0) + radius), 0, size).astype(int)
    x = np.arange(left, right) + 0.5 - start[0]
    y = np.arange(top, bottom)[:, None] + 0.5 - start[1]
    dx, dy = stop - start
    length = max(dx * dx + dy * dy, 1e-12)
    along = np.clip((x * dx + y * dy) / length, 0, 1)
    near = (x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius**2
    parts[top:bottom, left:right][near] = number
