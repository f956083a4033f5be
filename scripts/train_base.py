"""Make a base model from scratch: tokenizer from the task's texts, fresh weights, trained on a corpus if there is one.

    python scripts/train_base.py --model-file config/models/tiny_t5.yaml --task-file config/tasks/arithmetic.yaml \\
        --train results/data/arithmetic/train.jsonl --corpus results/data/arithmetic/corpus.jsonl \\
        --corpus-dev results/data/arithmetic/corpus_dev.jsonl --seed 0 --state base/state --output base/model

In: the task's training examples (their texts make the tokenizer; the model is not trained on them), and optionally a
corpus of related problems with a development part. Out: a folder in the Hugging Face layout with curves.jsonl.
A run that was killed goes on from its --state folder.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.errors import UserError
from retrace.training.options import BaseTraining


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, BaseTraining)
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml with a `scratch` section")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", required=True, help="the task's training examples, JSONL")
    parser.add_argument("--corpus", help="examples to train the base model on, JSONL")
    parser.add_argument("--corpus-dev", help="held-out part of the corpus, JSONL")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the model")
    given = parser.parse_args(arguments)
    options = cli.section_from(given, BaseTraining)

    from retrace.machine.storage import read_jsonl
    from retrace.models.load import check_tokenizer
    from retrace.models.options import load_model_config
    from retrace.models.scratch import build_model, build_tokenizer, build_word_tokenizer
    from retrace.schemas import Example
    from retrace.tasks.forms import vocabulary_forms
    from retrace.tasks.load import load_task
    from retrace.training import sft
    from retrace.training.data import add_noise, generator_rows
    from retrace.training.trainer import finish, set_seed

    config = load_model_config(given.model_file)
    if config.scratch is None:
        raise UserError(f"{given.model_file}: has no `scratch` section; a model of the Hub comes from fetch_model.py")
    task = load_task(given.task_file)
    # A task whose words are known needs no texts: its training split may be too large for the memory.
    examples = read_jsonl(given.train, Example) if task.words is None else []
    corpus = read_jsonl(given.corpus, Example) if given.corpus else []
    dev = read_jsonl(given.corpus_dev, Example) if given.corpus_dev else []
    texts = [
        text
        for example in examples + corpus
        for text in (task.prompt(example.question, family=config.family), task.solution_text(example))
    ]
    for other in vocabulary_forms(task, config.family):
        texts += [text for one in examples for text in (other.prompt(one.question), other.solution_text(one))]
    set_seed(given.seed)
    if task.words is not None:
        tokenizer = build_word_tokenizer(task.words, config.family)
    else:
        scratch = config.scratch
        tokenizer = build_tokenizer(texts, task.delimiter, scratch.vocabulary, scratch.numbers, config.family)
    check_tokenizer(tokenizer, task, given.model_file)
    model = build_model(config.scratch, config.family, tokenizer, given.seed)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens")
    curve: list[dict[str, float]] = []
    if corpus:
        noisy = add_noise(corpus, options.noise, given.seed, (example.question for example in examples + corpus))
        limit = sft.limit_of(model, min(options.max_length, config.scratch.positions))
        rows, dev_rows = (
            generator_rows(part, task, tokenizer, config.family, limit, options.mask_calculator, what) if part else []
            for part, what in ((noisy, f"examples of {given.corpus}"), (dev, f"examples of {given.corpus_dev}"))
        )
        curve = sft.train_generator(model, tokenizer, rows, dev_rows, options, given.seed, given.state)
    masked = options.mask_calculator and bool(corpus)
    sft.write_generator(model, tokenizer, curve, given.output, masked_results=masked)
    finish(given.state)


if __name__ == "__main__":
    cli.run(main)
