"""Configurations and run folders of a stranger's imagination, given to every verb.

`python -m tests.support.fuzzing 600` runs for 600 seconds and ends with exit code 1 and the case at the first one after
which a file outside of the run has changed, a process was started, the memory has grown by more than 2 GB, a refusal
took more than one line, or a case took a minute. Files and processes are watched by an audit hook and, in case
something passes it by, by comparing all that may not change.
"""

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

MOST_MEMORY = 2 * 2**30
LONGEST = 60
TINY = (
    "data=digits", "model=simple_cnn", "model.width=4", "trainer=cpu", "trainer.max_epochs=1", "data.max_images=60",
    "data.num_workers=0", "cost=false", "baseline=false",
)  # fmt: skip

PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")
WRITES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
)


class TimeIsUpError(BaseException):
    """The end of the time, which is no failure."""


class Watch:
    """What Python does, told by an audit hook: writing outside of `inside`, and starting processes."""

    def __init__(self, inside: Path) -> None:
        self.inside = str(inside)
        self.seen: list[str] = []
        self.on = False
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in PROCESSES and "git" not in str(args):  # provenance asks it for the commit
            self.seen.append(f"{event} {str(args)[:200]}")
        elif event == "open" and len(args) == 3:
            path, mode, flags = args
            writes = bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) or (mode and set(mode) & set("wax+"))
            if writes:
                self._look(event, path)
        elif event.startswith(WRITES):
            made = args[1:2] if event in ("os.link", "os.symlink") else args[: 2 if event == "os.rename" else 1]
            numbers = [number for number in args[2 if event == "os.rename" else 1 :] if isinstance(number, int)]
            for number, path in enumerate(made):  # the last numbers are descriptors of folders, or -1
                folder = numbers[number - len(made)] if len(numbers) >= len(made) and event != "os.chmod" else -1
                self._look(event, path, folder)

    def _look(self, event: str, path: Any, folder: int = -1) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str | os.PathLike) or str(path).startswith("/dev/"):
            return
        if folder >= 0 and event != "os.truncate":
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)  # noqa: PTH115, PTH118
        folder_of, name = os.path.split(os.path.abspath(path))  # noqa: PTH100  # of a link itself
        where = f"{os.path.realpath(folder_of)}/{name}/"
        if not where.startswith(f"{self.inside}/") or (os.path.islink(path) and event == "open"):  # noqa: PTH114
            self.seen.append(f"{event} {path}")


# Words --------------------------------------------------------------------------------------------------------------

NAMES = (
    "os.system", "shutil.copy", "subprocess.Popen", "builtins.exec", "lightning.pytorch.callbacks.ModelCheckpoint",
    "lightning.pytorch.callbacks.EarlyStopping", "lightning.pytorch.callbacks.Timer",
    "src.callbacks.gradcam.GradCAMCallback", "lightning.pytorch.callbacks.OnExceptionCheckpoint",
    "lightning.pytorch.loggers.CSVLogger", "planted.f", "lightning.pytorch.loggers.TensorBoardLogger",
    "lightning.pytorch.loggers.WandbLogger", "optuna.samplers.TPESampler",
)  # fmt: skip
KEYS = (
    "_target_", "_args_", "_partial_", "dirpath", "filename", "save_dir", "name", "version", "prefix", "sub_dir",
    "monitor", "src", "dst", "command", "images", "duration", "storage", "custom_search_space", "params", "sampler",
    "n_jobs", "setup", "x", "a", "None", "0",
)  # fmt: skip
PLACES = (
    "seed", "monitor", "sweep", "weights", "resume", "study", "quick", "checkpoint_every", "data", "data.root",
    "data.name", "data.image_size", "data.augment", "model", "model.name", "model.width", "model.weights", "trainer",
    "trainer.plugins", "trainer.profiler", "trainer.strategy", "trainer.max_time", "trainer.model_registry",
    "optimizer", "optimizer.lr", "scheduler", "callbacks", "callbacks.x", "callbacks.gradcam",
    "callbacks.gradcam.images", "logger", "logger.x", "logger.tensorboard", "hydra", "hydra.mode", "hydra.run",
    "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.output_subdir", "hydra.job.name",
    "hydra.job.num", "hydra.job.env_set", "hydra.job.chdir", "hydra.callbacks.x", "hydra.sweeper",
    "hydra.sweeper.params", "hydra.launcher", "hydra.verbose", "hydra.overrides.task", "hydra.searchpath",
    "hydra.job_logging.handlers.file.filename", "hydra.runtime.output_dir", "hydra.help.template", "payload",
    "payload.a",
)  # fmt: skip
PARTS = (
    "${", "}", ":", ".", ",", "'", '"', '\\', "$", "{", "a", "payload", "oc.env", "oc.create", "oc.decode",
    "oc.select", "HOME", "hydra", "now", "%Y", "hex", "4", "full_or_quick", "package", "settings",
    "hydra.output_subdir", "payload.a", "\n", "\x1b[2J", " ", "../", "/", "canary", "_target_", "1e999", "*", "&",
    "~", "é", "\u202e",
)  # fmt: skip

