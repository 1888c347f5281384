"""Lists by `page` and `size`, beside `limit` and `offset`."""

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query

from api.problems import Problem
from tuneyard.shapes import NumberedPage, Page

Item = TypeVar("Item")


@dataclass(frozen=True)
class Numbers:
    """Which page was asked for."""

    page: int
    size: int

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.size

    def of(self, found: Page[Any], items: list[Item]) -> NumberedPage[Item]:
        """That page; `items` are the found ones as they are to be shown."""
        return NumberedPage(items=items, total=found.total, page=self.page, size=self.size)


def _asked(
    page: Annotated[int | None, Query(ge=1, le=2**40, description="From 1 on; together with `size`.")] = None,
    size: Annotated[int | None, Query(ge=1, le=100, description="In place of `limit`.")] = None,
) -> Numbers | None:
    if page is not None and size is not None:
        return Numbers(page, size)
    if page is not None or size is not None:
        raise Problem(400, "page and size are asked for together", field="size" if size is None else "page")
    return None


NumbersDep = Annotated[Numbers | None, Depends(_asked)]
