"""Is the map true? Worked out by hand on linear networks, and where the evidence has been planted."""

import json
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.perturbation_confidence import (
    PerturbationConfidenceMetric,
    RemoveLeastRelevantFirst,
    RemoveMostRelevantFirst,
)
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from src.analysis import perturbation
from src.analysis.faithfulness import MEANINGS, MEASURES, TITLES, Faithfulness, faithfulness
from src.errors import InputError


def brightness(images: np.ndarray) -> np.ndarray:
    """A linear network of one class: the sum of the pixels."""
    return images.sum(axis=(1, 2, 3))[:, None]


class TestByHand:
    """One image of 2 × 2 pixels, 0.4 0.3 / 0.2 0.1, and the map that says so."""

    image = np.array([[[[0.4, 0.3], [0.2, 0.1]]]], np.float32)

    def measure(self, maps: np.ndarray) -> Faithfulness:
        return faithfulness(brightness, self.image, np.zeros(1, int), maps, steps=4, removed=(0.25,))

    def test_deletion(self) -> None:
        """1, 0.6, 0.3, 0.1, 0: trapezoids of width ¼ have the area (½ + 0.6 + 0.3 + 0.1) / 4. Turned round: 1, 0.9 …"""
        found = self.measure(self.image[:, 0])
        np.testing.assert_allclose(found.curves["deletion"]["map"], [[1, 0.6, 0.3, 0.1, 0]], atol=1e-6)
        np.testing.assert_allclose(found.curves["deletion"]["inverted"], [[1, 0.9, 0.7, 0.4, 0]], atol=1e-6)
        assert found.values["deletion"]["map"] == pytest.approx([1.5 / 4])
        assert found.values["deletion"]["inverted"] == pytest.approx([2.5 / 4])

    def test_insertion(self) -> None:
        """So small an image is 0.25 everywhere when it is blurred."""
        found = self.measure(self.image[:, 0])
        np.testing.assert_allclose(found.curves["insertion"]["map"], [[1, 1.15, 1.2, 1.15, 1]], atol=1e-3)
        assert found.values["insertion"]["map"] == pytest.approx([4.5 / 4], abs=1e-3)
        assert found.values["insertion"]["inverted"] == pytest.approx([3.5 / 4], abs=1e-3)

    def test_road(self) -> None:
        """A lone missing pixel is the mean of its neighbours, those beside it counting twice."""
        most, least = (2 * (0.3 + 0.2) + 0.1) / 5 - 0.4, (2 * (0.3 + 0.2) + 0.4) / 5 - 0.1
        road = self.measure(self.image[:, 0]).values["road"]
        assert road["map"] == pytest.approx([(least - most) / 2], abs=0.03), "with noise of 0.01"
        assert road["inverted"] == -road["map"]

    def test_the_unit_does_not_matter_and_negative_evidence_comes_last(self) -> None:
        expected = self.measure(self.image[:, 0]).values
        for maps in (self.image[:, 0] * 1e-6, self.image[:, 0] - 0.25):
            found = self.measure(maps).values
            for measure in ("deletion", "insertion", "road"):
                np.testing.assert_array_equal(found[measure]["map"], expected[measure]["map"])


class TestRoad:
    random = np.random.default_rng(0)
    image = random.normal(size=(1, 3, 20, 20)).astype(np.float32)
    heat = random.normal(size=(1, 20, 20))

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_imputes_as_the_package(self, share: float) -> None:
        images = self.random.normal(size=(2, 3, 20, 20)).astype(np.float32)
        pixels = self.random.permutation(400)[: round(400 * share)]
        mask = torch.ones(400)
        mask[pixels] = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            theirs = [NoisyLinearImputer(0)(torch.from_numpy(image), mask.reshape(20, 20)) for image in images]
        ours = perturbation.imputed(images, pixels, np.random.default_rng(0), noise=0)
        np.testing.assert_allclose(ours, torch.stack(theirs), rtol=0, atol=1e-5)
        assert np.abs(ours - images).max() > 0.5

    def test_noise_is_on_the_missing_pixels_alone(self) -> None:
        smooth, noisy = (
            perturbation.imputed(self.image, np.arange(200), np.random.default_rng(0), noise=noise)
            for noise in (0, 0.1)
        )
        added = (noisy - smooth).reshape(3, 400)
        assert not added[:, 200:].any()
        assert added[:, :200].std() == pytest.approx(0.1, rel=0.15)

    def test_scores_as_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1200, 4), torch.nn.Softmax(1)).eval()
        scores = []
        for remove in (RemoveLeastRelevantFirst, RemoveMostRelevantFirst):
            for percentile in (20, 40, 60, 80):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    metric = PerturbationConfidenceMetric(remove(percentile, NoisyLinearImputer(0)))
                    scores += [*metric(torch.from_numpy(self.image), self.heat, [ClassifierOutputTarget(2)], network)]
        monkeypatch.setattr(perturbation, "imputed", partial(perturbation.imputed, noise=0))
        found = faithfulness(
            lambda images: network(torch.from_numpy(images)).detach(), self.image, np.array([2]), self.heat, steps=2
        )
        assert found.values["road"]["map"] == pytest.approx([(np.mean(scores[:4]) - np.mean(scores[4:])) / 2], abs=1e-5)
        assert np.ptp(scores) > 0.01


