"""The settings of the group `data`: which images, how they are divided, batched and changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from annotated_types import Interval, Len
from pydantic import AfterValidator, ConfigDict, model_validator

from ...errors import InputError
from ...urls import is_url, refuse_secrets
from .kinds import Channels, Classes, Names, Part, Seed, Settings, Share, Takes, Workers, plain, setting


def _ascending(limits: Sequence[float]) -> Sequence[float]:
    if not limits[0] < limits[1]:
        raise ValueError
    return limits


Column = Annotated[str | None, Takes("a column's name, or null")]
Root = Annotated[str | Path | None, Names("data.root=FOLDER", "no folder")]


class Augment(Settings):
    """What training changes at random; without a setting, nothing."""

    model_config = ConfigDict(extra="forbid")

    flip: Literal["alternate"] | bool = setting(
        "mirror every second image left to right, by chance; alternate: by chance in the first epoch, then in turn"
    )
    shift: Annotated[int, Interval(ge=0, le=1024)] = setting("move by up to this many pixels in each direction")
    padding: Literal["zeros", "reflect"] = setting(
        "what comes in from outside by a shift: zeros: black; reflect: the image, mirrored at its edge"
    )
    scale: Annotated[float, Interval(ge=0.01, le=1)] = setting(
        "least area of a random crop, as a share of the image; 1: no crop. Image files only"
    )
    color: Share = setting("change brightness, contrast and saturation by up to this share. Image files only")
    policy: Literal["none", "randaugment", "trivialaugment"] = setting(
        "turn, shear, posterize, sharpen …: randaugment: two of these, at strength 9 of 31; trivialaugment: one, at "
        "any strength. For 1 or 3 channels"
    )
    erase: Share = setting("erase a rectangle of so large a share of the images")


class Data(Settings):
    """Read by `src.data.ImageDataModule`, from Python too. Its defaults are those of conf/data/base.yaml."""

    name: str = setting("the data set, which data=NAME sets")
    root: Annotated[Root, Takes("a folder, or a bucket's such as s3://BUCKET/PHOTOS")] = setting(
        "folder that holds the data set's own folder; of data=folder the folder of class folders or of tar shards "
        "itself; of data=table the images' (null: the table's); these two may lie in a bucket"
    )
    image_size: Annotated[int, Interval(ge=4, le=4096)] = setting("side of the square that the network sees, in pixels")
    in_channels: Channels = setting(
        "1: grey, 3: colour, whatever the images have; any other number: the bands of the files, which must be as many"
    )
    num_classes: Classes | None = setting("number of classes that is expected; null: as many as are found")
    mean: Sequence[Share] = setting(
        "mean of each channel, as a share of the full range; one value serves all channels, three become one"
    )
    std: Sequence[Annotated[float, Interval(gt=0, le=1)]] = setting("standard deviation, in the same way")
    # batch norm can't train on a single image
    batch_size: Annotated[int, Interval(ge=2, le=65_536)] | Literal["auto"] = setting(
        "images of a training step in each process; auto: as many as fit into memory, at most 256"
    )
    num_workers: Workers = setting(
        "processes that decode; auto: none for data in memory, otherwise one a core, at most 8"
    )
    val_fraction: Part = setting("share of the training images to validate on, where no validation set is published")
    test_fraction: Part = setting("share of all images to test on, where no test set is published")
    group: Annotated[str | None, Takes("a pattern, a column of data=table, or null")] = setting(
        "what an image belongs with, such as a patient, whose images all stay in one split: a regular expression on "
        r"its path, 'patient_(\d+)', or of data=table a column; null: of data=table as its columns say; none: nothing"
    )
    folds: Annotated[int, Interval(ge=2, le=1000)] | None = setting(
        "parts of a cross-validation; null: no cross-validation"
    )
    fold: Annotated[int, Interval(ge=0, le=999)] | None = setting("which part is the test set, from 0; needs folds")
    split_seed: Seed | None = setting(
        "of the division alone: which images train, validate, test, and which of them max_images takes; null: seed"
    )
    train_fraction: Annotated[float, Interval(ge=0.0001, le=1)] = setting(
        "share of the training images to use; a smaller share lies inside a larger one"
    )
    max_images: Annotated[int, Interval(ge=2, le=1_000_000_000)] | None = setting(
        "most training images to use; null: all. Validation and test images stay the same"
    )
    imbalance: Annotated[float, Interval(ge=1, le=1_000_000)] = setting(
        "how many times larger the first class is made than the last; 1: as they are"
    )
    balance: Literal["none", "loss", "sampler"] = setting(
        "for classes of unequal size: weight the loss by class, or draw the classes evenly"
    )
    shuffle: Literal["images", "shards"] = setting(
        "the order of an epoch: images: all training images are mixed; shards: a few tar shards at a time, for those "
        "that memory can't hold"
    )
    shuffle_labels: bool = setting(
        "permute the labels of the training images, as a control: what is learned then can't come from the classes"
    )
    max_skipped: Share = setting("largest share of unreadable files before the data set is refused")
    exclude: Annotated[
        str | Sequence[str] | None, Takes("a list of files, a pattern, or patterns such as [cat/*,*_mask.png]")
    ] = setting(
        "what to leave out: a FILE with a path a line, or with a column file; or patterns of paths below the data "
        "set's folder, as in .gitignore; null: nothing"
    )
    interpolation: Literal["bilinear", "bicubic"] = setting("how images are resized")
    decode: Literal["fast", "exact"] = setting(
        "fast: JPEGs of at least four times the input's side are decoded at a half, quarter or eighth of their own; "
        "exact: in full, with the pixels of torchvision's Resize and CenterCrop"
    )
    resize: Literal["crop", "pad", "squash"] = setting(
        "how a picture becomes a square: crop: its centre; pad: all of it, with bars of data.mean; squash: all of it, "
        "out of shape"
    )
    range: Annotated[
        Literal["auto", "own", "earlier"]
        | Annotated[int, Interval(ge=1, le=32)]
        | Annotated[Sequence[float], Len(2, 2), AfterValidator(_ascending)],
        Takes("auto, own, earlier, a whole number of bits up to 32, or two numbers such as [0,4095], the lower first"),
    ] = setting(
        "what becomes black and white where files have more than 8 bits a sample: auto: the least of 8, 10, 12, 14 and "
        "16 bits that holds the training images, of signed and larger values their least and largest; bits, as 12, or "
        "[low,high]; own: each picture by itself; earlier: as in earlier versions"
    )
    color: Literal["srgb", "stored"] = setting(
        "srgb: colours as a profile in the file means them; stored: as they are in the file"
    )
    cache: Literal["auto", "memory", "disk", "none"] = setting(
        "where decoded pictures are kept for all epochs and runs; auto: where there is room, with the same pixels as "
        "none; memory, disk: random crops are taken from smaller copies of large pictures"
    )
    copy_limit: Annotated[float, Interval(gt=0, le=1_000_000)] | None = setting(
        "GiB that copies of what lies in buckets may take in the cache folder, together; null: half of the disk's room"
    )
    on_device: Literal["auto"] | bool = setting(
        "decoded images live on the device that trains, and are flipped and shifted there, with the same pixels; auto: "
        "on a GPU, where they take at most a quarter of its free memory"
    )
    cache_features: Literal["auto"] | bool = setting(
        "a frozen network sees each image once, and training uses its features; auto: where that changes nothing"
    )
    augment: Annotated[Augment | None, Takes("null, or settings such as {flip:true,shift:2}")] = setting(
        "random changes to training images; null: none"
    )

    # Those of a single data set. A new one's need not be added: unknown ones go to its source, which checks them.
    table: Annotated[str | Path | None, Names("data.table=FILE"), Takes("a file, or null")] = setting(
        "of table: .csv, .tsv, .jsonl, .ndjson, .json or .parquet; null: what lies in data.root, such as metadata.csv"
    )
    file: Column = setting("of table: the column of the images' files; null: found by its name")
    label: Annotated[
        str | Annotated[Sequence[str], Len(min_length=2)] | None,
        Takes("a column's name, with data.multilabel=true also several such as [cat,dog], or null"),
    ] = setting("of table, and of Parquet files: the column of the labels, or the columns; null: found by name")
    multilabel: bool = setting(
        "of table: an image has any number of labels: columns of 0 and 1, empty for unknown, or a column of lists"
    )
    split: Column = setting(
        "of table: the column that says train, val or test; null: found by its name; none: divide anew"
    )
    target: Literal["breed", "species"] = setting("of pets: what labels the images: 37 breeds, or cat and dog")
    classes: Annotated[
        Classes | Literal["animals"] | Annotated[Sequence[str | int], Len(min_length=2)] | None,
        Takes("null, a list of at least two names such as [cat,dog], a whole number between 2 and 100000, or animals"),
    ] = setting(
        "which classes to use; null: all. Of folder: their names. Of tinyimagenet: how many; animals: those of animals"
    )
    class_order: Literal["natural", "plain"] = setting(
        "of folder: how classes are sorted: natural: 1, 2, 10, and letters in one spelling (NFC); plain: 1, 10, 2, as "
        "in earlier versions"
    )
    class_seed: Seed = setting("of tinyimagenet: which of its classes")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("root", "table"):
            refuse_secrets(f"data.{name}", getattr(self, name))
        if self.name == "table" and self.root is None and self.table is None:
            raise InputError("data=table needs a table: say data.table=FILE, or data.root=FOLDER of images and a table")
        if isinstance(self.label, Sequence) and not isinstance(self.label, str) and not self.multilabel:
            raise InputError("data.label names several columns: say data.multilabel=true, or name one")
        if self.multilabel and self.balance == "sampler":
            raise InputError("data.balance=sampler draws classes evenly, and an image has several: take loss")
        # alone: a verb that only asks where the data lie
        if self.root is None and self.table is None and self.model_fields_set > {"root"}:
            raise InputError("data.root=null names no folder: say data.root=FOLDER")
        if (self.folds is None) != (self.fold is None) or (self.folds and self.fold and self.fold >= self.folds):
            raise InputError(
                f"data.folds={plain(self.folds)} data.fold={plain(self.fold)} is not possible: say which part of how "
                "many is the test set, data.folds=5 data.fold=0 (to 4), or leave both out"
            )
        for name in ("mean", "std"):
            if {name, "in_channels"} <= self.model_fields_set:
                channel_values(name, getattr(self, name), self.in_channels)
        return self

    @property
    def folder(self) -> Path | str:
        """`root`; without one the folder of the table. A str where it is an address."""
        if is_url(place := self.table if self.root is None else self.root):
            return (place if self.root is not None else place.rpartition("/")[0]).rstrip("/")
        return Path(Path(self.table or "").parent if self.root is None else self.root).expanduser()


def channel_values(name: str, values: Sequence[float], channels: int) -> list[float]:
    """One value for each channel: a single one serves all, and three become their average for any other number."""
    if len(values) not in (1, 3, channels):
        raise InputError(
            f"data.{name} has {len(values)} values for data.in_channels={channels}: give one a channel, "
            f"as data.{name}=[{','.join(['0.5'] * channels)}]"
        )
    if len(values) == channels:
        return [float(value) for value in values]
    return [sum(map(float, values)) / len(values)] * channels
