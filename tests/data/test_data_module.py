import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from sklearn.datasets import load_digits

import src.settings.composing  # noqa: F401  # registers what conf/ refers to
from src.data import ImageDataModule
from src.data.sources import SOURCES
from src.errors import InputError, RunError

SPLITS = ("train", "val", "test")
CONF = Path(__file__).parents[2] / "conf" / "data"


@pytest.fixture
def folder(make_folder) -> Path:
    return make_folder({"ant": 20, "bee": 30})


def read(loader) -> tuple[torch.Tensor, torch.Tensor]:
    images, targets = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(targets)


def test_digits_arrive_unchanged_with_their_targets(make_module):
    data = make_module("digits", in_channels=1, batch_size=64)
    data.setup()
    pixels, targets = load_digits(return_X_y=True)
    assert [data.size(split) for split in SPLITS] == [1455, 162, 180]
    for split in SPLITS:
        images, labels = read(data.evaluation_dataloader(split))
        rows = [int(path.split("/")[1]) for path in data.paths(split)]
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        np.testing.assert_array_equal(images[:, 0].reshape(-1, 64), np.rint(pixels[rows] * 255 / 16))
        np.testing.assert_array_equal(labels, targets[rows])
        np.testing.assert_array_equal(labels, data.targets(split))


@pytest.mark.parametrize("in_channels", [1, 3])
def test_any_size_and_number_of_channels(make_module, folder, in_channels):
    for name, root in (("digits", folder), ("folder", folder)):
        data = make_module(name, root=root, in_channels=in_channels, image_size=17)
        data.setup()
        images, _ = next(iter(data.train_dataloader()))
        assert images.shape == (4, in_channels, 17, 17)
        assert images.dtype == torch.uint8
        assert images.is_contiguous()


def test_memory_and_files_agree(make_module, make_folder):
    """What is resized in memory and what is resized from a file differ by rounding only."""
    root = make_folder({"train/cat": 5, "train/dog": 5, "test/cat": 5, "test/dog": 5}, name="cifar10")
    for in_channels, size in ((1, 32), (3, 48), (1, 20)):
        pair = [
            make_module(name, root=path, in_channels=in_channels, image_size=size)
            for name, path in (("cifar10", root.parent), ("folder", root))
        ]
        for data in pair:
            data.setup()
        in_memory, from_files = (read(data.test_dataloader())[0].int() for data in pair)
        # the one resizes to 32 px first: compare what stays the same, the mean of each image
        assert (in_memory.float().mean((1, 2, 3)) - from_files.float().mean((1, 2, 3))).abs().max() < 3


def test_paths_lead_to_the_images(make_module, folder):
    data = make_module(root=folder)
    data.setup()
    for split in SPLITS:
        for path, target in zip(data.paths(split), data.targets(split), strict=True):
            assert (data.data_root / path).is_file()
            assert path.split("/")[0] == data.class_names[target]
    everything = [path for split in SPLITS for path in data.paths(split)]
    assert len(set(everything)) == len(everything) == 50


AUGMENT = {"flip": True, "shift": 1, "scale": 0.5, "color": 0.2}


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_epoch_is_a_function_of_seed_and_epoch(make_module, folder, workers):
    def epochs(seed: int, workers: int, numbers) -> list[tuple[torch.Tensor, torch.Tensor]]:
        data = make_module(root=folder, seed=seed, num_workers=workers, augment=AUGMENT)
        data.setup()
        loader, found = data.train_dataloader(), []
        for number in numbers:
            loader.batch_sampler.set_epoch(number)
            found.append(read(loader))
        return found

    def same(a, b) -> bool:
        return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

    reference = epochs(0, 0, [0, 1, 2])
    assert not same(reference[0], reference[1])
    torch.manual_seed(99)
    assert same(epochs(0, workers, [2])[0], reference[2])  # without having seen epochs 0 and 1
    assert same(epochs(0, workers, [1, 0])[1], reference[0])
    assert not same(epochs(1, workers, [0])[0], reference[0])