def planted(cells: list[tuple[int, int]], images: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Noise of 16 × 16 with a bright square of 4 × 4 in one of the `cells` (of 4 × 4), and maps that tell where."""
    random = np.random.default_rng(0)
    pixels = random.normal(0, 0.3, (images, 1, 16, 16)).astype(np.float32)
    maps = random.normal(0, 0.1, (images, 4, 4)).astype(np.float32)
    for i in range(images):
        row, column = cells[i % len(cells)]
        pixels[i, 0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 2
        maps[i, row, column] += 1
    return pixels, maps


def bright_spot(images: np.ndarray) -> np.ndarray:
    """Two classes, the second one where there are bright pixels."""
    logit = np.maximum(0, images - 1).sum(axis=(1, 2, 3)) - 8
    second = 1 / (1 + np.exp(-logit))
    return np.stack([1 - second, second], axis=1)


CORNERS = [(0, 0), (0, 3), (3, 0), (3, 3)]


def measure_planted(maps: np.ndarray, pixels: np.ndarray, **options) -> Faithfulness:
    options = {"steps": 8, "removed": (0.1, 0.3)} | options
    return faithfulness(bright_spot, pixels, np.ones(len(pixels), int), maps, **options)


class TestPlanted:
    def test_true_maps_beat_all_baselines(self) -> None:
        pixels, maps = planted(CORNERS)
        found = measure_planted(maps, pixels)
        table = found.table().set_index(["measure", "explanation"])
        for measure in ("deletion", "insertion", "road"):
            assert set(table["verdict"][measure].drop("map")) == {"better"}, measure
        assert found.verdict().startswith("These maps are better than a centre blob: better by deletion 0.")
        assert found.verdict("inverted").startswith("These maps are better than an inverted map: ")
        assert "(20 images, 95 % intervals" in found.verdict()

    def test_the_opposite_is_worse_and_mirrors_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(perturbation, "imputed", partial(perturbation.imputed, noise=0))
        pixels, maps = planted(CORNERS)
        noise = np.random.default_rng(1).normal(0, 1e-3, (len(maps), 16, 16))
        fine = perturbation.upsample(maps, (16, 16)) + noise  # without equal pixels
        true, false = measure_planted(fine, pixels), measure_planted(-fine, pixels)
        for measure in ("deletion", "insertion", "road"):
            for one, other in (("map", "inverted"), ("inverted", "map")):
                np.testing.assert_allclose(false.values[measure][one], true.values[measure][other], atol=1e-6)
        assert false.verdict("inverted").startswith("These maps are not better than an inverted map: worse by deletion")

    def test_in_the_centre_the_blob_needs_no_network(self) -> None:
        pixels, maps = planted([(1, 1), (1, 2), (2, 1), (2, 2)])
        wrong = np.roll(maps, 1, axis=0)  # each image has the next one's map, in the middle all the same
        found = measure_planted(wrong, pixels)
        for measure in ("deletion", "insertion", "road"):
            assert found.row(measure, "centre blob").verdict in ("worse", "not told apart"), measure
        assert found.verdict().startswith("These maps are not better than a centre blob")
        corners = measure_planted(maps=planted(CORNERS)[1], pixels=planted(CORNERS)[0])
        assert found.row("deletion", "centre blob").mean < corners.row("deletion", "centre blob").mean - 0.2

    def test_random_maps_are_no_better_than_random_ones(self) -> None:
        pixels, maps = planted(CORNERS, images=40)
        found = measure_planted(np.random.default_rng(5).random(maps.shape), pixels)
        for measure in ("deletion", "insertion", "road"):
            row = found.row(measure, "random")
            assert row.verdict == "not told apart", measure
            assert row.difference_low < 0 < row.difference_high
        assert "not told apart by deletion" in found.verdict("random")


class TestIntervals:
    pixels, maps = planted(CORNERS, images=40)
    found = measure_planted(maps + np.random.default_rng(3).normal(0, 0.5, maps.shape), pixels)

    def test_those_of_the_normal_distribution(self) -> None:
        for row in self.found.rows:
            values = self.found.values[row.measure][row.explanation]
            assert row.mean == pytest.approx(values.mean())
            assert row.low <= row.mean <= row.high
            assert row.high - row.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(40), rel=0.35)

    def test_differences_are_paired(self) -> None:
        for row in self.found.rows:
            if row.explanation == "map":
                assert np.isnan(row.difference)
                continue
            ours, theirs = (self.found.values[row.measure][name] for name in ("map", row.explanation))
            assert row.difference == pytest.approx((ours - theirs).mean())
            assert row.difference_high - row.difference_low == pytest.approx(
                2 * 1.96 * (ours - theirs).std() / np.sqrt(40), rel=0.25
            )


class TestMapsWithoutAnOrder:
    def test_are_left_out_for_all_explanations_and_counted(self) -> None:
        pixels, maps = planted(CORNERS, images=11)
        expected = measure_planted(maps[:8], pixels[:8])
        maps[8], maps[9], maps[10, 0, 0] = 0.3, np.nan, np.inf
        found = measure_planted(maps, pixels)
        assert (found.images, found.skipped, expected.skipped) == (8, 3, 0)
        for measure, by_name in found.values.items():
            for name, values in by_name.items():
                assert np.isnan(values[8:]).all()
                np.testing.assert_array_equal(values[:8], expected.values[measure][name])
        assert found.as_json() == expected.as_json() | {"skipped": 3}

    def test_none_left(self) -> None:
        pixels, maps = planted(CORNERS, images=3)
        with pytest.raises(InputError, match="all 3 maps are constant or not finite"):
            measure_planted(maps * 0, pixels)

    def test_equal_pixels_come_in_no_order(self) -> None:
        """A coarse map's corner cells are flat: the rows must not decide which of their pixels go first."""
        maps = np.zeros((2, 2))
        maps[0, 0] = 1
        order = perturbation.pixel_order(maps, (40, 40), seed=0)
        first = order[:100]  # of the 10 × 10 pixels at the upper left that are 1
        assert sorted(first) == sorted(row * 40 + column for row in range(10) for column in range(10))
        assert np.corrcoef(first, np.arange(100))[0, 1] == pytest.approx(0, abs=0.3)


class TestBatches:
    def test_their_size_does_not_matter_and_bounds_what_is_held(self) -> None:
        pixels, maps = planted(CORNERS, images=5)
        sizes, shares = [], []

        def predict(images: np.ndarray) -> np.ndarray:
            sizes.append(len(images))
            return bright_spot(images)

        arguments = (predict, pixels, np.ones(5, int), maps)
        found = faithfulness(*arguments, steps=4, batch_size=7, progress=shares.append)
        assert max(sizes) == 7
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert sum(sizes) == 5 * (3 + 4 * 2 * 3 + 3 * 2 * 4)
        assert faithfulness(*arguments, steps=4, batch_size=1000).as_json() == found.as_json()

    def test_another_seed_draws_other_baselines(self) -> None:
        pixels, maps = planted(CORNERS, images=5)
        one, same, other = (measure_planted(maps, pixels, seed=seed).values["deletion"] for seed in (0, 0, 1))
        np.testing.assert_array_equal(one["random"], same["random"])
        assert np.abs(one["random"] - other["random"]).max() > 0.01
        assert len(set(one["random"])) == 5, "each image has its own"

    def test_neither_images_nor_random_states_are_changed(self) -> None:
        pixels, maps = planted(CORNERS, images=2)
        before = pixels.copy(), maps.copy(), torch.get_rng_state(), np.random.get_state()[1].copy()
        measure_planted(maps, pixels)
        after = pixels, maps, torch.get_rng_state(), np.random.get_state()[1]
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)


