"""Number of shards of each scattered step, and the files of all shards. Defines no rules."""

from retrace.workflow.shards import ShardNumbers


def shards_of(pattern, number):
    """Input function: the files of all shards of a step, in order; `number` maps wildcards to the shard count."""
    return lambda wildcards: expand(pattern, shard=range(number(wildcards)), **dict(wildcards.items()))


decode_shards = ShardNumbers(
    settings,
    CONFIG,
    step="decode",
    made_by="decode",
    names=["checkpoint", "decoder", "split"],
    argv=decoder_arguments,
    inputs=lambda w: [data_file(w.task, w.split)],
)
sample_shards = ShardNumbers(
    settings,
    CONFIG,
    step="sample",
    made_by="sample_trajectories",
    names=["generator", "guide"],
    argv=options("sample"),
    inputs=lambda w: [split_for("train")(w)],
)
round_shards = ShardNumbers(
    settings,
    CONFIG,
    step="sample",
    made_by="sample_round",
    names=["loop", "round"],
    argv=lambda w: [*sampled_questions(w).split(), *sampling_options(w)],
    inputs=lambda w: [split_for("train")(w)],
)
