"""What all verbs share: from their words to checked configurations, to their tasks, to an exit code.

`main(verb, task)` is a verb's whole command line. It composes and checks each configuration once, before anything is
made, and then lets Hydra create a folder and call the task, or the tasks of a sweep; torch is not imported before that.
"""

import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NoReturn, TypeVar, cast

from hydra._internal.utils import get_args_parser
from hydra.types import RunMode
from omegaconf import DictConfig

from ..activity import begin, clear, ended
from ..errors import InputError
from ..logs import say_interrupted, while_read
from ..ranks.crew import TOLD
from ..ranks.joining import crew, join
from ..ranks.place import is_follower
from ..runs.folder import RunFolder
from ..settings.check import check_config
from ..settings.composing import Composer, composing, quote_paths
from ..settings.defaults import PACKAGE
from ..settings.other_names import refuse_added
from .dashes import refuse_dashes
from .destination import choose_destination, writes_itself
from .early import queue_again_early
from .ending import end
from .failures import exit_code, one_line, report, report_all
from .going_on import compose_again
from .launching import show
from .only import check_only, take_only
from .resume import begin_or_go_on, check_requeue
from .shorthand import spell_out, with_folders
from .signals import answer_no_more, answer_signals, leave
from .tasks import AfterSweep, Task, run_each, run_sweep

Summary = Callable[[Sequence[Any]], None]
Verb = TypeVar("Verb", bound=Task)


