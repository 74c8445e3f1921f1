"""Commands of several processes, as torchrun, an agent of each machine, Lightning or nobody but a test starts them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

TORCHRUN = ("-m", "torch.distributed.run")


class Started:
    """Commands that belong together, each with its words behind `python`, and what they say in `said`.

    Args:
        variables: what each has in its environment besides.
    """

    def __init__(self, cwd: Path, *commands: tuple[str, ...], variables: tuple[dict[str, str], ...] = ()) -> None:
        self.outputs = [cwd / f"said_{time.monotonic_ns()}_{number}" for number in range(len(commands))]
        own = {"OMP_NUM_THREADS": "1", "TORCHELASTIC_ERROR_FILE": ""}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")} | own
        self.commands = []
        for number, (words, output) in enumerate(zip(commands, self.outputs, strict=True)):
            with output.open("wb") as file:
                self.commands.append(
                    subprocess.Popen(
                        [sys.executable, *words],
                        cwd=cwd,
                        stdout=file,
                        stderr=subprocess.STDOUT,
                        env=environment | (variables[number] if variables else {}),
                        start_new_session=True,
                    )
                )

    def __enter__(self) -> "Started":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        for command in self.commands:
            command.wait(10)
        for output in self.outputs:
            output.unlink()

    @property
    def said(self) -> str:
        return "\n".join(output.read_text(errors="replace") for output in self.outputs).strip()

    def codes(self, seconds: float = 300) -> list[int]:
        """Wait for the end of all; their exit codes."""
        end = time.monotonic() + seconds
        return [command.wait(max(0.1, end - time.monotonic())) for command in self.commands]

    def is_alive(self) -> bool:
        return any(command.poll() is None for command in self.commands)

    def processes(self) -> list[int]:
        """All that are still there, the oldest first; those that torchrun starts have sessions of their own."""
        found = {command.pid for command in self.commands if command.poll() is None}
        parents = {int(stat.parent.name): _parent(stat) for stat in Path("/proc").glob("[0-9]*/stat")}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found, key=_began)  # not by number: the numbers begin again

    def ranks(self) -> dict[int, int]:
        """The process of each rank that is there, by its environment when it was started; Lightning's first is 0."""
        found = {}
        for pid in self.processes():
            try:
                variables = dict(
                    pair.split("=", 1)
                    for pair in Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
                    if "=" in pair
                )
                words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
            except OSError:  # it has just ended
                continue
            if "src.train" in words and "torch.distributed.run" not in words:
                found.setdefault(int(variables.get("RANK") or variables.get("LOCAL_RANK") or 0), pid)
        return found


def torchrun(*words: str, processes: int = 2) -> tuple[str, ...]:
    return (*TORCHRUN, "--nproc_per_node", str(processes), "-m", "src.train", *words)


def agents(*words: str, processes: int = 1) -> list[tuple[str, ...]]:
    """The commands of two machines, which are one here."""
    port = free_port()
    meeting = ("--nnodes", "2", "--master_addr", "127.0.0.1", "--master_port", str(port))
    each = ("--nproc_per_node", str(processes), "-m", "src.train", *words)
    return [(*TORCHRUN, *meeting, "--node_rank", str(rank), *each) for rank in range(2)]


def by_hand(cwd: Path, *words: str, processes: int = 2) -> Started:
    """Processes that nobody looks after: what ends one ends the others by itself."""
    return Started(cwd, *[("-m", "src.train", *words)] * processes, variables=by_hand_meeting(processes))


def by_hand_meeting(processes: int) -> tuple[dict[str, str], ...]:
    """The variables of each."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    return tuple(shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def show_stacks(pids: Iterable[int]) -> None:
    """Let processes that were started within `stacks_shown` write where each of their threads is."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR2)
    time.sleep(1)


def stacks_shown(folder: Path) -> str:
    """A value of PYTHONPATH with which each process can be asked where it is, by `show_stacks`."""
    folder.mkdir()
    code = "import faulthandler, signal\nfaulthandler.register(signal.SIGUSR2, all_threads=True)\n"
    (folder / "sitecustomize.py").write_text(code)
    return os.pathsep.join([str(folder), str(Path.cwd())])


def _began(pid: int) -> tuple[int, int]:
    """When a process began, in ticks since the machine did (proc(5)); 0 where it has just ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]), pid
    except (OSError, ValueError):
        return 0, pid


def _parent(stat: Path) -> int:
    try:
        state, parent = stat.read_text().rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return 0
    return int(parent) if state != "Z" else 0