references = st.sampled_from(
    ("${oc.env:HOME}", "${oc.create:${payload.a}}", "${payload}", "${payload.${hydra.output_subdir}}", "${data.root}",
     "${${payload.a}:HOME}", "${hydra.run.dir}", "${hex:9999999999}", "${now:%9999999Y}", "${.x}", "${..a}", "${seed}")
)  # fmt: skip
words = st.one_of(
    references,
    st.sampled_from(NAMES),
    st.sampled_from(
        ("canary", "../canary", "/OUTSIDE/canary", "/OUTSIDE", "../../x", "/", "-", "~", "interval(0,1)", "1,2")
    ),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=8).map("".join),
    st.text(max_size=12),
)
values = st.recursive(
    st.one_of(words, words, st.none(), st.booleans(), st.integers(), st.floats(), st.just(10**400), st.just(-1)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=4)), inner, max_size=4),
    ),
    max_leaves=8,
)
choices = st.sampled_from(
    ("override /hydra/launcher: joblib", "override /model: resnet18", "override /logger: none",
     "override /callbacks: none", "/../outside", "//OUTSIDE/outside", "override /hydra/job_logging: default",
     "/data: null", "override /data: mnist",
     "override /scheduler: ${oc.env:HOME}")
)  # fmt: skip
experiments = st.fixed_dictionaries(
    {"set": st.lists(st.tuples(st.sampled_from(PLACES), values), min_size=1, max_size=4)},
    optional={"defaults": st.lists(choices, max_size=2)},
)
changes = st.one_of(
    st.tuples(st.just("bytes"), st.floats(0, 1), st.binary(max_size=24)),
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(st.just("value"), st.integers(0, 400), values),
    st.tuples(st.just("laughs"), st.integers(2, 9)),
    st.tuples(st.just("nested"), st.sampled_from((10, 1000, 100_000))),
    st.tuples(st.just("sparse"), st.sampled_from((2**21, 2**27, 2**33))),
    st.tuples(st.just("link"), st.sampled_from(("canary", "folder/canary", "missing", "..", "/dev/zero"))),
    st.tuples(st.just("pipe")),
    st.tuples(st.just("folder")),
    st.tuples(st.just("twice"), st.sampled_from((10, 100_000))),
)


# Cases --------------------------------------------------------------------------------------------------------------


def write_experiment(case: dict[str, Any], file: Path, outside: Path) -> str:
    content: dict[str, Any] = {"defaults": case["defaults"]} if "defaults" in case else {}
    for place, value in case["set"]:
        *above, last = place.split(".")
        node = content
        for key in above:
            node = node.setdefault(key, {}) if isinstance(node.setdefault(key, {}), dict) else {}
        node[last] = value
    text = yaml.safe_dump(content, allow_unicode=True).replace("OUTSIDE", str(outside).lstrip("/"))
    file.write_text(f"# @package _global_\n{text}", errors="replace")
    return text


