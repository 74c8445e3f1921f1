"""`python -m src.audit`: what is in a data set before training on it, on a page, in audit.json and in two pictures."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .activity import clear, show
from .command.destination import hydra_folder
from .command.main import checked, main
from .command.next_steps import data_words, say_next
from .errors import RunError
from .files import write_text
from .logs import say_lines

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from .auditing.findings import Audit
    from .auditing.suspects import Suspects
    from .data import ImageDataModule

log = logging.getLogger(__name__)

CLASSES, GROUPS, IMAGES = 20, 8, 6  # rows of samples.png and of duplicates.png, and the columns of the latter
SUSPECTS = 24  # pictures of label_suspects.png


@checked
def audit(cfg: "DictConfig", folder: Path | str | None = None) -> dict[str, Any]:
    """Audit the data set of the composed configuration; return what audit.json holds.

    `folder` is where the files are written; None takes Hydra's, or outside Hydra `cfg.output`. Raises `InputError`
    where there is no such data set, and with `strict`, when all is written, `RunError` where it is not sound.
    """
    from omegaconf import OmegaConf
    from rich import get_console

    from .auditing.findings import audit_images
    from .auditing.leaving_out import choose, read_earlier, summary, write_rows
    from .auditing.on_screen import page, suspects_line
    from .auditing.suspects import find_suspects, open_audited
    from .data import ImageDataModule  # torch, only now
    from .trained.checkpoint import choose_device, load_trained
    from .trained.standing import say_standing

    settings: Any = OmegaConf.to_container(cfg.data, resolve=True)
    show("looking at the images")
    trained = None
    if cfg.get("checkpoint") is None:
        data = ImageDataModule(**settings, seed=cfg.seed)
    else:
        trained = load_trained(cfg.checkpoint, choose_device(cfg.accelerator))
        say_standing(trained)
        data = open_audited(settings, cfg.seed, trained, data_words())
    earlier = read_earlier(data.chosen.exclude) if cfg.get("fix") else []
    data.prepare_data()
    data.setup()
    suspects = None if trained is None else find_suspects(data, trained, cfg.seed)
    result = audit_images(data)
    content = result.as_dict() | ({} if suspects is None else {"suspects": suspects.as_dict(str(cfg.checkpoint))})
    path = Path(folder or hydra_folder() or cfg.output)
    write_text(path / "audit.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    written = ["audit.json", *draw(data, result, path, cfg.samples)]
    if suspects is not None:
        written += draw_suspects(data, suspects, path)
    rows = choose(result, data, cfg.fix) if cfg.get("fix") else []
    if rows:
        write_text(path / "exclude.csv", write_rows(rows, earlier))
        written.append("exclude.csv")
    clear()
    console = get_console()
    console.print(page(result), soft_wrap=not console.is_terminal)
    say_lines(log, "")
    if suspects is not None:
        log.info("%s", suspects_line(suspects, data))
    log.info("written: %s", ", ".join(str(path / name) for name in written))
    if rows:
        log.info("left out with data.exclude=%s: %s", path / "exclude.csv", summary(rows))
    elif cfg.get("fix"):
        log.info("fix=%s: there is nothing to leave out", cfg.fix)
    if cfg.strict and not result.sound:
        raise RunError(f"the data set is not sound, see {path / 'audit.json'}; strict=false only reports")
    words = data_words()
    if trained is not None and not any(word.startswith("data=") for word in words):
        return content  # of a run: its training has its words
    if rows:  # with what was left out before
        words = [word for word in words if not word.startswith("data.exclude=")]
        words.append(f"data.exclude={path / 'exclude.csv'}")
    say_next("audit", leave_out=["fix"] if cfg.get("fix") or not result.groups else [], data=words)
    return content


def draw(data: "ImageDataModule", result: "Audit", folder: Path, columns: int) -> list[str]:
    """Draw samples.png, which labels occur together, and duplicates.png where there are any; return the names."""
    from . import figures
    from .auditing.findings import count, picture
    from .figures.samples import duplicates, samples

    rows = []
    for chosen in data.labels.examples(data.targets("train"), min(CLASSES, data.num_classes), columns, data.seed):
        dataset = data.dataset("train", None, chosen)
        rows.append([dataset[i][0].numpy() for i in range(len(chosen))])
    left_out = data.num_classes - len(rows)
    classes = ("class", "classes") if result.labels is None else ("label", "labels")
    note = f"and {left_out} {classes[left_out != 1]} more" if left_out else ""
    title = f"{data.source}: training images as the network sees them"
    figures.save(samples(rows, result.class_names[: len(rows)], title, note), folder / "samples.png")
    written = ["samples.png"]
    if result.labels is not None:
        figures.save(figures.cooccurrence(result.labels.together, result.class_names), folder / "cooccurrence.png")
        written.append("cooccurrence.png")
    groups = result.groups[:GROUPS]
    if not groups:
        return written
    more = len(result.groups) - len(groups)
    pictures = duplicates(
        [[picture(data, i) for i in group.indices[:IMAGES]] for group in groups],
        [
            [
                f"{figures.shorten(path, 26)}\n{split}\n{figures.shorten(name)}"
                for path, split, name in group.images[:IMAGES]
            ]
            for group in groups
        ],
        [f"{len(group.images)} images: {group.title}" for group in groups],
        f"{data.source}: {count(len(result.groups), 'group')} of duplicates",
        f"{more} more in audit.json" if more else "",
    )
    figures.save(pictures, folder / "duplicates.png")
    return [*written, "duplicates.png"]


def draw_suspects(data: "ImageDataModule", suspects: "Suspects", folder: Path) -> list[str]:
    """Write label_suspects.csv, and draw the most doubtful of it; return the names."""
    from . import figures
    from .auditing.findings import picture
    from .auditing.suspects import write_suspects
    from .figures.samples import duplicates

    write_text(folder / "label_suspects.csv", write_suspects(suspects, data))
    names, paths = data.class_names, data.found.paths
    shown = range(min(SUSPECTS, suspects.listed))
    lines = [
        (paths[suspects.indices[i]], f"{suspects.splits[i]}: {names[suspects.given[i]]}", names[suspects.rather[i]])
        for i in shown
    ]
    captions = [f"{figures.shorten(path, 26)}\n{figures.shorten(given)}\nrather {figures.shorten(rather)}"
                for path, given, rather in lines]  # fmt: skip
    pictures = [picture(data, int(suspects.indices[i])) for i in shown]
    starts = range(0, len(shown), IMAGES)
    sheet = duplicates(
        [pictures[i : i + IMAGES] for i in starts],
        [captions[i : i + IMAGES] for i in starts],
        [f"{i + 1} to {min(i + IMAGES, len(shown))}" for i in starts],
        f"{data.source}: the {len(shown)} most doubtful of {len(suspects.indices):,} labels",
        f"{suspects.listed:,} in label_suspects.csv",
    )
    figures.save(sheet, folder / "label_suspects.png")
    return ["label_suspects.csv", "label_suspects.png"]


if __name__ == "__main__":
    main("audit", audit)
