"""Gives a job its cards: a lock on a file per GPU UUID, after NVML shows that nobody else computes there.

    folder/<uuid>.lock        locked by the process that has the card; says for which job and since when
    folder/line/<number>      locked by a process that waits; says for which job and how many cards
    folder/turn.lock          held for the moment in which one of them looks and takes

The kernel drops every lock at its holder's death, SIGKILL included. Children do not inherit one: the trainer dies with
its flow, and should a process of it live on, NVML shows it on the card, which keeps the card out of use until it is
gone. A lock that such a process had inherited would hold the card as well for one that never touches it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from tasks.gpu import GIB, CardUse, GpusUnreadable, NoGpu, read_uses
from tasks.turns import Slot, Ticket, grants, wait_reason
from tuneyard.errors import BadInput

VISIBLE = "CUDA_VISIBLE_DEVICES"
# More than a desktop takes: NVML in a container shows what processes of other containers use, but not them.
HIDDEN_LIMIT = 4 * GIB


@dataclass(frozen=True)
class Lease:
    """The cards of one job, its own until the `with` block ends.

    Attributes:
        uuids: None of them: the work is done on the CPU.
        words: Which cards, or why there are none: for the log.
        used_before: Bytes in use on each card before the job's first process.
    """

    uuids: tuple[str, ...]
    words: str
    used_before: tuple[int, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """What a child process needs to see these cards and no other."""
        return {VISIBLE: ",".join(self.uuids)}

    def pids(self) -> list[int]:
        """The processes that compute on the cards now, as NVML numbers them."""
        return sorted({process.pid for use in self.uses() for process in use.processes})

    def uses(self) -> list[CardUse]:
        """What is on the cards now; a card that has vanished is not among them. Raises NoGpu as `read_uses`."""
        return [use for use in read_uses() if use.uuid in self.uuids] if self.uuids else []


@contextmanager
def lease_cards(
    count: int, folder: Path, *, job: str, tell: Callable[[str | None], None], wait: Callable[[], None]
) -> Iterator[Lease]:
    """As many cards as asked for, all or none, for the length of a `with` block.

    A host without a card, and a count of 0, give an empty lease at once: the CPU. Where the process has
    CUDA_VISIBLE_DEVICES set, only the cards named there are its to take.

    Args:
        folder: TUNEYARD_HOME/gpus; made if need be.
        job: Who asks, for those who wait.
        tell: Called with why the job waits whenever that changes, and with None when it no longer does.
        wait: Called between two looks; sleeps for about a second. An exception out of it gives up the place.

    Raises:
        BadInput: more cards than there are here, so that this can never run.
    """
    if count == 0:
        yield Lease((), "on the CPU, as the config asks (gpus: 0)")
        return
    tell_news = _only_news(tell)
    try:
        uuids = _reachable(count, tell_news, wait)
    except NoGpu as none:
        if count > 1:
            raise BadInput(f"{count} GPUs are asked for, and there is {none}", field="gpus") from None
        yield Lease((), f"on the CPU: {none}")
        return
    with ExitStack() as held:
        line = _Line(folder, job, count, uuids)
        yield line.stand(held, tell_news, wait)


def _only_news(tell: Callable[[str | None], None]) -> Callable[[str | None], None]:
    last: str | None = None

    def tell_news(reason: str | None) -> None:
        nonlocal last
        if reason != last:
            last = reason
            tell(reason)

    return tell_news


def _reachable(count: int, tell: Callable[[str | None], None], wait: Callable[[], None]) -> list[str]:
    """The cards that this process may ever take.

    Where they are too few it looks again, for a card that is being reset is away for a moment, and raises BadInput.
    """
    looked = False
    while True:
        try:
            uuids = visible([use.uuid for use in read_uses()], os.environ.get(VISIBLE))
        except GpusUnreadable as error:
            tell(f"waiting for {_gpus(count)}: {error}")
            wait()
            continue
        if not uuids:
            raise NoGpu(f"no GPU here for this process: {VISIBLE} is {os.environ[VISIBLE]!r}")
        if count > 1:
            uuids = [uuid for uuid in uuids if not uuid.startswith("MIG-")]  # CUDA gives a process one slice
        if len(uuids) >= count:
            return uuids
        if looked:
            raise BadInput(
                f"{count} GPUs are asked for, and this process can have {len(uuids)} here: "
                "it can never run on this host",
                field="gpus",
            )
        looked = True
        tell(f"waiting for {count} GPUs: this host shows {len(uuids)}")
        wait()


def visible(uuids: Sequence[str], setting: str | None) -> list[str]:
    """Those of a host's cards that CUDA_VISIBLE_DEVICES names: by UUID, by its beginning, or by number in bus order."""
    if setting is None:
        return list(uuids)
    names = [name.strip() for name in setting.split(",")]
    return [
        uuid
        for index, uuid in enumerate(uuids)
        if any(name == str(index) or (len(name) > 4 and uuid.startswith(name)) for name in names)
    ]


