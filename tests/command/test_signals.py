"""Signals that tell a command to stop, where an exception would be lost."""

import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep

import pytest

from src.command.signals import answer_signals
from tests.support.command_line import ANSWERED

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    answers = {number: signal.getsignal(number) for number in ANSWERED}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, answer in answers.items():
        signal.signal(number, answer)


class Member:
    pass


class Told:
    """Empty, and whoever asks whether it is gets a signal."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __bool__(self) -> bool:
        os.kill(os.getpid(), self.number)
        return False


def out_of_a_weak_set(number: int) -> None:
    members, member = weakref.WeakSet[Member](), Member()
    members.add(member)
    members._iterating = Told(number)  # type: ignore[attr-defined]  # asked when a member has died
    del member
    assert not members.data  # type: ignore[attr-defined]  # it was taken out


def in_a_destructor(number: int) -> None:
    class Dying:
        def __del__(self) -> None:
            bool(Told(number))

    Dying()


def in_a_finalizer(number: int) -> None:
    member = Member()
    weakref.finalize(member, bool, Told(number))
    del member


@pytest.mark.parametrize("die", [out_of_a_weak_set, in_a_destructor, in_a_finalizer])
@pytest.mark.parametrize(("number", "kind"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_is_not_lost_while_an_object_dies(
    number: int, kind: type[BaseException], die: Callable[[int], None]
) -> None:
    told = answer_signals()
    die(number)  # where Python would print the exception, and go on
    assert told() == number
    with pytest.raises(kind):
        sleep(5)


def test_elsewhere_a_signal_ends_at_once() -> None:
    answer_signals()
    with pytest.raises(SystemExit) as left:
        os.kill(os.getpid(), signal.SIGTERM)
    assert left.value.code == 128 + signal.SIGTERM


@pytest.mark.parametrize("library", ["omegaconf", "hydra.types"])
@pytest.mark.parametrize("command", [["-m", "src.train"], ["bin/reslens", "train"]], ids=" ".join)
def test_ctrl_c_while_a_verb_is_imported_ends_it_without_a_traceback(
    tmp_path: Path, command: list[str], library: str
) -> None:
    for name, place in {"reslens": "src", "src": "src", "conf": "conf"}.items():
        (tmp_path / name).symlink_to(ROOT / place)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/reslens").write_text("from reslens.command.console import main; main()")  # as pip installs it
    words = [sys.executable, "-X", "importtime", *command, "--version"]
    here = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(tmp_path)}}
    with subprocess.Popen(words, **here, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not (line := process.stderr.readline()).endswith(f" {library}\n"):
            assert line, "it is never imported"
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in said