def change(file: Path, how: tuple[Any, ...], outside: Path) -> None:
    """Change a file of a run folder as a stranger might."""
    kind, *rest = how
    content = file.read_bytes() if file.stat().st_size < 2**26 else b""  # one that was made large before
    if kind == "bytes":
        at = int(rest[0] * len(content))
        file.write_bytes(content[:at] + rest[1] + content[at + len(rest[1]) :])
    elif kind == "cut":
        file.write_bytes(content[: int(rest[0] * len(content))])
    elif kind == "value":
        file.write_bytes(_with_value(file, content, *rest))
    elif kind == "laughs":
        lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
        lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, rest[0])]
        file.write_bytes(content + "\n".join(lines).encode())
    elif kind == "nested":
        file.write_bytes(b"[" * rest[0] + b"]" * rest[0])
    elif kind == "sparse":
        os.truncate(file, rest[0])
    elif kind == "twice":
        file.write_bytes(content * min(rest[0], 2**26 // max(len(content), 1)))
    else:
        file.unlink()
        if kind == "link":
            file.symlink_to(rest[0] if rest[0].startswith(("/", ".")) else outside / rest[0])
        elif kind == "pipe":
            os.mkfifo(file)
        else:
            file.mkdir()


def _with_value(file: Path, content: bytes, number: int, value: Any) -> bytes:
    """Return a JSON, YAML or CSV file with one of its values replaced; any other as it is."""
    if file.suffix == ".csv":
        cells = content.decode(errors="replace").split(",")
        cells[number % len(cells)] = str(value)
        return ",".join(cells).encode(errors="replace")
    if file.suffix not in (".json", ".yaml"):
        return content
    tree = {"root": yaml.safe_load(content)}
    spots: list[tuple[Any, Any]] = []
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, inner in pairs:
            spots.append((node, key))
            waiting.append(inner)
    node, key = spots[number % len(spots)]
    node[key] = value
    dump: Callable[[Any], str] = json.dumps if file.suffix == ".json" else yaml.safe_dump
    return dump(tree["root"]).encode(errors="replace")


def commands(run: Path, verb: str) -> tuple[str, list[str]]:
    """Return the verb and its words for a run folder."""
    out = f"output={run.parent / 'out'}"
    return {
        "resume": ("train", [f"resume={run}", "trainer.max_epochs=2"]),
        "report": ("report", [f"runs={run.parent}", out]),
        "evaluate": ("evaluate", [f"checkpoint={run}", out]),
        "predict": ("predict", [f"checkpoint={run}", "images=test", out]),
        "explain": ("explain", [f"checkpoint={run}", "max_images=1", out]),
        "export": ("export", [f"checkpoint={run}", "format=torch_export", "max_images=2", out]),
        "weights": ("train", [*TINY, f"weights={run}", f"hydra.run.dir={run.parent / 'new'}"]),
    }[verb]


def snapshot(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Return all that is in a folder, so that any change shows."""
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_size, path.read_text() if path.is_file() else "")
        for path in sorted(folder.rglob("*"))
    }


class Fuzzer:
    """One folder to play in, one that must not change, and the commands of ResLens in this process."""

    def __init__(self, root: Path) -> None:
        from src.settings import composing
        from tests.support.command_line import run_here

        self.run_here = run_here
        self.work, self.outside = root / "work", root / "outside"
        (self.outside / "folder").mkdir(parents=True)
        (self.work / "tmp").mkdir(parents=True)
        for file in ("canary", "folder/canary", "outside.yaml"):
            (self.outside / file).write_text("a: mine\n")
        os.environ |= {
            "RESLENS_CACHE": str(self.work / "cache"),
            "TMPDIR": str(self.work / "tmp"),
            "HOME": str(self.outside),
        }
        tempfile.tempdir = None
        shutil.copytree(composing.CONF, self.work / "conf")
        composing.CONF = self.work / "conf"
        self.template = self.work / "template"
        result = run_here(*TINY, f"hydra.run.dir={self.template}", cwd=self.work)
        assert result.returncode == 0, result.stderr
        for verb in ("report", "evaluate", "predict", "explain", "export", "weights", "resume"):  # imports, caches
            name, arguments = self.prepare_run([], verb)
            run_here(*arguments, cwd=self.work, verb=name)
        self.before = snapshot(self.outside)
        self.watch = Watch(self.work)
        self.base = self._memory()
        self.cases = self.refused = 0
        self.tracebacks: dict[str, str] = {}

    def _memory(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def judge(self, case: str, verb: str, arguments: Sequence[str]) -> None:
        began, self.watch.on, self.watch.seen = time.monotonic(), True, []
        try:
            result = self.run_here(*arguments, cwd=self.work, verb=verb)
        finally:
            self.watch.on = False
        self.cases += 1
        self.refused += result.returncode == 2
        wrong = list(self.watch.seen)
        if snapshot(self.outside) != self.before:
            wrong.append("a file outside has changed")
        if self._memory() - self.base > MOST_MEMORY:
            wrong.append(f"memory grew by {(self._memory() - self.base) / 2**30:.1f} GiB")
        if time.monotonic() - began > LONGEST:
            wrong.append(f"{time.monotonic() - began:.0f} s")
        if result.returncode == 2 and (len(result.stderr.splitlines()) != 1 or "Traceback" in result.stderr):
            wrong.append(f"a refusal of {len(result.stderr.splitlines())} lines")
        if result.returncode not in (0, 1, 2):
            wrong.append(f"exit code {result.returncode}")
        if "Traceback (most" in result.stderr:  # no harm, but it should be one line: listed at the end
            self.tracebacks.setdefault(result.stderr.strip().splitlines()[-1][:160], case[:400])
        assert not wrong, f"{case}\n{wrong}\n{result.stderr[-600:]}"

    def prepare_experiment(self, case: dict[str, Any], verb: str) -> tuple[str, list[str]]:
        file = self.work / "conf" / "experiment" / "evil.yaml"
        write_experiment(case, file, self.outside)
        extra = {
            "train": ["experiment=evil", *TINY],
            "audit": ["+experiment=evil", "samples=0"],
            "predict": ["+experiment=evil", "checkpoint=x", "images=x"],
        }
        for left in ("outputs", "out"):
            shutil.rmtree(self.work / left, ignore_errors=True)
        return verb, extra[verb]

    def prepare_run(self, case: list[tuple[int, tuple[Any, ...]]], verb: str) -> tuple[str, list[str]]:
        place = self.work / "runs"
        shutil.rmtree(place, ignore_errors=True)
        run = place / "run"
        shutil.copytree(self.template, run)
        files = sorted(path for path in run.rglob("*") if path.is_file())
        for number, how in case:
            file = files[number % len(files)]
            if file.is_file() and not file.is_symlink():
                change(file, how, self.outside)
        return commands(run, verb)


def main(seconds: float) -> int:
    """Try cases for so many seconds; return the exit code."""
    with tempfile.TemporaryDirectory() as root:
        fuzzer = Fuzzer(Path(root).resolve())
        until = time.monotonic() + seconds
        options = {
            "max_examples": 10**9, "deadline": None, "database": None, "phases": (Phase.generate,), "print_blob": False,
            "suppress_health_check": list(HealthCheck), "derandomize": False,
        }  # fmt: skip

        @settings(**options)
        @given(
            st.one_of(
                st.tuples(st.just("experiment"), experiments, st.sampled_from(("train", "train", "audit", "predict"))),
                st.tuples(
                    st.just("run"),
                    st.lists(st.tuples(st.integers(0, 100), changes), min_size=1, max_size=3),
                    st.sampled_from(("resume", "report", "evaluate", "predict", "explain", "export", "weights")),
                ),
            )
        )
        def fuzz(drawn: tuple[str, Any, str]) -> None:
            if time.monotonic() > until:
                raise TimeIsUpError
            kind, case, verb = drawn
            prepare: Any = fuzzer.prepare_experiment if kind == "experiment" else fuzzer.prepare_run
            fuzzer.judge(f"{kind} {verb} {case!r}", *prepare(case, verb))

        try:
            fuzz()
        except TimeIsUpError:
            print(
                f"{fuzzer.cases} cases, {fuzzer.refused} refused in one line; nothing outside of the runs has changed"
            )
            for last, case in fuzzer.tracebacks.items():
                print(f"traceback: {last}\n  {case}")
            return 0
        except AssertionError as error:
            print(error)
            return 1
    return 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
