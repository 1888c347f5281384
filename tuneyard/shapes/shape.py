"""What shapes are: read leniently, sent strictly, listed by the page."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """What is read. A field that a newer server adds is ignored by an older client."""

    model_config = ConfigDict(protected_namespaces=(), from_attributes=True)


class Request(BaseModel):
    """What is sent. An unknown field is refused by name."""

    model_config = ConfigDict(
        protected_namespaces=(), extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )


Item = TypeVar("Item")


class Page(Shape, Generic[Item]):
    """One page of a list, and how many there are in all."""

    items: list[Item]
    total: int
    limit: int
    offset: int

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from tuneyard.notebook import page_html

        return page_html(self.items, self.total, self.offset)
