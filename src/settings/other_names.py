"""What other tools call our settings: from a name that people bring along to the words that say it here."""

import re
from collections.abc import Collection, Iterator, Sequence

from ..errors import InputError
from .defaults import CONF
from .quotes import quote
from .schema.kinds import Settings, group_of, kinds
from .schema.verbs import VERBS

ROWS: tuple[tuple[str, str, str], ...] = (
    # names elsewhere; the values that are meant (a regular expression; empty: all); what to say here ({}: the value)
    ("learning_rate lr0 base_lr init_lr initial_lr max_lr eta", "", "optimizer.lr={}"),
    ("wd decay", "", "optimizer.weight_decay={}"),
    ("opt optim", "adam", "optimizer=adamw"),
    ("opt optim", "", "optimizer={}"),
    ("sched lr_scheduler lr_schedule", "", "scheduler={}"),
    ("cos_lr", "true", "scheduler=cosine"),
    ("warmup warmup_epoch", "", "scheduler.warmup_epochs={}"),
    ("epochs epoch num_epochs n_epochs nb_epochs num_train_epochs", "", "trainer.max_epochs={}"),
    ("steps num_steps n_steps max_iter max_iters iterations", "", "trainer.max_steps={}"),
    ("batch batchsize bs b train_batch_size per_device_train_batch_size", "", "data.batch_size={}"),
    ("batch batchsize bs b", "", "batch_size={}"),
    ("imgsz img_size imgsize input_size size resolution crop_size", "", "data.image_size={}"),
    ("channels num_channels in_chans input_channels", "", "data.in_channels={}"),
    ("workers n_workers nw j", "", "data.num_workers={}"),
    ("workers n_workers nw j", "", "num_workers={}"),
    ("gpus gpu num_gpus n_gpus", "0|false|null|none", "trainer=cpu"),
    ("gpus gpu num_gpus n_gpus", "1|true", "trainer=gpu"),
    ("gpus gpu num_gpus n_gpus", "-1|all|auto", "trainer=ddp"),
    ("gpus gpu num_gpus n_gpus", "", "trainer=ddp trainer.devices={}"),
    ("device", "cpu", "trainer=cpu"),
    ("device cuda", "0|true|gpu|cuda(:0)?", "trainer=gpu"),
    ("device", r"\d+(,\d+)+", "trainer=ddp trainer.devices=[{}]"),
    ("gpus gpu num_gpus n_gpus", "0|false|null|none", "accelerator=cpu"),
    ("device", "cpu", "accelerator=cpu"),
    ("gpus gpu num_gpus n_gpus device cuda", "", "accelerator=gpu"),
    ("amp use_amp fp16 half mixed_precision", "1|true|fp16", "trainer.precision=16-mixed"),
    ("bf16 mixed_precision", "1|true|bf16", "trainer.precision=bf16-mixed"),
    ("amp use_amp fp16 half bf16 mixed_precision", "0|false|no", "trainer.precision=32-true"),
    ("clip_grad grad_clip clip_grad_norm max_grad_norm gradient_clip", "", "trainer.gradient_clip_val={}"),
    ("accumulate grad_accum_steps gradient_accumulation_steps", "", "trainer.accumulate_grad_batches={}"),
    ("pretrained", "1|true|default|imagenet.*", "weights=imagenet"),
    ("pretrained", "0|false|null|none", "weights=null"),
    ("pretrained pretrained_path initial_checkpoint", "", "weights={}"),
    ("arch architecture backbone network net", "", "model={}"),
    ("smoothing", "", "label_smoothing={}"),
    ("lr learning_rate lr0 base_lr wd weight_decay mixup label_smoothing smoothing", "", "space=lr"),
    ("dataset dataset_name datamodule", "", "data={}"),
    ("source input inputs image img file files data_dir path folder", "", "images={}"),
    ("data_dir data_path dataset_path image_dir img_dir root_dir train_dir path folder images", "",
     "data=folder data.root={}"),
    ("csv csv_file labels_csv labels annotations metadata", "", "data=table data.table={}"),
    ("num_class n_classes nc", "", "data.num_classes={}"),
    ("val_split valid_split valid_pct validation_split val_size val_ratio", "", "data.val_fraction={}"),
    ("test_split test_size test_ratio", "", "data.test_fraction={}"),
    ("fraction subset", "", "data.train_fraction={}"),
    ("kfold k_fold n_folds n_splits num_folds", "", "data.folds={} data.fold=0"),
    ("class_weight class_weights", "", "data.balance=loss"),
    ("hflip fliplr horizontal_flip", "", "data.augment={{flip:true}}"),
    ("color_jitter", "", "data.augment={{color:{}}}"),
    ("early_stopping early_stop earlystopping", "0|false|null|none", "callbacks=default"),
    ("early_stopping early_stop earlystopping", "1|true", "callbacks=early_stopping"),
    ("patience early_stopping_patience early_stopping early_stop", "",
     "callbacks=early_stopping callbacks.early_stopping.patience={}"),
    ("random_seed manual_seed random_state", "", "seed={}"),
    ("ckpt ckpt_path checkpoint_path resume_from_checkpoint resume_from", "", "resume=RUN"),
    ("ckpt ckpt_path checkpoint_path model model_path weights weight", "", "checkpoint={}"),
    ("project output_dir out_dir save_dir run_dir log_dir logdir", "", "hydra.run.dir={}"),
    ("project output_dir out_dir save_dir", "", "output={}"),
    ("topk k", "", "top_k={}"),
)  # fmt: skip
"""From Keras, fastai, Lightning, timm, transformers, Ultralytics and scikit-learn. The first row that fits counts."""

