"""Guided decoding: the same solutions as a plain loop, whatever is batched, shared or dropped."""

import copy
import sys
from pathlib import Path as FilePath

import pytest
import torch
from transformers import GPT2Config, GPT2Model

sys.path.insert(0, str(FilePath(__file__).parents[2] / "benchmarks"))
from guided_world import make_discriminator, make_examples, make_generator

from retrace.decoding.guided import GuidedDecoder, Path, choose_steps
from retrace.decoding.options import Guided
from retrace.decoding.random_streams import row_keys, uniform
from retrace.decoding.sampling import truncated
from retrace.errors import UserError
from retrace.models.discriminator import StepDiscriminator
from retrace.text.calculator import Calculator
from suites import first_daily
from unit.guided_rows import decode_for_betas, decode_guided

torch.set_num_threads(1)
EXAMPLES = make_examples(5)
BASE = {"beta": 0.6, "candidates": 4, "temperature": 0.7, "max_steps": 3, "max_step_tokens": 7, "batch_size": 12}


@pytest.fixture(scope="module", params=first_daily(["encoder_decoder", "decoder_only"]))
def generator(request):
    return make_generator("small", request.param)


@pytest.fixture(scope="module")
def discriminator(generator):
    return make_discriminator(generator, "small")


def logits_behind(generator, prompt, answer):
    """One row, no cache, no padding."""
    decoder = generator.decoder
    ids = decoder.encode([prompt])[0]
    with torch.no_grad():
        if decoder.family == "encoder_decoder":
            start = [decoder.model.config.decoder_start_token_id, *answer]
            return decoder.model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([start])).logits[0, -1]
        return decoder.model(input_ids=torch.tensor([[*ids, *answer]])).logits[0, -1]


def plain_solution(generator, discriminator, example, options, seed, sample=0):
    """The solution's token ids by a loop that reads everything again for each token of each candidate."""
    decoder, task = generator.decoder, generator.task
    prompt, ends = generator.prompt(example.question), {decoder.eos_id}
    delimiter = decoder.tokenizer.convert_tokens_to_ids(task.delimiter)
    marker = decoder.tokenizer.convert_tokens_to_ids(task.answer_marker)
    prefix: list[int] = []
    for _ in range(options.max_steps):
        candidates, scores = [], []
        for number in range(options.candidates):
            key = row_keys(seed, [example.id], [sample * options.candidates + number])
            tokens: list[int] = []
            gain = 0.0
            while len(tokens) < options.max_step_tokens and not (tokens and tokens[-1] in ends | {delimiter}):
                logits = logits_behind(generator, prompt, prefix + tokens)[None].clone()
                logits[:, decoder.pad_id] = -torch.inf
                p = truncated(logits, options.temperature, 0, options.top_p)[0].double()
                p /= p.sum()
                aim = uniform(key, len(prefix) + len(tokens))
                tokens.append(int(torch.searchsorted(p.cumsum(0), aim, right=True)))
                gain += float(p[tokens[-1]].log())
            candidates.append(tokens)
            scores.append(torch.tensor(gain / len(tokens)).exp().item())
        answers = all(marker in tokens for tokens in candidates)
        if options.beta and not answers:
            steps, texts = task.split_steps(decoder.tokenizer.decode(prefix, skip_special_tokens=True)), []
            for tokens in candidates:
                text = " ".join(decoder.tokenizer.decode(tokens, skip_special_tokens=True).split())
                parts = task.split_steps(text)
                whole = parts and tokens[-1] == delimiter and marker not in tokens
                texts.append(f"{parts[0]} {task.delimiter}" if whole else text)
            judged = torch.softmax(
                discriminator.score([example.question] * len(texts), [task.join_steps(steps)] * len(texts), texts), 0
            )
            scores = [(1 - options.beta) * lm + options.beta * float(d) for lm, d in zip(scores, judged, strict=True)]
        taken = candidates[scores.index(max(scores))]
        prefix = prefix + taken
        if answers or marker in taken or taken[-1] in ends:
            break
    return prefix


