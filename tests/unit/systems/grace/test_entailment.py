"""Steps judged by an entailment model: a tiny random classifier, asked one by one, says what batches must give."""

import json
from pathlib import Path

import pytest
import torch

import make_pairs
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.schemas import Alignment, Example, Pair
from retrace.systems.grace.entailment import EntailmentJudge, aligned_steps
from retrace.systems.grace.options import Pairing

COIN_FLIP = str(Path(__file__).parents[4] / "config" / "tasks" / "coin_flip.yaml")
ARITHMETIC = str(Path(__file__).parents[4] / "config" / "tasks" / "arithmetic.yaml")
STEPS = [
    f"{name} {verb} the coin, so it is {side} up"
    for name in ("Ann", "Bob", "Cy", "Dot")
    for verb in ("flips", "keeps")
    for side in ("heads", "tails")
]
PAIRS = [(one, other) for one in STEPS for other in STEPS]


def build(folder: Path, labels: list[str], head: bool = True) -> Path:
    """A random RoBERTa classifier with these labels, or one without a classification layer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        PreTrainedTokenizerFast,
        RobertaConfig,
        RobertaForSequenceClassification,
        RobertaModel,
    )

    torch.set_num_threads(1)
    torch.manual_seed(1)
    words = sorted({word for step in STEPS for word in step.split()})
    vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=40,
        pad_token_id=1,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        initializer_range=1.0,  # so that unlike texts get unlike labels
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    (RobertaForSequenceClassification if head else RobertaModel)(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("nli"), ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"])


@pytest.fixture(scope="module")
def judge(folder) -> EntailmentJudge:
    return EntailmentJudge(str(folder), "cpu")


@pytest.fixture(scope="module")
def one_by_one(folder) -> dict[tuple[str, str], bool]:
    """Whether the first step entails the second, asked without batches."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return {
            pair: model(**tokenizer(*pair, return_tensors="pt")).logits.argmax().item() == 2
            for pair in [*PAIRS, ("heads", "tails"), ("tails", "heads")]
        }


def test_batches_give_what_single_questions_give(judge, one_by_one) -> None:
    asked = [*PAIRS, ("heads", "tails")]  # of unlike lengths, so that there is padding
    found = judge.entails(asked, batch_size=7)
    assert found == [one_by_one[pair] for pair in asked]
    assert 20 < sum(found) < len(asked) - 20  # the model says both
    assert judge.entails([]) == []


def test_both_ways_must_hold_and_equal_words_are_right_unasked(judge, one_by_one) -> None:
    judged = judge.judge(PAIRS + PAIRS[:5])
    assert list(judged) == PAIRS
    for (one, other), verdict in judged.items():
        assert verdict is (one == other or (one_by_one[one, other] and one_by_one[other, one]))
    different = [pair for pair in PAIRS if pair[0] != pair[1]]
    one_way = [pair for pair in different if one_by_one[pair] and not one_by_one[pair[::-1]]]
    assert one_way  # the way back matters
    assert any(judged[pair] for pair in different)
    assert judge.judge([("so  it is", "so it is ")]) == {("so  it is", "so it is "): True}


def test_pairs_over_the_models_limit_are_not_entailed(judge, capsys) -> None:
    assert judge.max_length == 38  # 40 positions, counted from behind the padding token's id
    fits, long = "heads " * 17, "heads " * 18
    assert len(judge.entails([(fits, fits), (long, fits)])) == 2
    assert "1 of 2 pairs of steps are longer than the 38 tokens" in capsys.readouterr().err
    assert judge.entails([(long, fits)]) == [False]


def test_gaps_are_not_judged_and_each_pair_once() -> None:
    row = Alignment(example_id="a", trajectory=["x", "_", "y", "z"], reference=["x", "b", "_", "c"], cost=1)
    assert aligned_steps([row, row]) == [("x", "x"), ("z", "c")]


@pytest.mark.parametrize(
    ("labels", "head", "message"),
    [
        (["LABEL_0", "LABEL_1"], True, r"has no label 'entailment' \(its labels: LABEL_0, LABEL_1\).*MNLI"),
        (["not_entailment", "neutral"], True, "has no label 'entailment'"),
        (["entailment", "neutral"], False, r"weight classifier\.dense\.bias is missing.*MNLI"),
    ],
)
def test_other_models_are_refused(tmp_path, labels, head, message) -> None:
    with pytest.raises(UserError, match=message):
        EntailmentJudge(str(build(tmp_path, labels, head)))


def test_a_model_that_is_not_there(monkeypatch) -> None:
    monkeypatch.delenv("RETRACE_MIRROR", raising=False)
    with pytest.raises(UserError, match="nobody/no-model: not in the Hub's cache, and HF_HUB_OFFLINE is set"):
        EntailmentJudge("nobody/no-model@abc")


def test_scores_that_are_no_numbers(folder) -> None:
    broken = EntailmentJudge(str(folder), "cpu")
    with torch.no_grad():
        broken.model.classifier.out_proj.bias.fill_(float("nan"))
    with pytest.raises(UserError, match="not numbers"):
        broken.entails([("heads", "tails")])


def call(tmp_path: Path, folder: Path, task_file: str, *more: str) -> list[Pair]:
    data = [
        Example(
            id=str(number), question=f"Q{number}?", answer="#### no", steps=list(STEPS[number : number + 2]),
            final_answer="no", split="train", source="",
        )
        for number in range(8)
    ]  # fmt: skip
    rows = [
        Alignment(
            example_id=row.id, trajectory=[STEPS[(number * 3 + number // 4 + 4) % 16], "_"], reference=row.steps, cost=1
        )
        for number, row in enumerate(data)
    ]
    write_jsonl(tmp_path / "train.jsonl", data)
    write_jsonl(tmp_path / "alignments.jsonl", rows)
    words = ["--data", f"{tmp_path}/train.jsonl", "--alignments", f"{tmp_path}/alignments.jsonl", "--seed", "0"]
    words += ["--task-file", task_file, "--output", f"{tmp_path}/pairs.jsonl", "--entailment-model", str(folder), *more]
    make_pairs.main(words)
    return read_jsonl(tmp_path / "pairs.jsonl", Pair)


def test_the_script_makes_pairs_of_what_the_model_calls_wrong(tmp_path, folder, one_by_one, capsys) -> None:
    pairs = call(tmp_path, folder, COIN_FLIP, "--step-judge", "entailment")
    wrong = {
        (row.trajectory[0], row.reference[0])
        for row in read_jsonl(tmp_path / "alignments.jsonl", Alignment)
        if row.trajectory[0] != row.reference[0]
        and not (one_by_one[row.trajectory[0], row.reference[0]] and one_by_one[row.reference[0], row.trajectory[0]])
    }
    assert {(pair.negative, pair.positive) for pair in pairs} == wrong
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("pairs of steps entail each other")
    assert json.loads(lines[1].partition(": ")[2])["pairs"] == len(pairs)
    by_state = {(pair.negative, pair.positive) for pair in call(tmp_path, folder, COIN_FLIP)}
    assert by_state != wrong  # the coin's state is the same in some of them


def test_only_symbolic_tasks_have_it(tmp_path, folder) -> None:
    with pytest.raises(UserError, match="for symbolic tasks only, but arithmetic is of family word_problems"):
        call(tmp_path, folder, ARITHMETIC, "--step-judge", "entailment")
    assert Pairing().step_judge == "task"