SHORT = {
    "epochs": "trainer.max_epochs",
    "lr": "optimizer.lr",
    "batch_size": "data.batch_size",
    "image_size": "data.image_size",
}
"""The usual settings by the names that everybody knows; verbs with a setting of that name keep theirs."""


SEVERAL = {"model": "models", "sizes": "sizes"}
"""What `src.search` takes several of; `model` alone would choose one network, as in `src.train`."""

NO_SETTINGS = ("experiment",)
"""What a training is composed of besides its settings."""


def in_full(verb: str, words: Sequence[str]) -> list[str]:
    """Return what was typed with the settings of `SHORT` by their full names; `InputError` where both are there."""
    if verb == "runs":
        return _as_conditions(words)
    if verb == "search":
        words = [_as_list(word) for word in words]
    known = {*settings_of(VERBS[verb])}
    typed = {word.lstrip("+~").partition("=")[0]: word for word in words}
    spelt = []
    for word in words:
        name, equals, value = word.partition("=")
        full = SHORT.get(name) if equals and name not in known else None
        if full in known:
            if full in typed:
                raise InputError(f"{word} is short for {full}, and {typed[full]} is there too: leave one of them out")
            word = f"{full}={value}"
        spelt.append(word)
    return spelt


def _as_list(word: str) -> str:
    """Return a word of `src.search` that names several things to try, `model=A,B`, as the list that it sets."""
    name, equals, value = word.partition("=")
    added = "+" * (len(name) - len(name.lstrip("+")))
    key = SEVERAL.get(name[len(added) :])
    if not equals or key is None:
        return word
    value = value.strip("[], ")
    return f"{added}{key}={value if value in ('', 'null') else f'[{value}]'}"


def _as_conditions(words: Sequence[str]) -> list[str]:
    """Return what was typed to `src.runs`, `prune` and `cache` as settings, and settings of a training as `where=`.

    Which runs are meant is said as what they were trained with: `data=digits lr=0.1,0.01`.
    """
    own, of_training = {*settings_of(VERBS["runs"])}, {*settings_of(VERBS["train"]), *NO_SETTINGS}
    kept, conditions = [], []
    for word in words:
        name, equals, value = word.partition("=")
        full = SHORT.get(name, name)
        if equals and name not in own and full in of_training:
            conditions.append(quote(f"{full}={value}"))
        else:
            kept.append(f"{word}=true" if word in ("prune", "cache") else word)
    return [*kept, f"where=[{','.join(conditions)}]"] if conditions else kept


