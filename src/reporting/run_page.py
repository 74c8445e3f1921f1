"""One run on one page: `report.html` in its folder."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath

from ..analysis.intervals import FEW_TESTED, Interval, beside_guessing, right_of
from ..analysis.tasks import ONE_CLASS
from ..files import read_inside, replacing
from ..runs.folder import RunFolder
from .document import MOST_BYTES, Page, Picture, render_html
from .facts import made_by, study_of
from .finished import Problem, Run, read_run
from .groups import Group
from .labels import model_name
from .run_sections import describe_run
from .tasks import parts_of

PICTURES_OF_ONE = re.compile(
    r"figures_(train_batch|curves|confusion_matrix|mistakes|gradcam_movement|object_energy)\.png|"
    r"figures_gradcam_by_epoch\.webp|gradcam_epoch_\d+\.png|explain_[\w-]+_shortcuts\.png"
)
"""What `with_copies` calls them."""


def write_run_page(folder: RunFolder) -> None:
    """Write `report.html` of a finished run from the files in its folder; pictures that aren't there are left out.

    Raises:
        UnusableError: The files can't be used.
    """
    run, problems = read_run(".", folder, untested=True)
    folder.write_page(render_html(run_page(run, problems), folder.path))


def run_page(run: Run, problems: Sequence[Problem], of_classes: Sequence[Picture] | None = None) -> Page:
    """Return the page of a run, with pictures as they are called in its folder.

    `of_classes` are pictures that have been drawn of its classes, in place of its own confusion matrix.
    """
    intervals, study = intervals_of(run), study_of([run])
    return Page(
        title=f"{model_name(run)} on {run.config['data']['name']} · {run.folder.path.resolve().name}",
        facts=[("Run", name_of(run)), *made_by([run.record])],
        question=study.get("question"),
        earlier=study.get("earlier"),
        answer=answer_of(run, intervals),
        sections=describe_run(run, intervals, of_classes),
        problems=[(problem.name, problem.reason) for problem in problems],
    )


def with_copies(page: Page, run: Run, folder: Path) -> Page:
    """Copy the pictures of a run's page into another folder; return the page with their names there.

    Those without a folder in their name have been drawn there.
    """
    sections = []
    for section in page.sections:
        pictures = [replace(picture, file=picture.file.replace("/", "_")) for picture in section.pictures]
        for picture, copied in zip(section.pictures, pictures, strict=True):
            if picture == copied:
                continue
            with suppress(OSError), replacing(folder / copied.file) as temporary:  # a lacking one is said on the page
                temporary.write_bytes(read_inside(run.folder.path, picture.file, MOST_BYTES))
        sections.append(replace(section, pictures=pictures))
    return replace(page, sections=sections)


def name_of(run: Run) -> str:
    """Return the folder as it is named where it lies below the current one, else its last part."""
    shown = PurePath(run.folder.shown)
    return shown.name if shown.is_absolute() else str(shown)


def intervals_of(run: Run) -> Mapping[str, Interval]:
    """Return the 95 % interval of each figure of the test set, by name; without a test set none."""
    return {} if run.predictions.empty else parts_of(run.task).intervals(Group("", {}, [run]))


def answer_of(run: Run, intervals: Mapping[str, Interval]) -> list[str]:
    """Say how good the network is on images that it has never seen, and how good it was before."""
    task, images = run.task, len(run.predictions)
    first = task.score
    split, word = ("test", "test") if images else ("val", "validation")
    value = run.metrics[f"{split}/{first.name}"]
    if task is ONE_CLASS and images:
        said = [f"{right_of(value, images, 'test images right')}."]
    else:
        low, high = intervals.get(first.name, (float("nan"), float("nan")))
        between = f" (95 % interval {low:.3f} to {high:.3f})" if low <= high else ""
        counted = f" of {images:,} images" if images else ""
        said = [f"{first.heading} {value:.3f}{between} on the {word} set{counted}."]
    if not images:
        said.append("The best epoch was chosen on the validation set, which flatters this figure: test=false kept the "
                    "test set for later.")  # fmt: skip
    before = run.metrics.get(f"baseline/{first.name}")
    if before is not None:
        said.append(f"Before training the {first.title} was {before:.3f}.")
    if task is ONE_CLASS and images and (guessing := beside_guessing(value, run.per_class["support"].tolist())):
        said.append(f"{guessing[0].upper()}{guessing[1:]}.")
    if 0 < images < FEW_TESTED:
        said.append("So few test images say little: data.folds=5 data.fold=0,1,2,3,4 tests all images.")
    return said
