"""LaTRO's trainer (arXiv 2411.04282): TRL's RLOOTrainer with a reward that has a gradient.

RLOOTrainer provides the sampler that repeats each question, generation with vLLM, and the reference model, also under
DeepSpeed. A reward function alone would lose the gradient of log p(answer | question, rationale) and would read prompt
and completion with padding between them. Rollouts, scoring and the loss are therefore our own: one pass over prompt,
rationale and answer gives both likelihoods. If a process's batch holds all rationales of its questions, the gradient is
taken through that same pass; otherwise a pass without gradients scores all rationales first.
"""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import PreTrainedModel, TrainerCallback
from trl import RLOOConfig, RLOOTrainer
from trl.models import unwrap_model_for_generation

from retrace.errors import UserError
from retrace.systems.latro import rationales as pieces
from retrace.systems.latro.decline import Evaluation, Evaluations, declined
from retrace.systems.latro.options import LatroTraining
from retrace.systems.latro.rationales import Rationale
from retrace.systems.latro.rollouts import Question, RationaleWriter
from retrace.systems.latro.token_logprobs import add_scorer
from retrace.training.adapters import adapter_options, explained, has_adapters, inner
from retrace.training.parallel import accumulation_of
from retrace.training.restarts import OwnCheckpoints, Owner

Judge = Callable[[Question, str], tuple[bool, bool]]  # whether a solution is correct: paper's grader, strict grader


