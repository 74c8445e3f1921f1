"""Are the maps true to the network, and would they look the same for a network that knows nothing?"""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor, nn

from .. import figures
from ..analysis.faithfulness import MEANINGS, MEASURES, TITLES, Faithfulness, faithfulness
from ..analysis.intervals import between
from ..analysis.maps import Agreement, agreements
from ..analysis.objects import on_objects
from ..analysis.perturbation import EXPLANATIONS, centre_blob
from ..analysis.sanity import ANOTHER, BLOB, SHUFFLED, sanity_verdict
from ..analysis.sanity import MEANINGS as OF_SANITY
from ..analysis.shortcuts import common_peaks, fixed_peaks
from ..attribution.cam import Attribution, class_activation_maps
from ..attribution.methods import METHODS
from ..attribution.sanity import explained, randomised_from_the_top
from ..data.processes import file_progress
from ..figures.faithfulness_charts import faithfulness_chart
from ..frames import pd
from ..tables import as_text
from ..trained.checkpoint import Trained
from .controls import learned

log = logging.getLogger(__name__)

LEARNED = 0.9
"""The share of its shuffled labels a control should know by heart; with less, it is one more with random weights."""

SANITY_IMAGES = 50
"""How many images the sanity check explains again for each stage and draw; their mean is known well enough."""


def measure(
    trained: Trained,
    images: Tensor,
    maps: Attribution,
    method: str,
    folder: Path,
    *,
    places: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    shuffled: Trained | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure the maps of uint8 images (N, C, S, S): tables and a sentence on screen, a figure and CSVs in `folder`.

    `places`: where the objects are (N, S, S), and of which images that is known (N,). `shuffled` is the same network
    trained on shuffled labels. Return what explain.json says.
    """
    with torch.no_grad():
        normalised = trained.module.normalise(images.to(trained.device)).float()
    found = _faithfulness(trained, normalised, maps, batch_size, seed)
    checked = _sanity(trained, normalised, maps, method, shuffled, batch_size)
    rows = pd.DataFrame([asdict(row) for row in checked])
    title = f"{METHODS[method].title} · {trained.name} · {maps.layer}"
    chart = faithfulness_chart(found.fractions, found.curves, rows, title)
    figures.save(chart, folder / "faithfulness.png")
    found.table().to_csv(folder / "faithfulness.csv", index=False)
    rows.drop(columns="draws").to_csv(folder / "sanity.csv", index=False)
    # JSON has no NaN: what could not be measured is null.
    told = {**found.as_json(), "sanity": json.loads(rows.to_json(orient="records"))}
    verdicts = [found.verdict(), *filter(None, [sanity_verdict(checked)])]
    told["verdict"] = " ".join(verdicts)
    if shuffled is not None:  # first: what follows is read in its light
        told["shuffled_labels"] = _describe(shuffled)
    log.info("\n%s\n\n%s\n", as_text(_table(found)), _meanings({TITLES[name]: MEANINGS[name] for name in MEASURES}))
    log.info("%s\n\n%s\n", as_text(_sanity_table(checked)), _meanings(OF_SANITY))
    if (objects := on_objects(maps.maps, *places)) is not None:
        told["objects"] = asdict(objects)
        verdicts.append(str(objects))
    if place := fixed_peaks(common_peaks(maps.maps, maps.targets), trained.class_names):
        told["fixed_place"] = place
        verdicts.append(place)
    log.info("%s\n", "\n".join(verdicts))
    return told


def _describe(shuffled: Trained) -> dict[str, Any]:
    """Describe the control on shuffled labels for explain.json; warn where it has learned too little to be one."""
    accuracy = learned(shuffled.run) if shuffled.run is not None else float("nan")
    if not accuracy >= LEARNED:
        log.warning("the network on shuffled labels knows %.0f %% of them by heart: a weak control", 100 * accuracy)
    return {"checkpoint": str(shuffled.path), "train_accuracy": round(accuracy, 6)}


def _faithfulness(trained: Trained, images: Tensor, maps: Attribution, batch_size: int, seed: int) -> Faithfulness:
    def predict(changed: NDArray[np.float32]) -> NDArray[np.float32]:
        batch = torch.from_numpy(changed).to(trained.device, memory_format=trained.module.memory_format)
        with torch.inference_mode(), trained.fast():
            logits = trained.module.network(batch)
        probabilities: NDArray[np.float32] = logits.float().softmax(dim=1).cpu().numpy()
        return probabilities

    with file_progress("Deletion, insertion, ROAD (%)", 100) as advance:
        return faithfulness(
            predict,
            images.cpu().numpy(),
            maps.targets,
            maps.maps,
            seed=seed,
            batch_size=batch_size,
            progress=lambda share: advance(round(100 * share)),
        )


def _sanity(
    trained: Trained, images: Tensor, maps: Attribution, method: str, shuffled: Trained | None, batch_size: int
) -> list[Agreement]:
    """Measure how far the maps agree with those of networks that have lost what they learned, from the head down."""
    chosen = np.unique(np.linspace(0, len(images) - 1, SANITY_IMAGES).round().astype(int))
    some, classes, own = images[chosen], torch.from_numpy(maps.targets[chosen]), maps.maps[chosen]

    def explain(network: nn.Module, part: Tensor, targets: Tensor) -> Attribution:
        return class_activation_maps(network, part, method, targets, maps.layer, batch_size=batch_size)

    def others() -> Iterator[tuple[str, NDArray[np.float32]]]:
        network = trained.module.network
        with file_progress("Sanity checks (%)", 100) as advance:
            yield from randomised_from_the_top(
                explain, network, some, classes, batch_size=batch_size,
                progress=lambda share: advance(round(100 * share)),
            )  # fmt: skip
        if shuffled is not None:
            yield SHUFFLED, explained(explain, shuffled.module.network, some, classes, batch_size=batch_size)
        # What maps of different images, and any map in the middle, have in common with these anyway.
        yield ANOTHER, np.roll(own, 1, axis=0)
        yield BLOB, np.broadcast_to(centre_blob((own.shape[1], own.shape[2])), own.shape)

    return agreements(own, others())


def _table(found: Faithfulness) -> Table:
    """Return a row for each measure and explanation: its mean, and the map's lead over a baseline, image by image."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for number, column in enumerate(("", "", "mean", "map minus it", "95 % interval")):
        table.add_column(column, justify="right" if number > 1 else "left", no_wrap=True)
    table.add_column("the map is", no_wrap=True)
    for measured in MEASURES:
        for name in EXPLANATIONS:
            row = found.row(measured, name)
            lead = [f"{row.difference:+.3f}", between(row.difference_low, row.difference_high, "+.3f"), row.verdict]
            told = [TITLES[measured], name, f"{row.mean:.3f}"] if name == "map" else ["", name, f"{row.mean:.3f}"]
            table.add_row(*told, *(lead if row.verdict else ["", "", ""]))
    return table


def _meanings(of: Mapping[str, str]) -> str:
    """Return a line for each word of a table, which says what it is."""
    widest = max(11, *map(len, of))
    return "\n".join(f"{word:<{widest}}  {meaning}" for word, meaning in of.items())


def _sanity_table(checked: list[Agreement]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for number, column in enumerate(("maps against", "rank correlation", "of magnitudes", "images")):
        table.add_column(column, justify="right" if number else "left")
    for row in checked:
        table.add_row(
            row.stage,
            f"{row.correlation:+.2f} {between(row.low, row.high, '+.2f')}",
            f"{row.absolute:+.2f} {between(row.absolute_low, row.absolute_high, '+.2f')}",
            str(row.n),
        )
    return table
