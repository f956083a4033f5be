"""The outcome verifier: its data, its measure and its checkpoint."""

import pytest
import torch
from transformers import TrainerCallback

from retrace.errors import UserError
from retrace.models.encoder_head import scratch_encoder
from retrace.models.verifier import Verifier, load_verifier
from retrace.schemas import Trajectory
from retrace.systems.grace.options import VerifierTraining
from retrace.systems.grace.train_verifier import macro_f1, solution_rows, split_solutions, train_verifier
from unit.tiny_models import arithmetic_task, problems, tiny_generator

TASK = arithmetic_task()
EXAMPLES = {example.id: example for example in problems(40)}


def trajectory(example_id: str, text: str, correct: bool) -> Trajectory:
    return Trajectory(
        example_id=example_id,
        text=text,
        steps=[],
        final_answer=None,
        correct=correct,
        tokens=1,
        logprob=-1.0,
        sampling_seed=0,
    )


def trajectories() -> list[Trajectory]:
    rows = []
    for name, example in EXAMPLES.items():
        rows += [trajectory(name, TASK.solution_text(example), True)] * 2
        rows.append(trajectory(name, "| #### 7", False))
    return rows


def make() -> Verifier:
    _, tokenizer = tiny_generator(TASK, list(EXAMPLES.values()))
    torch.manual_seed(0)
    return Verifier(scratch_encoder(tokenizer, 16, 1, 2, 32, 0.0, seed=0), tokenizer, outputs=2).eval()


def test_macro_f1_by_hand() -> None:
    predicted = torch.tensor([True, True, False, False])
    correct = torch.tensor([True, False, False, False])
    assert macro_f1(predicted, correct) == pytest.approx((2 * 1 / 3 + 2 * 2 / 5) / 2)
    assert macro_f1(predicted, predicted) == 1.0
    assert macro_f1(torch.tensor([True]), torch.tensor([True])) == 0.5


def test_questions_are_in_one_part_only_and_copies_count_once() -> None:
    training, dev = split_solutions(trajectories(), EXAMPLES, VerifierTraining(), 0, "t.jsonl")
    assert len(training) + len(dev) == 2 * len(EXAMPLES)
    assert not {row.example_id for row in training} & {row.example_id for row in dev}
    assert len({row.example_id for row in dev}) == 6
    limited, _ = split_solutions(trajectories(), EXAMPLES, VerifierTraining(max_samples=5), 0, "t.jsonl")
    assert [sum(row.correct == label for row in limited) for label in (True, False)] == [5, 5]


def test_missing_labels_and_foreign_questions_are_errors() -> None:
    wrong_only = [row for row in trajectories() if not row.correct]
    with pytest.raises(UserError, match=r"t\.jsonl: no correct solution"):
        split_solutions(wrong_only, EXAMPLES, VerifierTraining(), 0, "t.jsonl")
    with pytest.raises(UserError, match=r"t\.jsonl: question 'x' is not in the data"):
        split_solutions([*trajectories(), trajectory("x", "y", True)], EXAMPLES, VerifierTraining(), 0, "t.jsonl")


def test_training_learns_and_the_checkpoint_scores_alike(tmp_path) -> None:
    network = make()
    training, dev = split_solutions(trajectories(), EXAMPLES, VerifierTraining(), 0, "t.jsonl")
    options = VerifierTraining(
        learning_rate=5e-3, batch_size=32, device_batch_size=16, max_steps=50, evaluations=2, scheduler="constant"
    )
    rows, dev_rows = (solution_rows(network, EXAMPLES, part) for part in (training, dev))
    curve = train_verifier(network, rows, dev_rows, options, 0, tmp_path / "state")
    assert max(row.get("dev_macro_f1", 0) for row in curve) > 0.9
    network.save(tmp_path / "model", "verifier")
    again = load_verifier(tmp_path / "model")
    question, example = dev[0].example_id, EXAMPLES[dev[0].example_id]
    given = ([example.question] * 2, [TASK.solution_text(EXAMPLES[question]), "| #### 7"])
    scores = again.score(*given)
    assert torch.equal(scores, network.score(*given, batch_size=1)) or torch.allclose(scores, network.score(*given))
    assert scores[0] > 0.5 > scores[1]


class Stop(TrainerCallback):
    """Stands for a kill."""

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == 8:
            raise KeyboardInterrupt


def test_stopped_training_goes_on_to_the_same_weights(tmp_path) -> None:
    training, dev = split_solutions(trajectories(), EXAMPLES, VerifierTraining(), 0, "t.jsonl")
    options = VerifierTraining(learning_rate=5e-3, batch_size=16, device_batch_size=16, max_steps=12, evaluations=4)
    networks = [make() for _ in range(3)]
    rows, dev_rows = (solution_rows(networks[0], EXAMPLES, part) for part in (training, dev))
    train_verifier(networks[0], rows, dev_rows, options, 0, tmp_path / "one")
    with pytest.raises(KeyboardInterrupt):
        train_verifier(networks[1], rows, dev_rows, options, 0, tmp_path / "two", callbacks=[Stop()])
    assert (tmp_path / "two" / "checkpoint-6").exists()
    train_verifier(networks[2], rows, dev_rows, options, 0, tmp_path / "two")
    for name, weight in networks[0].state_dict().items():
        assert torch.equal(weight, networks[2].state_dict()[name]), name
