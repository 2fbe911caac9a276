"""A test of a part is selected by the part's id (``-k kv-cache``) or stem (``-k kv_cache``)."""

import pytest

from groundup.course.parts.table import Part


def pytest_itemcollected(item: pytest.Item) -> None:
    part = item.callspec.params.get("part") if hasattr(item, "callspec") else None
    if isinstance(part, Part):
        item.extra_keyword_matches |= {part.id, part.stem}
