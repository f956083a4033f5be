"""Cost formula of stepwise internalization."""

from dataclasses import replace

from retrace.planning.sizes import Text
from retrace.planning.work import ANSWERED, Costing, Work, formula
from retrace.systems.declaration import root_at
from retrace.systems.separated_lengths import answer_of, separated


def answered(job: Costing, text: Text) -> Text | None:
    """A split as the trained model answers it, at once; None for checkpoints of other systems."""
    if root_at(job.sizes.config, job.job.wildcards.get("checkpoint", "")) != "icot_si":
        return None
    text = separated(job, text)
    return replace(text, solution=answer_of(text), steps=1.0)


ANSWERED.append(answered)


@formula("train_icot_si")
def train_icot_si(job: Costing) -> Work:
    """Question, answer, and the steps that are left: all of them at first, half on average while they are removed."""
    text, dev = separated(job, job.text("train")), job.text("dev")
    answer, steps = answer_of(text), text.solution - answer_of(text)
    of_epoch = max(1.0, text.rows / job.option("batch-size"))
    apart = max(1.0, of_epoch / job.option("remove-per-epoch"))
    tokens_removed = min(steps, job.option("remove-all-beyond", steps))
    total = max(1.0, job.steps(text.rows))
    explicit = min(1.0, job.option("explicit-epochs", 0.0) * of_epoch / total)
    removing = min(1.0 - explicit, apart * tokens_removed / total)
    left = explicit * steps + removing * (steps - tokens_removed / 2)
    read = 2 * job.option("evaluations") * dev.rows * (text.question + answer)
    work = job.training(text.rows, text.question + answer + left, read)
    return replace(work, sizes_known=text.known and dev.known)
