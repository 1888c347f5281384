"""A trainer for the memory tests, `python -m tests.memory_fixtures <folder>`: has room for so many rows at a time.

It goes from step 1 to 6, keeps each step that it has done in folder/steps, and runs out of memory at step 3.
"""

from __future__ import annotations

from typing import Any

from tasks.child import Order, serve
from tuneyard.errors import OutOfMemory


def train(order: Order) -> dict[str, Any]:
    batch, room = order.plan["batch"], order.plan["room"]
    steps = order.folder / "steps"
    done = len(steps.read_text().splitlines()) if steps.exists() else 0
    for step in range(done + 1, 7):
        if step >= 3 and batch["micro"] > room:
            raise OutOfMemory(f"the card's memory does not hold {batch['micro']} rows")
        with steps.open("a") as file:
            file.write(f"{step} {batch['micro']}x{batch['accumulation']}\n")
    return {"steps": steps.read_text().splitlines()}


if __name__ == "__main__":
    serve(train)
