"""Predictions: any decoder on any checkpoint, in shards."""


rule decode:
    input:
        unpack(guidance),
        unpack(prompt_examples),
        model=decoded_checkpoint_folder,
        data="results/data/{task}/{split}.jsonl",
    output:
        rows=temp(run("{checkpoint}/{decoder}/shards/{split}_{shard}.jsonl")),
        timing=temp(run("{checkpoint}/{decoder}/shards/{split}_{shard}.timing.jsonl")),
    log:
        logs("{checkpoint}/{decoder}/{split}_{shard}.log"),
    benchmark:
        benchmarks("{checkpoint}/{decoder}/{split}_{shard}.tsv")
    wildcard_constraints:
        decoder=one_of(name for name in settings.decoders if not settings.decoder(name).reranks),
        split=r"(?:[a-z0-9_]+_)?(?:train|dev|test)",
    # Decode before training further models, so that scores appear early.
    priority: 10
    threads: settings.values.threads.decode
    resources:
        **to_decode(8, guide_section),
    params:
        **common_params(),
        arguments=decoder_arguments,
        speed=decoding_speed,
        shards=decode_shards,
        form=form_option,
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
        decoder=one_of(name for name in settings.decoders if not settings.decoder(name).reranks),
    localrule: True
    message:
        "Gathering the shards of {output.rows}"
    shell:
        program("gather_rows {input.rows} --output {output.rows} --timings")


rule rerank:
    """A network's choice among the samples of another decoder."""
    input:
        predictions=lambda w: f"{run_folder(w)}/{w.checkpoint}/{settings.decoder(w.decoder).reranks}/{w.split}.jsonl",
        verifier=lambda w: guide_folder(w, w.checkpoint, settings.decoder(w.decoder).guide),
    output:
        rows=run("{checkpoint}/{decoder}/{split}.jsonl"),
        timing=run("{checkpoint}/{decoder}/{split}.timing.jsonl"),
    log:
        logs("{checkpoint}/{decoder}/{split}.log"),
    benchmark:
        benchmarks("{checkpoint}/{decoder}/{split}.tsv")
    wildcard_constraints:
        decoder=one_of(name for name in settings.decoders if settings.decoder(name).reranks),
    priority: 10
    threads: settings.values.threads.decode
    resources:
        **to_decode(2, "verifier"),
    params:
        **common_params(),
        speed=speed(),
    message:
        "Reranking samples of {wildcards.task} from {wildcards.checkpoint} of {wildcards.model}, seed {wildcards.seed}"
    shell:
        on_devices(
            "rerank {TASK} {MODEL} --predictions {input.predictions} --verifier {input.verifier} {params.speed}"
            " --output {output.rows}"
        )
