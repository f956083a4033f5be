"""Rejection-sampling fine-tuning (arXiv 2308.01825): a model's own right, distinct samples as training data."""

rft_shards = ShardNumbers(
    settings,
    CONFIG,
    step="sample",
    made_by="sample_rft",
    names=["checkpoint"],
    argv=options("rft.samples"),
    inputs=lambda w: [split_for("train")(w)],
)


rule sample_rft:
    input:
        model=part_folder("sft"),
        data=split_for("train"),
    output:
        temp(run("{checkpoint}/shards/trajectories_{shard}.jsonl")),
    log:
        logs("{checkpoint}/sample_{shard}.log"),
    benchmark:
        benchmarks("{checkpoint}/sample/{shard}.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("rft"),
    threads: settings.values.threads.sample
    resources:
        **to_decode(24),
    params:
        **common_params("rft.samples"),
        shards=rft_shards,
    message:
        "Sampling solutions of {wildcards.task} for {wildcards.checkpoint} of {wildcards.model},"
        " seed {wildcards.seed}, shard {wildcards.shard}"
    shell:
        on_devices(
            "sample_round {TASK} {MODEL} --model {input.model} --data {input.data} {SEED} {SHARD} --output {output}"
            " {OPTIONS}"
        )


rule gather_rft:
    input:
        shards_of(run("{checkpoint}/shards/trajectories_{shard}.jsonl"), rft_shards),
    output:
        run("{checkpoint}/trajectories.jsonl"),
    log:
        logs("{checkpoint}/gather.log"),
    wildcard_constraints:
        checkpoint=checkpoint_names("rft"),
    localrule: True
    message:
        "Gathering the shards of {output}"
    shell:
        program("gather_rows {input} --output {output}")


rule select_solutions:
    input:
        data=split_for("train"),
        trajectories=run("{checkpoint}/trajectories.jsonl"),
    output:
        rows=run("{checkpoint}/solutions.jsonl"),
        report=run("{checkpoint}/solutions.json"),
    log:
        logs("{checkpoint}/select.log"),
    benchmark:
        benchmarks("{checkpoint}/select.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("rft"),
    resources:
        mem_mb=memory(8000),
        runtime=hours(1, gpus=no_gpu),
    params:
        task=task_digest,
        options=options("rft.selection"),
    message:
        "Selecting solutions of {wildcards.task} for {wildcards.checkpoint} of {wildcards.model}, seed {wildcards.seed}"
    shell:
        program(
            "select_solutions {TASK} --data {input.data} --trajectories {input.trajectories} --output {output.rows}"
            " --report {output.report} {params.options}"
        )


rule train_rft:
    input:
        model=start_folder,
        train=split_for("train"),
        dev=split_for("dev"),
        labels=run("{checkpoint}/solutions.jsonl"),
    output:
        model=directory(run("{checkpoint}/model")),
        report=run("{checkpoint}/training.json"),
    log:
        logs("{checkpoint}/train.log"),
    benchmark:
        benchmarks("{checkpoint}/train.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("rft"),
    threads: settings.values.threads.train
    resources:
        **training_needs("rft_sft", hours(48)),
    params:
        **training_params(run("{checkpoint}"), "rft.sft"),
    message:
        "Fine-tuning {wildcards.model} on references and samples of {wildcards.task}, seed {wildcards.seed}"
    shell:
        training(
            "train_round {MODEL} --model {input.model} --train {input.train} --dev {input.dev} --labels {input.labels}"
            " --output {output.model} --report {output.report}"
        )
