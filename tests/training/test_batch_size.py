"""The largest batch that fits: measured without computing, kept by the run, and nothing of the training changed."""

import copy
import json
import multiprocessing
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from src.cost.memory import peak_memory
from src.errors import InputError
from src.runs.folder import RunFolder
from src.trained.pictures import open_data
from src.training.batch_size import _work, largest_batch, power_of_two, step_memory, useful
from src.training.classifier import ImageClassifier
from src.training.classifier_cost import private_copy
from src.training.free_memory import cgroup_rooms, free_memory
from tests.support.command_line import run_here
from tests.support.composed import check_overrides

CPU = torch.device("cpu")
RUN = (
    "data=folder", "data.image_size=16", "data.num_workers=0", "data.augment.shift=1", "model=simple_cnn",
    "model.width=16", "trainer=cpu", "scheduler=constant", "trainer.precision=32-true", "baseline=false", "cost=false",
    "callbacks=none", "hydra.run.dir=run",
)  # fmt: skip


def classifier(size: int = 32, **settings: Any) -> ImageClassifier:
    arguments: dict[str, Any] = {
        "architecture": {"name": "simple_cnn", "num_classes": 3, "in_channels": 3, "image_size": size, "width": 16},
        "class_names": ["a", "b", "c"],
        "preprocessing": {"mean": [0.5] * 3, "std": [0.25] * 3},
        "optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.0, "momentum": 0.9},
        "scheduler": {"name": "constant"},
        "class_weights": [1.0, 2.0, 3.0],
    }
    return ImageClassifier(**arguments | settings)


@pytest.mark.parametrize(
    ("precision", "freeze", "optimizer"),
    [("32-true", "none", "sgd"), ("bf16-mixed", "backbone", "adamw"), ("16-mixed", 2, "sgd")],
)
def test_fake_tensors_weigh_what_real_ones_do(precision: str, freeze: str | int, optimizer: str) -> None:
    module = classifier(freeze=freeze, optimizer={"name": optimizer, "lr": 0.1, "weight_decay": 0.0})
    module.memory_format = torch.channels_last
    state, random_state = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    found = step_memory(module, device=CPU, precision=precision, batch_size=32)
    assert torch.equal(random_state, torch.get_rng_state())
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())
    real = peak_memory(
        lambda: _work(private_copy(module, CPU, precision), CPU, precision, 32), lambda work: work(), CPU
    )
    assert found == pytest.approx(real, rel=0.005)


def test_the_windows_of_small_maps_are_weighed_too() -> None:
    deep = {"name": "resnet18", "num_classes": 3, "in_channels": 3, "image_size": 64, "stem": "imagenet"}
    module = classifier(architecture=deep, convolutions="auto")
    module.memory_format = torch.channels_last
    found = step_memory(module, device=CPU, precision="bf16-mixed", batch_size=32)
    real = peak_memory(
        lambda: _work(private_copy(module, CPU, "bf16-mixed"), CPU, "bf16-mixed", 32), lambda work: work(), CPU
    )
    assert found == pytest.approx(real, rel=0.005)


def test_what_thaws_later_and_the_larger_batches_of_validation_have_to_fit_too() -> None:
    thawing, free, frozen = (
        step_memory(classifier(freeze=freeze), device=CPU, precision="32-true", batch_size=16)
        for freeze in (2, "none", "backbone")
    )
    assert thawing == free
    # a frozen network keeps nothing while it trains: 32 images behind its first convolution and its ReLU are the peak
    assert frozen is not None
    assert free is not None
    assert 2 * 32 * 16 * 32 * 32 * 4 < frozen < free