def solve(generator, discriminator, options, examples=EXAMPLES, seed=3, betas=None):
    guided = GuidedDecoder(generator, discriminator, options, seed)
    prompts = generator.decoder.encode([generator.prompt(example.question) for example in examples])
    names, questions = [example.id for example in examples], [example.question for example in examples]
    return guided.solve(prompts, questions, names, betas or [options.beta])


def texts(predictions):
    return [[sample.text for sample in prediction.samples] for prediction in predictions]


@pytest.mark.parametrize("temperature", first_daily([0.6, 1.0]))  # sure models share rows, unsure ones do not
def test_same_solutions_as_a_plain_loop(generator, discriminator, temperature):
    options = Guided(**{**BASE, "temperature": temperature, "batch_size": 100})
    found = solve(generator, discriminator, options)
    lengths = set()
    for example, paths in zip(EXAMPLES, found, strict=True):
        expected = plain_solution(generator, discriminator, example, options, 3)
        assert paths[0].tokens == expected
        lengths.add(len(expected))
    assert len(lengths) > 1  # questions ended at different steps


def test_output_does_not_depend_on_batches_or_shards(generator, discriminator):
    outcomes = []
    for size in (4, 1000):
        options = Guided(**{**BASE, "batch_size": size, "samples": 3})
        outcomes.append(texts(decode_guided(generator, discriminator, EXAMPLES, options, 0)))
    options = Guided(**BASE, samples=3)
    halves = [
        line
        for part in (EXAMPLES[:2], EXAMPLES[2:])
        for line in decode_guided(generator, discriminator, part, options, 0)
    ]
    assert all(outcome == texts(halves) for outcome in outcomes)
    assert [line.example_id for line in halves] == [example.id for example in EXAMPLES]
    assert len({text for line in texts(halves) for text in line}) > len(EXAMPLES)  # samples differ
    other = texts(decode_guided(generator, discriminator, EXAMPLES, options, 1))
    assert other != outcomes[0]


def test_first_sample_is_that_of_a_single_one(generator, discriminator):
    one = texts(decode_guided(generator, discriminator, EXAMPLES, Guided(**BASE), 0))
    many = texts(decode_guided(generator, discriminator, EXAMPLES, Guided(**BASE, samples=2), 0))
    assert [line[0] for line in one] == [line[0] for line in many]


@pytest.mark.parametrize("selection", first_daily(["greedy", "sample"]))
def test_several_betas_together_are_each_on_its_own(generator, discriminator, selection):
    betas = [0.0, 0.5, 1.0]
    options = Guided(**{**BASE, "selection": selection, "samples": 2})
    together = list(decode_for_betas(generator, discriminator, EXAMPLES, options, betas, 0))
    for index, beta in enumerate(betas):
        alone = decode_guided(generator, discriminator, EXAMPLES, options.model_copy(update={"beta": beta}), 0)
        assert texts(alone) == texts(line[index] for line in together)
    assert texts(line[0] for line in together) != texts(line[2] for line in together)


def test_beta_zero_needs_no_discriminator_and_beta_above_zero_does(generator):
    predictions = list(decode_guided(generator, None, EXAMPLES, Guided(**{**BASE, "beta": 0}), 0))
    assert all(sample.score is None for prediction in predictions for sample in prediction.samples)
    with pytest.raises(UserError, match="--discriminator"):
        list(decode_guided(generator, None, EXAMPLES, Guided(**BASE), 0))
    with pytest.raises(UserError, match="--beta choose: give a number from 0 to 1"):
        list(decode_guided(generator, None, EXAMPLES, Guided(**{**BASE, "beta": "choose"}), 0))