def test_memory_augmentation_repeats_too(make_module):
    def epoch(number: int) -> torch.Tensor:
        data = make_module("digits", in_channels=1, batch_size=64, augment={"shift": 1, "flip": True})
        data.setup()
        loader = data.train_dataloader()
        loader.batch_sampler.set_epoch(number)
        return read(loader)[0]

    assert torch.equal(epoch(3), epoch(3))
    assert not torch.equal(epoch(3).sort(0)[0], epoch(4).sort(0)[0])


def test_training_shows_every_image_once(make_module, folder):
    data = make_module(root=folder, batch_size=13)  # 41 of train: 13 + 13 + 13 + 2
    data.setup()
    batches = [targets for _, targets in data.train_dataloader()]
    assert min(map(len, batches)) >= 2
    np.testing.assert_array_equal(np.sort(torch.cat(batches)), np.sort(data.targets("train")))


def test_evaluation_subset(make_module, folder):
    data = make_module(root=folder, augment={"flip": True})
    data.setup()
    images, targets = read(data.evaluation_dataloader("train", limit=10))
    assert np.bincount(targets).tolist() == [4, 6]
    assert torch.equal(images, read(data.evaluation_dataloader("train", limit=10))[0])
    assert len(read(data.evaluation_dataloader("train", limit=1000))[1]) == data.size("train")


@pytest.mark.parametrize(
    ("train", "val", "measured"), [(900, 100, 900), (2430, 270, 1000), (5000, 900, 2700), (90_000, 10_000, 10_000)]
)
def test_training_images_are_measured_on_three_times_as_many_as_validation_has(make_module, train, val, measured):
    data = make_module("digits", in_channels=1)
    data.splits = {"train": np.arange(train), "val": np.arange(val), "test": np.arange(10)}
    assert data.train_images_measured == measured


def test_sample(make_module, folder):
    data = make_module(root=folder, augment=AUGMENT)
    data.setup()
    images, targets, paths = data.sample("val", 4)
    assert sorted(targets) == [0, 0, 1, 1]
    all_images = read(data.val_dataloader())[0]
    for image, path in zip(images, paths, strict=True):
        assert torch.equal(image, all_images[data.paths("val").index(path)])
    assert data.sample("val", 4)[2] == paths
    assert len(data.sample("val", 1000)[2]) == data.size("val")


def test_only_training_gets_less(make_module):
    def splits(seed: int = 0, **options) -> dict[str, list[str]]:
        data = make_module("digits", in_channels=1, seed=seed, **options)
        data.setup()
        return {split: data.paths(split) for split in SPLITS}

    whole = splits()
    for options in ({"train_fraction": 0.1}, {"max_images": 50}, {"imbalance": 20}, {"balance": "sampler"}):
        part = splits(**options)
        assert (part["val"], part["test"]) == (whole["val"], whole["test"])
        assert set(part["train"]) <= set(whole["train"])
    assert len(splits(train_fraction=0.1)["train"]) == round(0.1 * 1455)
    assert len(splits(max_images=50)["train"]) == 50
    assert splits(seed=1)["test"] != whole["test"]


