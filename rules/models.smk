"""Base models: pinned from the Hub, or made from scratch for a task."""


rule fetch_model:
    output:
        directory("results/models/{model}"),
    log:
        "logs/models/{model}.log",
    benchmark:
        "benchmarks/models/{model}.tsv"
    # A model that is not there, or is of no use, is better known before a training.
    priority: 100
    conda:
        "../envs/retrace.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
        # Two downloads at once would only share one line, and both write the lock file.
        download=1,
    params:
        model=what_defines_the_model,
        use=what_it_is_used_as,
    message:
        "Fetching {wildcards.model}"
    shell:
        "python $RETRACE_SCRIPTS/fetch_model.py --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --lock $RETRACE_CONFIG/models.lock.json --output {output} {params.use} > {log} 2>&1"


rule train_base:
    input:
        unpack(the_related_corpus),
        train="results/data/{task}/train.jsonl",
    output:
        directory("results/{task}/{model}/seed{seed}/base/model"),
    log:
        "logs/{task}/{model}/seed{seed}/base.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/base.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("base"),
        mem_mb=memory_to_train("base"),
        runtime=hours(4),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        corpus=corpus_arguments,
        options=options("base"),
        speed=speed("base"),
        state="results/{task}/{model}/seed{seed}/base/state",
    message:
        "Making {wildcards.model} from scratch for {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_base.py --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml"
        " --train {input.train} {params.corpus} --seed {wildcards.seed} --state {params.state} --output {output}"
        " {params.options} {params.speed} > {log} 2>&1"
