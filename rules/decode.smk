"""Predictions: any decoder on any checkpoint, in shards."""


rule decode:
    input:
        unpack(guidance),
        unpack(examples_in_prompts("checkpoint")),
        model=the_decoded_checkpoint,
        data="results/data/{task}/{split}.jsonl",
    output:
        rows=temp("results/{task}/{model}/seed{seed}/{checkpoint}/{decoder}/shards/{split}_{shard}.jsonl"),
        timing=temp("results/{task}/{model}/seed{seed}/{checkpoint}/{decoder}/shards/{split}_{shard}.timing.jsonl"),
    log:
        "logs/{task}/{model}/seed{seed}/{checkpoint}/{decoder}/{split}_{shard}.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{checkpoint}/{decoder}/{split}_{shard}.tsv"
    wildcard_constraints:
        decoder=one_of(decoder for decoder in settings.decoders if helped_decoder(decoder) in DECODED),
        split=r"(?:[a-z0-9_]+_)?(?:train|dev|test)",
    # Scores appear early where decoding goes before further training.
    priority: 10
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.decode
    resources:
        **to_decode(8, the_guide),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        arguments=decoder_arguments,
        speed=speed(),
        shards=decode_shards,
        form=text_form("checkpoint"),
    message:
        "Decoding {wildcards.split} of {wildcards.task} with {wildcards.decoder} from {wildcards.checkpoint} of {wildcards.model}, seed {wildcards.seed}, shard {wildcards.shard}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/decode.py {params.arguments} {params.speed} --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --data {input.data} --seed {wildcards.seed}"
        " --shard {wildcards.shard} --shards {params.shards} {params.form} --output {output.rows} > {log} 2>&1"


rule gather_predictions:
    input:
        rows=shards_of(
            "results/{task}/{model}/seed{seed}/{checkpoint}/{decoder}/shards/{split}_{shard}.jsonl",
            decode_shards,
        ),
        timings=shards_of(
            "results/{task}/{model}/seed{seed}/{checkpoint}/{decoder}/shards/{split}_{shard}.timing.jsonl",
            decode_shards,
        ),
    output:
        rows="results/{task}/{model}/seed{seed}/{checkpoint}/{decoder}/{split}.jsonl",
        timing="results/{task}/{model}/seed{seed}/{checkpoint}/{decoder}/{split}.timing.jsonl",
    log:
        "logs/{task}/{model}/seed{seed}/{checkpoint}/{decoder}/{split}.log",
    wildcard_constraints:
        decoder=one_of(decoder for decoder in settings.decoders if helped_decoder(decoder) in DECODED),
    conda:
        "../envs/retrace.yaml"
    message:
        "Gathering the shards of {output.rows}"
    shell:
        "python $RETRACE_SCRIPTS/gather_rows.py {input.rows} --output {output.rows} --timings > {log} 2>&1"


rule rerank:
    """The verifier's choice among the samples of self-consistency."""
    input:
        predictions="results/{task}/{model}/seed{seed}/{checkpoint}/self_consistency/{split}.jsonl",
        verifier="results/{task}/{model}/seed{seed}/{checkpoint}_verifier/model",
    output:
        rows="results/{task}/{model}/seed{seed}/{checkpoint}/verifier/{split}.jsonl",
        timing="results/{task}/{model}/seed{seed}/{checkpoint}/verifier/{split}.timing.jsonl",
    log:
        "logs/{task}/{model}/seed{seed}/{checkpoint}/verifier/{split}.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{checkpoint}/verifier/{split}.tsv"
    priority: 10
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.decode
    resources:
        **to_decode(2, "verifier"),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        speed=speed("self_consistency"),
    message:
        "Reranking samples of {wildcards.task} from {wildcards.checkpoint} of {wildcards.model}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/rerank.py --predictions {input.predictions} --verifier {input.verifier}"
        " --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml {params.speed}"
        " --output {output.rows} > {log} 2>&1"
