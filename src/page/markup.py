"""The parts of the page that are HTML of our own: other people's words are shown as they are, never interpreted.

A card is one piece, so no answer ever stands below another picture's name, not even for a moment.
"""

import html
from base64 import b64encode
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..figures.style import BLUE, GREY, VERMILLION, shorten

MOST_BARS = 6
MOST_LABELS = 20
"""Of several labels, those that reach their thresholds are all shown, up to so many."""

STYLE = f"""<style>
[data-testid="stMainBlockContainer"] {{padding-top: 0.75rem}}
[data-testid="stVerticalBlock"] {{gap: 0.6rem}}
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] * {{color: inherit !important; opacity: 1}}
h2 {{font-size: 1.5rem !important; padding: 0.5rem 0 !important}}
.rl-facts, .rl-note {{font-size: 0.875rem; opacity: 0.85; margin: 0; overflow-wrap: anywhere}}
.rl-wide {{overflow-x: auto; white-space: nowrap}}
.rl-title {{font-size: 1.5rem !important; font-weight: 700; margin: 0; padding: 0.2rem 0 !important}}
.rl-card {{border: 1px solid color-mix(in srgb, {GREY} 35%, transparent); border-radius: 0.5rem; padding: 0.9rem 1rem}}
.rl-name {{font-weight: 600; margin: 0 0 0.6rem; overflow-wrap: anywhere}}
.rl-refused {{border-left: 4px solid {VERMILLION}; padding: 0.4rem 0.75rem; margin: 0 0 0.5rem;
  overflow-wrap: anywhere}}
.rl-answers {{display: grid; gap: 1.25rem}}
.rl-answer img {{width: 100%; border-radius: 0.4rem; display: block}}
.rl-bar {{display: grid; grid-template-columns: minmax(4rem, 9rem) 1fr 4.2rem; gap: 0.5rem; align-items: center;
  margin: 0.2rem 0; font-size: 0.95rem}}
.rl-bar > :first-child {{overflow-wrap: anywhere; line-height: 1.15}}
.rl-bar > :last-child {{text-align: right; font-variant-numeric: tabular-nums}}
.rl-track {{background: color-mix(in srgb, {GREY} 22%, transparent); border-radius: 3px; height: 0.9rem;
  position: relative}}
.rl-fill {{background: {GREY}; border-radius: 3px; height: 100%}}
.rl-label {{grid-template-columns: minmax(0, 2fr) 3fr 3.8rem 4.9rem}}
.rl-label > :nth-child(3) {{text-align: right; font-variant-numeric: tabular-nums}}
.rl-label > :last-child {{font-size: 0.8rem; font-weight: 400; opacity: 0.85}}
.rl-at {{position: absolute; top: -0.15rem; bottom: -0.15rem; border-left: 2px solid {VERMILLION}}}
.rl-first {{font-weight: 600}} .rl-first .rl-fill {{background: {BLUE}}}
.rl-table {{border-collapse: collapse; font-variant-numeric: tabular-nums}}
.rl-table th, .rl-table td {{border: 1px solid color-mix(in srgb, {GREY} 35%, transparent); padding: 0.3rem 0.7rem;
  overflow-wrap: anywhere; text-align: left; font-weight: 400}} .rl-table th {{opacity: 0.85}}
.rl-hint {{display: none; position: sticky; left: 0}}
[data-testid="stFileChip"][aria-invalid="true"] {{width: auto; max-width: 100%; height: auto}}
[data-testid="stFileChip"] [role="alert"] {{position: static; clip: auto; clip-path: none; width: auto; height: auto;
  overflow: visible; white-space: normal; margin: 0 1.5rem 0 0.75rem; font-size: 0.875rem}}
@media (min-width: 40rem) {{
  .rl-two {{grid-template-columns: 1fr 1fr}}
  .rl-one .rl-answer {{display: grid; grid-template-columns: 3fr 2fr; gap: 1.25rem; align-items: center}}
}}
</style>"""
"""Colour-blind readers can tell blue from grey, and the first class is bold as well. Streamlit's own message about
too large a file reaches screen readers only, and others behind the pointer: the rules of `stFileChip` show it."""


def escaped(text: str, length: int = 60) -> str:
    """Return `text` on one line, shortened in the middle, as HTML that shows it letter by letter."""
    # bdi: letters that reverse the direction of writing reverse this text alone
    return f"<bdi>{html.escape(shorten(text, length))}</bdi>"


def note(text: str) -> str:
    """Return a remark; `text` is HTML."""
    return f'<p class="rl-note">{text}</p>'


def facts(letter: str, words: Sequence[str]) -> str:
    name, *others = (escaped(word, 90) for word in words)
    heading = f"<b>{letter} · {name}</b>" if letter else f"<b>{name}</b>"
    return f'<p class="rl-facts">{" · ".join([heading, *others])}</p>'


