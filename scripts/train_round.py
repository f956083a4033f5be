"""Fine-tune the base model on references and pseudo-labels: the SFT step of a round, or the warm-up. DPO-ST section 3.

    python scripts/train_round.py --model results/models/flan_t5_large --model-file config/models/flan_t5_large.yaml \\
        --task-file config/tasks/gsm8k.yaml --form dpo_st --train results/data/gsm8k/dpo_st_train.jsonl \\
        --dev results/data/gsm8k/dpo_st_dev.jsonl --labels dpo_st_round1/pseudo_labels.jsonl --seed 0 \\
        --state dpo_st_round1/state --output dpo_st_round1/model --report dpo_st_round1/training.json

In: a model to start from, the training and development questions, and PseudoLabel rows (they hold the references,
too); without --labels, the references alone. Out: a folder in the Hugging Face layout with curves.jsonl, and a report.
Two controls: --steps-of REPORT... trains for as many steps as these trainings took together, and --extra-of REPORT
takes as many further references as that round had pseudo-labels. A killed run resumes from --state.
"""

import time
from collections.abc import Sequence
from typing import Any

from retrace import cli
from retrace.errors import UserError
from retrace.systems.dpo_st.options import RoundSft


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, RoundSft)
    parser.add_argument("--model", required=True, help="folder of the model to start from")
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    cli.add_form(parser)
    parser.add_argument("--train", required=True, help="training examples, JSONL")
    parser.add_argument("--dev", required=True, help="development examples, JSONL")
    parser.add_argument(
        "--labelled", type=int, default=-1, help="number of questions whose references are known (-1: all)"
    )
    parser.add_argument("--labels", help="PseudoLabel rows, JSONL")
    parser.add_argument("--steps-of", nargs="+", default=[], help="reports of trainings whose steps are added up")
    parser.add_argument("--extra-of", help="report of the pseudo-labels that as many references stand for")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the trained model")
    parser.add_argument("--report", required=True, help="JSON report")
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, RoundSft)

    from retrace.evaluation.model_card import Trained
    from retrace.machine.storage import read_json, read_jsonl, write_json
    from retrace.models.load import check_tokenizer, load_model
    from retrace.models.options import load_model_config
    from retrace.prompting.prompting import Prompting
    from retrace.schemas import Example, PseudoLabel
    from retrace.tasks.load import load_task
    from retrace.training import sft
    from retrace.training.adapters import merged, with_adapters
    from retrace.training.arguments import steps_of
    from retrace.training.data import generator_rows, short_rows, solution_rows
    from retrace.training.trainer import finish, is_first_process, set_seed

    config = load_model_config(args.model_file)
    task = load_task(args.task_file).in_form(args.form, config.family)
    if args.steps_of:
        steps = sum(_number(read_json(path), "steps", path) for path in args.steps_of)
        options = RoundSft.model_validate(options.model_dump() | {"max_steps": steps})
    set_seed(args.seed)
    dtype = config.dtype if options.lora_rank else "float32"
    model, tokenizer = load_model(args.model, config.family, dtype, sft.training_device())
    tokenizer.padding_side = "right"
    if added := sft.extend_tokenizer(model, tokenizer, task):
        print(f"added to the tokenizer: {' '.join(added)}")
    check_tokenizer(tokenizer, task, args.model)
    limit = sft.limit_of(model, options.max_length)
    if args.labels:
        labels = read_jsonl(args.labels, PseudoLabel)
        sampled = sum(label.origin == "sampled" for label in labels)
        prompting = Prompting(task, config.family, tokenizer)
        made = solution_rows(prompting, [one.question for one in labels], [one.solution for one in labels])
        names = [label.example_id for label in labels]
        rows = short_rows(names, made, config.family, limit, options.mask_calculator, f"solutions of {args.labels}")
        count = len(labels)
    else:
        examples = known_references(read_jsonl(args.train, Example), args, read_json)
        what = f"examples of {args.train}"
        rows = generator_rows(examples, task, tokenizer, config.family, limit, options.mask_calculator, what)
        sampled, count = 0, len(examples)
    dev = [example for example in read_jsonl(args.dev, Example) if example.steps]
    dev_rows = generator_rows(
        dev, task, tokenizer, config.family, limit, options.mask_calculator, f"examples of {args.dev}"
    )
    if options.attention_dropout:
        sft.set_attention_dropout(model, options.attention_dropout)
    model = with_adapters(model, options, config.family, args.seed)
    began = time.perf_counter()
    best = "loss" if options.keep == "best" else None
    curve = sft.train_generator(model, tokenizer, rows, dev_rows, options, args.seed, args.state, best=best)
    on = {"reference solutions": count - sampled, "right solutions that were sampled": sampled}
    trained = Trained(args, {what: number for what, number in on.items() if number}, options, task)
    masked = options.mask_calculator
    sft.write_generator(merged(model), tokenizer, curve, args.output, masked_results=masked, trained=trained)
    if is_first_process():
        measured = [row for row in curve if "dev_loss" in row]
        report = {
            "references": count - sampled,
            "pseudo_labels": sampled,
            "too_long": count - len(rows),
            "steps": steps_of(options, len(rows)),
            "seconds": round(time.perf_counter() - began, 1),
            "dev_loss": {str(row["step"]): row["dev_loss"] for row in measured},
            "kept_step": min(measured, key=lambda row: row["dev_loss"])["step"] if best else measured[-1]["step"],
        }
        write_json(args.report, report)
    finish(args.state)


def known_references(examples: list[Any], args: Any, read_json: Any) -> list[Any]:
    """Training examples whose references may be used; --extra-of adds as many as a round had pseudo-labels."""
    split = len(examples) if args.labelled < 0 else args.labelled
    known, spare = ([example for example in part if example.steps] for part in (examples[:split], examples[split:]))
    if args.extra_of:
        wanted = _number(read_json(args.extra_of), "pseudo_labels", args.extra_of)
        if len(spare) < wanted:
            raise UserError(
                f"--extra-of {args.extra_of}: {wanted} further references are wanted, {len(spare)} are there; this control "
                "needs dpo_st.labelled, with as many questions left as a round has pseudo-labels"
            )
        known += spare[:wanted]
    if not known:
        raise UserError(f"{args.train}: no reference solution to train on; raise dpo_st.labelled")
    return known


def _number(report: Any, name: str, path: str) -> int:
    value = report.get(name) if isinstance(report, dict) else None
    if not isinstance(value, int):
        raise UserError(f"{path}: has no number {name!r}; delete the file and rebuild it")
    return value


if __name__ == "__main__":
    cli.run(main)
