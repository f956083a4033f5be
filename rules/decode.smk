"""Predictions: any decoder on any checkpoint, in shards."""


rule decode:
    input:
        unpack(guidance),
        unpack(examples_in_prompts("checkpoint")),
        model=the_decoded_checkpoint,
        data="results/data/{task}/{split}.jsonl",
    output:
        rows=temp(run("{checkpoint}/{decoder}/shards/{split}_{shard}.jsonl")),
        timing=temp(run("{checkpoint}/{decoder}/shards/{split}_{shard}.timing.jsonl")),
    log:
        logs("{checkpoint}/{decoder}/{split}_{shard}.log"),
    benchmark:
        benchmarks("{checkpoint}/{decoder}/{split}_{shard}.tsv")
    wildcard_constraints:
        decoder=one_of(decoder for decoder in settings.decoders if decoder != "verifier"),
        split=r"(?:[a-z0-9_]+_)?(?:train|dev|test)",
    # Scores appear early where decoding goes before further training.
    priority: 10
    threads: settings.values.threads.decode
    resources:
        **to_decode(8, the_guide),
    params:
        **defined_by(),
        arguments=decoder_arguments,
        speed=speed(),
        shards=decode_shards,
        form=text_form("checkpoint"),
    message:
        "Decoding {wildcards.split} of {wildcards.task} with {wildcards.decoder} from {wildcards.checkpoint} of"
        " {wildcards.model}, seed {wildcards.seed}, shard {wildcards.shard}"
    shell:
        on_devices(
            "decode {params.arguments} {params.speed} {TASK} {MODEL} --model {input.model} --data {input.data}"
            " {SEED} {SHARD} {params.form} --output {output.rows}"
        )


rule gather_predictions:
    input:
        rows=shards_of(run("{checkpoint}/{decoder}/shards/{split}_{shard}.jsonl"), decode_shards),
        timings=shards_of(run("{checkpoint}/{decoder}/shards/{split}_{shard}.timing.jsonl"), decode_shards),
    output:
        rows=run("{checkpoint}/{decoder}/{split}.jsonl"),
        timing=run("{checkpoint}/{decoder}/{split}.timing.jsonl"),
    log:
        logs("{checkpoint}/{decoder}/{split}.log"),
    wildcard_constraints:
        decoder=one_of(decoder for decoder in settings.decoders if decoder != "verifier"),
    localrule: True
    message:
        "Gathering the shards of {output.rows}"
    shell:
        program("gather_rows {input.rows} --output {output.rows} --timings")


rule rerank:
    """The verifier's choice among the samples of self-consistency."""
    input:
        predictions=run("{checkpoint}/self_consistency/{split}.jsonl"),
        verifier=run("{checkpoint}_verifier/model"),
    output:
        rows=run("{checkpoint}/verifier/{split}.jsonl"),
        timing=run("{checkpoint}/verifier/{split}.timing.jsonl"),
    log:
        logs("{checkpoint}/verifier/{split}.log"),
    benchmark:
        benchmarks("{checkpoint}/verifier/{split}.tsv")
    priority: 10
    threads: settings.values.threads.decode
    resources:
        **to_decode(2, "verifier"),
    params:
        **defined_by(),
        speed=speed("self_consistency"),
    message:
        "Reranking samples of {wildcards.task} from {wildcards.checkpoint} of {wildcards.model}, seed {wildcards.seed}"
    shell:
        on_devices(
            "rerank {TASK} {MODEL} --predictions {input.predictions} --verifier {input.verifier} {params.speed}"
            " --output {output.rows}"
        )
