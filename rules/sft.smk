"""Fine-tuning on worked solutions."""


rule train_sft:
    input:
        model=the_base_model,
        train="results/data/{task}/train.jsonl",
        dev="results/data/{task}/dev.jsonl",
    output:
        directory("results/{task}/{model}/seed{seed}/sft/model"),
    log:
        "logs/{task}/{model}/seed{seed}/sft.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/sft.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("sft"),
        mem_mb=memory_to_train("sft"),
        runtime=hours(12),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("sft"),
        speed=speed("sft"),
        state="results/{task}/{model}/seed{seed}/sft/state",
    message:
        "Fine-tuning {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_sft.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --train {input.train} --dev {input.dev} --seed {wildcards.seed}"
        " --state {params.state} --output {output} {params.options} {params.speed} > {log} 2>&1"
