"""What could be trained: networks × where their weights come from × image sizes × how much of them learns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..cost.network import count_macs, count_parameters
from ..errors import InputError, nearest
from ..networks import build_network
from ..networks.pretrained import check_fit
from ..settings.defaults import CONF
from ..settings.quotes import quote
from ..training.transfer import read_pretrained, resolve_architecture

NETWORKS = ("simple_cnn", "cifar_resnet20", "mini_resnet_basic_post", "resnet18", "resnet34", "resnet50")
"""From cheap to dear: those that are tried unless some are named."""

PHOTOGRAPHS = 96
"""Pixels: from here on images are taken for photographs, which a network may well see smaller."""
SMALLER = (64, 96, 128, 160)
MOST_SIZES = 3

MOST = 12
"""Candidates, unless networks or sizes are named: with more the first round would be too short for each."""
MOST_NAMED = 60

SCRATCH, HEAD, TUNED, WHOLE = "from scratch", "head alone", "fine-tuned", "all layers"
WORDS: Mapping[str, Sequence[str]] = {
    # Features that stay the same are computed once; the head then learns in seconds.
    HEAD: ("freeze=backbone", "data.augment=null"),
    # Kumar et al. 2022, https://arxiv.org/abs/2202.10054; Bao et al. 2021, https://arxiv.org/abs/2106.08254
    TUNED: ("head_first=true", "optimizer.layer_decay=0.8"),
    WHOLE: ("optimizer.lr=0.015",),  # the usual tenth takes more epochs to come as far (figures: `README.md`)
    SCRATCH: (),
}
"""How a network learns, and what that is to `src.train`; with weights the usual rate is a tenth of that without."""

SHORT = {SCRATCH: "scratch", HEAD: "head", TUNED: "tuned", WHOLE: "whole"}


@dataclass(frozen=True)
class Candidate:
    """One way to train.

    Attributes:
        how: A key of `WORDS`.
        words: What says all of it to `src.train`, but for data set, hardware and length.
        macs: Multiply-accumulates of one image.
    """

    network: str
    size: int
    how: str
    words: tuple[str, ...]
    parameters: int
    macs: int

    @property
    def name(self) -> str:
        """The name of its run folder."""
        return f"{self.network}_{self.size}_{SHORT[self.how]}"

    @property
    def shown(self) -> str:
        return f"{self.network}, {self.size} px, {self.how}"

    def described(self) -> dict[str, Any]:
        """Return what search.json says of it at first."""
        return {
            "shown": self.shown,
            "words": list(self.words),
            "parameters": self.parameters,
            "macs": self.macs,
        }

    def price(self, steps: int, batch: int, images: int) -> int:
        """Return the multiply-accumulates of so many steps of training, with what comes before them.

        A step takes three passes; the head alone learns from features, which take one pass over all `images`.
        """
        before = images if self.how in (HEAD, TUNED) else 0
        return self.macs * (before + (0 if self.how == HEAD else 3 * steps * batch))


def choose_networks(named: Sequence[str] | None) -> list[str]:
    """Return the networks to try; raise `InputError` for one that there isn't."""
    known = sorted(file.stem for file in (CONF / "model").glob("*.yaml"))
    for name in named or ():
        if name not in known:
            raise InputError(f"model={name} is unknown; nearest: {nearest(name, known)}")
    return list(dict.fromkeys(named or NETWORKS))


def choose_sizes(named: Sequence[int] | None, own: int) -> list[int]:
    """Return the image sizes to try, the largest first: `own` is the data set's usual one."""
    if named:
        return sorted(set(named), reverse=True)
    smaller = [size for size in SMALLER if size <= own * 0.8] if own >= PHOTOGRAPHS else []
    # The smallest and one in the middle: neighbours would tell little apart.
    chosen = {own, *smaller[:1], *smaller[len(smaller) // 2 : len(smaller) // 2 + 1]}
    return sorted(chosen, reverse=True)[:MOST_SIZES]


def list_candidates(
    networks: Sequence[str],
    sizes: Sequence[int],
    weights: str | None,
    models: Mapping[tuple[str, int], Mapping[str, object]],
    *,
    in_channels: int,
    classes: int,
    most: int = MOST,
) -> tuple[list[Candidate], dict[str, str]]:
    """Return the candidates, and why others are none, by what they would have been.

    Args:
        models: The model group of the configuration of each network and size.
        most: How many take part.

    Raises:
        InputError: The weights fit none of the networks, or none can see images of these sizes.
    """
    found: list[Candidate] = []
    out: dict[str, str] = {}
    misfits: list[str] = []
    unread: list[str] = []
    for network in networks:
        pretrained = _read(weights, network, unread)
        for size in sizes:
            model = models[network, size]
            try:
                own = _cost(resolve_architecture(model, None), size, in_channels, classes)
            except InputError as error:
                out[f"{network}, {size} px"] = str(error)
                continue
            if pretrained is not None:
                try:
                    # Its stem, too, is that of the weights.
                    fitted = _cost(resolve_architecture(model, pretrained), size, in_channels, classes, pretrained)
                except InputError as error:
                    misfits.append(str(error))
                else:
                    given = f"weights={_path(str(weights))}"
                    for how in (HEAD, TUNED, WHOLE):
                        words = (f"model={network}", f"data.image_size={size}", given, *WORDS[how])
                        found.append(Candidate(network, size, how, words, *fitted))
            words = (f"model={network}", f"data.image_size={size}", *WORDS[SCRATCH])
            found.append(Candidate(network, size, SCRATCH, words, *own))
    if not found:
        raise InputError(next(iter(out.values()), "there is no network to try"))
    if weights is not None and all(candidate.how == SCRATCH for candidate in found):
        if len(unread) == len(networks) and len(set(unread)) == 1:  # whatever the network
            raise InputError(unread[0])
        raise InputError(f"weights={weights} fit none of {', '.join(networks)} ({[*misfits, *unread][0]})")
    # What is trained already comes first, then what is cheap: where the time ends, the rest is left out.
    found.sort(key=lambda candidate: (candidate.how == SCRATCH, candidate.macs, list(WORDS).index(candidate.how)))
    for candidate in found[most:]:
        remedy = "name both model= and sizes=" if most < MOST_NAMED else "name fewer"
        out[candidate.shown] = f"only {most} take part: {remedy}"
    return found[:most], out


def _read(weights: str | None, network: str, unread: list[str]) -> Mapping[str, Tensor] | None:
    """Return the state dict that the weights are for a network; where there is none to be had, say why in `unread`."""
    if weights is None:
        return None
    try:
        return read_pretrained(weights, network)
    except InputError as error:
        unread.append(str(error))
        return None


def _cost(
    settings: Mapping[str, object],
    size: int,
    in_channels: int,
    classes: int,
    pretrained: Mapping[str, Tensor] | None = None,
) -> tuple[int, int]:
    """Return parameters and multiply-accumulates; raise `InputError` where images are too small, or weights misfit."""
    sides = {"image_size": size, "in_channels": in_channels, "num_classes": classes}
    with torch.device("meta"):
        network = build_network(**{**settings, **sides})  # type: ignore[arg-type]
    if pretrained is not None:
        check_fit(network, pretrained, "file")
    return count_parameters(network), count_macs(network, in_channels, size)


def _path(weights: str) -> str:
    return weights if weights == "imagenet" else quote(weights)
