"""A picture decoded in a process of its own: whatever it does, this one goes on."""

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from src.data.apart import decoded_apart
from src.data.images import UnreadableImageError
from src.data.processes import fork_context

pytestmark = pytest.mark.skipif(fork_context() is None, reason="without fork it is the same process")

MEMORY = 200 << 20


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def fail() -> np.ndarray:
    raise UnreadableImageError("empty file")


def hang() -> np.ndarray:
    time.sleep(60)
    return np.zeros(1)


def grow() -> np.ndarray:
    return np.ones(MEMORY // 4, dtype=np.uint64)


def crash() -> np.ndarray:
    os.kill(os.getpid(), signal.SIGSEGV)
    return hang()


def vanish() -> np.ndarray:
    os.kill(os.getpid(), signal.SIGKILL)
    return hang()


def test_the_array_comes_back_from_another_process() -> None:
    image = np.random.default_rng(1).integers(0, 256, (3, 500, 400), dtype=np.uint8)
    assert np.array_equal(decoded_apart(lambda: image, 20, MEMORY), image)
    assert decoded_apart(lambda: np.array(os.getpid()), 20, MEMORY) != os.getpid()


REASONS = {
    fail: "empty file",
    hang: "takes over 0.5 s to decode",
    grow: "too large for the memory",
    crash: "crashes its decoder (SIGSEGV)",
    vanish: "its process was killed (signal 9)",
    lambda: 1 / 0: "cannot be decoded: division by zero",
}


@pytest.mark.parametrize("work", REASONS)
def test_what_goes_wrong_has_a_reason_and_nothing_stays_behind(work) -> None:
    before, files = children(), open_files()
    with pytest.raises(UnreadableImageError) as caught:
        decoded_apart(work, 0.5 if work is hang else 20, MEMORY)
    assert caught.value.reason == REASONS[work]
    assert children() <= before
    assert open_files() <= files


def test_a_connection_that_ends_meanwhile_is_not_kept_open() -> None:
    def wait() -> None:
        with suppress(UnreadableImageError):
            decoded_apart(hang, 3, MEMORY)

    ours, visitors = socket.socketpair()
    with ours, visitors:
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(1)
        ours.close()
        visitors.settimeout(1)
        assert visitors.recv(1) == b""
        thread.join()


def test_many_threads_at_once_all_get_their_own() -> None:
    found: dict[int, int] = {}

    def ask(number: int) -> None:
        for _ in range(10):
            found[number] = int(decoded_apart(lambda: np.array(number), 20, MEMORY))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number for number in range(6)}
