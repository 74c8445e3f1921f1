"""A trained network as one file for other programs, with its normalisation inside and its classes written into it."""

import copy
import json
import logging
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import data
from ..analysis.binary import Decision
from ..data.images import COLOURS
from ..errors import InputError
from ..files import write_text
from ..trained.checkpoint import Trained
from ..trained.pictures import Pictures, open_pictures
from ..trained.temperature import digest, read_calibration
from ..training.label_results import thresholds_of
from . import standalone
from .formats import FORMATS
from .proof import Proof, Runner, prove

log = logging.getLogger(__name__)

PREPROCESSING = (
    "uint8, 0 to 255, not normalised: the first frame of the file, upright by its EXIF tag, transparency on white, RGB "
    "or, of one channel, luma; {resize}, with Pillow's antialiased interpolation. {decode} example.py, which "
    "src.export writes beside this file, does just that."
)
OF_BANDS = (
    "uint8, 0 to 255, not normalised: all bands of the file, of more than 8 bits those in range scaled; {resize}, each "
    "band with Pillow's antialiased interpolation. example.py, which src.export writes beside this file, reads no "
    "bands: it takes such arrays (C, S, S) from .npy files."
)
RESIZE = {
    "crop": "the shorter side resized to image_size, then the central square",
    "pad": "the longer side resized to image_size, in the middle of a square of round(255 × mean)",
    "squash": "both sides resized to image_size",
}

PASSED_ON = ("image_size", "in_channels", "mean", "std", "interpolation", "decode", "range", "color", "resize")
"""Of the checkpoint's preprocessing."""

DECODE = {
    "fast": "A JPEG of at least four times the size is decoded at a half, quarter or eighth of its own.",
    "exact": "A JPEG is decoded in full: these are the pixels of torchvision's Resize and CenterCrop.",
}


class ExportedNetwork(nn.Module):
    """uint8 images (N, C, S, S) as from `load_image` -> logits (N, K) in fp32: normalisation, then the network.

    Where the training asked for `test_flip`, the answer to an image is the mean of its own and its mirror image's.

    It holds a copy in fp32 and PyTorch's default memory layout, whatever the training used.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        network = copy.deepcopy(trained.module.network).float().requires_grad_(False)
        self.network = network.to(memory_format=torch.contiguous_format)
        for name in ("mean", "std"):
            self.register_buffer(name, getattr(trained.module, name).float().clone())
        self.test_flip = bool(trained.module.hparams["test_flip"])
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        inputs = (images.float() / 255 - self.mean) / self.std
        logits = self.network(inputs)
        if self.test_flip:
            logits = (logits + self.network(inputs.flip(-1))) / 2
        return cast(Tensor, logits)


def choose_images(trained: Trained, images: str | None, data_root: str | None = None) -> Pictures:
    """Open the images that prove the export; None: the run's test images. Raise `InputError` without a run."""
    if images is None and trained.run is None:
        raise InputError(
            f"{trained.path} belongs to no run, whose test images would prove the export: "
            "say images=FILE or images=FOLDER"
        )
    return open_pictures("test" if images is None else str(images), trained, data_root)


def export_network(
    trained: Trained,
    kind: str,
    pictures: Pictures,
    chosen: NDArray[np.int64],
    folder: Path,
    decision: Decision | None = None,
) -> dict[str, Any]:
    """Write the file and example.py to `folder`, prove it on the `chosen` (n,) pictures, return export.json's content.

    Raises:
        RunError: The file gives other logits than the network.
    """
    metadata = describe(trained, kind, decision)
    file = folder / f"{trained.name}{FORMATS[kind].suffix}"
    log.info("Exporting %s …", trained.name)
    write_export(trained, kind, metadata, file)
    proof = prove(trained, open_export(file), pictures, chosen)
    write_text(folder / "example.py", example())
    _say(file, trained, kind, proof)
    return {"file": file.name, "bytes": file.stat().st_size, "proof": asdict(proof), **metadata}


OURS = re.compile(r"^from \.(?:\.data\.)?(\w+) import .*\n", re.MULTILINE)


