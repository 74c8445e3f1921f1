"""Names from other tools, and ours in the wrong place, lead to the setting that is meant."""

import pytest

from src.errors import InputError
from src.settings.other_names import ROWS, refuse_added, settings_of, words_for
from src.settings.schema.verbs import VERBS
from tests.support.composed import check_overrides

SAID = [
    ("train", "learning_rate=0.1", "optimizer.lr=0.1"),
    ("train", "optimizer.learning_rate=0.1", "optimizer.lr=0.1"),
    ("train", "lr=0.1,0.2", "optimizer.lr=0.1,0.2"),
    ("train", "batch-size=16", "data.batch_size=16"),
    ("train", "trainer.batch_size=16", "data.batch_size=16"),
    ("train", "gpus=0", "trainer=cpu"),
    ("train", "trainer.gpus=1", "trainer=gpu"),
    ("train", "gpus=2", "trainer=ddp trainer.devices=2"),
    ("train", "device=cuda:0", "trainer=gpu"),
    ("train", "device=0,1", "trainer=ddp trainer.devices=[0,1]"),
    ("train", "pretrained=True", "weights=imagenet"),
    ("train", "model.pretrained=false", "weights=null"),
    ("train", "epochs=5", "trainer.max_epochs=5"),
    ("train", "early_stopping.min_delta=0.01", "callbacks=early_stopping callbacks.early_stopping.min_delta=0.01"),
    ("train", "early_stopping=true", "callbacks=early_stopping"),
    ("train", "early_stopping=5", "callbacks=early_stopping callbacks.early_stopping.patience=5"),
    ("train", "patience=3", "callbacks=early_stopping callbacks.early_stopping.patience=3"),
    ("train", "data_dir='/my photos'", "data=folder data.root=/my photos"),
    ("train", "weight_decay=0", "optimizer.weight_decay=0"),
    ("predict", "device=0", "accelerator=gpu"),
    ("predict", "source=PHOTOS", "images=PHOTOS"),
    ("predict", "workers=4", "num_workers=4"),
    ("evaluate", "weights=best.pt", "checkpoint=best.pt"),
    ("audit", "path=PHOTOS", "data=folder data.root=PHOTOS"),
]


@pytest.mark.parametrize(("verb", "typed", "words"), SAID)
def test_a_known_name_leads_to_ours(verb: str, typed: str, words: str) -> None:
    assert words_for(verb, typed) == words


@pytest.mark.parametrize(
    ("verb", "typed"), [("train", "data.image_size=x"), ("train", "colour=3"), ("predict", "lr=1")]
)
def test_of_ours_and_of_what_nobody_has_nothing_is_said(verb: str, typed: str) -> None:
    assert words_for(verb, typed) is None


def test_an_option_that_is_chosen_is_not_chosen_again() -> None:
    assert words_for("train", "data_dir=x", ["data=cifar10", "data_dir=x"]) == "data.root=x"
    assert words_for("train", "gpus=0", ["trainer=gpu", "gpus=0"]) == "trainer=cpu"


def test_every_row_leads_to_settings_that_there_are() -> None:
    known = {key for verb in VERBS.values() for key in settings_of(verb)} | {"hydra.run.dir"}
    for names, _, words in ROWS:
        assert {word.partition("=")[0] for word in words.split()} <= known, names


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("learning_rate=0.1", "'learning_rate' is not a setting: say optimizer.lr=0.1"),
        ("data_dir=/my photos(1)", "'data_dir' is not a setting: say data=folder data.root=/my photos(1)"),
        ("device=0,1", "device=0,1 names several values: say trainer=ddp trainer.devices=[0,1]"),
        ("callbacks.early_stopping.patience=3", "say callbacks=early_stopping callbacks.early_stopping.patience=3"),
        ("scheduler.every=2", "scheduler=cosine has no setting every: say scheduler=step scheduler.every=2"),
        ("data.augment.flip=true", "data=digits has no setting augment.flip: say data.augment={flip:true}"),
        ("data=tests", "data=tests is a folder: say data=folder data.root=tests"),
        ("data=Makefile", "data=Makefile is a file: say data=folder data.root=FOLDER"),
        ("data=/nowhere/at/all", "data=/nowhere/at/all is unknown; nearest: "),
        ("model=Makefile", "model=Makefile is no network: say weights=Makefile, and model=NAME"),
    ],
)
def test_the_command_line_says_so_in_one_line(typed: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        check_overrides("train", [typed])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("typed", ["+epochs=5", "++lr=0.1", "+optimizer.learning_rate=1", "+trainer.gpus=1"])
def test_a_plus_adds_nothing_that_another_tool_reads(typed: str) -> None:
    with pytest.raises(InputError, match="adds a setting that nothing reads: say "):
        refuse_added("train", [typed])


def test_a_plus_may_add_what_is_ours() -> None:
    refuse_added("train", ["+callbacks.timer={_target_: x}", "+trainer.max_steps=5", "+note=first"])
