"""decode.py and rerank.py on a learned checkpoint."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import decode
import gather_rows
import rerank
from retrace.decoding.options import KEPT_BY_DEFAULT, KeptGuided
from retrace.errors import UserError
from retrace.evaluation.candidates import belong_to, read_candidates
from retrace.evaluation.predictions import decoding_seconds
from retrace.machine.storage import candidates_path, read_jsonl
from retrace.schemas import Prediction
from retrace.systems.algorithms import algorithms
from suites import first_daily
from unit import tiny_generators

SCRIPTS = Path(decode.__file__).parent


@pytest.fixture(scope="module", params=first_daily(["decoder_only", "encoder_decoder"]))
def words(request, tmp_path_factory):
    return tiny_generators.write_project(tmp_path_factory.mktemp(request.param), request.param)


def run(words, tmp_path, decoder, *more) -> list[Prediction]:
    decode.main([decoder, *words, "--output", str(tmp_path / "out.jsonl"), *more])
    return read_jsonl(tmp_path / "out.jsonl", Prediction, allow_empty=True)


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_single_answers(words, tmp_path, capsys, decoder):
    rows = run(words, tmp_path, decoder, "--calculator", "false", "--max-new-tokens", "40")
    assert [row.example_id for row in rows] == ["toy-0", "toy-1", "toy-2", "toy-3"]
    assert [row.samples[0].text for row in rows] == list(tiny_generators.QUESTIONS.values())
    assert [row.answer for row in rows] == ["9", "3", "5", "5"]
    assert all(row.correct and row.correct_strict and row.chosen == 0 for row in rows)
    assert decoding_seconds(tmp_path / "out.jsonl") > 0
    assert [row.gold for row in rows] == ["9", "3", "5", "5"]
    assert json.loads(capsys.readouterr().out)["correct"] == 4
    helped = run(words, tmp_path, decoder, "--max-new-tokens", "40")
    assert "<<3+4=7>>" in helped[0].samples[0].text


def test_self_consistency_and_shards(words, tmp_path):
    options = ["--samples", "5", "--temperature", "1.2", "--max-new-tokens", "30"]
    whole = run(words, tmp_path, "self_consistency", *options)
    assert [len(row.samples) for row in whole] == [5] * 4
    assert all(row.tokens == sum(sample.tokens for sample in row.samples) for row in whole)
    assert all(row.answer == row.samples[row.chosen].answer for row in whole)
    parts = [
        row
        for shard in range(3)
        for row in run(
            words, tmp_path, "self_consistency", *options, "--shard", str(shard), "--shards", "3", "--batch-size", "7"
        )
    ]
    assert parts == whole


def test_best_of_n_chooses_among_the_samples_of_self_consistency(words, tmp_path):
    options = ["--samples", "5", "--temperature", "2.5", "--max-new-tokens", "30"]
    voted, best = (run(words, tmp_path, name, *options) for name in ("self_consistency", "best_of_n"))
    assert [row.samples for row in best] == [row.samples for row in voted]
    for row in best:
        means = [sample.logprob / sample.tokens for sample in row.samples]
        assert row.chosen == means.index(max(means))
        assert (row.answer, row.correct) == (row.samples[row.chosen].answer, row.samples[row.chosen].correct)
    assert any(row.chosen for row in best)


def test_more_shards_than_questions_leave_empty_files(words, tmp_path):
    assert run(words, tmp_path, "greedy", "--shard", "0", "--shards", "9") == []


def test_bad_arguments(words, tmp_path):
    with pytest.raises(UserError, match="--shard 3: must be from 0 to 2"):
        run(words, tmp_path, "greedy", "--shard", "3", "--shards", "3")
    with pytest.raises(SystemExit):
        run(words, tmp_path, "grid")
    with pytest.raises(UserError, match="--samples"):
        run(words, tmp_path, "self_consistency", "--samples", "0")
    assert not (tmp_path / "out.jsonl").exists()


def test_help_names_decoders_and_loads_no_torch():
    code = "import sys, decode, sample_trajectories, rerank; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=True, timeout=60)
    help_text = subprocess.run(
        [sys.executable, "decode.py", "--help"], cwd=SCRIPTS, check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert all(f"    {name}" in help_text for name in algorithms())


def test_a_user_error_is_one_line_and_exit_2(words, tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPTS / "decode.py", "greedy", *words, "--output", tmp_path / "out.jsonl", "--shard", "5"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr == "error: --shard 5: must be from 0 to 0, because --shards is 1\n"


@pytest.fixture
def discriminator(tmp_path):
    from retrace.models.discriminator import StepDiscriminator
    from retrace.models.encoder_head import scratch_encoder

    _, tokenizer = tiny_generators.learned("encoder_decoder")
    network = StepDiscriminator(scratch_encoder(tokenizer, 16, 1, 2, 16, 0.0, seed=0), tokenizer)
    network.save(tmp_path / "discriminator", "discriminator")
    return str(tmp_path / "discriminator")


def test_guided(words, tmp_path, discriminator):
    options = ["--candidates", "4", "--max-new-tokens", "40", "--temperature", "0.3", "--calculator", "false"]
    alone = run(words, tmp_path, "guided", *options, "--beta", "0")
    assert alone[1].samples[0].text.startswith("she has <<6*7=11>>11 | then")
    assert alone[1].tokens > alone[1].samples[0].tokens, "all candidates are counted"
    choices = tmp_path / "choices.json"
    choices.write_text('{"beta": 0.9, "temperature": 1.5}')
    with_file = run(words, tmp_path, "guided", *options, "--choices", str(choices), "--discriminator", discriminator)
    direct = run(
        words, tmp_path, "guided", *options, "--beta", "0.9", "--temperature", "1.5", "--discriminator", discriminator
    )
    assert with_file == direct
    assert direct != alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--beta choose: needs --choices"),
        (["--beta", "0.5"], "--beta 0.5: needs the step discriminator"),
        (["--choices", "missing.json"], "missing.json: no such file"),
        (["--choices", "FILE"], "needs numbers beta and temperature"),
    ],
)
def test_guided_says_what_is_missing(words, tmp_path, arguments, message):
    (tmp_path / "choices.json").write_text('{"beta": 0.5}')
    arguments = [str(tmp_path / "choices.json") if word == "FILE" else word for word in arguments]
    with pytest.raises(UserError, match=message):
        run(words, tmp_path, "guided", *arguments)


GUIDED = ["--candidates", "4", "--max-new-tokens", "40", "--temperature", "0.9", "--beta", "0.5"]


def kept(tmp_path, name="out"):
    return list(read_candidates(tmp_path / f"{name}.jsonl"))


@pytest.mark.parametrize("sampling", ["top_p", "beam"])
def test_guided_keeps_every_candidate_with_its_scores(words, tmp_path, discriminator, sampling):
    more = ["--discriminator", discriminator, "--step-sampling", sampling]
    rows = run(words, tmp_path, "guided", *GUIDED, *more, "--samples", "2")
    found = kept(tmp_path)
    assert belong_to(found, rows)
    calculated = set()
    for row, question in zip(rows, found, strict=True):
        assert len(question.samples) == 2
        for sample, steps in zip(row.samples, question.samples, strict=True):
            taken = [step.candidates[step.chosen] for step in steps]
            assert "".join("".join(one.text.split()) for one in taken) == "".join(sample.text.split())
            assert sum(one.tokens for one in taken) == sample.tokens
            for step in steps:
                best = max(step.candidates, key=lambda one: one.mixed)
                assert step.candidates[step.chosen].mixed == best.mixed
                asked = [one.discriminator for one in step.candidates if one.discriminator is not None]
                assert len(asked) in (0, len(step.candidates))
                if asked:
                    parts = torch.softmax(torch.tensor(asked, dtype=torch.float64), 0).tolist()
                    for one, part in zip(step.candidates, parts, strict=True):
                        assert one.mixed == pytest.approx(0.5 * one.language_model + 0.5 * part, abs=2e-6)
                else:
                    assert all(one.mixed == one.language_model for one in step.candidates)
                calculated |= {(one.text, start, stop) for one in step.candidates for start, stop in one.calculated}
        assert row.tokens == sum(one.tokens for steps in question.samples for step in steps for one in step.candidates)
    # The calculator wrote what stands behind the sign of equality, and nothing else is marked.
    assert calculated
    for text, start, stop in calculated:
        assert text[:start].endswith("=")
        assert text[start:stop].removesuffix(">>").replace(".", "").replace("-", "").isdigit()
        assert text[text.rindex("<<", 0, start) + 2 : start - 1]
    without = run(words, tmp_path, "guided", *GUIDED, *more, "--samples", "2", "--calculator", "false")
    assert without
    assert not any(
        one.calculated for row in kept(tmp_path) for steps in row.samples for s in steps for one in s.candidates
    )


def test_kept_candidates_change_no_prediction_and_no_byte_by_shards_or_batches(words, tmp_path, discriminator):
    more = ["--discriminator", discriminator]
    whole = run(words, tmp_path, "guided", *GUIDED, *more)
    predictions, candidates = (
        (tmp_path / "out.jsonl").read_bytes(),
        candidates_path(tmp_path / "out.jsonl").read_bytes(),
    )
    parts = [str(tmp_path / f"part_{shard}.jsonl") for shard in range(3)]
    for shard, part in enumerate(parts):
        place = ["--shard", str(shard), "--shards", "3", "--batch-size", "5"]
        decode.main(["guided", *words, *GUIDED, *more, *place, "--output", part])
    gather_rows.main([*parts, "--output", str(tmp_path / "all.jsonl"), "--timings"])
    assert (tmp_path / "all.jsonl").read_bytes() == predictions
    assert candidates_path(tmp_path / "all.jsonl").read_bytes() == candidates
    assert not any(candidates_path(part).exists() for part in parts)
    # A gathering that was killed at its very end is repeated, and keeps what belongs to these predictions.
    gather_rows.main([*parts, "--output", str(tmp_path / "all.jsonl"), "--timings"])
    assert candidates_path(tmp_path / "all.jsonl").read_bytes() == candidates
    assert run(words, tmp_path, "guided", *GUIDED, *more, "--keep-candidates", "never") == whole
    assert (tmp_path / "out.jsonl").read_bytes() == predictions
    assert not candidates_path(tmp_path / "out.jsonl").exists(), "those of the run before are not left"
    # Other predictions do not inherit the candidates of those before them.
    for shard, part in enumerate(parts):
        place = ["--shard", str(shard), "--shards", "3", "--temperature", "2.5", "--keep-candidates", "never"]
        decode.main(["guided", *words, *GUIDED, *more, *place, "--output", part])
    gather_rows.main([*parts, "--output", str(tmp_path / "all.jsonl"), "--timings"])
    assert (tmp_path / "all.jsonl").read_bytes() != predictions
    assert not candidates_path(tmp_path / "all.jsonl").exists()


def test_candidates_survive_a_kill(words, tmp_path, discriminator, monkeypatch):
    more = [*GUIDED, "--discriminator", discriminator, "--batch-size", "4"]
    run(words, tmp_path, "guided", *more)
    expected = candidates_path(tmp_path / "out.jsonl").read_bytes()
    done = []

    def stop(answered, total):
        done.append(answered)
        if answered == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(decode, "report", stop)
    with pytest.raises(KeyboardInterrupt):
        decode.main(["guided", *words, *more, "--output", str(tmp_path / "again.jsonl")])
    assert not candidates_path(tmp_path / "again.jsonl").exists()
    decode.main(["guided", *words, *more, "--output", str(tmp_path / "again.jsonl")])
    assert done == [1, 2, 3, 4], "the second run answers only what was left"
    assert candidates_path(tmp_path / "again.jsonl").read_bytes() == expected


@pytest.mark.parametrize(("keep", "questions", "kept"), [
    ("auto", KEPT_BY_DEFAULT, True), ("auto", KEPT_BY_DEFAULT + 1, False), ("always", 10**6, True), ("never", 1, False),
])  # fmt: skip
def test_by_default_candidates_of_small_splits_are_kept(keep, questions, kept):
    assert KeptGuided(keep_candidates=keep).for_split(questions).keep_candidates == ("always" if kept else "never")


def test_a_damaged_file_of_candidates_is_named(words, tmp_path):
    run(words, tmp_path, "guided", *GUIDED[:-1], "0")
    path = candidates_path(tmp_path / "out.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"out\.candidates\.jsonl\.gz: cannot be unpacked .*rebuild"):
        kept(tmp_path)
    path.write_bytes(b"not compressed")
    with pytest.raises(UserError, match="cannot be unpacked"):
        kept(tmp_path)


def test_rerank(words, tmp_path):
    from retrace.models.encoder_head import scratch_encoder
    from retrace.models.verifier import Verifier, load_verifier

    run(words, tmp_path, "self_consistency", "--samples", "4", "--temperature", "1.3", "--max-new-tokens", "20")
    _, tokenizer = tiny_generators.learned("encoder_decoder")
    Verifier(scratch_encoder(tokenizer, 16, 1, 2, 16, 0.0, seed=0), tokenizer, outputs=2).save(
        tmp_path / "verifier", "verifier"
    )
    named = dict(zip(words[::2], words[1::2], strict=True))
    arguments = ["--predictions", str(tmp_path / "out.jsonl"), "--verifier", str(tmp_path / "verifier")]
    arguments += ["--model-file", named["--model-file"], "--task-file", named["--task-file"]]
    rerank.main([*arguments, "--output", str(tmp_path / "reranked.jsonl"), "--batch-size", "5"])
    before = read_jsonl(tmp_path / "out.jsonl", Prediction)
    after = read_jsonl(tmp_path / "reranked.jsonl", Prediction)
    for old, new in zip(before, after, strict=True):
        texts = [sample.text for sample in old.samples]
        assert texts == [sample.text for sample in new.samples]
        scores = load_verifier(tmp_path / "verifier").score([old.question] * 4, texts, 4).tolist()
        assert [sample.score for sample in new.samples] == [round(score, 6) for score in scores]
        assert new.chosen == scores.index(max(scores))
        assert new.answer == new.samples[new.chosen].answer
    assert decoding_seconds(tmp_path / "reranked.jsonl") > decoding_seconds(tmp_path / "out.jsonl") > 0
    rerank.main([*arguments, "--output", str(tmp_path / "voted.jsonl"), "--vote", "--batch-size", "auto"])
    assert len(read_jsonl(tmp_path / "voted.jsonl", Prediction)) == 4
    with pytest.raises(UserError, match="--batch-size 'many': give a number from 1, or auto"):
        rerank.main([*arguments, "--output", str(tmp_path / "none.jsonl"), "--batch-size", "many"])
