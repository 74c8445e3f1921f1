"""Names as people mean them."""

import random

from src.names import natural, nfc


def test_numbers_go_by_their_value() -> None:
    names = ["10", "2", "1", "x10y2", "x9", "x10y10", "007", "7", "b", "a", "a 1", "a1", "a_b"]
    assert sorted(names, key=natural) == [
        "1", "2", "007", "7", "10", "a", "a 1", "a1", "a_b", "b", "x9", "x10y2", "x10y10"
    ]  # fmt: skip


def test_names_without_numbers_to_compare_keep_their_order() -> None:
    draw = random.Random(0)
    names = {"".join(draw.choices("aB _-é猫5", k=draw.randint(1, 6))) for _ in range(2000)}
    names = {name for name in names if "55" not in name}
    assert sorted(names, key=natural) == sorted(names)  # single digits compare as their signs do
    wnids = ["n02102040", "n01440764", "n03000684"]
    assert sorted(wnids, key=natural) == sorted(wnids)


def test_a_number_of_any_length_has_a_place() -> None:
    assert sorted(["1" * 5000, "9"], key=natural) == ["9", "1" * 5000]  # `int` takes 4,300 digits


def test_a_mac_spells_the_same_name() -> None:
    assert nfc("cafe\u0301") == "caf\u00e9" == nfc("caf\u00e9")
    assert nfc("\udcff") == "\udcff"  # a byte of a name that is no text
