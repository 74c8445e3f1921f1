"""Wrong labels that were planted are among the most doubted, also those that the network was trained on."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from src.audit import audit
from src.auditing import suspects
from src.auditing.suspects import find_suspects, open_audited, write_suspects
from src.errors import InputError
from src.settings.composing import quote_paths
from src.trained.checkpoint import load_trained

ROOT = Path(__file__).parents[2]


def audited(folder: Path, *overrides: str) -> dict[str, object]:
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return audit(compose("audit", overrides=quote_paths(overrides)), folder)


def test_planted_labels_come_first(digits_run: Path) -> None:
    trained = load_trained(digits_run)
    data = open_audited({}, 1, trained, [])
    random = np.random.default_rng(0)
    targets = data.found.targets.copy()
    wrong = random.choice(len(targets), 90, replace=False)
    targets[wrong] = (targets[wrong] + random.integers(1, 10, 90)) % 10
    truth = data.found.targets
    data.collection = replace(data.found, targets=targets)
    found = find_suspects(data, trained, 1)
    assert sorted(found.indices.tolist()) == list(range(len(targets)))
    first = found.indices[: len(targets) // 10]
    assert np.isin(wrong, first).mean() >= 0.8
    assert np.isin(found.indices[found.doubted], wrong).mean() >= 0.8
    of_wrong = np.isin(found.indices, wrong)
    assert (found.rather[of_wrong] == truth[found.indices[of_wrong]]).mean() >= 0.8
    rows = list(csv.DictReader(io.StringIO(write_suspects(found, data))))
    assert len(rows) == found.listed == max(int(found.doubted.sum()), 180)
    assert rows[0]["file"] == data.found.paths[found.indices[0]]
    assert [float(row["quality"]) for row in rows] == sorted(float(row["quality"]) for row in rows)


def test_a_rare_class_costs_no_audit(digits_run: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.array([0] * 40 + [1] * 40 + [2])
    features = (random.normal(size=(81, 4)) + 3 * labels[:, None]).astype(np.float32)
    shares = suspects.held_out_shares(features, labels, None, 1)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert shares[-1, 2] == 0  # no model has seen another one
    groups = [str(place // 4) for place in range(81)]
    assert suspects.held_out_shares(features, labels, groups, 1).shape == (81, 3)


def test_the_audit_of_a_run_has_a_table_and_a_picture(digits_run: Path, tmp_path: Path) -> None:
    content = audited(tmp_path / "out", f"checkpoint={digits_run}")
    assert content["suspects"]["images"] == 1797  # type: ignore[index]
    assert json.loads((tmp_path / "out/audit.json").read_text()) == content
    assert (tmp_path / "out/label_suspects.csv").read_text().startswith("file,split,class,rather,quality,doubted\n")
    with Image.open(tmp_path / "out/label_suspects.png") as sheet:
        assert sheet.width > 600


def test_without_a_run_the_data_must_be_named(digits_run: Path, tmp_path: Path) -> None:
    trained = replace(load_trained(digits_run), run=None)
    with pytest.raises(InputError, match="belongs to no run, and nothing says what to look at: say data=NAME"):
        open_audited({}, 1, trained, [])
    with pytest.raises(InputError, match="is for data=NAME: say which"):
        open_audited({}, 1, load_trained(digits_run), ["data.image_size=8"])
    data = open_audited({"name": "digits", "root": "data"}, 3, trained, ["data=digits"])
    data.setup()
    assert data.geometry == trained.geometry
