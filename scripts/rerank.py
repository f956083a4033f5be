"""Let an outcome verifier choose among the samples of self-consistency. GRACE section 4.2, baseline of Cobbe et al.

    python scripts/rerank.py --predictions self_consistency/test.jsonl --verifier sft_verifier/model \\
        --model-file config/models/tiny_t5.yaml --task-file config/tasks/gsm8k.yaml --output verifier/test.jsonl

Inputs:  --predictions (Prediction rows with several samples), --verifier (a folder).
Output:  Prediction rows in the same order: every sample with its score, the highest one chosen; with --vote the
         answer with the largest sum of scores. Beside them, in NAME.timing.jsonl, how long samples and scores took.
"""

import json
import time
from collections.abc import Sequence

from retrace import cli
from retrace.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--predictions", required=True, help="Prediction rows with several samples per question")
    parser.add_argument("--verifier", required=True, help="folder of the verifier")
    parser.add_argument("--model-file", required=True, help="the generator's YAML")
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument(
        "--batch-size", default="64", help="solutions scored together, or auto: 64, or 256 on a GPU (default 64)"
    )
    parser.add_argument("--vote", action="store_true", help="majority vote weighted by score, not the best sample")
    parser.add_argument("--output", required=True, help="Prediction rows")
    args = parser.parse_args(arguments)

    from retrace.decoding.setup import best_device
    from retrace.decoding.vote import best, choose, majority
    from retrace.evaluation.predictions import decoding_seconds, write_predictions
    from retrace.machine.storage import read_jsonl
    from retrace.models.options import load_model_config
    from retrace.models.verifier import load_verifier
    from retrace.schemas import Prediction, Sample
    from retrace.tasks.load import load_task

    load_model_config(args.model_file)
    task = load_task(args.task_file)
    predictions = read_jsonl(args.predictions, Prediction)
    device = best_device()
    verifier = load_verifier(args.verifier, device)
    batch_size = _number(args.batch_size) if args.batch_size != "auto" else 64 if device == "cpu" else 256
    questions = [" ".join(row.question.split()) for row in predictions for _ in row.samples]
    solutions = [sample.text for row in predictions for sample in row.samples]
    began = time.perf_counter()
    scores = iter(verifier.score(questions, solutions, batch_size).tolist())
    seconds = time.perf_counter() - began + (decoding_seconds(args.predictions) or 0.0)
    reranked = []
    for row in predictions:
        # Compare scores as written, so that equal solutions have equal scores.
        samples = [Sample(**sample.model_dump() | {"score": next(scores)}) for sample in row.samples]
        own = [sample.score for sample in samples]
        answers = [sample.answer for sample in samples]
        chosen = majority(answers, task.canonical, own) if args.vote else best(own)
        reranked.append(choose(row, chosen, samples=samples))
    write_predictions(args.output, reranked, seconds)
    print(json.dumps({"questions": len(reranked), "correct": sum(row.correct for row in reranked)}))


def _number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"--batch-size {text!r}: give a number from 1, or auto")
    return int(text)


if __name__ == "__main__":
    cli.run(main)
