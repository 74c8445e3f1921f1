"""Locks on folders, and the processes that have one."""

import os
from pathlib import Path

from src.files import locked


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_grandchild_keeps_the_file_that_has_the_number_of_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path):
        child = os.fork()
        if child == 0:
            null = os.open(os.devnull, os.O_RDONLY)
            grandchild = os.fork()
            if grandchild == 0:
                try:
                    os.read(null, 1)
                except OSError:
                    os._exit(1)
                os._exit(0)
            os._exit(exit_code(grandchild))
        assert exit_code(child) == 0
