"""Build a base model from scratch: tokenizer from the task's texts, new weights, trained on a corpus if there is one.

    python scripts/train_base.py --model-file config/models/tiny_t5.yaml --task-file config/tasks/arithmetic.yaml \\
        --train results/data/arithmetic/train.jsonl --corpus results/data/arithmetic/corpus.jsonl \\
        --corpus-dev results/data/arithmetic/corpus_dev.jsonl --seed 0 --state base/state --output base/model

In: the task's training examples (their texts make the tokenizer; the model is not trained on them), and optionally a
corpus of related problems with a development part. Out: a folder in the Hugging Face layout with curves.jsonl.
A killed run resumes from --state.
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
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, BaseTraining)

    from retrace.evaluation.model_card import Trained
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

    config = load_model_config(args.model_file)
    if config.scratch is None:
        raise UserError(f"{args.model_file}: has no `scratch` section; get a model from the Hub with fetch_model.py")
    task = load_task(args.task_file)
    # A task with a closed vocabulary needs no texts; its training split may not fit in memory.
    examples = read_jsonl(args.train, Example) if task.words is None else []
    corpus = read_jsonl(args.corpus, Example) if args.corpus else []
    dev = read_jsonl(args.corpus_dev, Example) if args.corpus_dev else []
    texts = [
        text
        for example in examples + corpus
        for text in (task.prompt(example.question, family=config.family), task.solution_text(example))
    ]
    for other in vocabulary_forms(task, config.family):
        texts += [text for one in examples for text in (other.prompt(one.question), other.solution_text(one))]
    set_seed(args.seed)
    if task.words is not None:
        tokenizer = build_word_tokenizer(task.words, config.family)
    else:
        scratch = config.scratch
        tokenizer = build_tokenizer(texts, task.delimiter, scratch.vocabulary, scratch.numbers, config.family)
    check_tokenizer(tokenizer, task, args.model_file)
    model = build_model(config.scratch, config.family, tokenizer, args.seed)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens")
    curve: list[dict[str, float]] = []
    if corpus:
        noisy = add_noise(corpus, options.noise, args.seed, (example.question for example in examples + corpus))
        limit = sft.limit_of(model, min(options.max_length, config.scratch.positions))
        rows, dev_rows = (
            generator_rows(part, task, tokenizer, config.family, limit, options.mask_calculator, what) if part else []
            for part, what in ((noisy, f"examples of {args.corpus}"), (dev, f"examples of {args.corpus_dev}"))
        )
        curve = sft.train_generator(model, tokenizer, rows, dev_rows, options, args.seed, args.state)
    masked = options.mask_calculator and bool(corpus)
    on = {"worked solutions of the corpus": len(rows)} if corpus else {}
    sft.write_generator(model, tokenizer, curve, args.output, masked_results=masked, trained=Trained(args, on, options))
    finish(args.state)


if __name__ == "__main__":
    cli.run(main)
