"""The tab that shows pictures to the networks: where they come from, the settings, and the answers."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import DeletedFile, UploadedFile, UploadedFileRec

from ..attribution.methods import METHODS
from ..data.transforms import Geometry
from ..errors import InputError
from ..figures.style import shorten
from . import markup
from .answers_table import show_table
from .ask import OFFERED, Question, ask, digest, familiarity, say
from .exhibits import Examples, Exhibit, Exhibition
from .pictures import Picture, Refused
from .uploads import apart, to_input

log = logging.getLogger(__name__)

ON_A_PAGE = 6
"""How many pictures are shown at once, the newest first: fifty would take fifty times as long to draw."""

LOST = "The page was disconnected and its pictures are lost: choose them again."

AGAIN = "The networks on the page see pictures in another size: choose this one again."

SAME = (
    "On the last layer before a global pooling (such as layer4 of a ResNet) Grad-CAM, HiResCAM and XGrad-CAM give the "
    "same map: take an earlier layer to see them differ."
)

OOPS = "Something went wrong with this picture; the terminal says what. Others still work."


@dataclass(frozen=True)
class Settings:
    """What an exhibit is asked about each picture; `target` None is the predicted class."""

    method: str
    opacity: float
    layer: str
    target: int | None


def show_pictures(exhibition: Exhibition) -> None:
    exhibits = exhibition.exhibits
    entries = _entries(exhibition)
    settings = _settings(exhibits)
    refused = [markup.refusal(entry.name, entry.reason) for entry in entries if isinstance(entry, Refused)]
    if refused:
        st.html("".join(refused))
    pictures = [entry for entry in entries if isinstance(entry, Picture)]
    if not pictures:
        return
    pages, page = -(-len(pictures) // ON_A_PAGE), 1
    if pages > 1:
        st.html(markup.note(f"{len(pictures)} pictures, the newest first"))
        came = st.session_state["came"]  # every new picture brings another widget, which starts on the first page
        page = min(st.pagination(pages, key=f"page after {came}"), pages)
    for picture in pictures[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]:
        st.html(_card(picture, exhibits, settings))
    scale = "Left: what the network sees. Right: dark is no evidence, bright is most; each map has its own scale."
    st.html(markup.note(f"{scale} {_calibration(exhibits)}"))
    if len(pictures) > 1:
        show_table(pictures, exhibits)


# Where pictures come from --------------------------------------------------------------------------------------------


def _entries(exhibition: Exhibition) -> list[Picture | Refused]:
    """Return what this visitor has chosen, the newest first. Each file is read once, when it arrives."""
    left, right = st.columns([3, 2])  # side by side, or the answers would begin below the screen
    files = left.file_uploader(
        "Pictures: JPEG, PNG, WebP, BMP, GIF or TIFF, up to 10 MB each",
        accept_multiple_files=True,
        key="uploads",
    )
    if any(isinstance(file, DeletedFile) for file in st.session_state.get("uploads") or []):
        st.html(markup.refusal("Pictures", LOST))
    geometries = {geometry for exhibit in exhibition.exhibits for geometry in exhibit.geometries}
    sources: dict[str, Callable[[], Picture | Refused]] = {}
    for file in files:
        sources[file.file_id] = lambda file=file: _read(file, file.name, geometries)  # type: ignore[misc]
    with right:
        index = _choose_example(exhibition)
        camera = st.toggle("Use the camera")
    if index is not None:
        examples: Any = exhibition.examples
        sources[f"test {index}"] = lambda: _take(examples, index, geometries)
    # Only on request: the browser asks for permission as soon as it is there.
    photo = st.camera_input("Camera", label_visibility="collapsed", width=480) if camera else None
    if photo is not None:
        sources[photo.file_id] = lambda: _read(photo, "photo", geometries)
    kept: dict[str, Picture | Refused] = st.session_state.setdefault("entries", {})
    for key, entry in kept.items():
        if isinstance(entry, Picture) and not entry.inputs.keys() >= geometries:  # other networks were chosen
            kept[key] = sources[key]() if key.startswith("test ") and key in sources else Refused(entry.name, AGAIN)
    for gone in kept.keys() - sources.keys():
        del kept[gone]
    for key, read in sources.items():
        if key not in kept:
            kept[key] = read()
            st.session_state["came"] = st.session_state.get("came", 0) + 1
    return list(reversed(kept.values()))


def _choose_example(exhibition: Exhibition) -> int | None:
    """Return the index of a test image; None where none is chosen."""
    examples = exhibition.examples
    if isinstance(examples, str):
        st.html(markup.note(markup.escaped(examples, 400)))
        return None
    return st.selectbox(
        f"Or a test image of {'A' if len(exhibition.exhibits) > 1 else 'the run'}",
        [int(index) for index in examples.chosen],
        index=None,
        format_func=lambda index: shorten(f"{examples.pictures.names[index]} ({examples.true(index)})", 120),
        placeholder="none",
    )


def _read(file: UploadedFile, name: str, geometries: set[Geometry]) -> Picture | Refused:
    name = name if shorten(name) else "picture"  # blanks alone are no visible name
    try:
        content = file.getvalue()
        inputs = {geometry: to_input(content, geometry) for geometry in geometries}
    except InputError as error:
        return Refused(name, str(error))
    except Exception:  # a visitor sees no traceback, whatever a decoder raises
        log.exception("a picture could not be read")
        return Refused(name, OOPS)
    finally:
        _forget(file)
    return _picture(name, inputs)


def _take(examples: Examples, index: int, geometries: set[Geometry]) -> Picture | Refused:
    name = examples.pictures.names[index]
    try:
        inputs = {geometry: apart(partial(examples.input, index, geometry)) for geometry in geometries}
    except Exception:  # its file is gone, or has changed
        log.exception("test image %s could not be read", name)
        return Refused(name, "This test image can no longer be read: choose another.")
    return _picture(name, inputs, examples.true(index))


def _picture(name: str, inputs: dict[Geometry, torch.Tensor], true: str | None = None) -> Picture:
    return Picture(name, inputs, {geometry: digest(image) for geometry, image in inputs.items()}, true)


def _forget(file: UploadedFile) -> None:
    """Drop the bytes of a file that has been read: Streamlit would keep them until the visitor leaves."""
    context = get_script_run_ctx()
    if context is not None:
        record = UploadedFileRec(file_id=file.file_id, name=file.name, type=file.type, data=b"")
        context.uploaded_file_mgr.add_file(context.session_id, record)  # type: ignore[attr-defined]


# What is asked, and the answers --------------------------------------------------------------------------------------


def _settings(exhibits: list[Exhibit]) -> list[Settings]:
    """Offer method and opacity for all, and layer and class for each exhibit; return what is chosen."""
    with st.expander("Method, layer, evidence, opacity"), st.container(horizontal=True):  # on a phone, two side by side
        method = st.selectbox("Method", OFFERED, format_func=lambda name: METHODS[name].title, help=SAME)
        opacity = st.slider("Opacity of the map", 0, 100, 100, 5, format="%d %%") / 100
        return [Settings(method, opacity, _choose_layer(exhibit), _choose_target(exhibit)) for exhibit in exhibits]


def _choose_layer(exhibit: Exhibit) -> str:
    names = list(exhibit.layers)
    return st.selectbox(
        _label(exhibit, "Layer"),
        names,
        index=names.index(exhibit.layer),
        format_func=lambda name: "{} ({}×{})".format(name, *exhibit.layers[name]),
    )


def _choose_target(exhibit: Exhibit) -> int | None:
    names = exhibit.trained.class_names
    usual = "predicted class" if exhibit.thresholds is None else "likeliest label"
    chosen: int | None = st.selectbox(
        _label(exhibit, "Evidence for"),
        [None, *range(len(names))],
        format_func=lambda index: usual if index is None else shorten(names[index], 120),
    )
    return chosen


def _label(exhibit: Exhibit, text: str) -> str:
    return f"{exhibit.letter}: {text.lower()}" if exhibit.letter else text


def _card(picture: Picture, exhibits: list[Exhibit], settings: list[Settings]) -> str:
    """Return a picture with what each exhibit says of it, or why it can't be shown, as HTML."""
    try:
        answers = [_answer(picture, exhibit, own) for exhibit, own in zip(exhibits, settings, strict=True)]
    except InputError as error:  # such as a layer whose output doesn't reach the logits
        return markup.refusal(picture.name, str(error))
    except Exception:
        log.exception("a picture could not be explained")
        return markup.refusal(picture.name, OOPS)
    of = "class" if exhibits[0].thresholds is None else "labels"
    return markup.card(picture.name, picture.true, answers, of)