# of 1,797 digits, with the seeds that existed before there were such settings
@pytest.mark.parametrize(("seed", "digest"), [(0, "1dd757917363c293"), (1, "3697fb03f055b1d9")])
def test_the_splits_of_a_seed_stay(make_module, seed, digest):
    data = make_module("digits", in_channels=1, seed=seed)
    data.setup()
    rows = [int(path.split("/")[1]) for split in SPLITS for path in data.paths(split)]
    assert hashlib.sha256(np.array(rows, dtype="<i8").tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("options", [{}, {"max_images": 100}, {"imbalance": 5}, {"folds": 3, "fold": 1}])
def test_a_seed_of_the_split_divides_and_the_seed_trains(make_module, options):
    """`split_seed` divides as that seed alone does, whichever seed orders and augments; null is the seed."""

    def made(seed: int, split_seed: int | None) -> ImageDataModule:
        data = make_module("digits", in_channels=1, seed=seed, split_seed=split_seed, **options)
        data.setup()
        return data

    alone, first, second = made(7, None), made(1, 7), made(2, 7)
    for split in SPLITS:
        assert alone.paths(split) == first.paths(split) == second.paths(split)
    orders = [read(data.train_dataloader())[1] for data in (first, second, made(1, 7), made(2, 2), made(2, None))]
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0], orders[2])
    assert torch.equal(orders[3], orders[4])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lopsided_digits_are_20_to_1(make_module, seed):
    data = make_module("digits", in_channels=1, imbalance=20, seed=seed)
    data.setup()
    counts = np.bincount(data.targets("train")).tolist()
    assert counts[0] / counts[9] == 20
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("options", [{}, {"imbalance": 20}, {"max_images": 100, "augment": {"shift": 1}}])
def test_shuffled_labels_are_those_of_other_training_images(make_module, options):
    def targets(shuffle_labels: bool, seed: int = 0) -> dict[str, np.ndarray]:
        data = make_module("digits", in_channels=1, seed=seed, shuffle_labels=shuffle_labels, **options)
        data.setup()
        data.setup()  # trades once only
        trained = [target for _, target in data.train_dataloader()]
        np.testing.assert_array_equal(np.sort(torch.cat(trained)), np.sort(data.targets("train")))
        paths = [path for split in SPLITS for path in data.paths(split)]
        return {split: data.targets(split) for split in SPLITS} | {"paths": np.array(paths)}

    true, shuffled = targets(False), targets(True)
    for unchanged in ("val", "test", "paths"):
        np.testing.assert_array_equal(shuffled[unchanged], true[unchanged])
    np.testing.assert_array_equal(np.bincount(shuffled["train"]), np.bincount(true["train"]))
    counts = np.bincount(true["train"]) / len(true["train"])
    assert (shuffled["train"] == true["train"]).mean() < np.sum(counts**2) + 0.1  # by chance Σ p²
    np.testing.assert_array_equal(targets(True)["train"], shuffled["train"])
    assert (targets(True, seed=1)["train"] != shuffled["train"]).any()


