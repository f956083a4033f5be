"""Solutions sampled from a generator, in shards that a cluster runs side by side."""


rule sample_trajectories:
    input:
        unpack(examples_in_prompts("generator")),
        unpack(the_drawn_examples),
        model=the_generator,
        data=split_for("train"),
    output:
        rows=temp("results/{task}/{model}/seed{seed}/{generator}_discriminator/shards/trajectories_{shard}.jsonl"),
        counts=temp(
            "results/{task}/{model}/seed{seed}/{generator}_discriminator/shards/trajectories_{shard}.counts.jsonl"
        ),
    log:
        "logs/{task}/{model}/seed{seed}/{generator}_discriminator/sample_{shard}.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{generator}_discriminator/sample/{shard}.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.sample
    resources:
        **to_decode(8),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options_of_trajectories,
        speed=speed("sample"),
        shards=sample_shards,
        form=text_form(),
        demonstrations=option_from(the_drawn_examples, "--demonstrations", "demonstrations"),
    message:
        "Sampling wrong solutions of {wildcards.task} from {wildcards.generator} of {wildcards.model}, seed {wildcards.seed}, shard {wildcards.shard}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/sample_trajectories.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --data {input.data} --seed {wildcards.seed}"
        " --shard {wildcards.shard} --shards {params.shards} --output {output.rows} {params.form} {params.options} {params.speed} {params.demonstrations} > {log} 2>&1"


rule gather_trajectories:
    input:
        rows=shards_of(
            "results/{task}/{model}/seed{seed}/{generator}_discriminator/shards/trajectories_{shard}.jsonl",
            sample_shards,
        ),
        counts=shards_of(
            "results/{task}/{model}/seed{seed}/{generator}_discriminator/shards/trajectories_{shard}.counts.jsonl",
            sample_shards,
        ),
    output:
        rows="results/{task}/{model}/seed{seed}/{generator}_discriminator/trajectories.jsonl",
        counts="results/{task}/{model}/seed{seed}/{generator}_discriminator/trajectories.counts.jsonl",
    log:
        "logs/{task}/{model}/seed{seed}/{generator}_discriminator/gather.log",
    conda:
        "../envs/retrace.yaml"
    message:
        "Gathering the shards of {output.rows}"
    shell:
        "python $RETRACE_SCRIPTS/gather_rows.py {input.rows} --output {output.rows} --counts > {log} 2>&1"