def _answer(picture: Picture, exhibit: Exhibit, settings: Settings) -> str:
    geometry, names = exhibit.trained.geometry, exhibit.trained.class_names
    target, together = settings.target, None
    if exhibit.ensemble is not None:
        together = say(exhibit, picture)
        target = int(together.argmax()) if target is None else target
    image = picture.inputs[geometry], picture.digests[geometry]
    said = ask(Question(exhibit, *image, settings.method, settings.layer, target), settings.opacity)
    if exhibit.thresholds is None:
        shares = said.probabilities if together is None else together
        shown = markup.bars(shares, names, said.target) + _doubt(picture, exhibit, shares)
    else:
        shown = markup.label_bars(said.probabilities, exhibit.thresholds, names, said.target)
    return markup.answer(exhibit.letter, said.picture, names[said.target], shown, dark=said.dark)


def _doubt(picture: Picture, exhibit: Exhibit, shares: NDArray[np.float64]) -> str:
    """Return what the validation images say of an answer, as HTML."""
    asked, names = exhibit.validated, exhibit.trained.class_names
    if asked is None:
        return ""
    said = ""
    if asked.coverage is not None and (sets := asked.sets(shares[None])) is not None:
        classes = markup.escaped(", ".join(names[index] for index in sets[0]), 200)
        said += markup.note(f"{100 * asked.coverage:.3g} % set: {classes}")
    share = familiarity(exhibit, picture)
    if asked.ood is not None and share is not None and share <= asked.ood:
        said += markup.note(f"<b>Unfamiliar</b>: unlike the run's validation images (p = {share:.3f})")
    return said


def _calibration(exhibits: list[Exhibit]) -> str:
    """Say for each exhibit whether its confidences are calibrated, or which labels are decided."""
    sentences = []
    for exhibit in exhibits:
        if exhibit.thresholds is not None:
            sentences.append("✓: a label that reaches its threshold, the line across its bar and the figure behind it.")
            continue
        if exhibit.ensemble is not None:
            sentences.append(f"Confidences are the mean of the networks'; the map is that of {exhibit.facts[1]}.")
            continue
        whose = f"{exhibit.letter}'s confidences" if exhibit.letter else "Confidences"
        how = (
            "not calibrated (src.evaluate calibrate=true does it)"
            if exhibit.temperature is None
            else f"calibrated (temperature {exhibit.temperature:.2f})"
        )
        sentences.append(f"{whose} are {how}.")
    return " ".join(dict.fromkeys(sentences))
