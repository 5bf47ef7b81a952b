"""What is wrong with a list of categories that can be read: by itself, and beside that of training."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence


def key_of(name: str) -> str:
    """The name without what people do not see: "Dog " and "dog" are one."""
    return " ".join(name.casefold().split())


def category_problems(
    categories: Sequence[tuple[int, str]], used: Collection[int]
) -> Iterator[tuple[str, str, str]]:
    """Place, reason and detail of each problem.

    Args:
        categories: (id, name) in the order of their ids.
        used: the ids that annotations have.
    """
    first: dict[str, int] = {}
    for category_id, name in categories:
        earlier = first.setdefault(key_of(name), category_id)
        if earlier != category_id:
            detail = f"its name is {name!r}, as category {earlier}'s is"
            yield f"category {category_id}", "duplicate category name", detail
    unused = [name for category_id, name in categories if category_id not in used]
    if unused:
        detail = f"{len(unused)} of {len(categories)}: {', '.join(unused)}"
        yield "the file", "categories without objects", detail
    ids = [category_id for category_id, _ in categories]
    gaps = (ids[-1] - ids[0] + 1) - len(ids)
    if gaps:
        detail = f"{len(ids)} ids from {ids[0]} to {ids[-1]}, of which {gaps} are not used"
        yield "the file", "category ids with gaps", detail


def beside_training(
    categories: Sequence[tuple[int, str]], used: Collection[int], train: Sequence[tuple[int, str]]
) -> Iterator[tuple[str, str]]:
    """Reason and detail of what makes a split unfit to measure a network that was trained on another.

    Args:
        categories: (id, name) of the split.
        used: the ids that its annotations have.
        train: (id, name) of the split that is trained on.
    """
    name_of, id_of = dict(train), {name: category_id for category_id, name in train}
    moved = [
        f"{name!r} is {category_id} here and {id_of[name]} in train"
        for category_id, name in categories
        if id_of.get(name, category_id) != category_id
    ]
    clash = [
        f"{category_id} is {name!r} here and {name_of[category_id]!r} in train"
        for category_id, name in categories
        if name not in id_of and category_id in name_of
    ]
    if moved or clash:
        yield "category ids unlike train's", "; ".join(moved + clash)
    new = [name for category_id, name in categories if name not in id_of and category_id in used]
    if new:
        yield "categories that train does not have", ", ".join(map(repr, new))
