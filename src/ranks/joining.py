"""How this process finds the others of its training, or leads those that Lightning will start."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from ..errors import InputError, RunError
from .crew import SECONDS_TO_MEET, Crew, Follower, Leader
from .place import Place, place

ADDRESS = "RESLENS_CREW"
"""Where the first process listens: host, port and key. A variable for those that Lightning starts; for others a key of
the store at which torch.distributed meets."""

_crew: Crew = Crew(Place())


def crew() -> Crew:
    """Return the crew that this process belongs to."""
    return _crew


def join() -> Crew:
    """Join the others that have been started together with this process, if any; return the crew.

    Raises:
        RunError: they can't be reached, or don't come.
    """
    global _crew  # a process has one place
    here = place()
    if here.environment is not None and here.size > 1:
        _crew = _meet(here)
    elif here.rank > 0:
        if ADDRESS not in os.environ:
            raise InputError(f"LOCAL_RANK={here.rank} is set without RANK and WORLD_SIZE: unset it, or use torchrun")
        _crew = Follower(here, os.environ[ADDRESS])
    return _crew


def lead(size: int) -> None:
    """Lead the processes that Lightning will start, `size` together with this one, until `leading` ends."""
    global _crew
    if size > 1 and type(_crew) is Crew:  # else they have been started from outside, and are here already
        _crew = leader = Leader(Place(size=size), "127.0.0.1")
        os.environ[ADDRESS] = leader.address


@contextmanager
def leading() -> Iterator[None]:
    """Part at the end of the block: from those that `lead` was called for, or as one of the others from the first."""
    global _crew
    before, code = _crew, 1
    try:
        yield
        code = 0
        if isinstance(_crew, Follower):
            _crew.end(0)
    finally:
        if _crew is not before:
            _crew.end(code)
            os.environ.pop(ADDRESS, None)
            _crew = before


def _meet(here: Place) -> Crew:
    """Meet where the launcher says; the first process tells there where it listens."""
    from torch.distributed import DistError, PrefixStore  # type: ignore[attr-defined]
    from torch.distributed.rendezvous import rendezvous

    assert here.environment is not None
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = (
        here.environment.main_address,
        str(here.environment.main_port),
    )
    at = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        meeting = rendezvous("env://", here.rank, here.size, timeout=timedelta(seconds=SECONDS_TO_MEET))
        store = PrefixStore("reslens", next(meeting)[0])
        if here.rank > 0:
            return Follower(here, store.get(ADDRESS).decode())
        leader = Leader(here, os.environ["MASTER_ADDR"])
        leader.store = store
        store.set(ADDRESS, leader.address)
    except (DistError, OSError, RuntimeError) as error:
        said = str(error).splitlines()[0]
        raise RunError(f"{here.name} can't meet the others at {at} (MASTER_ADDR, MASTER_PORT): {said}") from error
    leader.meet()
    return leader
