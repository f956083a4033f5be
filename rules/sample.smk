"""Solutions sampled from a generator, in shards that a cluster runs side by side."""


rule sample_trajectories:
    input:
        unpack(examples_in_prompts("generator")),
        unpack(the_drawn_examples),
        model=the_generator,
        data=split_for("train"),
    output:
        rows=temp(run("{generator}_discriminator/shards/trajectories_{shard}.jsonl")),
        counts=temp(run("{generator}_discriminator/shards/trajectories_{shard}.counts.jsonl")),
    log:
        logs("{generator}_discriminator/sample_{shard}.log"),
    benchmark:
        benchmarks("{generator}_discriminator/sample/{shard}.tsv")
    threads: settings.values.threads.sample
    resources:
        **to_decode(8),
    params:
        **defined_by(),
        options=options_of_trajectories,
        speed=speed("sample"),
        shards=sample_shards,
        form=text_form(),
        demonstrations=option_from(the_drawn_examples, "--demonstrations", "demonstrations"),
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
        rows=shards_of(run("{generator}_discriminator/shards/trajectories_{shard}.jsonl"), sample_shards),
        counts=shards_of(run("{generator}_discriminator/shards/trajectories_{shard}.counts.jsonl"), sample_shards),
    output:
        rows=run("{generator}_discriminator/trajectories.jsonl"),
        counts=run("{generator}_discriminator/trajectories.counts.jsonl"),
    log:
        logs("{generator}_discriminator/gather.log"),
    localrule: True
    message:
        "Gathering the shards of {output.rows}"
    shell:
        program("gather_rows {input.rows} --output {output.rows} --counts")