def checked(task: Verb) -> Verb:
    """Check the configuration that a verb is called with from Python; `main`, which has done so, unwraps it."""

    @wraps(task)
    def check_first(cfg: DictConfig, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(cfg, DictConfig):
            raise InputError(
                f"{task.__name__} takes a composed configuration; `from {PACKAGE} import train` takes words"
            )
        cfg = with_folders(cfg)
        check_config(cfg)
        return task(cfg, *args, **kwargs)

    return cast(Verb, check_first)


def main(
    verb: str,
    task: Task,
    summary: Summary | None = None,
    after_sweep: AfterSweep | None = None,
) -> NoReturn:
    """Run a verb with the arguments of this process, and exit.

    `summary` gets what the tasks returned, in order. A verb with `after_sweep` leaves run folders behind: its sweeps
    can be resumed, its task takes `resume=` besides the configuration, and `after_sweep` gets the sweep's folder.

    0: done. 2: the input was wrong, nothing was begun and nothing is left behind. 1: a run failed; of a sweep, any run
    where others are done. 130: interrupted by Ctrl-C, 143: by SIGTERM or SIGUSR1.
    """
    # Read by OpenMP when torch is imported: threads that wait for each other sleep instead of spinning. Beside one busy
    # process, ResNet-18 on digits trained 217 instead of 110 images/s on 2 cores; alone 295 instead of 303.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for stream in (sys.stdout, sys.stderr):  # a terminal without ★ or × gets a question mark, not a traceback
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    told = answer_signals()
    code, said, details = 1, "", ""
    try:
        answering = join().answering(lambda end: end.told and queue_again_early(sys.argv[1:], end.signal))
        with answering, ended():
            code = _run(verb, task, summary, after_sweep, sys.argv[1:])
    except Exception as error:
        said, details = one_line(error), "".join(traceback.format_exception(error))
        code = exit_code(error) if crew().place.rank else report(error)
    except KeyboardInterrupt as error:
        if crew().place.size > 1:
            answer_no_more()
        if not error.args and not is_follower():  # else it has been said already, with what to do
            say_interrupted()
        code = 130
    except SystemExit as error:
        if crew().place.size > 1:
            answer_no_more()
        code = error.code if isinstance(error.code, int) else 1
        if told() is not None:  # else a training was at work, and has seen to it
            crew().must_end(code, told())
            if not is_follower():
                queue_again_early(sys.argv[1:], told())
    crew().end(code, said, details)
    if crew().place.size > 1 and (code in TOLD or is_follower()):
        leave(code)
    if crew().place.size > 1:
        sys.exit(code)
    end(code)


def _run(verb: str, task: Task, summary: Summary | None, after_sweep: AfterSweep | None, argv: Sequence[str]) -> int:
    if is_follower():
        return _follow(verb, task, argv)
    argv = quote_paths(spell_out(verb, argv))
    parser = get_args_parser()
    refuse_dashes(verb, parser, argv)
    args = parser.parse_intermixed_args(argv)
    refuse_added(verb, args.overrides)
    for flag in ("config_path", "config_name", "config_dir", "experimental_rerun"):
        if getattr(args, flag) is not None:
            word = flag.replace("_", "-")
            raise InputError(f"--{word} is not possible: put a file of yours into conf/experiment, say experiment=NAME")
    if (args.cfg or args.help) and args.multirun:
        raise InputError(f"--{'cfg' if args.cfg else 'help'} shows the configuration of one run: leave -m out")
    if args.resolve and args.cfg != "job":
        raise InputError("--resolve goes with --cfg job: say so too, or leave it out")
    if args.cfg or args.help or args.hydra_help or args.info or args.shell_completion:
        with composing(verb) as composer, while_read():
            show(composer, parser, args)
        return 0
    if after_sweep is None and crew().place.size > 1:
        raise InputError(f"src.{verb} is the work of one process: start it without torchrun or srun")
    words = list(args.overrides)
    begin("loading")
    with composing(verb) as composer:
        only, words = take_only(words) if after_sweep is not None else (None, words)
        if after_sweep is not None:
            run, words = begin_or_go_on(composer, words, multirun=args.multirun)
            if run is not None:
                return _resume(composer, task, run, words, multirun=args.multirun)
        cfg = composer.compose(words, multirun=args.multirun)
        multirun = cfg.hydra.mode == RunMode.MULTIRUN
        if after_sweep is not None:
            check_requeue(cfg, args.overrides, multirun=multirun)
        if only is not None and not multirun:
            raise InputError(f"only={only} is for a sweep: put -m before it, or leave it out")
        if multirun and writes_itself(cfg):
            instead = composer.once_each(words)
            raise InputError(f"src.{verb} does one thing at a time: leave -m out{f', {instead}' if instead else ''}")
        if multirun and any(word.partition("=")[0] == "name" for word in words):
            raise InputError("name= is for one run: name a sweep with sweep=NAME")
        if multirun and crew().place.size > 1:
            raise InputError("a sweep starts the processes of its runs by itself: start it without torchrun or srun")
        folder = choose_destination(cfg)
        if multirun and after_sweep is not None and folder is not None:
            if only is not None:
                check_only(cfg, words, only)
            return run_sweep(composer, cfg, task, after_sweep, folder, only)
        if multirun and not cfg.hydra.launcher._target_.startswith("hydra._internal."):
            raise InputError(f"hydra/launcher={cfg.hydra.runtime.choices['hydra/launcher']} is for src.train alone")
        composer.check(cfg)
        results, failures = run_each(composer, cfg, task, folder)
    if summary is not None and results:
        summary(results)
    return report_all(failures, some_done=bool(results))


def _follow(verb: str, task: Task, argv: Sequence[str]) -> int:
    """Do what the first process has decided on: in its folder, with its settings, without a word."""
    if crew().place.environment is None:  # Lightning starts them with what it needs, and a name for a log
        words = [word for word in quote_paths(argv) if not word.startswith("hydra.job.name=")]
    else:
        words = crew().share("words", list[str])
    with composing(verb) as composer:
        cfg = composer.compose(words)
        composer.check(cfg)
        _, failures = run_each(composer, cfg, task, None)
    for _, error in failures:
        raise error
    return 0


def _resume(composer: Composer, task: Task, run: RunFolder, typed: Sequence[str], *, multirun: bool) -> int:
    """Resume a run in its folder, with the settings that it began with and those typed now."""
    if multirun:
        raise InputError("resume= is for one run: leave -m out; a sweep is resumed by giving its command again")
    cfg, done = compose_again(composer, run, typed)
    if done is not None:
        clear()
        print(done)
        return 0
    results, failures = run_each(composer, cfg, task, None)
    return report_all(failures, some_done=bool(results))
