"""The settings of the other verbs, and the table of all verbs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from annotated_types import Interval
from pydantic import model_validator

from ...errors import InputError
from .data import Data, Root
from .kinds import BatchSize, Count, FolderOrNull, Layer, Names, OneOf, Part, Seed, Settings, Takes, Workers, setting
from .training import Freeze, Head, LabelSmoothing, MemoryFormat, Model, Optimizer, Text, Train, Trainer, Weights

Checkpoints = Annotated[
    str, Names("checkpoint=RUN or checkpoint=FILE"), Takes("a run folder or a checkpoint file, or several as [A,B,…]")
]
Checkpoint = Annotated[str, Names("checkpoint=RUN or checkpoint=FILE"), Takes("a run folder or a checkpoint file")]
Accelerator = Literal["auto", "cpu", "gpu"]
Method = Annotated[str, Takes("a method's name")]
Images = Takes("FILE, FOLDER, PATTERN, - or a split")
Output = Annotated[Any, Takes("a folder")]
METHODS = "attribution method; --help lists them"
LAYER = "the layer; null: the deepest one with a map of at least 7×7, or 4×4 of tiny images"
IMAGES = (
    "FOLDER: all below it, also in a bucket; PATTERN: such as 'PHOTOS/**/*.jpg'; -: a list on stdin; "
    "test, val, train: of the run"
)
RUNS = "; [A,B,…], or a sweep's folder: an ensemble, which answers with the mean of their probabilities"
RUN = "a run folder, which means its best checkpoint, or a checkpoint file"
Threshold = Annotated[float, Interval(gt=0, lt=1)] | None
Positive = Annotated[Any, Takes("a class's name, or null")]
THRESHOLD = "of two classes: the probability from which it is the positive one; null: the likelier class"
POSITIVE = "the class that threshold is about; null: the last of the two"
COVERAGE = (
    "as 0.9: give each image the smallest set of classes that holds the true one so often, by the run's validation "
    "images; null: no sets"
)
OOD = (
    "as 0.05: flag images that are unlike the run's validation images; of images like these, so large a share is "
    "flagged; null: none"
)
Side = Annotated[int, Interval(ge=4, le=4096)]
MOST_SIZES = 3
FASTER = "images at once; only memory and speed depend on it"


def _positive_has_a_threshold(asked: "Predict | Export") -> "Predict | Export":
    if asked.positive is not None and asked.threshold is None:
        raise InputError(f"positive={asked.positive} is for threshold=: say from which probability, or leave it out")
    return asked


class Elsewhere(Settings):
    """The data of a run, which may have been moved."""

    root: FolderOrNull = setting("where the run's data set lies now; null: where it was")


class OtherData(Data):
    """Another data set than the run's, or the run's where only `root` is there."""

    root: Annotated[Root, Takes("a folder, or null")] = setting("where the data set lies; null: where the run's was")


class Evaluate(Settings):
    """`python -m src.evaluate`."""

    checkpoint: Checkpoints = setting(f"{RUN}{RUNS}")
    split: Literal["test", "val", "train", "all"] | None = setting(
        "which images; null: test where there is such a split, else all. all: only of other data than the run's"
    )
    calibrate: bool = setting(
        "keep the temperature that the validation images ask for beside the checkpoint, for predict and app"
    )
    mistakes: Annotated[int, Interval(ge=0, le=64)] = setting("how many of the surest mistakes mistakes.png shows")
    probabilities: bool = setting("keep all classes' probabilities and logits, too: probabilities.npz")
    copies: Literal["auto"] | bool = setting(
        "of other data: look for copies of training images, and give the figures without them, too; auto: where both "
        "have 20,000 images at most together"
    )
    threshold: Threshold = setting(THRESHOLD)
    positive: Positive = setting(POSITIVE)
    accelerator: Accelerator = setting("where it runs")
    seed: Seed = setting("of the draws behind the intervals")
    data: OtherData = setting("another data set than the run's, as data=NAME")
    output: FolderOrNull = setting(
        "a new or empty folder, or an earlier evaluation, which is replaced; null: RUN/evaluate/TIME"
    )


class Predict(Settings):
    """`python -m src.predict`."""

    checkpoint: Checkpoints = setting(f"{RUN}{RUNS}")
    images: Annotated[Any, Names("images=…"), Images] = setting(IMAGES)
    format: Literal["csv", "jsonl"] | None = setting(
        "predictions.csv, or predictions.jsonl with a JSON object a line; null: csv, or jsonl with output=-"
    )
    top_k: Annotated[int, Interval(ge=1, le=100_000)] = setting("classes of an image, the most likely ones first")
    calibrated: bool = setting(
        "use the temperature that src.evaluate calibrate=true has found; without one, confidences stay as they are"
    )
    overlays: bool = setting(
        "draw a picture of each image, too, with its class, confidence, and what in it speaks for that class"
    )
    method: Method = setting(f"of overlays: {METHODS}")
    layer: Layer = setting(f"of overlays: {LAYER}")
    coverage: Part | None = setting(COVERAGE)
    ood: Part | None = setting(OOD)
    batch_size: BatchSize = setting(FASTER)
    num_workers: Workers = setting("processes that decode; auto: one a core, at most 8")
    threshold: Threshold = setting(THRESHOLD)
    positive: Positive = setting(POSITIVE)
    accelerator: Accelerator = setting("where it runs")
    data: Elsewhere = setting("where the run's data set lies")
    output: FolderOrNull = setting(
        "a new or empty folder, or - for stdout; null: RUN/predict/TIME, or outputs/predict/TIME without a run"
    )

    _positive = model_validator(mode="after")(_positive_has_a_threshold)


class Explain(Settings):
    """`python -m src.explain`."""

    checkpoint: Checkpoint = setting(RUN)
    method: Method = setting(METHODS)
    images: Annotated[Any, Images] = setting(f"{IMAGES}; null: test, or val for the channels of deconvnet …")
    max_images: Count | None = setting("most images, the classes in turn; null: all of a FILE or FOLDER, 32 of a split")
    layer: Layer = setting(LAYER)
    target: Annotated[Any, Takes("predicted, true, all or a class's name")] = setting(
        "the class that is explained; all: of class_image"
    )
    misclassified: bool = setting(
        "only images that the network gets wrong: maps of the predicted and the true class, and their difference"
    )
    faithfulness: bool = setting("measure whether the maps are true: deletion, insertion, ROAD, sanity checks")
    shuffled: Annotated[Any, Takes("a run, train, or null")] = setting(
        "of faithfulness: a run of this network on shuffled labels; train: make one; null: do without"
    )
    single_deletion: bool = setting(
        "of faithfulness: train a copy on that knows images without a piece, and measure what networks can be compared "
        "by (IDSDS)"
    )
    shortcuts: bool = setting(
        "look for shortcuts: change all images in the same ways, such as each cell of a grid, and tell what it does"
    )
    channels: Annotated[int, Interval(ge=1, le=100_000)] | None = setting(
        "of deconvnet and guided_backprop: how many of the layer's channels; null: the class's logit instead"
    )
    per_class: Annotated[int, Interval(ge=1, le=64)] = setting("of class_image: pictures of each class")
    steps: Annotated[int, Interval(ge=1, le=100_000)] | None = setting(
        "of class_image: steps of optimisation; null: as many as the image size needs"
    )
    judge: Annotated[Any, Takes("a run or checkpoint, train, or null")] = setting(
        "of class_image: a run or checkpoint of another network that names the pictures; train: make one; null: none"
    )
    tricks: bool = setting(
        "of class_image: the published tricks one by one, from pixel ascent to MaCo, and what the judge names right"
    )
    batch_size: BatchSize = setting(FASTER)
    accelerator: Accelerator = setting("where it runs")
    seed: Seed = setting("of everything random: the choice of images, controls, class images")
    data: Elsewhere = setting("where the run's data set lies")
    output: FolderOrNull = setting(
        "a new or empty folder, or an earlier explanation, which is replaced; null: one of its own in RUN/explain"
    )


class Audit(Settings):
    """`python -m src.audit`."""

    seed: Seed = setting(
        "of the division and of the choice of images; with that of a training, the splits are the same"
    )
    strict: bool = setting(
        "exit with code 1 where an image is in two splits or classes, or more than 5 % of the files are unreadable"
    )
    samples: Annotated[int, Interval(ge=1, le=64)] = setting("images of each class in samples.png")
    fix: Literal["copies", "labels"] | None = setting(
        "write exclude.csv, which data.exclude= reads: copies: unreadable files and copies across splits; labels: "
        "pictures in several classes, too; null: nothing. No file is deleted"
    )
    checkpoint: Annotated[Any, Takes("a run folder, a checkpoint file, or null")] = setting(
        "a trained network, by which labels that may be wrong are found: of its run's own images, or of data=NAME; "
        "null: labels are not looked at"
    )
    accelerator: Accelerator = setting("where that network runs")
    data: Data = setting("the images; what chooses and divides them counts, and image_size for the samples")
    output: Output = setting("a folder; with -m it gets a folder for each job")


class Benchmark(Settings):
    """`python -m src.benchmark`."""

    # before batch_size, num_classes and in_channels, which refer to it: the message names what was typed
    data: Data = setting("images are random; image_size, in_channels, num_classes and batch_size count")
    batch_size: BatchSize = setting("images at once in inference; training steps take data.batch_size")
    budget: Annotated[float, Interval(gt=0, lt=86_400)] | None = setting(
        "seconds for the passes of inference; training takes some 3 more. null: all passes, 2 × (10 + 100)"
    )
    freeze: Freeze = setting("as in train; backbone: training steps of the head alone")
    head: Head = setting("as in train; it changes nothing here")
    weights: Weights = setting("as in train; only the stem counts, which stem=auto takes from a file or from imagenet")
    label_smoothing: LabelSmoothing = setting("as in train")
    memory_format: MemoryFormat = setting("as in train")
    model: Model = setting("the network")
    trainer: Trainer = setting("accelerator and precision count")
    optimizer: Optimizer = setting("the optimizer")
    output: Output = setting("a new or empty folder; with -m it gets a folder for each job")


class Adopt(Settings):
    """`python -m src.adopt`."""

    classes: Annotated[Any, Takes("a list, a text file, or null")] = setting(
        "what the rows of the head are called, in the file's order: [A,B,…], or a file with one name a line; null: the "
        "classes of data=NAME"
    )
    # before model, whose in_channels refers to it: the message names what was typed
    data: Data = setting("how images were prepared: image_size, in_channels, mean, std and interpolation count")
    weights: Weights = setting("the file that all of the network comes from: .pth, .safetensors …; or imagenet")
    model: Model = setting("the network; num_classes, head and freeze are for training")
    output: FolderOrNull = setting(
        "a new or empty folder, or an earlier adoption, which is replaced; null: outputs/adopt/TIME"
    )

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> Self:
        usual = {"num_classes": (None,), "head": ("auto",), "freeze": ("none",)}
        for name, values in usual.items() if self.model is not None else ():
            value = getattr(self.model, name)
            if name in self.model.model_fields_set and value not in values:
                raise InputError(f"model.{name}={value} is for training, and nothing is trained here: leave it out")
        return self


class Report(Settings):
    """`python -m src.report`."""

    runs: Annotated[Any, Names("runs=outputs/sweeps/NAME", "no folder"), Takes("a folder")] = setting(
        "a folder with run folders in it, at any depth"
    )
    output: Output = setting("a new or empty folder, or an earlier report, which is replaced")
    archive: bool = setting(
        "also write runs.tar.xz, the runs without weights and images: a report on another machine counts them, too"
    )


class Runs(Settings):
    """`python -m src.runs`."""

    runs: Annotated[Any, Names("runs=outputs", "no folder"), Takes("a folder")] = setting(
        "a folder with run folders in it, at any depth; last, or the name of a run or sweep"
    )
    where: Annotated[Sequence[str], Takes("a list")] = setting(
        "runs with these settings alone; shorter, as they are typed to src.train: data=digits model=resnet18,resnet50"
    )
    status: Literal["finished", "stopped", "failed", "running", "killed", "refused", "damaged", "adopted"] | None = (
        setting("runs with this status alone; null: all")
    )
    sort: Literal["time", "accuracy", "size", "name", "data", "model", "status"] = setting(
        "the order: the newest, best or largest first, or by a name"
    )
    output: Annotated[Any, Takes("a .csv file, - or null")] = setting(
        "a table for programs: a file, or - for stdout; null: a table on screen"
    )
    prune: bool = setting("say what could go of finished runs because it can be made again; prune alone says it too")
    kinds: Annotated[Sequence[Literal["last", "controls", "exports"]], Takes("a list of last, controls, exports")] = (
        setting("of prune: last.ckpt, which only more epochs need; explain's trainings in a run; exports in a run")
    )
    cache: bool = setting("say what decoded pictures take in the cache folder; cache alone says it too")
    delete: bool = setting("of prune and cache: let it go")

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> Self:
        if self.prune and self.cache:
            raise InputError("prune and cache are two things: say one of them")
        if self.delete and not (self.prune or self.cache):
            raise InputError("delete=true goes with prune: say prune too, or cache, or leave it out")
        if (self.prune or self.cache) and self.output is not None:
            raise InputError(
                f"output={self.output} is for the list of runs: leave it out, or {'prune' if self.prune else 'cache'}"
            )
        return self


class Export(Settings):
    """`python -m src.export`."""

    checkpoint: Checkpoint = setting(RUN)
    format: str = setting("onnx: an .onnx file, for ONNX Runtime and others; torch_export: a .pt2 file, for PyTorch")
    images: Annotated[Any, Images] = setting(f"what proves the export. {IMAGES}; null: test")
    max_images: Count | None = setting("most images, the classes in turn; null: all")
    threshold: Threshold = setting(THRESHOLD)
    positive: Positive = setting(POSITIVE)
    seed: Seed = setting("of the choice of images")
    data: Elsewhere = setting("where the run's data set lies")
    output: FolderOrNull = setting(
        "a new or empty folder, or an earlier export, which is replaced; null: RUN/export/FORMAT"
    )

    _positive = model_validator(mode="after")(_positive_has_a_threshold)


class App(Settings):
    """`python -m src.app`."""

    checkpoint: Annotated[Any, Takes("a run folder or a checkpoint file, or two as [A,B]")] = setting(
        f"{RUN}; [A,B]: two of them side by side; last: the newest run; a sweep's folder: its runs as an ensemble"
    )
    ensemble: bool = setting("the networks in brackets answer together, with the mean of their probabilities")
    coverage: Part | None = setting(COVERAGE)
    ood: Part | None = setting(OOD)
    runs: FolderOrNull = setting("the folder whose runs can be chosen on the page; null: none")
    port: Annotated[int, Interval(ge=1, le=65_535)] = setting("port of this computer; nobody else can open the page")
    browser: bool = setting("open the page in the browser, where there is a screen")
    accelerator: Accelerator = setting("where it runs")
    data: Elsewhere = setting("where the run's data set lies")


class Span(Settings):
    """From where to where a setting is tried."""

    low: Annotated[float, Interval(ge=0, le=1000)] = setting("the lowest value; of lr a multiple of the usual rate")
    high: Annotated[float, Interval(ge=0, le=1000)] = setting("the highest value")
    log: bool = setting("as many values between 0.01 and 0.1 as between 0.1 and 1; low must then be above 0")

    def check(self, name: str) -> None:
        """Raise `InputError` for a range of this name in which nothing lies; what it lacks is not missed."""
        if not {"low", "high", "log"} <= self.model_fields_set:
            return
        if self.low >= self.high:
            raise InputError(f"{name} from low={self.low:g} to high={self.high:g} is empty: take a larger {name}.high")
        if self.log and self.low <= 0:
            raise InputError(f"{name} with log=true can't begin at low={self.low:g}: take a small {name}.low above 0")


SPAN = Takes("{low: a number, high: a number, log: true or false}, or null")


class Space(Settings):
    """Continuous settings around one network, which `space=NAME` sets."""

    name: Text = setting("the space, which space=NAME sets")
    optimizer: Annotated[str, OneOf("sgd", "adamw")] = setting("the optimizer of all trials")
    trials: Annotated[int, Interval(ge=2, le=1000)] = setting("trainings; more where their time allows")
    lr: Annotated[Span | None, SPAN] = setting("learning rate, as a multiple of the usual one; null: the usual one")
    weight_decay: Annotated[Span | None, SPAN] = setting("weight decay; null: the usual one")
    mixup: Annotated[Span | None, SPAN] = setting("how much images are mixed; null: as ever, not at all")
    label_smoothing: Annotated[Span | None, SPAN] = setting("label smoothing; null: as ever, none")

    @model_validator(mode="after")
    def _varies(self) -> Self:
        names = {"lr", "weight_decay", "mixup", "label_smoothing"}
        if names <= self.model_fields_set and all(getattr(self, name) is None for name in names):
            raise InputError("space has no range: leave one of lr, weight_decay, mixup and label_smoothing in")
        for name, most in (("lr", 1000), ("weight_decay", 100), ("mixup", 100), ("label_smoothing", 0.99)):
            span = getattr(self, name, None)
            if span is None:
                continue
            span.check(f"space.{name}")
            if "high" in span.model_fields_set and span.high > most:
                raise InputError(f"space.{name}.high={span.high:g} is not possible: take at most {most:g}")
        return self


class Search(Settings):
    """`python -m src.search`."""

    models: Annotated[Sequence[str] | None, Takes("networks as model=A,B, or null")] = setting(
        "the networks, as model=resnet18,simple_cnn; null: some from cheap to dear"
    )
    sizes: Annotated[Sequence[Side] | None, Takes("at most 3 whole numbers between 4 and 4096, or null")] = setting(
        "image sizes, as sizes=64,128; null: data.image_size, and of photographs smaller ones, too"
    )
    weights: Weights = setting(
        "pretrained weights, for the networks that they fit: imagenet, a file or a run; null: all from scratch"
    )
    minutes: Annotated[float, Interval(gt=0, le=100_000)] | None = setting(
        "the time for all of it, with the test of the pick; null: 10, unless steps are given"
    )
    steps: Annotated[int, Interval(ge=1, le=10_000_000)] | None = setting(
        "instead of minutes: optimizer steps of each candidate by the end of the first round, three times as many by "
        "that of each one after it; with space the steps of each trial; then the same seed has the same answer"
    )
    space: Annotated[Space | None, Takes("lr, or null")] = setting(
        "instead of networks try settings around one: learning rate, weight decay, mixup, label smoothing"
    )
    seed: Seed = setting("of everything random: division, order, augmentation, weights")
    resume: FolderOrNull = setting(
        "the folder of a search that was stopped: go on with it; last: the newest below outputs/search"
    )
    data: Data = setting("the images")
    trainer: Trainer = setting("Lightning's Trainer, one process; the search decides when a training ends")
    output: FolderOrNull = setting("a new or empty folder; null: outputs/search/TIME")

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.minutes is not None and self.steps is not None:
            raise InputError(
                f"minutes={self.minutes:g} and steps={self.steps} both say how long: leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _few_sizes(self) -> Self:
        if self.sizes is not None and not 1 <= len(set(self.sizes)) <= MOST_SIZES:
            raise InputError(f"sizes={','.join(map(str, self.sizes))}: take one to {MOST_SIZES} sizes")
        return self


class Pack(Settings):
    """`python -m src.pack`."""

    shard_size: Annotated[int, Interval(ge=1, le=100_000)] = setting("MiB of a shard, at most")
    seed: Seed = setting("of the order of the images in the shards")
    data: Data = setting("the images; what finds and chooses them counts")
    output: Annotated[Any, Takes("a folder, or a bucket's such as s3://BUCKET/SHARDS, or null")] = setting(
        "a new or empty folder, one with shards that src.pack has written, which are replaced, or a folder in a bucket "
        "that holds nothing yet; null: outputs/pack/TIME"
    )


VERBS: Mapping[str, type[Settings]] = {
    "train": Train,
    "evaluate": Evaluate,
    "predict": Predict,
    "explain": Explain,
    "audit": Audit,
    "benchmark": Benchmark,
    "report": Report,
    "runs": Runs,
    "export": Export,
    "app": App,
    "adopt": Adopt,
    "search": Search,
    "pack": Pack,
}
