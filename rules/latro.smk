"""LaTRO (arXiv 2411.04282): rationales rewarded by the model's own likelihood of the answer, and its baseline."""


rule train_latro:
    input:
        model=the_start,
        train="results/data/{task}/train.jsonl",
        compare=the_compared_questions,
    output:
        model=directory("results/{task}/{model}/seed{seed}/latro/model"),
        curves="results/{task}/{model}/seed{seed}/latro/curves.jsonl",
        report="results/{task}/{model}/seed{seed}/latro/report.json",
    log:
        "logs/{task}/{model}/seed{seed}/latro.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/latro.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("latro"),
        mem_mb=memory_to_train_latro,
        runtime=hours(48),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("latro"),
        speed=speed("latro"),
        state="results/{task}/{model}/seed{seed}/latro/state",
    message:
        "Training {wildcards.model} on its own rationales for {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_latro.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --train {input.train} --compare {input.compare}"
        " --seed {wildcards.seed} --state {params.state} --output {output.model} --curves {output.curves}"
        " --report {output.report} {params.options} {params.speed} > {log} 2>&1"


rule train_latro_sft:
    """The baseline: fine-tuning from the same start on the same questions."""
    input:
        model=the_start,
        train="results/data/{task}/train.jsonl",
        dev="results/data/{task}/dev.jsonl",
    output:
        directory("results/{task}/{model}/seed{seed}/latro_sft/model"),
    log:
        "logs/{task}/{model}/seed{seed}/latro_sft.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/latro_sft.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("latro_sft"),
        mem_mb=memory_to_train("latro_sft"),
        runtime=hours(12),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("latro_sft"),
        speed=speed("latro_sft"),
        state="results/{task}/{model}/seed{seed}/latro_sft/state",
    message:
        "Fine-tuning {wildcards.model} on {wildcards.task} as LaTRO's baseline, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_sft.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --train {input.train} --dev {input.dev} --seed {wildcards.seed}"
        " --state {params.state} --output {output} {params.options} {params.speed} > {log} 2>&1"


rule plot_latro:
    """Reward, KL, rationale length, finished rationales and accuracy over steps, all seeds in one figure."""
    input:
        curves_of_latro,
    output:
        "results/figures/latro_{task}_{model}.svg",
    log:
        "logs/figures/latro_{task}_{model}.log",
    wildcard_constraints:
        # Both names may hold underscores; only known ones tell where the one ends.
        task=one_of(settings.tasks),
        model=one_of(settings.models),
    conda:
        "../envs/retrace.yaml"
    params:
        seeds=seeds_of_system("latro"),
        preset=settings.preset_name,
    message:
        "Drawing LaTRO's training on {wildcards.task} with {wildcards.model}"
    shell:
        "python $RETRACE_SCRIPTS/plot_latro.py --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml"
        " --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml --curves {input} --seeds {params.seeds}"
        " --preset {params.preset} --output {output} > {log} 2>&1"
