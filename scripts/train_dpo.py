"""Train a model to prefer right solutions to wrong ones: the DPO step of a round. DPO-ST section 3.2.

    python scripts/train_dpo.py --model results/gsm8k/tiny_t5/seed0/dpo_st_round0/model --form dpo_st \\
        --model-file config/models/tiny_t5.yaml --task-file config/tasks/gsm8k.yaml --pairs dpo_round1/pairs.jsonl \\
        --seed 0 --state dpo_round1/state --output dpo_round1/model --report dpo_round1/training.json

In: the previous round's model, Preference rows. Out: a folder in the Hugging Face layout with curves.jsonl, and a
report. Decoder-only models are trained by TRL, encoder-decoders by our own trainer. Without pairs the model stays
unchanged, and the report says so. A killed run resumes from --state.
"""

import time
from collections.abc import Sequence

from retrace import cli
from retrace.systems.dpo_st.options import DpoTraining


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, DpoTraining)
    parser.add_argument("--model", required=True, help="folder of the model of the round before")
    parser.add_argument("--reference", help="folder of the reference model (default: that of --model)")
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    cli.add_form(parser)
    parser.add_argument("--pairs", required=True, help="Preference rows, JSONL")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the trained model")
    parser.add_argument("--report", required=True, help="JSON report")
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, DpoTraining)

    from retrace.evaluation.model_card import Trained
    from retrace.machine.storage import read_jsonl, write_json
    from retrace.models.load import load_model
    from retrace.models.options import load_model_config
    from retrace.prompting.layouts import has_masked_results
    from retrace.schemas import Preference
    from retrace.systems.dpo_st import dpo
    from retrace.tasks.load import load_task
    from retrace.training import sft
    from retrace.training.adapters import merged, with_adapters
    from retrace.training.arguments import steps_of
    from retrace.training.trainer import finish, is_first_process, set_seed

    config = load_model_config(args.model_file)
    task = load_task(args.task_file).in_form(args.form, config.family)
    if args.reference:
        dpo.check_reference(args.model, args.reference)
    set_seed(args.seed)
    # All weights are trained in full precision; adapters leave the base weights frozen.
    dtype = config.dtype if options.lora_rank else "float32"
    device = sft.training_device()
    model, tokenizer = load_model(args.model, config.family, dtype, device)
    tokenizer.padding_side = "right"
    reference = load_model(args.reference, config.family, dtype, device)[0] if args.reference else None
    every = read_jsonl(args.pairs, Preference, allow_empty=True)
    rows, pairs = dpo.preference_rows(every, task, tokenizer, config.family, sft.limit_of(model, options.max_length))
    sides = {name: [place for place, pair in enumerate(pairs) if pair.split == name] for name in ("train", "dev")}
    began = time.perf_counter()
    curve: list[dict[str, float]] = []
    if not sides["train"]:
        print("note: there are no pairs to learn from; the model is unchanged")
    else:
        judge = model if reference is None else reference
        rows = dpo.with_reference(rows, judge, tokenizer.pad_token_id, 4 * options.device_batch_size, options.precision)
        reference = judge = None  # free the second model
        learned, held_out = ([rows[place] for place in sides[name]] for name in ("train", "dev"))
        if config.family == "encoder_decoder":
            model = with_adapters(model, options, config.family, args.seed)
            curve = dpo.train_dpo(model, tokenizer, learned, held_out, options, args.seed, args.state)
        else:
            from retrace.systems.dpo_st.dpo_causal import train_dpo_causal

            model, curve = train_dpo_causal(model, tokenizer, learned, held_out, options, args.seed, args.state)
    # Preferences do not teach arithmetic: keep calculator results masked if they were masked in earlier training.
    masked = has_masked_results(args.model)
    trained = Trained(args, {"pairs of a right and a wrong solution": len(sides["train"])}, options, task)
    sft.write_generator(merged(model), tokenizer, curve, args.output, masked_results=masked, trained=trained)
    if is_first_process():
        write_json(
            args.report,
            {
                "pairs": len(sides["train"]),
                "development_pairs": len(sides["dev"]),
                "too_long": len(every) - len(rows),
                "steps": steps_of(options, len(sides["train"])) if sides["train"] else 0,
                "seconds": round(time.perf_counter() - began, 1),
                **_ends(curve),
            },
        )
    finish(args.state)


def _ends(curve: Sequence[dict[str, float]]) -> dict[str, float]:
    """First and last loss, and the last development metrics."""
    losses = [row["loss"] for row in curve if "loss" in row]
    found = {"first_loss": losses[0], "last_loss": losses[-1]} if losses else {}
    measured = [row for row in curve if "dev_loss" in row]
    if measured:
        found |= {name: value for name, value in measured[-1].items() if name.startswith("dev_")}
    return found


if __name__ == "__main__":
    cli.run(main)
