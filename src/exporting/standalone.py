"""Classify pictures with an exported network, without ResLens: python example.py PICTURE …

`python -m src.export` writes this file beside each network, as example.py, with what it imports of ResLens. It
needs NumPy, Pillow and, for an .onnx file, onnxruntime, for a .pt2 file torch. What it has to know of the network is
written in the network's own file. Of what Pillow doesn't read (DICOM, HEIC, JPEG XL, bands) it takes arrays in .npy
files.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.colour import finish_with, plain
from ..data.depth import find_deep, to_picture
from ..data.pixels import UPRIGHT, exif_orientation, to_channels

FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # others may start programs
LONGEST = 8  # of a strip that is longer than so many times its shorter side, the centre counts

Network = Callable[[np.ndarray], np.ndarray]


def open_network(file: Path) -> tuple[Network, Mapping[str, str]]:
    """The network, from pictures uint8 (N, C, S, S) to logits (N, K), and what its file says of it."""
    if file.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda images: session.run(["logits"], {"images": images})[
            0
        ], session.get_modelmeta().custom_metadata_map
    import torch

    inside = {"metadata.json": ""}
    network = torch.export.load(file, extra_files=inside).module()
    return lambda images: network(torch.from_numpy(images)).numpy(), json.loads(inside["metadata.json"])


def load_image(
    file: Path | str,
    image_size: int,
    in_channels: int,
    interpolation: str,
    decode: str,
    range: str | tuple[float, float] = "own",
    color: str = "srgb",
    resize: str = "crop",
    fill: Sequence[int] = (),
) -> np.ndarray:
    """A picture as the network was trained on it: uint8 (C, S, S), its channels RGB or, if there is one, grey.

    Of an array in a .npy file it must have this form already: bands and other formats are yours to read.
    """
    if isinstance(file, str | Path) and str(file).endswith(".npy"):
        return whole_array(np.load(file, allow_pickle=False), (in_channels, image_size, image_size))
    if in_channels not in (1, 3):
        raise ValueError(
            f"the network sees {in_channels} bands, which this example reads of arrays alone: save them with numpy.save"
            f" to a .npy file, uint8 ({in_channels}, {image_size}, {image_size})"
        )
    with ExitStack() as stack:
        content = stack.enter_context(Path(file).open("rb")) if isinstance(file, str | Path) else file
        image = Image.open(content, formats=FORMATS)
        if decode == "fast":
            image.draft(None, (2 * image_size, 2 * image_size))  # a large JPEG at half, a quarter or an eighth of it
        finish = plain if color == "stored" else finish_with(image.info.get("icc_profile"), image.mode)
        deep = None if range == "earlier" else find_deep(image, content)
        image.load()
        orientation = exif_orientation(image)
        if deep is None:
            picture = to_channels(image, in_channels, finish)
        else:
            picture = to_picture(
                deep, "L" if in_channels == 1 else "RGB", None if isinstance(range, str) else range, finish
            )
    if orientation in UPRIGHT:
        picture = picture.transpose(UPRIGHT[orientation])
    resampling = Image.Resampling[interpolation.upper()]
    if resize == "pad":
        picture = pad(picture, image_size, resampling, fill)
    elif resize == "squash":
        picture = picture.resize((image_size, image_size), resampling)
    else:
        picture = resize_and_crop(picture, image_size, resampling, whole=decode == "exact")
    pixels = np.array(picture)
    return pixels[None] if in_channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def whole_array(array: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The array as it is, if it can be a picture of this shape."""
    if array.dtype != np.uint8 or array.shape != shape:
        raise ValueError(f"it holds {array.dtype} {array.shape}, where the network takes uint8 {shape}")
    return array


def resize_and_crop(picture: Image.Image, size: int, resampling: Image.Resampling, whole: bool) -> Image.Image:
    """The shorter side resized to `size` pixels, then the central square; `whole`: of a strip not only its centre."""
    is_strip = max(picture.size) > LONGEST * min(picture.size)
    if is_strip and not whole:
        picture = central(picture, *(min(side, LONGEST * min(picture.size)) for side in picture.size))
    shorter = min(picture.size)
    width, height = (max(size, int(size * side / shorter)) for side in picture.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    if is_strip and whole:  # of what it would become, the square alone
        x, y = picture.width / width, picture.height / height
        box = (left * x, top * y, (left + size) * x, (top + size) * y)
        return picture.resize((size, size), resampling, box=box)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), resampling)
    return picture.crop((left, top, left + size, top + size))


def pad(picture: Image.Image, size: int, resampling: Image.Resampling, fill: Sequence[int]) -> Image.Image:
    """The longer side resized to `size` pixels, in the middle of a square of the colour `fill`."""
    width, height = (max(1, round(size * side / max(picture.size))) for side in picture.size)
    square = Image.new(picture.mode, (size, size), fill[0] if len(fill) == 1 else tuple(fill))
    if (width, height) != picture.size:
        picture = picture.resize((width, height), resampling)
    square.paste(picture, ((size - width) // 2, (size - height) // 2))
    return square


def central(picture: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def visible(text: str) -> str:
    """The text on one line: characters that would steer a terminal, as in a name with a line break, as Python writes
    them. The names themselves are what `json.loads(…["class_names"])` gives."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def main(pictures: list[str]) -> None:
    """One line a picture: its class or labels, how sure the network is of each, and the file."""
    if not pictures:
        sys.exit("say which: python example.py PICTURE …")
    here = Path(__file__).parent
    network, told = open_network(min(file for file in here.iterdir() if file.suffix in (".onnx", ".pt2")))
    names = json.loads(told["class_names"])
    range = json.loads(told["range"]) if told["range"].startswith("[") else told["range"]
    size, channels = int(told["image_size"]), int(told["in_channels"])
    fill = [round(255 * mean) for mean in json.loads(told["mean"])]
    geometry = size, channels, told["interpolation"], told["decode"], range, told["color"], told["resize"], fill
    unread = 0
    for file in pictures:
        try:
            image = load_image(file, *geometry)
        except Exception as error:  # Pillow raises nearly anything on what is no picture
            print(visible(f"{file} can't be read: {error}"), file=sys.stderr)
            unread += 1
            continue
        logits = network(image[None])[0].astype(np.float64) / float(told.get("temperature", 1))
        if "thresholds" in told:  # several labels a picture
            likely = 1 / (1 + np.exp(-logits))
            at = json.loads(told["thresholds"])
            labels = [f"{name} {share:.4f}" for name, share, least in zip(names, likely, at) if share >= least]  # noqa: B905
            print(visible(f"{', '.join(labels) or 'no label'}  {file}"))
            continue
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = shares.argmax()
        if "threshold" in told:  # two classes: the positive one from this confidence
            positive = names.index(told["positive"])
            best = positive if shares[positive] >= float(told["threshold"]) else 1 - positive
        print(visible(f"{names[best]}  {shares[best]:.4f}  {file}"))
    sys.exit(unread > 0)


if __name__ == "__main__":
    main(sys.argv[1:])