class _Line:
    """One job's place in the line, and its looks at the cards.

    Every look happens under one lock, so that two processes never try the same card's lock at the same time.
    """

    def __init__(self, folder: Path, job: str, count: int, uuids: Sequence[str]) -> None:
        self._folder = folder
        self._job = job
        self._count = count
        self._may = frozenset(uuids)
        (folder / "line").mkdir(parents=True, exist_ok=True)

    def stand(self, held: ExitStack, tell: Callable[[str | None], None], wait: Callable[[], None]) -> Lease:
        """Waits for its turn; the locks of its cards go to `held`."""
        with ExitStack() as place:
            ticket = self._draw(place)
            while True:
                found = self._look(ticket, held)
                if isinstance(found, Lease):
                    tell(None)
                    return found
                tell(found)
                wait()

    def _draw(self, place: ExitStack) -> Ticket:
        with self._turn():
            number = 1 + max((ticket.number for ticket in self._tickets()), default=0)
            file = _lock(self._ticket_file(number))
            assert file is not None, "tickets are drawn one at a time"
            place.enter_context(file)
            _write(file, {"job": self._job, "count": self._count, "may": sorted(self._may)})
        return Ticket(number, self._job, self._count, self._may)

    def _look(self, ticket: Ticket, held: ExitStack) -> Lease | str:
        """The lease, if it is this ticket's turn; else why it waits."""
        try:
            uses = {use.uuid: use for use in read_uses() if use.uuid in self._may}
        except NoGpu as error:
            return f"waiting for {_gpus(self._count)}: {error}"
        with self._turn():
            locks = {uuid: lock for uuid in uses if (lock := _lock(self._card_file(uuid)))}
            try:
                slots = [self._slot(use, is_held=use.uuid not in locks) for use in uses.values()]
                line = self._tickets()
                mine = grants(line, slots)[ticket.number]
                if len(mine) < ticket.count:
                    return wait_reason(ticket, line, slots)
                for uuid in mine:
                    held.enter_context(lock := locks.pop(uuid))
                    _write(lock, {"job": self._job, "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"})
                self._ticket_file(ticket.number).unlink()
            finally:
                for lock in locks.values():
                    lock.close()
        return Lease(
            tuple(mine), f"on {', '.join(mine)}", tuple(uses[uuid].memory_used or 0 for uuid in mine)
        )

    def _slot(self, use: CardUse, *, is_held: bool) -> Slot:
        if use.error:
            return Slot(use.uuid, fault=f"cannot be used: {use.error}")
        if is_held:
            holder = json.loads(self._card_file(use.uuid).read_text())
            return Slot(use.uuid, holder=f"is held by job {holder['job']} since {holder['since']}")
        return Slot(use.uuid, fault=_foreign(use))

    def _tickets(self) -> list[Ticket]:
        """Those who wait, first come first; what the dead have left is cleared away."""
        line = []
        for number in sorted(int(file.name) for file in (self._folder / "line").iterdir()):
            file = self._ticket_file(number)
            if (abandoned := _lock(file)) is not None:
                file.unlink()
                abandoned.close()
                continue
            said = json.loads(file.read_text())
            line.append(Ticket(number, said["job"], said["count"], frozenset(said["may"])))
        return line

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with (self._folder / "turn.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _ticket_file(self, number: int) -> Path:
        return self._folder / "line" / str(number)

    def _card_file(self, uuid: str) -> Path:
        return self._folder / f"{uuid.replace('/', '_')}.lock"  # old drivers' MIG names have a slash


def _lock(path: Path) -> TextIOWrapper | None:
    """The open file with its lock, None where another has that. Python opens files so that children get none."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _write(file: TextIOWrapper, words: dict[str, Any]) -> None:
    file.truncate(0)
    file.write(json.dumps(words))
    file.flush()


def _foreign(use: CardUse) -> str | None:
    """Why a card that nobody has leased is no card to take."""
    if use.processes:
        return f"has a foreign process ({process_words(use)})"
    if (use.memory_used or 0) > HIDDEN_LIMIT:
        return f"has {gib_words(use.memory_used)} in use by a process that cannot be seen from here"
    return None


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def process_words(use: CardUse) -> str:
    """The processes of a card, as a person reads them."""
    return "; ".join(f"pid {process.pid}, {gib_words(process.memory)}" for process in use.processes)


def gib_words(size: int | None) -> str:
    """Bytes as GiB."""
    return "memory unknown" if size is None else f"{size / GIB:.1f} GiB"
