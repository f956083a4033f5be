"""LaTRO training, from questions and options to the best checkpoint, its curve and a report."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, TrainerCallback
from trl import RLOOConfig

from retrace.errors import UserError
from retrace.systems.latro.decline import Evaluations
from retrace.systems.latro.options import LatroTraining
from retrace.systems.latro.rollouts import Question, RationaleWriter
from retrace.systems.latro.trainer import DevelopmentAccuracy, Judge, LatroTrainer, Watch, check_batches
from retrace.training import parallel
from retrace.training.adapters import merged
from retrace.training.arguments import arguments_of_training, milestones, steps_of
from retrace.training.data import bucketed_order
from retrace.training.restarts import Owner, TimedSaves
from retrace.training.sft import disable_dropout
from retrace.training.trainer import COLUMNS, curve_of, run_trainer, world_size

_CURVE = (*COLUMNS, "reward", "kl", "rationale_length", "finished_share", "equal_share")


def train_latro(
    model: PreTrainedModel,
    writer: RationaleWriter,
    questions: Sequence[Question],
    dev_questions: Sequence[Question],
    judge: Judge,
    options: LatroTraining,
    seed: int,
    state: str | Path,
    reference_dtype: str = "float32",
    callbacks: Sequence[TrainerCallback] = (),
) -> tuple[list[dict[str, float]], dict[str, object]]:
    """Train `model` in place; it ends as the checkpoint with the highest development accuracy, which may be the start.

    If the options ask for adapters, these are trained and merged into the weights at the end.

    Args:
        model: The model; the reference model is loaded again from its folder.
        writer: Samples rationales.
        questions: Training questions.
        dev_questions: Questions on which checkpoints are compared.
        judge: Whether a solution's text answers a question correctly.
        options: Options of the training.
        seed: Seed of all random choices.
        state: Folder for restarts, as in `retrace.training.trainer.train`.
        reference_dtype: Precision of the reference model.
        callbacks: Further callbacks of the trainer.

    Returns:
        The curve, one dict per logged step, and a report on how the checkpoint was chosen.

    Raises:
        UserError: For batch sizes that do not fit, a full disk, and likelihoods that are not finite.
    """
    if parallel.strategy() == "fsdp":
        raise UserError("launch.strategy fsdp does not support sampling LaTRO's rationales; use zero3, zero2 or ddp")
    disable_dropout(model)  # the policy that samples must be the policy that is scored
    state = Path(state)
    device_batch, passes = check_batches(options, world_size())
    together = options.batch_size // options.rationales
    total = latro_steps(options, len(questions))
    order = bucketed_order([question.length for question in questions], together, total, seed)
    watch, kept = Watch(milestones(options, total), options.stop_on_decline), Evaluations(state)
    quiet_trl()
    arguments = arguments_of_training(
        options,
        seed,
        state,
        device_batch,
        passes,
        total,
        "accuracy",
        True,
        kind=RLOOConfig,
        **_own_arguments(options, writer, reference_dtype),
    )
    arguments.ddp_find_unused_parameters = False

    def build(owner: Owner) -> LatroTrainer:
        evaluation = DevelopmentAccuracy(dev_questions, judge, writer, kept, 2 * device_batch)
        trainer = LatroTrainer(model, arguments, writer, questions, order, evaluation, options, owner)
        watch.trainer = trainer
        for callback in (watch, TimedSaves(60 * options.save_minutes), *callbacks):
            trainer.add_callback(callback)
        return trainer

    trainer = run_trainer(build, model, [*questions, *dev_questions], options, seed, state, evaluates=True)
    merged(trainer.model)
    curve = curve_of(trainer, together, len(questions), _CURVE, options.choose_on)
    return curve, kept.report(options.choose_on, watch.stopped)


def latro_steps(options: LatroTraining, questions: int) -> int:
    """Optimizer steps of a training on this many questions; see `epochs_count`."""
    each = options.rationales if options.epochs_count == "questions" else 1
    return steps_of(options, questions * each)


def quiet_trl() -> None:
    """Suppress TRL's warnings about its own names and about loading the reference model."""
    logging.getLogger("trl").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning)


def _own_arguments(options: LatroTraining, writer: RationaleWriter, reference_dtype: str) -> dict[str, Any]:
    """Arguments of RLOOConfig in addition to those of all trainers."""
    own: dict[str, Any] = {
        "num_generations": options.rationales,
        "num_generations_eval": 1,  # unused: we run our own evaluations
        "max_completion_length": options.max_rationale_tokens,
        "temperature": options.temperature,
        "beta": options.kl_coef,
        "disable_dropout": True,  # also in the reference and in adapters
        "shuffle_dataset": False,  # the order is fixed beforehand
        "gradient_checkpointing": options.gradient_checkpointing,
        "model_init_kwargs": {"dtype": reference_dtype},  # for the reference model
    }
    if options.generation == "vllm":
        stops = {"stop": writer.stops, "include_stop_str_in_output": True, "stop_token_ids": writer.end_ids}
        own |= {
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_gpu_memory_utilization": options.vllm_memory_share,
            "generation_kwargs": stops,
        }
    return own
