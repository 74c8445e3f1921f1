"""How this process finds the others of its training, or leads those that Lightning will start."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from ..errors import InputError, RunError
from .crew import Crew
from .follower import Follower
from .leader import SECONDS_TO_MEET, Leader
from .place import Place, place

ADDRESS = "RESLENS_CREW"
"""Where the first process listens: host, port and key. A variable for those that Lightning starts; for others a key of
the store at which torch.distributed meets."""

_crew: Crew = Crew(Place())


def crew() -> Crew:
    """Return the crew that this process belongs to."""
    return _crew


def join() -> Crew:
    """Join the others that have been started together with this process, if any, once; return the crew.

    Raises:
        InputError: the environment is strange.
        RunError: they can't be reached, or don't come.
    """
    global _crew  # a process has one place
    if type(_crew) is not Crew:
        return _crew
    here = place()
    if here.environment is not None and here.size > 1:
        _crew = _meet(here)
    elif here.rank > 0:
        if ADDRESS not in os.environ:
            raise InputError(f"LOCAL_RANK={here.rank} is set without RANK and WORLD_SIZE: unset it, or use torchrun")
        _crew = Follower(here, os.environ[ADDRESS])
    return _crew


def lead(size: int) -> None:
    """Lead the processes that Lightning will start, `size` together with this one, until `leading` ends.

    They get what has been shared in its block before.
    """
    global _crew
    if size > 1 and type(_crew) is Crew:  # else they have been started from outside, and are here already
        shared, _crew = _crew.shared, (leader := Leader(Place(size=size), "127.0.0.1"))
        leader.shared = [*shared]
        os.environ[ADDRESS] = leader.address


@contextmanager
def leading() -> Iterator[None]:
    """One training: join the others for it, and part at its end from those that `lead` was called for.

    A process that isn't the first has no more to do then.
    """
    global _crew
    before, code = join(), 1
    before.shared.clear()
    try:
        yield
        code = 0
        if isinstance(_crew, Follower):
            _crew.end(0)
    finally:
        before.shared.clear()
        if _crew is not before:
            _crew.end(code)
            os.environ.pop(ADDRESS, None)
            _crew = before


def _meet(here: Place) -> Crew:
    """Meet where the launcher says; the first process tells there where it listens."""
    from lightning.fabric.plugins.environments.lightning import find_free_network_port
    from torch.distributed import DistError, PrefixStore  # type: ignore[attr-defined]
    from torch.distributed.rendezvous import rendezvous

    assert here.environment is not None
    try:
        address, port = here.environment.main_address, here.environment.main_port
    except KeyError as error:  # of Kubeflow's; the others have their own words for it
        lacking = error.args[0]
        raise InputError(f"{lacking} is not set, and others of a launcher are: use torchrun or srun") from error
    os.environ |= {"MASTER_ADDR": address, "MASTER_PORT": str(port)}
    again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    try:
        with _killable():
            meeting = rendezvous("env://", here.rank, here.size, timeout=timedelta(seconds=SECONDS_TO_MEET))
            store = PrefixStore(f"reslens {again}", next(meeting)[0])
            found = Follower(here, store.get(ADDRESS).decode()) if here.rank > 0 else Leader(here, address)
        if isinstance(found, Leader):
            found.store = store
            store.set(ADDRESS, found.address)
    except (DistError, OSError, RuntimeError) as error:
        said = str(error).splitlines()[0]
        raise RunError(
            f"{here.name} can't meet the others at {address}:{port} (MASTER_ADDR, MASTER_PORT): {said}"
        ) from error
    if isinstance(found, Leader):
        found.meet()
    if again:  # torchrun keeps its store, in which torch would find the addresses of those that have died
        os.environ |= {
            "MASTER_PORT": str(found.share("port", find_free_network_port)),
            "TORCHELASTIC_USE_AGENT_STORE": "False",
        }
    return found


@contextmanager
def _killable() -> Iterator[None]:
    """Let signals end the process while it waits in torch's C++ code, where Python answers none. Nothing has begun.

    The alarm too: one that came while torch was imported is to be answered now (`src.command.signals`).
    """
    names = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP", "SIGALRM")
    before = {number: signal.getsignal(number) for name in names if (number := getattr(signal, name, None))}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
