import numpy as np

from src.data.sources.digits import read_digits


def test_values_are_scaled_to_8_bits(find, tmp_path):
    found = find("digits", tmp_path / "nowhere")
    assert found.images.shape == (1797, 1, 8, 8)
    assert set(np.unique(found.images)) <= {round(value * 255 / 16) for value in range(17)}
    assert (found.images.min(), found.images.max()) == (0, 255)
    assert found.class_names == [str(digit) for digit in range(10)]
    assert found.paths[42] == "digits/00042"  # no split is published
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_of_ones_own_is_not_passed_over_in_silence(find, tmp_path, caplog):
    find("digits", tmp_path)
    assert f"data=digits looks at no folder: data=folder data.root={tmp_path} takes the images there" in caplog.text


def test_they_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    for ours, theirs in zip(read_digits(), load_digits(return_X_y=True), strict=True):
        np.testing.assert_array_equal(ours, theirs)
