"""Pictures of what was trained on and of what went wrong, for the run's page: no training is lost for one of them."""

import logging
from collections.abc import Callable, Mapping

from .. import figures
from ..errors import first_line
from ..names import together
from .assemble import Parts
from .mistakes import mistakes_sheet
from .tasks import parts_of

log = logging.getLogger(__name__)


def draw_pictures(parts: Parts) -> None:
    """Draw `figures/train_batch.png` and `figures/mistakes.png`, as far as there is something to draw."""
    for file, draw in PICTURES.items():
        (parts.folder.figures / file).unlink(missing_ok=True)  # of the same run before it was resumed
        try:
            draw(parts, file)
        except Exception as error:
            log.warning("no %s: %s", file, first_line(error))


def _draw_batch(parts: Parts, file: str) -> None:
    """Show the first batch as it came, before it was normalised. Features that were kept have no picture."""
    first, names = parts.first_batch, parts.data.class_names
    if first.images is None:
        return
    targets = first.targets.numpy()
    labels = [names[target] for target in targets] if targets.ndim == 1 else together(targets == 1, names)
    how = "as augmented" if parts.data.augmentation is not None else "without augmentation"
    title = f"{len(labels)} images of the first training batch of epoch {first.epoch}, {how}"
    figures.save(figures.batch_sheet(first.images.numpy(), labels, title), parts.folder.figures / file)


def _draw_mistakes(parts: Parts, file: str) -> None:
    """Show the surest mistakes on the test set; where it was left alone, on validation images."""
    module, answers = parts.module, parts.predictions
    split, word = ("test", "test") if parts.cfg.test else ("val", "validation")
    mistakes = parts_of(module.task).mistakes(module, answers)
    where = f"{len(answers.targets):,} {word} images"
    device = parts.trainer.strategy.root_device
    figure = mistakes_sheet(mistakes, module, parts.data, split, device, where)
    if figure is not None:
        figures.save(figure, parts.folder.figures / file)


PICTURES: Mapping[str, Callable[[Parts, str], None]] = {"train_batch.png": _draw_batch, "mistakes.png": _draw_mistakes}