def example() -> str:
    """Return standalone.py with the modules in place of the imports that name them: it runs without ResLens."""
    put: set[str] = set()

    def source(found: re.Match[str]) -> str:
        name = found[1]
        if name in put:
            return ""
        put.add(name)
        text = (Path(data.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
        body = OURS.sub(source, text.partition('"""\n')[2])
        return f"\n# {name} {'-' * (115 - len(name))}\n{body}"

    return OURS.sub(source, Path(standalone.__file__).read_text(encoding="utf-8"))


def describe(trained: Trained, kind: str, decision: Decision | None = None) -> dict[str, Any]:
    """Describe all that a program needs to use the network, and where it is from: for the file and export.json.

    A calibrated checkpoint has a `temperature`: confidences are softmax(logits / temperature). Of several labels an
    image there are `thresholds`: a label is decided where the sigmoid of its logit is at least its threshold. A
    `decision` between two classes is a `threshold` of the confidence in the class `positive`.
    """
    settings = trained.module.hparams["preprocessing"]
    calibration = read_calibration(trained.path)
    packages = ("reslens", "torch", *FORMATS[kind].packages)
    return {
        "network": trained.name,
        "class_names": trained.class_names,
        **({"thresholds": thresholds_of(trained.module).tolist()} if trained.multilabel else {}),
        **({} if decision is None else decision.told(trained.class_names)),
        **{key: settings[key] for key in PASSED_ON},
        "input": "images: uint8 (N, in_channels, image_size, image_size)",
        "output": "logits: float32 (N, classes), in the order of class_names",
        "preprocessing": (PREPROCESSING if settings["in_channels"] in COLOURS else OF_BANDS).format(
            decode=_decoding(settings), resize=RESIZE[settings["resize"]]
        ),
        **({} if calibration is None else {"temperature": calibration.temperature}),
        "checkpoint_sha256": digest(trained.path),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _decoding(settings: Mapping[str, Any]) -> str:
    said = DECODE[settings["decode"]]
    return said if settings["resize"] == "crop" else f"{said.partition(':')[0].rstrip('.')}."


def write_export(trained: Trained, kind: str, metadata: dict[str, Any], file: Path) -> None:
    """Write the network to `file`, with `metadata` inside; values that are no text as JSON."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    geometry = trained.geometry
    example = torch.zeros(2, geometry.in_channels, geometry.image_size, geometry.image_size, dtype=torch.uint8)
    # torch.export specialises on sizes 0 and 1 unless told that a batch may be 1.
    dynamic = {"images": {0: torch.export.Dim("N", min=1)}}
    write = _write_onnx if kind == "onnx" else _write_torch_export
    with torch.no_grad():
        write(ExportedNetwork(trained), example, dynamic, texts, file)


def _write_onnx(
    network: nn.Module, example: Tensor, dynamic: dict[str, Any], texts: dict[str, str], file: Path
) -> None:
    program = torch.onnx.export(
        network, (example,), dynamo=True, input_names=["images"], output_names=["logits"], dynamic_shapes=dynamic,
        verbose=False,
    )  # fmt: skip
    assert program is not None
    graph = program.model.graph
    for part in (graph, *graph):  # the exporter's notes, with the paths of this machine in them
        part.metadata_props.clear()
    program.model.metadata_props.update(texts)
    program.save(file, external_data=False)


def _write_torch_export(
    network: nn.Module, example: Tensor, dynamic: dict[str, Any], texts: dict[str, str], file: Path
) -> None:
    program = torch.export.export(network, (example,), dynamic_shapes=dynamic)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    torch.export.save(program, file, extra_files={"metadata.json": json.dumps(texts)})


def open_export(file: Path) -> Runner:
    """Open an exported file: ONNX Runtime, or PyTorch for a .pt2, on the CPU with as many threads."""
    if file.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return lambda images: cast("NDArray[np.float32]", session.run(["logits"], {"images": images})[0])
    network = torch.export.load(file).module()

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return cast(Tensor, network(torch.from_numpy(images))).numpy()

    return run


# On screen -----------------------------------------------------------------------------------------------------------


def _say(file: Path, trained: Trained, kind: str, proof: Proof) -> None:
    runner = FORMATS[kind].runner
    left = proof.images - proof.same_class
    tie = f"; on {left} the two largest logits are a tie" if left else ""
    same = "labels" if trained.multilabel else "class"
    log.info(
        "proven       %d images, in batches of %d and one by one: within %.1e of PyTorch's logits, same %s on %s%s",
        proof.images, proof.batch, proof.largest_difference, same, proof.same_class if left else "all",
        "; on others one is at its threshold" if left and trained.multilabel else tie,
    )  # fmt: skip
    log.info(
        "file         %s, %.1f MB, %.2f times PyTorch's images/s here (%s, batches of %d, %d thread%s)",
        file.name, file.stat().st_size / 1e6, proof.speedup, runner, proof.batch,
        torch.get_num_threads(), "" if torch.get_num_threads() == 1 else "s",
    )  # fmt: skip
    channels, side = trained.geometry.in_channels, trained.geometry.image_size
    form = f"uint8 ({channels}, {side}, {side})"
    if channels in COLOURS:
        log.info(
            "example.py   reads what Pillow reads; of DICOM, HEIC and JPEG XL give it arrays: .npy files, %s", form
        )
    else:
        log.info("example.py   reads no files of %d bands: give it arrays, .npy files, %s", channels, form)
    what = "PICTURE" if channels in COLOURS else "ARRAY.npy"
    log.info("elsewhere    python example.py %s …   or, in that folder:\n\n%s\n", what, usage(file.name, trained))


MOST_TYPED = 12
"""Classes that are written out in those lines."""


def usage_of_classes(trained: Trained) -> list[str]:
    """Return the line that turns logits into a class, where each image has one, of few."""
    if trained.multilabel or len(trained.class_names) > MOST_TYPED:
        return []
    return [f"print({json.dumps(trained.class_names, ensure_ascii=False)}[int(logits[0].argmax())])"]


def usage(file: str, trained: Trained) -> str:
    """Write the lines of Python that load the file elsewhere, beside example.py and without ResLens."""
    geometry = trained.geometry
    names = ("image_size", "in_channels", "interpolation", "decode", "range", "color", "resize", "fill")
    usual = {"range": "own", "color": "srgb", "resize": "crop", "fill": ()}  # those of load_image
    ways = {name: getattr(geometry, name) for name in names}
    how = ", ".join(f"{name}={json.dumps(way)}" for name, way in ways.items() if way != usual.get(name))
    picture = "photo.jpg" if geometry.in_channels in COLOURS else "bands.npy"
    first, call = "import torch", f'torch.export.load("{file}").module()(torch.from_numpy(images))'
    if file.endswith(".onnx"):
        first, call = "import onnxruntime", f'onnxruntime.InferenceSession("{file}").run(None, {{"images": images}})[0]'
    lines = [
        first,
        "from example import load_image  # NumPy and Pillow",
        f'images = load_image("{picture}", {how})[None]  # uint8 (1, C, S, S)',
        f"logits = {call}",
        *usage_of_classes(trained),
    ]
    return "\n".join(f"    {line}" for line in lines)