def test_the_largest_power_of_two_that_fits_is_taken() -> None:
    module = classifier(16)
    needed = step_memory(module, device=CPU, precision="32-true", batch_size=16)
    assert needed is not None

    def found(most: int, room: int, waiting: int = 0) -> int | None:
        fit = largest_batch(module, device=CPU, precision="32-true", most=most, room=room, waiting=waiting)
        return None if fit is None else fit.size

    assert found(32, needed) == 16
    assert found(32, needed - 1) == 8
    assert found(32, needed + 16 * 1000 - 1, waiting=1000) == 8
    assert found(13, 2**40) == 8
    assert found(32, needed // 100) is None
    assert found(1, 2**40) is None


def test_a_batch_is_no_larger_than_learning_wants_it() -> None:
    assert [useful(images) for images in (3, 49, 160, 1455, 50_000)] == [8, 8, 16, 128, 256]
    assert useful(1455, processes=4) == 32
    assert [power_of_two(number) for number in (0, 1, 2, 3, 255, 256)] == [0, 1, 2, 2, 128, 256]


# Free memory ----------------------------------------------------------------------------------------------------------


def test_a_limit_of_the_process_counts() -> None:
    def limited() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + 300 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        assert 250 * 2**20 < free_memory(CPU) <= 300 * 2**20

    assert free_memory(CPU) > 300 * 2**20
    process = multiprocessing.get_context("fork").Process(target=limited)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_the_limits_of_control_groups_count(tmp_path: Path) -> None:
    def write(folder: str, **files: str) -> None:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / folder / name.replace("__", ".")).write_text(text + "\n")

    write("job/task", memory__max="1000", memory__current="700", memory__stat="anon 5\ninactive_file 100")
    write("job", memory__max="5000", memory__current="4900")
    write("", memory__max="max", memory__current="9000")
    assert list(cgroup_rooms("0::/job/task\n", tmp_path)) == [1000 - 700 + 100, 100]
    write("memory", memory__limit_in_bytes="800", memory__usage_in_bytes="500", memory__stat="total_inactive_file 50")
    # of version 1, and from inside of a container, where the path is that of the world outside
    assert list(cgroup_rooms("4:cpu,memory:/docker/abc\n3:cpuset:/\n", tmp_path)) == [800 - 500 + 50]


# In a run -------------------------------------------------------------------------------------------------------------


def weights(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(RunFolder(run).last_checkpoint, weights_only=True)
    moments = checkpoint["optimizer_states"][0]["state"]
    return checkpoint["state_dict"] | {str(key): state["momentum_buffer"] for key, state in moments.items()}


def test_a_run_that_finds_eight_is_the_run_with_eight(photos: Path, tmp_path: Path) -> None:
    runs = []
    for size in ("auto", "8"):
        (tmp_path / size).mkdir()
        words = (*RUN, f"data.root={photos}", f"data.batch_size={size}", "trainer.max_epochs=2")
        result = run_here(*words, cwd=tmp_path / size)
        assert (result.returncode, result.stderr) == (0, "")
        assert ("batch size 8: a step takes " in result.stdout) == (size == "auto")
        runs.append(RunFolder(tmp_path / size / "run"))
    auto, eight = runs
    assert (auto.batch_size, eight.batch_size) == (8, None)
    assert open_data(auto).batch_size == 8
    ends = [weights(run.path) for run in runs]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    kept = [{key: value for key, value in run.metrics().items() if "second" not in key} for run in runs]
    assert kept[0] == kept[1]

    # What the run began with is kept, whatever would be found now.
    auto.record_file.write_text(json.dumps(auto.record() | {"batch_size": 16}))
    steps = auto.history()["step"].iloc[-1]
    result = run_here("resume=run", "trainer.max_epochs=3", cwd=tmp_path / "auto")
    assert (result.returncode, result.stderr) == (0, "")
    assert "batch size" not in result.stdout
    assert auto.history()["step"].iloc[-1] - steps == -(-(steps // 2 * 8) // 16)
    assert auto.batch_size == 16
    record = auto.record()
    del record["batch_size"]
    auto.record_file.write_text(json.dumps(record))
    result = run_here("resume=run", "trainer.max_epochs=4", cwd=tmp_path / "auto")
    assert result.returncode == 2
    assert "run.json lacks the batch_size that data.batch_size=auto has found" in result.stderr


def test_what_is_no_batch_size_gets_its_line() -> None:
    for size in ("foo", "1", "8.5"):
        with pytest.raises(InputError, match=f"data.batch_size={size} is not possible: take a whole .* or auto"):
            check_overrides("train", [f"data.batch_size={size}"])
    with pytest.raises(InputError, match="batch_size=auto is not possible: take a whole number"):
        check_overrides("benchmark", ["data.batch_size=auto"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_largest_batch_fits_and_twice_as_many_do_not() -> None:
    device = torch.device("cuda")
    module = classifier(64)
    needed = step_memory(module, device=device, precision="32-true", batch_size=32)
    assert needed is not None
    fit = largest_batch(module, device=device, precision="32-true", most=256, room=int(1.2 * needed))
    assert fit is not None
    assert fit.size == 32
    torch.cuda.set_per_process_memory_fraction(1.5 * needed / torch.cuda.get_device_properties(device).total_memory)
    try:
        assert step_memory(module, device=device, precision="32-true", batch_size=1024) is None
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