def test_shuffled_labels_reach_the_network_and_leave_its_images(make_module, folder):
    def batches(shuffle_labels: bool, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        data = make_module(root=folder, augment=AUGMENT, shuffle_labels=shuffle_labels)
        data.setup()
        return read(data.train_dataloader() if split == "train" else data.evaluation_dataloader(split))

    for split in SPLITS:
        (true_images, true), (images, targets) = batches(False, split), batches(True, split)
        assert torch.equal(images, true_images)
        assert torch.equal(targets, true) is (split != "train")


def test_class_weights_by_hand(make_module, make_folder):
    root = make_folder({"train/ant": 6, "train/bee": 3, "train/cat": 1, "val/ant": 1, "test/ant": 1})
    for balance, weights in (("loss", [10 / 18, 10 / 9, 10 / 3]), ("none", None), ("sampler", None)):
        data = make_module(root=root, balance=balance)
        data.setup()
        assert data.class_weights() == (weights and pytest.approx(weights))
    less = make_module(root=root, balance="loss", max_images=3)
    less.setup()
    assert less.class_weights() == [1.0, 1.0, 1.0]


def test_sampled_evenly_in_training_alone(make_module, make_folder):
    root = make_folder({"train/ant": 18, "train/bee": 2, "val/ant": 3, "test/bee": 1})
    data = make_module(root=root, balance="sampler", augment=AUGMENT, image_size=12)
    data.setup()
    images, targets = read(data.train_dataloader())
    assert np.bincount(targets).tolist() == [10, 10]
    # each of the two bees comes five times, changed in another way each time
    assert len({image.numpy().tobytes() for image, target in zip(images, targets, strict=True) if target == 1}) == 10
    assert np.bincount(read(data.evaluation_dataloader("train"))[1]).tolist() == [18, 2]
    assert np.bincount(read(data.val_dataloader())[1]).tolist() == [3]


def test_preprocessing_is_plain(make_module):
    assert make_module("digits", in_channels=3).preprocessing == {
        "image_size": 8,
        "in_channels": 3,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bilinear",
        "decode": "fast",
        "resize": "crop",
        "range": "own",
        "color": "srgb",
    }
    grey = make_module(in_channels=1, mean=[0.1, 0.2, 0.6], std=[0.2, 0.2, 0.2], root="x").preprocessing
    assert grey["mean"] == pytest.approx([0.3])


def test_setup_twice_looks_once(make_module, folder, monkeypatch):
    data = make_module(root=folder)
    data.setup("fit")
    monkeypatch.setattr("src.data.module.find_images", None)
    data.prepare_data()
    data.setup("test")
    assert data.num_classes == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "imagenet22"}, r"data=imagenet22 is unknown; nearest: imagenette, tinyimagenet"),
        ({"colour": 1}, r"data\.colour is no option"),
        ({"image_size": 0}, r"data\.image_size=0"),
        ({"image_size": 3}, r"data\.image_size=3 is not possible: take a whole number between 4 and 4096"),
        ({"batch_size": 1}, r"data\.batch_size=1 is not possible: take a whole number between 2 and 65536, or auto"),
        ({"image_size": 22.5}, r"data\.image_size=22\.5"),
        ({"in_channels": 0}, r"data\.in_channels=0 is not possible: take a whole number between 1 and 1024"),
        ({"batch_size": -1}, r"data\.batch_size=-1"),
        ({"num_workers": "many"}, r"data\.num_workers=many"),
        ({"val_fraction": 0}, r"data\.val_fraction=0"),
        ({"test_fraction": 1.0}, r"data\.test_fraction=1 "),
        ({"folds": 5}, r"data\.folds=5 data\.fold=null is not possible: say which part"),
        ({"fold": 1}, r"data\.folds=null data\.fold=1 is not possible"),
        ({"folds": 5, "fold": 5}, r"data\.folds=5 data\.fold=5 is not possible: .* data\.fold=0 \(to 4\)"),
        ({"folds": 1, "fold": 0}, r"data\.folds=1 is not possible: take a whole number between 2 and"),
        ({"train_fraction": 0}, r"data\.train_fraction=0 is not possible"),
        ({"train_fraction": 1.5}, r"data\.train_fraction=1\.5"),
        ({"max_images": 1}, r"data\.max_images=1"),
        ({"max_images": 2.5}, r"data\.max_images=2\.5"),
        ({"imbalance": 0.5}, r"data\.imbalance=0\.5 is not possible: take a number between 1 and"),
        ({"imbalance": float("inf")}, r"data\.imbalance=inf"),
        ({"balance": "weights"}, r"data\.balance=weights is not possible: take none or loss or sampler"),
        ({"shuffle_labels": "yes"}, r"data\.shuffle_labels=yes is not possible: take true or false"),
        ({"max_skipped": 2}, r"data\.max_skipped=2"),
        ({"seed": -1}, "seed=-1 is not possible: take a whole number between 0 and"),
        ({"mean": [0.5, 0.5]}, r"data\.mean has 2 values for data\.in_channels=3"),
        ({"mean": [123.0]}, r"data\.mean=\[123\.0\] is not possible: take a list of numbers between 0 and 1"),
        ({"std": [0.0]}, r"data\.std=\[0\.0\] is not possible: take a list of numbers above 0, at most 1"),
        ({"interpolation": "cubic"}, "take bilinear or bicubic"),
        ({"decode": "full"}, r"data\.decode=full is not possible: take fast or exact$"),
        ({"augment": {"flop": True}}, r"data\.augment\.flop is unknown; nearest: flip"),
        ({"augment": {"shift": -1}}, r"data\.augment\.shift=-1"),
        ({"augment": {"scale": 0.0}}, r"data\.augment\.scale=0 is not possible: take a number between 0.01 and 1"),
        ({"augment": {"color": 3}}, r"data\.augment\.color=3"),
        ({"interpolation": "nearest"}, r"data\.interpolation=nearest is not possible: take bilinear or bicubic$"),
        ({"name": "digits", "augment": {"scale": 0.5}}, "scale and color are for image files"),
    ],
)
def test_absurd_values_are_refused_at_once(make_module, options, message):
    with pytest.raises(InputError, match=message) as caught:
        make_module(**{"name": "folder", "root": "nowhere", **options})
    assert "\n" not in str(caught.value)