def refusal(name: str, reason: str) -> str:
    return f'<p class="rl-refused" role="alert"><b>{escaped(name)}</b>: {html.escape(reason)}</p>'


def table(rows: Iterable[tuple[str, Sequence[str]]], columns: Sequence[str] = ()) -> str:
    """Return a row for each name with its values, below the names of the columns, if any."""
    names = "".join(f'<th scope="col">{escaped(name)}</th>' for name in columns)
    head = f"<thead><tr><td></td>{names}</tr></thead>" if columns else ""
    body = "".join(
        f'<tr><th scope="row">{escaped(name)}</th>{"".join(f"<td>{escaped(value)}</td>" for value in values)}</tr>'
        for name, values in rows
    )
    return f'<table class="rl-table">{head}<tbody>{body}</tbody></table>'


def wide_table(rows: Iterable[tuple[str, Sequence[str]]], columns: Sequence[str]) -> str:
    """Return a `table` that is scrolled sideways on a phone, where a number would else be broken into two lines."""
    return f'<div class="rl-wide" role="region" aria-label="table" tabindex="0">{table(rows, columns)}</div>'


def card(name: str, true: str | None, answers: Sequence[str], of: str = "class") -> str:
    """Return a picture's name, its true class (or what `of` says) where known, and what one or two networks answer."""
    said = f'<p class="rl-name">{escaped(name)}{"" if true is None else f" · true {of} {escaped(true)}"}</p>'
    number = "rl-two" if len(answers) > 1 else "rl-one"
    return f'<div class="rl-card">{said}<div class="rl-answers {number}">{"".join(answers)}</div></div>'


def answer(letter: str, picture: bytes, target: str, said: str, *, dark: bool) -> str:
    """Return what one network answers: its `picture` (JPEG) with the map for class `target`, and what is `said`."""
    heading = f"<b>{letter}</b>" if letter else ""
    source = f"data:image/jpeg;base64,{b64encode(picture).decode()}"
    explained = escaped(target)
    evidence = f"No positive evidence for {explained}" if dark else f"Evidence for {explained}"
    image = f'<img src="{source}" alt="The picture as the network sees it, and beside it the map">'
    return f'<section class="rl-answer"><div>{heading}{image}{note(evidence)}</div><div>{said}</div></section>'


def bars(probabilities: NDArray[np.float64], class_names: Sequence[str], target: int) -> str:
    """Return the most probable classes, the first in bold, and the class `target`, which the map explains.

    `probabilities` (K,) are in [0, 1].
    """
    order = np.argsort(-probabilities, kind="stable")
    shown = [int(index) for index in order[:MOST_BARS]]
    if target not in shown:
        shown[-1] = target
    rows = [_bar(class_names[index], float(probabilities[index]), first=index == shown[0]) for index in shown]
    left = len(class_names) - len(shown)
    return "".join(rows) + (note(f"and {left} other classes") if left else "")


def label_bars(
    probabilities: NDArray[np.float64], thresholds: NDArray[np.float64], class_names: Sequence[str], target: int
) -> str:
    """Return the labels that reach their thresholds, in bold, then the most probable others, and the label `target`.

    `probabilities` and `thresholds` (K,) are in [0, 1].
    """
    decided = probabilities >= thresholds
    order = np.lexsort((-probabilities, ~decided)).tolist()
    shown = order[: max(MOST_BARS, min(int(decided.sum()), MOST_LABELS))]
    if target not in shown:
        shown[-1] = target
    rows = [
        _bar(class_names[k], float(probabilities[k]), first=bool(decided[k]), at=float(thresholds[k])) for k in shown
    ]
    left, more = len(class_names) - len(shown), int(decided.sum()) - int(decided[shown].sum())
    reach = f", {more} of which reach their thresholds" if more else ""
    return "".join(rows) + (note(f"and {left} other labels{reach}") if left else "")


def _bar(name: str, probability: float, *, first: bool, at: float | None = None) -> str:
    """Return a bar; `at` is a label's threshold, which `first` says it reaches."""
    percent, label, tick, line, reach = 100 * probability, "", "", "", ""
    if at is not None:
        label, tick = " rl-label", "✓ " if first else ""
        line, reach = f'<div class="rl-at" style="left: {100 * at:.2f}%"></div>', f"<span>from {100 * at:.1f} %</span>"
    return (
        f'<div class="rl-bar{label}{" rl-first" if first else ""}"><span>{tick}{escaped(name, 40)}</span>'
        f'<div class="rl-track"><div class="rl-fill" style="width: {percent:.2f}%"></div>{line}</div>'
        f"<span>{percent:.1f} %</span>{reach}</div>"
    )