class LatroTrainer(OwnCheckpoints, RLOOTrainer):
    """See the module's docstring. order: question indices of each optimizer step, one epoch after another."""

    def __init__(
        self,
        model: PreTrainedModel,
        args: RLOOConfig,
        writer: RationaleWriter,
        questions: Sequence[Question],
        order: np.ndarray,
        evaluation: "DevelopmentAccuracy",
        options: LatroTraining,
        owner: Owner,
    ) -> None:
        self.owner = owner
        places = Dataset.from_dict({"place": list(range(len(order)))})
        tokenizer = writer.tokenizer
        with explained(options):
            super().__init__(
                model=model,
                reward_funcs=[],
                args=args,
                train_dataset=places,
                eval_dataset=places.select([0]),  # Trainer requires one; we use `evaluation`
                processing_class=tokenizer,
                peft_config=adapter_options(options, "decoder_only"),
            )
        # Decoding on a processor may convert the weights to float64. This must happen before the optimizer loads or
        # creates its moments, or a resumed training would differ.
        writer.decoder(inner(self.model))
        add_scorer(inner(self.model))
        if self.ref_model is not None:
            add_scorer(self.accelerator.unwrap_model(self.ref_model))
        self.writer = writer
        self.questions = questions
        self.order = order
        self.visits = visits_of(order)
        self.evaluation = evaluation
        self.options = options
        # With adapters the reference is the model without them, so there is no second copy of the weights.
        self.adapters = has_adapters(self.model)
        self.has_reference = options.kl_coef > 0
        # Whether all rationales of a question are in one batch of the training pass.
        self.groups_whole = args.per_device_train_batch_size % options.rationales == 0 and options.unfinished == "keep"

    def _send_telemetry(self) -> None:
        """Disable TRL's telemetry."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Disabled: TRL would write a model card into the folder for restarts."""

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Stop before the first step if necessary: Trainer checks only after a step, but a resumed run may have to."""
        if not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)

    # ---------------------------------------------------------------- rollouts

    def _prepare_inputs(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """The next batch of the training pass. The first batch of an optimizer step samples the rationales for all."""
        turn = self._step % self.args.steps_per_generation
        if turn == 0:
            self._buffered_inputs = self._rollout([row["place"] for row in inputs])
        return self._buffered_inputs[turn]

    def _rollout(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Sample rationales for this process's questions, in batches for the training pass.

        places: positions of the questions in the training's order, each repeated once per rationale.
        """
        k = self.options.rationales
        asked = places[::k]
        questions = [self.questions[self.order[place]] for place in asked]
        rows = self._sample(questions, [self.visits[place] for place in asked])
        self._record(
            rationale_length=[len(row.ids) for row in rows], finished_share=[float(row.finished) for row in rows]
        )
        # Rows of similar length share a batch to limit padding; the rows of a group stay together.
        unit = k if self.groups_whole else 1
        units = [rows[start : start + unit] for start in range(0, len(rows), unit)]
        owners = np.arange(len(rows)).reshape(-1, unit)
        lengths = [max(len(row.prompt) + len(row.ids) + len(row.answer) for row in part) for part in units]
        turns = owners[np.argsort(lengths, kind="stable")].reshape(-1, self.args.per_device_train_batch_size)
        batches = [{"rows": [rows[index] for index in turn]} for turn in turns]
        names = [[questions[index // k].id for index in turn] for turn in turns]
        for batch, ids in zip(batches, names, strict=True):
            batch["ids"] = ids
        if not self.groups_whole:
            self._score(batches, turns, rows)
        return batches

    def _sample(self, questions: Sequence[Question], visits: Sequence[int]) -> list[Rationale]:
        if self.use_vllm:
            prompts = [question.prompt for question in questions for _ in range(self.options.rationales)]
            written = self._generate_single_turn(prompts, None, {})
            repeated = [question for question in questions for _ in range(self.options.rationales)]
            return [self.writer.rationale(one, ids) for one, ids in zip(repeated, written, strict=True)]
        with self._whole_model() as model:
            rows = self.writer.sample(model, questions, visits)
        self.model.train()
        return rows

    @contextlib.contextmanager
    def _whole_model(self) -> Iterator[PreTrainedModel]:
        """The whole model as one process can use it, also if ZeRO-3 divides it; adapters stay active."""
        with unwrap_model_for_generation(
            self.model_wrapped,
            self.accelerator,
            gather_deepspeed3_params=self.args.ds3_gather_for_generation,
            gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
        ) as model:
            yield inner(model)

    @torch.no_grad()
    def _score(self, batches: list[dict[str, Any]], turns: np.ndarray, rows: Sequence[Rationale]) -> None:
        """Compute the advantages of all rationales in a separate forward pass."""
        own, answers, reference = (torch.zeros(len(rows), device=self.args.device) for _ in range(3))
        for batch, turn in zip(batches, turns, strict=True):
            index = torch.as_tensor(turn, device=own.device)
            with self.accelerator.autocast():
                own[index], answers[index] = self._likelihoods(self.model_wrapped, batch)
            reference[index] = self._reference(batch)
        advantages = self._advantages(own, answers, reference, torch.tensor([row.finished for row in rows]))
        for batch, turn in zip(batches, turns, strict=True):
            batch["advantages"] = advantages[torch.as_tensor(turn, device=own.device)]

    def _likelihoods(self, model: torch.nn.Module, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """log p of rationales and answers [B]; raises UserError if a value is not finite."""
        packed = pieces.pack(batch["rows"], self.writer.tokenizer.pad_token_id, official=self.options.official_reward)
        rationales, answers = pieces.likelihoods(model, packed.to(self.args.device))
        finite = (rationales.detach() + answers.detach()).isfinite()
        if not bool(finite.all()):
            where = batch["ids"][int((~finite).int().argmax())]
            raise UserError(
                f"the likelihood of a rationale or answer of {where!r} is not finite at step "
                f"{self.state.global_step}; lower learning_rate, or use precision float32 or bfloat16"
            )
        return rationales, answers

    @torch.no_grad()
    def _reference(self, batch: dict[str, Any]) -> torch.Tensor:
        """log p(rationale | prompt) of the reference model [B]; zero if the log-ratio has no weight."""
        if not self.has_reference:
            return torch.zeros(len(batch["rows"]), device=self.args.device)
        pad_id = self.writer.tokenizer.pad_token_id
        with self.accelerator.autocast():
            if self.adapters:
                # The same pass as the policy's, so adapters that change nothing give a log-ratio of exactly zero.
                packed = pieces.pack(batch["rows"], pad_id, official=self.options.official_reward)
                model = self.accelerator.unwrap_model(self.model)
                with model.disable_adapter():
                    return pieces.likelihoods(model, packed.to(self.args.device))[0]
            packed = pieces.pack(batch["rows"], pad_id, answers=False)
            return pieces.likelihoods(self.ref_model, packed.to(self.args.device))[0]

    def _advantages(
        self, own: torch.Tensor, answers: torch.Tensor, reference: torch.Tensor, finished: torch.Tensor
    ) -> torch.Tensor:
        """Leave-one-out advantages [n] of whole groups; also records rewards and log-ratios."""
        options, rewards = self.options, answers.detach()
        log_ratio = own.detach() - reference if self.has_reference else torch.zeros_like(own)
        groups = rewards.view(-1, options.rationales)
        equal = (groups - groups.mean(1, keepdim=True)).abs().amax(1) < 1e-6
        self._record(reward=rewards, kl=log_ratio, equal_share=equal.float())
        if options.unfinished == "batch_mean":
            whole = self.accelerator.gather(rewards)  # the batch of all processes
            rewards = pieces.penalize_unfinished(rewards, finished.to(rewards.device), options.unfinished_factor, whole)
        return pieces.advantages_of(rewards, log_ratio, options.kl_coef, options.rationales)

    # ---------------------------------------------------------------- loss

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        """Equation 4's loss over one batch; Trainer divides by the number of batches of the optimizer step."""
        advantages = inputs.get("advantages")
        # Run before the pass whose activations are kept for the gradient, to save memory.
        reference = self._reference(inputs) if advantages is None else None
        rationales, answers = self._likelihoods(model, inputs)
        if advantages is None:
            finished = torch.tensor([row.finished for row in inputs["rows"]])
            advantages = self._advantages(rationales, answers, reference, finished)
        return pieces.latro_loss(rationales, answers, advantages, self.options.sft_penalty)

    def _record(self, **values: torch.Tensor | Sequence[float]) -> None:
        """Keep the mean over all processes for the next line of the curve."""
        for name, value in values.items():
            tensor = torch.as_tensor(value, dtype=torch.float32, device=self.args.device)
            mean = self.accelerator.gather(tensor.mean()).mean().item()
            self._metrics["train"][name].append(mean)

    # ---------------------------------------------------------------- evaluation

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Accuracy and reward on the development questions, divided among the processes."""
        self.model.eval()
        with self._whole_model() as model, torch.no_grad(), self.accelerator.autocast():
            rank, world = self.accelerator.process_index, self.accelerator.num_processes
            mine = self.evaluation.measure(model, rank, world)
        self.model.eval()  # the metrics below belong to an evaluation, not to the training
        found = self.evaluation.joined(gather_object(mine) if world > 1 else mine, self.state.global_step)
        self.evaluation.kept.add(found, write=self.args.should_save)
        metrics = {
            "eval_accuracy": found.accuracy,
            "eval_accuracy_strict": found.strict,
            "eval_reward": found.reward,
            "eval_rationale_length": found.rationale_length,
            "eval_finished_share": found.finished,
        }
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def measure_start(self) -> None:
        """Evaluate and save the model that training starts from, which can be the best checkpoint, too."""
        metrics = self.evaluate()
        self._determine_best_metric(metrics, None)
        self.state.best_model_checkpoint = f"{self.args.output_dir}/checkpoint-0"  # Trainer does not know step 0
        self._save_checkpoint(self.model_wrapped, None)
        self.model.train()


class DevelopmentAccuracy:
    """Greedy solutions to the development questions: whether they are correct, and the reward of their rationales."""

    def __init__(
        self, questions: Sequence[Question], judge: Judge, writer: RationaleWriter, kept: Evaluations, batch_size: int
    ) -> None:
        self.questions = sorted(questions, key=lambda question: question.length)
        self.judge = judge
        self.writer = writer
        self.kept = kept
        self.batch_size = batch_size

    def measure(self, model: Any, rank: int, world: int) -> list[tuple[int, bool, bool, float, int, bool]]:
        """For each question of this process: number, correct, strictly correct, reward, rationale length, finished."""
        numbers = list(range(rank, len(self.questions), world))
        questions = [self.questions[number] for number in numbers]
        solutions = self.writer.solve(model, questions)
        # A solution's limit includes its answer, so its rationale is cut to the limit of sampled rationales.
        longest = self.writer.options.max_rationale_tokens
        rows = [
            self.writer.rationale(question, one.ids[:longest], one.free[:longest])
            for question, one in zip(questions, solutions, strict=True)
        ]
        rewards: list[float] = []
        for start in range(0, len(rows), self.batch_size):
            packed = pieces.pack(rows[start : start + self.batch_size], self.writer.tokenizer.pad_token_id)
            rewards += pieces.likelihoods(model, packed.to(next(model.parameters()).device))[1].tolist()
        return [
            (number, *self.judge(question, solution.text), reward, len(row.ids), row.finished)
            for number, question, solution, reward, row in zip(
                numbers, questions, solutions, rewards, rows, strict=True
            )
        ]

    def joined(self, measured: Sequence[tuple[int, bool, bool, float, int, bool]], step: int) -> Evaluation:
        """Combine the measurements of all processes. Raises UserError if a reward is not finite."""
        rows = sorted(measured)
        rewards = [row[3] for row in rows]
        if not all(map(math.isfinite, rewards)):
            raise UserError(
                f"the reward on the development questions is not finite at step {step}; lower learning_rate, or use "
                "precision float32 or bfloat16"
            )
        count = len(rows)
        return Evaluation(
            step=step,
            correct=[row[1] for row in rows],
            strict=sum(row[2] for row in rows) / count,
            reward=sum(rewards) / count,
            rationale_length=sum(row[4] for row in rows) / count,
            finished=sum(row[5] for row in rows) / count,
        )


class Watch(TrainerCallback):
    """Evaluates the start, evaluates, saves and prints at milestones, and stops when accuracy declines."""

    def __init__(self, steps: set[int], stop_on_decline: bool) -> None:
        self.steps = steps
        self.stop_on_decline = stop_on_decline
        self.trainer: LatroTrainer | None = None
        self.stopped: str | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        kept = self.trainer.evaluation.kept
        kept.resume(state.global_step)
        if not kept.rows:
            self.trainer.measure_start()
        self._stop_if_declined(state, control)  # based on evaluations before a restart

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.steps:
            control.should_log = control.should_save = control.should_evaluate = True
        elif state.global_step == state.max_steps:
            control.should_log = True  # Trainer itself evaluates and saves at the end

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any) -> None:
        if "loss" in (logs or {}) and not math.isfinite(logs["loss"]):
            raise UserError(
                f"the training loss is not finite at step {state.global_step}; lower learning_rate, or use "
                "precision float32 or bfloat16"
            )

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = self.trainer.evaluation.kept.rows[-1]
        if state.is_world_process_zero:
            print(
                f"step {now.step}/{state.max_steps}  development accuracy {100 * now.accuracy:.1f} %  reward "
                f"{now.reward:.4f}  rationale {now.rationale_length:.1f} tokens, {100 * now.finished:.0f} % finished",
                flush=True,
            )
        self._stop_if_declined(state, control)

    def _stop_if_declined(self, state: Any, control: Any) -> None:
        rows = self.trainer.evaluation.kept.rows
        self.stopped = declined(rows) if self.stop_on_decline else None
        if self.stopped:
            control.should_training_stop = True
            if state.is_world_process_zero:
                print(self.stopped, file=sys.stderr, flush=True)


def visits_of(order: Sequence[int]) -> list[int]:
    """For each position, how often its question occurred at earlier positions."""
    seen: dict[int, int] = {}
    visits = []
    for question in order:
        visits.append(seen.get(int(question), 0))
        seen[int(question)] = visits[-1] + 1
    return visits


def check_batches(options: LatroTraining, world: int) -> tuple[int, int]:
    """(rationales per device and pass, accumulated passes) of an optimizer step.

    Raises UserError, with batch sizes that would fit, if this one does not.
    """
    k, unit = options.rationales, options.rationales * world
    if options.batch_size % unit:
        lower, upper = options.batch_size // unit * unit, (options.batch_size // unit + 1) * unit
        fitting = f"{lower} or {upper}" if lower else str(upper)
        processes = f" x {world} processes" if world > 1 else ""
        raise UserError(
            f"batch_size {options.batch_size} is not a multiple of rationales {k}{processes}, but each process needs "
            f"whole questions; set it to {fitting}"
        )
    return accumulation_of(options, world)
