"""The processes of a training: what the first hands out, and how all end with one. The others are real processes."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

import pytest

from src.errors import InputError, RunError
from src.ranks import leader as leaders
from src.ranks.crew import Crew
from src.ranks.leader import Leader
from src.ranks.place import Place

FOLLOW = """
import sys, time
from src.ranks.follower import Follower
from src.ranks.place import Place
rank, size, machine = map(int, sys.argv[2:5])
crew = Follower(Place(rank, size, machine, 0 if machine else rank), sys.argv[1])
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def leader(request: pytest.FixtureRequest) -> Iterator[Leader]:
    first = Leader(Place(size=getattr(request, "param", 2)), "127.0.0.1")
    yield first
    first.end(0)


@pytest.fixture
def start(leader: Leader) -> Iterator[Start]:
    """Start a process that joins and then runs the code given."""
    begun = []

    def started(code: str, rank: int = 1, machine: int = 0) -> "subprocess.Popen[str]":
        words = [leader.address, str(rank), str(leader.place.size), str(machine)]
        process = subprocess.Popen([sys.executable, "-c", FOLLOW + code, *words], stdout=subprocess.PIPE, text=True)
        begun.append(process)
        return process

    yield started
    for process in begun:
        process.kill()
        process.communicate()


def test_a_process_alone_shares_with_nobody() -> None:
    alone = Crew(Place())
    assert alone.share("words", lambda: ["a"]) == ["a"]
    with alone.answering():
        pass


def test_what_the_first_makes_comes_to_all_in_order(leader: Leader, start: Start) -> None:
    """To those that have come, and to those that come later."""
    code = "print(crew.share('a', None), crew.share('b', None)); crew.end(0)"
    early = start(code)
    leader.meet()
    leader.share("a", lambda: [1, "ä"])
    late = start(code, rank=2)
    leader.share("b", lambda: {"b": None})
    for process in (early, late):
        assert process.communicate(timeout=30)[0].strip() == "[1, 'ä'] {'b': None}"
        assert process.returncode == 0
    assert leader._ended is None


@pytest.mark.parametrize("leader", [3], indirect=True)
def test_another_machine_is_ready_before_its_processes_go_on(leader: Leader, start: Start) -> None:
    """One of them adopts what the first has found, a download say; the first doesn't adopt its own."""
    adopting = "print(crew.share('images', None, lambda value: (time.sleep(0.5), print('adopted', value))))"
    here, there = start(adopting, rank=1), start(adopting, rank=2, machine=1)
    leader.meet()
    assert leader.machines == 2
    began = time.monotonic()
    leader.share("images", lambda: 7, print)
    assert time.monotonic() - began >= 0.5
    assert here.communicate(timeout=30)[0].split("\n")[0] == "7"
    assert there.communicate(timeout=30)[0].split("\n")[:2] == ["adopted 7", "7"]


@pytest.mark.parametrize("code", [0, 1, 2, 143])
def test_the_others_end_as_the_first_does(code: int, leader: Leader, start: Start) -> None:
    """Whatever they are waiting for."""
    waiting = [start("time.sleep(60)", 1), start("crew.share('words', None)", 2)]
    until(lambda: len(leader._others) == 2)
    leader.end(code)
    assert [process.wait(timeout=10) for process in waiting] == [code, code]


def test_the_others_end_when_the_first_is_killed() -> None:
    lead = "from src.ranks.leader import *; l = Leader(Place(size=2), '127.0.0.1'); print(l.address, flush=True); "
    with subprocess.Popen([sys.executable, "-c", lead + "time.sleep(60)"], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        words = [FOLLOW + "print('here', flush=True); time.sleep(60)", first.stdout.readline().strip(), "1", "2", "0"]
        with subprocess.Popen([sys.executable, "-c", *words], stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "here\n"
            first.kill()
            assert other.wait(timeout=10) == 1


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("crew.end(1, 'the loss is not finite', 'Traceback')", RunError, "the loss is not finite"),
        ("crew.end(2, 'no images here')", InputError, "no images here"),
        ("crew.end(143)", SystemExit, "143"),
        ("crew.end(130)", KeyboardInterrupt, "^$"),
        (
            "import os; os.kill(os.getpid(), 9)",
            RunError,
            r"process 2 of 2 \(pid \d+ on .*\) was killed, or has crashed",
        ),
    ],
)
def test_what_ended_another_is_raised_in_place_of_what_follows_from_it(code, kind, words, leader, start) -> None:
    start(code)
    until(lambda: leader._ended is not None)
    with pytest.raises(kind, match=words), leader.answering():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1")


def test_an_error_waits_a_moment_for_the_news_that_another_is_gone(leader: Leader, start: Start) -> None:
    start("time.sleep(0.3); crew.end(1, 'why')")
    until(lambda: len(leader._others) == 1)
    with pytest.raises(RunError, match="why"), leader.answering():
        raise RuntimeError("Connection closed by peer")


def test_an_error_of_its_own_stays(leader: Leader, start: Start) -> None:
    start("time.sleep(60)")
    until(lambda: len(leader._others) == 1)
    with pytest.raises(RunError, match="mine"), leader.answering():
        raise RunError("mine")


def test_one_that_has_done_its_work_ends_nobody(leader: Leader, start: Start) -> None:
    assert start("crew.end(0)").wait(timeout=30) == 0
    time.sleep(0.2)
    assert leader._ended is None


def test_a_first_process_that_hangs_is_ended_with_the_others(tmp_path) -> None:
    """As in a collective of NCCL's, which waits for the dead: the record is written, in a thread, and the line said."""
    script = f"""
import subprocess, sys, time
from src.ranks import leader as leaders
from src.ranks.leader import Leader
from src.ranks.place import Place
leaders.SECONDS_TO_END = 0.5
leader = Leader(Place(size=2), "127.0.0.1")
dies = {FOLLOW!r} + "import os; os.kill(os.getpid(), 9)"
other = subprocess.Popen([sys.executable, "-c", dies, leader.address, "1", "2", "0"])
with leader.answering(lambda ended: open({str(tmp_path / "record")!r}, "w").write(ended.message) == 0):
    time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: process 2 of 2 (")
    assert done.stderr.count("\n") == 1
    assert "was killed" in (tmp_path / "record").read_text()


def test_who_does_not_have_the_key_says_nothing(leader: Leader) -> None:
    host, port, _ = leader.address.split()
    with pytest.raises(AuthenticationError):
        Client((host, int(port)), authkey=b"another")
    assert leader._ended is None


def test_one_of_another_training_ends_nothing_here(leader: Leader, start: Start) -> None:
    """It was told to meet at the same place, and has a rank that is taken."""
    own = start("print(crew.share('words', None)); crew.end(0)")
    leader.meet()
    assert start("crew.share('words', None)").wait(timeout=30) == 1
    leader.share("words", lambda: 5)
    assert own.communicate(timeout=30)[0].strip() == "5"
    assert leader._ended is None


def test_processes_that_do_not_come_are_named(leader: Leader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaders, "SECONDS_TO_MEET", 0.2)
    with pytest.raises(RunError, match="only 1 of 2 processes came"):
        leader.meet()


def test_a_follower_says_nothing_of_what_follows_from_anothers_end(leader: Leader, start: Start) -> None:
    """Its own error waits for the first, which ends it."""
    process = start("with crew.answering(): raise RuntimeError('gloo: Connection closed by peer')")
    until(lambda: len(leader._others) == 1)
    leader.end(1)
    assert process.wait(timeout=10) == 1
    assert leader._ended is None


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