def test_each_measure_is_explained_and_counts_in_the_verdict() -> None:
    pixels, maps = planted(CORNERS, images=10)
    found = measure_planted(maps, pixels)
    assert [*MEASURES] == [*TITLES] == [*MEANINGS] == [*found.values]
    assert all(title in found.verdict() for title in TITLES.values())


def test_json_is_plain() -> None:
    pixels, maps = planted(CORNERS, images=4)
    told = json.loads(json.dumps(measure_planted(maps, pixels).as_json(), allow_nan=False))
    assert told["rows"][0]["difference"] is None
    assert {row["explanation"] for row in told["rows"]} == {"map", "random", "centre blob", "inverted"}
    assert len(told["curves"]["deletion"]["map"]) == len(told["fractions"]) == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((2, 3, 4))}, r"not \(2, 3, 4\), \(2,\) and \(2, 2, 2\)"),
        ({"targets": np.zeros(3, int)}, "a class and a map"),
        ({"removed": (0.5, 1)}, "shares between 0 and 1 of the pixels, not \\[0.5, 1\\]"),
        ({"predict": lambda images: np.full((len(images), 1), np.nan)}, "probabilities are not finite"),
    ],
)
def test_bad_input(changes: dict, message: str) -> None:
    arguments = {
        "predict": brightness,
        "images": np.ones((2, 1, 4, 4), np.float32),
        "targets": np.zeros(2, int),
        "maps": np.arange(8.0).reshape(2, 2, 2),
    }
    with pytest.raises(InputError, match=message) as caught:
        faithfulness(**(arguments | changes))
    assert "\n" not in str(caught.value)
