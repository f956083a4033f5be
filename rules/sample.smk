"""Solutions sampled from a generator, in shards that a cluster runs in parallel."""


rule sample_trajectories:
    input:
        unpack(prompt_examples),
        unpack(drawn_examples),
        model=generator_folder,
        data=split_for("train"),
    output:
        rows=temp(run("{generator}_{guide}/shards/trajectories_{shard}.jsonl")),
        counts=temp(run("{generator}_{guide}/shards/trajectories_{shard}.counts.jsonl")),
    log:
        logs("{generator}_{guide}/sample_{shard}.log"),
    benchmark:
        benchmarks("{generator}_{guide}/sample/{shard}.tsv")
    wildcard_constraints:
        generator=DECODED,
        guide=one_of(
            name for name in settings.checkpoints.guides if settings.checkpoints.own_trajectories(name) == name
        ),
    threads: settings.values.threads.sample
    resources:
        **to_decode(8),
    params:
        **common_params(),
        options=sampling_arguments,
        speed=speed("sample"),
        shards=sample_shards,
        form=form_option,
        demonstrations=optional_argument(drawn_examples, "--demonstrations", "demonstrations"),
    message:
        "Sampling wrong solutions of {wildcards.task} from {wildcards.generator} of {wildcards.model},"
        " seed {wildcards.seed}, shard {wildcards.shard}"
    shell:
        on_devices(
            "sample_trajectories {TASK} {MODEL} --model {input.model} --data {input.data} {SEED} {SHARD}"
            " --output {output.rows} {params.form} {OPTIONS} {params.demonstrations}"
        )


rule gather_trajectories:
    input:
        rows=shards_of(run("{generator}_{guide}/shards/trajectories_{shard}.jsonl"), sample_shards),
        counts=shards_of(run("{generator}_{guide}/shards/trajectories_{shard}.counts.jsonl"), sample_shards),
    output:
        rows=run("{generator}_{guide}/trajectories.jsonl"),
        counts=run("{generator}_{guide}/trajectories.counts.jsonl"),
    log:
        logs("{generator}_{guide}/gather.log"),
    wildcard_constraints:
        generator=DECODED,
        guide=one_of(
            name for name in settings.checkpoints.guides if settings.checkpoints.own_trajectories(name) == name
        ),
    localrule: True
    message:
        "Gathering the shards of {output.rows}"
    shell:
        program("gather_rows {input.rows} --output {output.rows} --counts")
