"""What is wrong with a list of categories that can be read."""

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