def words_for(verb: str, typed: str, others: Sequence[str] = ()) -> str | None:
    """Return what to say to a verb instead of `name=value`, whose name it doesn't know; None where nobody can tell.

    The name may be another tool's, or one of ours in the wrong place: `lr` or `trainer.lr` for `optimizer.lr`.

    Args:
        others: all that was typed; an option that they choose is not chosen again.
    """
    name, _, value = typed.lstrip("+-").partition("=")
    name, value = name.replace("-", "_"), re.sub(r"^'(.*)'$", r"\1", value)  # a path is in quotes by now
    known = {*settings_of(VERBS[verb])} | ({"hydra.run.dir"} if verb == "train" else set())
    if name in known:
        without = name.startswith("space.") and not any(word.startswith("space=") for word in others)
        return f"space=lr {typed}" if without else None
    for given in dict.fromkeys((name, name.rpartition(".")[2])):
        words = _of_others(given, value, known) or _misplaced(given, value, known)
        if words:
            chosen = {word.partition("=")[0] for word in others}
            left = [word for word in words if word.partition("=")[0] not in chosen or "." in word.partition("=")[0]]
            return " ".join(left or words)
    return None


OPTUNA_BEFORE = ("search=", "hydra/sweeper=optuna", "hydra/sweeper/sampler=")
SETTINGS_SEARCH = "python -m src.search space=lr model=NAME data=…"
"""What once was typed to try settings by Optuna, and what is now."""


def refuse_added(verb: str, typed: Sequence[str]) -> None:
    """Raise `InputError` where a `+` adds another tool's name, which nobody would read: `+epochs=5`.

    And for the sweeper that has become a search.
    """
    for word in typed:
        if word.lstrip("+").startswith(OPTUNA_BEFORE):
            raise InputError(f"{word} is a search of its own now: {SETTINGS_SEARCH}")
        group, _, _ = word.lstrip("+").partition("=")[0].rpartition(".")
        words = words_for(verb, word, typed) if word[:1] == "+" else None
        if words and group in ("", "trainer", "optimizer", "scheduler"):
            raise InputError(f"{word} adds a setting that nothing reads: say {words}")


def _of_others(name: str, value: str, known: Collection[str]) -> list[str] | None:
    for names, values, words in ROWS:
        if name in names.split() and (not values or re.fullmatch(values, value.lower())):
            found = [word.format(value or "…") for word in words.split()]
            if all(word.partition("=")[0] in known for word in found):
                return found
    return None


def _misplaced(name: str, value: str, known: Collection[str]) -> list[str] | None:
    found = [key for key in known if key.endswith(f".{name}") and not key.startswith("model.")]
    if len(found) != 1:
        return None
    return [*option_with(found[0]), f"{found[0]}={value or '…'}"]


def option_with(key: str) -> list[str]:
    """Return what has to be chosen for a setting to be there, such as `logger=wandb`; nothing where it always is."""
    if key.startswith("space."):
        return ["space=lr"]
    match = re.match(r"(callbacks|logger)\.(\w+)\.", key)
    return [f"{match[1]}={match[2]}"] if match and (CONF / match[1] / f"{match[2]}.yaml").is_file() else []


def settings_of(settings: type[Settings], prefix: str = "") -> Iterator[str]:
    """Yield all settings of a verb or group, those of the groups within it by dotted names."""
    for name, kind in kinds(settings).items():
        yield f"{prefix}{name}"
        if group := group_of(kind):
            yield from settings_of(group, f"{prefix}{name}.")
