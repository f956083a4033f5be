"""Base models: pinned from the Hub, or made from scratch for a task."""


rule fetch_model:
    input:
        user_inputs(files_of_model, "results/models/{model}"),
    output:
        directory("results/models/{model}"),
    log:
        "logs/models/{model}.log",
    benchmark:
        "benchmarks/models/{model}.tsv"
    # Find a missing or unusable model before any training starts.
    priority: 100
    localrule: True
    resources:
        mem_mb=4000,
        runtime=240,
        # Concurrent downloads would share bandwidth, and both write the lock file.
        download=1,
    params:
        model=noticing(model_digest, files_of_model),
        use=use_option,
    message:
        "Fetching {wildcards.model}"
    shell:
        program("fetch_model {MODEL} --lock $RETRACE_CONFIG/models.lock.json --output {output} {params.use}")


rule train_base:
    input:
        unpack(corpus_files),
        train="results/data/{task}/train.jsonl",
    output:
        directory(run("base/model")),
    log:
        logs("base.log"),
    benchmark:
        benchmarks("base.tsv")
    threads: settings.values.threads.train
    resources:
        **training_needs("base", hours(4)),
    params:
        **training_params(run("base"), "base"),
        corpus=corpus_arguments,
    message:
        "Making {wildcards.model} from scratch for {wildcards.task}, seed {wildcards.seed}"
    shell:
        training("train_base {MODEL} --train {input.train} {params.corpus} --output {output}")
