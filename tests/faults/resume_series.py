"""Trains tiny models again and again, each time killed at another place, until a run comes to its end.

    python tests/faults/resume_series.py --folder FOLDER NAME...

For each trainer FOLDER/NAME holds the weights of an undisturbed run (`one.pt`) and of the last of the killed ones
(`killed.pt`), and how every start went (`starts.json`: the step that it went on from, and the signal that ended it).
Each run is a process of its own, forked from this one: the libraries are imported once.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "scripts")]

import torch
from transformers import Trainer, TrainerCallback

from retrace.training.options import BaseTraining
from unit.tiny_trainers import TRAINERS, Sft

# A new trainer joins here, or in TRAINERS, with one line.
RESUMED = {**TRAINERS, "base": Sft("encoder_decoder", BaseTraining)}
# 8 steps, an epoch is 3 of them; saved after steps 4 and 8. Each start is killed at the next of these places. What a
# trainer keeps beside the common state shows at the later ones; the earlier are of the saving that all trainers share, so
# one of each library's trainers is killed there, too.
LATE = {
    ("step", 6): 0,  # between two saves, in the middle of an epoch
    ("saved", 8): 4,  # all is done but the result
}
ALL = {
    ("step", 2): 0,  # before the first save
    ("saving", 4): 0,  # half of the files are written
    ("saved", 4): 0,
    ("step", 6): 4,
    ("saved", 8): 4,
}
KILLED_EVERYWHERE = ("sft_encoder_decoder", "dpo_decoder_only", "latro")


def moments_of(name: str) -> dict[tuple[str, int], int]:
    """Where the starts of this trainer are killed, one after the other, and the step that each goes on from."""
    return ALL if name in KILLED_EVERYWHERE else LATE


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Killed(TrainerCallback):
    """Kills this process at a place of the training; notes the step that the training starts from."""

    def __init__(self, place: str, step: int, note: Path) -> None:
        self.place, self.step, self.note = place, step, note
        if place == "saving":
            save = Trainer._save_optimizer_and_scheduler

            def cut_short(trainer: Trainer, folder: str) -> None:
                save(trainer, folder)
                if trainer.state.global_step == step:
                    (Path(folder) / "optimizer.pt").write_bytes(b"half of it")
                    die()

            Trainer._save_optimizer_and_scheduler = cut_short

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.note.write_text(str(state.global_step))

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if self.place == "step" and state.global_step == self.step:
            die()

    def on_save(self, args, state, control, **kwargs) -> None:
        if self.place == "saved" and state.global_step == self.step:
            die()


def forked(action: Callable[[], None]) -> int:
    """Run `action` in a process of its own; the signal that ended it, 0 for a good end."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "a run failed; see above"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def train(name: str, state: Path, weights: Path, *callbacks: TrainerCallback) -> None:
    model, _ = RESUMED[name].train(state, callbacks, dropout=0.1)
    torch.save(model.state_dict(), weights)


def series(name: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    forked(lambda: train(name, folder / "one", folder / "one.pt"))
    starts = []
    for place, step in [*moments_of(name), ("never", 0)]:
        ended = forked(
            lambda place=place, step=step: train(
                name, folder / "two", folder / "killed.pt", Killed(place, step, folder / "start")
            )
        )
        starts.append((int((folder / "start").read_text()), ended))
    (folder / "starts.json").write_text(json.dumps(starts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=RESUMED)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.names:
        series(name, args.folder / name)


if __name__ == "__main__":
    main()