def test_one_discriminator_call_a_step_without_repeats(generator, discriminator, monkeypatch):
    calls = []
    original = type(discriminator).score_contexts

    def counting(self, contexts, steps, batch_size):
        calls.append(list(zip(contexts, steps, strict=True)))
        return original(self, contexts, steps, batch_size)

    monkeypatch.setattr(type(discriminator), "score_contexts", counting)
    options = Guided(**{**BASE, "batch_size": 100, "temperature": 0.6})
    solve(generator, discriminator, options)
    assert 1 <= len(calls) <= options.max_steps
    assert all(len(set(call)) == len(call) for call in calls)
    assert len(calls[0]) < len(EXAMPLES) * options.candidates  # some were equal


def test_official_layout_makes_the_same_choices(generator, discriminator):
    ours, theirs = (
        texts(decode_guided(generator, discriminator, EXAMPLES, Guided(**BASE, official=official), 0))
        for official in (False, True)
    )
    # The same tokens but for the spaces that writing out and reading again normalises.
    assert sum(a == b for a, b in zip(ours, theirs, strict=True)) >= 3


@pytest.mark.parametrize("sign", ["", "A: "])  # the authors' generators write the sign themselves, ours do not
def test_official_rows_have_one_answer_sign(generator, discriminator, sign):
    judge = GuidedDecoder(generator, discriminator, Guided(**BASE, official=True), 0).judge
    tokenizer = discriminator.tokenizer

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    question, first, second = EXAMPLES[0].question, f"{sign}Tom 3 |", ["Ann 4 |", "Ann 5"]
    behind, signed = ([], ids("A:")) if sign else (ids("A:"), [])
    rows = [[*ids(f"Q: {question}"), *behind, tokenizer.sep_token_id, *signed, *ids("Tom 3 |")]]
    rows += [
        [*ids(f"Q: {question}"), *ids("A:"), *ids("Tom 3 |"), tokenizer.sep_token_id, *ids(step)] for step in second
    ]
    expected = []
    for row in rows:
        whole = torch.tensor([[tokenizer.cls_token_id, *row]])
        expected.append(discriminator.score_ids(whole, torch.ones_like(whole)).item())
    found = judge.scores([question] * 2, [[], ids(first)], [[tuple(ids(first))], [tuple(ids(step)) for step in second]])
    assert [len(part) for part in found] == [1, 2]
    assert [value for part in found for value in part] == pytest.approx(expected, abs=1e-6)
    assert len(set(expected)) == 3


def test_official_rows_of_a_causal_judge_are_masked_by_their_lengths(generator):
    """Its tokenizer may pad with a token that also stands in texts."""
    network = GPT2Model(GPT2Config(vocab_size=len(generator.decoder.tokenizer), n_embd=32, n_layer=2, n_head=4))
    tokenizer = copy.deepcopy(generator.decoder.tokenizer)
    judge = StepDiscriminator(network, tokenizer, pooling="mean").eval()
    steps = ["Ann 4 |", "Ann 5"]
    ids = [tuple(tokenizer(step, add_special_tokens=False)["input_ids"]) for step in steps]
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(ids[0][0])
    question = EXAMPLES[0].question
    start = tokenizer(f"Q: {question} A:", add_special_tokens=False)["input_ids"]
    expected = []
    for step in ids:
        whole = torch.tensor([[tokenizer.cls_token_id, *start, tokenizer.sep_token_id, *step]])
        expected.append(judge.score_ids(whole, torch.ones_like(whole)).item())
    found = GuidedDecoder(generator, judge, Guided(**BASE, official=True), 0).judge.scores([question], [[]], [ids])
    assert found[0] == pytest.approx(expected, abs=1e-6)


def test_a_step_that_was_cut_has_no_second_answer_sign(generator, discriminator):
    judge = GuidedDecoder(generator, discriminator, Guided(**BASE), 0).judge
    tokens = tuple(generator.decoder.tokenizer("A: Tom 3", add_special_tokens=False)["input_ids"])
    assert judge.step(tokens) == ("Tom 3", False)