def test_another_number_of_classes(make_module, folder):
    with pytest.raises(InputError, match=r"data\.num_classes=3, but .* has 2 classes"):
        make_module(root=folder, num_classes=3).setup()


def composed(path):
    """A configuration as Hydra composes it: one with `defaults` is a variation of another."""
    return OmegaConf.to_container(OmegaConf.create({"data": _merged(path)}), resolve=True)["data"]


def _merged(path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        key: value for base in config.pop("defaults", []) for key, value in _merged(CONF / f"{base}.yaml").items()
    } | config


OPTIONS = sorted(path for path in CONF.glob("*.yaml") if path.stem != "base")


def test_what_is_missing_is_as_in_the_file_of_defaults(make_folder):
    base = yaml.safe_load((CONF / "base.yaml").read_text(encoding="utf-8"))
    data = ImageDataModule(name="folder", root=make_folder({"cat": 9, "dog": 9}))
    assert (data.preprocessing["image_size"], data.batch_size) == (base["image_size"], base["batch_size"])
    assert (data.mean, data.std, data.chosen.val_fraction) == (base["mean"], base["std"], base["val_fraction"])


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.stem)
def test_every_configuration_builds(path):
    config = composed(path)
    assert config["name"] == {"mnist8": "mnist", "animals": "tinyimagenet"}.get(path.stem, path.stem)
    data = ImageDataModule(**config | ({"root": "photos"} if path.stem in ("folder", "table") else {}))
    assert len(data.mean) == len(data.std) == config["in_channels"]
    keys = "name root image_size in_channels num_classes mean std batch_size num_workers val_fraction test_fraction"
    keys += " folds fold train_fraction max_images imbalance balance max_skipped interpolation cache_features augment"
    keys += " split_seed shuffle shuffle_labels exclude decode range color resize group cache on_device copy_limit"
    own = {"target", "classes", "class_order", "class_seed", "table", "file", "label", "split", "multilabel"}
    assert set(config) - own == set(keys.split())
    assert "defaults: [" in path.read_text(encoding="utf-8")


def test_a_folder_of_ones_own_has_to_be_named():
    with pytest.raises(InputError, match=r"data\.root=null names no folder: say data\.root=FOLDER"):
        ImageDataModule(**composed(CONF / "folder.yaml"))


def test_there_is_a_configuration_for_every_source():
    assert {composed(path)["name"] for path in OPTIONS} == set(SOURCES)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_goes_during_training_is_named_in_one_line(make_module, folder, workers):
    data = make_module(root=folder, num_workers=workers)
    data.setup()
    (data.data_root / data.paths("train")[5]).unlink()
    with pytest.raises(RunError, match=rf"^{data.data_root / data.paths('train')[5]} has changed") as caught:
        read(data.train_dataloader())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["src.data.datasets.load_image", "src.data.images.to_channels"])
def test_too_little_memory_is_not_a_changed_file(make_module, folder, monkeypatch, place):
    data = make_module(root=folder)
    data.setup()

    def fail(*_args):
        raise MemoryError

    monkeypatch.setattr(place, fail)
    with pytest.raises(RunError, match=r"^the memory is too small to read .*\.png: .*num_workers"):
        read(data.val_dataloader())