def test_beams_are_those_of_the_library(discriminator, generator):
    options = Guided(**{**BASE, "step_sampling": "beam", "candidates": 3, "max_step_tokens": 5})
    guided = GuidedDecoder(generator, discriminator, options, 0)
    decoder = generator.decoder
    prompts = [generator.prompt(example.question) for example in EXAMPLES]
    state, count = decoder.prefill(prompts), len(prompts)
    zeros, limits = torch.zeros(count, dtype=torch.long), torch.full((count,), 5)
    found = guided.writer.write(state, torch.zeros(count, 3, dtype=torch.long), zeros, limits, [[]] * count)
    for index, prompt in enumerate(prompts):
        ids = decoder.encode([prompt])
        # A decoder-only model gives the prompt back; an encoder-decoder its start token.
        begin = len(ids[0]) if decoder.family == "decoder_only" else 1
        out = decoder.model.generate(
            torch.tensor(ids), num_beams=3, num_return_sequences=3, max_new_tokens=5, do_sample=False,
            eos_token_id=sorted(guided.writer.delimiters | guided.writer.last_words), pad_token_id=decoder.pad_id,
            suppress_tokens=[decoder.pad_id], return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        ours = [row[:n] for row, n in zip(found.tokens[index].tolist(), found.lengths[index].tolist(), strict=True)]
        ends = guided.writer.delimiters | guided.writer.last_words
        theirs = [
            row[begin : begin + 1 + next((i for i, token in enumerate(row[begin:]) if token in ends), 5)]
            for row in out.sequences.tolist()
        ]
        assert ours == theirs
        assert found.scores[index].float().allclose(out.sequences_scores.softmax(0), atol=1e-5)


def test_calculator_forces_results_in_candidates_and_counts_them_as_certain(generator):
    calculator = Calculator(generator.decoder.tokenizer)
    counting = type(generator)(generator.task, generator.config, generator.decoder, calculator, [])
    options = Guided(**{**BASE, "step_sampling": "random", "max_step_tokens": 12, "beta": 0.0, "forced_tokens": "zero"})
    guided = GuidedDecoder(counting, None, options, 0)
    tokenizer = generator.decoder.tokenizer
    begun = tokenizer("<<12+30=", add_special_tokens=False)["input_ids"]
    state = generator.decoder.prefill([generator.prompt(EXAMPLES[0].question)])
    generator.decoder.append(state, [begun])
    keys = row_keys(0, ["x"] * 4, range(4)).view(1, 4)
    # The step was cut by its limit in the middle of a computation: it is finished all the same.
    found = guided.writer.write(state, keys, torch.tensor([len(begun)]), torch.tensor([12]), [begun])
    result = tokenizer("42>>", add_special_tokens=False)["input_ids"]
    for row in range(4):
        assert found.tokens[0, row, : len(result)].tolist() == result
    free = guided.writer.write(state, keys, torch.tensor([len(begun)]), torch.tensor([len(result)]), [begun])
    assert free.scores.tolist() == [[1.0] * 4]
    assert free.logprobs.tolist() == [[0.0] * 4]


def counting(generator, masked_results=False):
    """The same generator with a calculator."""
    decoder = generator.decoder
    return type(generator)(
        generator.task, generator.config, decoder, Calculator(decoder.tokenizer), generator.prompting, masked_results
    )


def steps_behind(generator, options, begun="<<12+30="):
    """Candidates behind an open computation, the tokens that the calculator forces there, and those of the prefix."""
    decoder, tokenizer = generator.decoder, generator.decoder.tokenizer
    guided = GuidedDecoder(generator, None, options, 0)
    ids = tokenizer(begun, add_special_tokens=False)["input_ids"]
    state = decoder.prefill([tokenizer(EXAMPLES[0].question)["input_ids"]])
    decoder.append(state, [ids])
    keys = row_keys(0, ["x"] * 4, range(4)).view(1, 4)
    found = guided.writer.write(state, keys, torch.tensor([len(ids)]), torch.tensor([12]), [ids])
    return found, tokenizer("42>>", add_special_tokens=False)["input_ids"], ids


@pytest.mark.parametrize("top_p", [1.0, 0.3])  # 0.3: forced tokens lie outside the nucleus and add nothing
def test_forced_tokens_count_with_the_models_own_probability(generator, top_p):
    options = Guided(**{**BASE, "max_step_tokens": 12, "beta": 0.0, "top_p": top_p, "forced_tokens": "model"})
    found, result, begun = steps_behind(counting(generator), options)
    prompt, decoder = EXAMPLES[0].question, generator.decoder
    outside = 0
    for row in range(4):
        tokens = found.tokens[0, row, : int(found.lengths[0, row])].tolist()
        assert tokens[: len(result)] == result
        gains = []
        for place, token in enumerate(tokens):
            logits = logits_behind(generator, prompt, begun + tokens[:place])[None].clone()
            logits[:, decoder.pad_id] = -torch.inf
            p = truncated(logits, options.temperature, 0, top_p)[0].double()
            gains.append(float((p[token] / p.sum()).log()))
        outside += sum(gain == -torch.inf for gain in gains)
        counted = [gain for gain in gains if gain > -torch.inf]
        assert found.scores[0, row].item() == pytest.approx(torch.tensor(sum(counted) / len(tokens)).exp().item())
        # A sample's own log-probability is that of what the model chose.
        assert found.logprobs[0, row].item() == pytest.approx(sum(gains[len(result) :]), rel=1e-5)
    assert (outside > 0) == (top_p < 1)


def test_forced_tokens_count_by_what_the_generator_was_trained_on(generator):
    scores = {}
    for forced in ("model", "zero", "auto"):
        for masked in (False, True):
            options = Guided(**{**BASE, "top_p": 1.0, "max_step_tokens": 12, "beta": 0.0, "forced_tokens": forced})
            scores[forced, masked] = steps_behind(counting(generator, masked), options)[0].scores.tolist()
    assert scores["model", True] == scores["model", False] == scores["auto", False]
    assert scores["zero", True] == scores["zero", False] == scores["auto", True]
    assert scores["auto", False] != scores["auto", True]


def test_path_ends_at_the_token_limit(generator, discriminator):
    options = Guided(**{**BASE, "max_new_tokens": 9})
    for paths in solve(generator, discriminator, options):
        assert len(paths[0].tokens) <= 9


def test_choice_among_fixed_candidates_of_several_values_of_beta(generator, discriminator):
    guided = GuidedDecoder(generator, discriminator, Guided(**BASE), 0)
    tokenizer = generator.decoder.tokenizer
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("Tom 3 | ", "#### 5", "Tom 4 | ")]
    longest = max(map(len, rows))
    from retrace.decoding.candidates import Candidates

    found = Candidates(
        torch.tensor([[row + [0] * (longest - len(row)) for row in rows]] * 2),
        torch.tensor([[len(row) for row in rows], [len(rows[0]), len(rows[1]), 0]]),
        torch.zeros(2, 3, dtype=torch.float64),
        torch.tensor([[0.2, 0.3, 0.1], [0.2, 0.1, 0.0]], dtype=torch.float64),
    )
    paths = [Path(0, 0, [0, 1]), Path(1, 0, [1])]
    choices, raw, answers, _ = choose_steps(guided.judge, paths, ["q", "r"], found, [0.0, 1.0], Guided(**BASE))
    assert choices[0][0] == 1  # the language model's own
    assert choices[0][1] == max(range(3), key=lambda i: raw[0][i])
    assert choices[1] == [max(range(2), key=lambda i: raw[1][i])]  # the missing third candidate is never taken
    assert answers == [False, False]


def test_a_tokenizer_without_the_delimiter_is_refused(generator):
    other = type(generator)(generator.task, generator.config, generator.decoder, None, [])
    from retrace.decoding.candidates import StepWriter

    with pytest.raises(UserError, match="delimiter '§§'"):
        StepWriter(other.decoder, "§§", Guided(**BASE))
