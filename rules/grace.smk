"""GRACE (arXiv 2305.14934): a step discriminator from sampled wrong solutions, and the verifier that it is compared with."""


rule align_steps:
    input:
        unpack(examples_in_prompts("generator")),
        unpack(the_embedder),
        data=split_for("train"),
        trajectories="results/{task}/{model}/seed{seed}/{generator}_discriminator/trajectories.jsonl",
    output:
        "results/{task}/{model}/seed{seed}/{generator}_discriminator/alignments.jsonl",
    log:
        "logs/{task}/{model}/seed{seed}/{generator}_discriminator/align.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{generator}_discriminator/align.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.align
    resources:
        gpus=needs_gpu,
        mem_mb=memory(16000, needs_gpu),
        runtime=hours(2),
    params:
        options=options("align"),
        embedder=option_from(the_embedder, "--embedder-folder", "embedder"),
        form=text_form(),
        family=lambda w: settings.model(w.model).family,
    message:
        "Aligning wrong solutions of {wildcards.task} with the references, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/align_steps.py --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --data {input.data}"
        " --trajectories {input.trajectories} --output {output} {params.form} --family {params.family} {params.options} {params.embedder} > {log} 2>&1"


rule make_pairs:
    input:
        unpack(the_entailment_model),
        data=split_for("train"),
        alignments="results/{task}/{model}/seed{seed}/{generator}_discriminator/alignments.jsonl",
    output:
        "results/{task}/{model}/seed{seed}/{generator}_discriminator/pairs.jsonl",
    log:
        "logs/{task}/{model}/seed{seed}/{generator}_discriminator/pair.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{generator}_discriminator/pair.tsv"
    conda:
        "../envs/retrace.yaml"
    resources:
        gpus=judge_needs_gpu,
        mem_mb=memory(8000, judge_needs_gpu),
        runtime=hours(1, gpus=judge_needs_gpu),
    params:
        options=options("pair"),
        entailment=option_from(the_entailment_model, "--entailment-model", "entailment_model"),
    message:
        "Making training pairs for {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/make_pairs.py --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --data {input.data}"
        " --alignments {input.alignments} --seed {wildcards.seed} --output {output} {params.options} {params.entailment} > {log} 2>&1"


rule train_discriminator:
    input:
        unpack(examples_in_prompts("generator")),
        unpack(the_backbone("discriminator")),
        generator=the_generator,
        pairs="results/{task}/{model}/seed{seed}/{generator}_discriminator/pairs.jsonl",
    output:
        model=directory("results/{task}/{model}/seed{seed}/{generator}_discriminator/model"),
        report="results/{task}/{model}/seed{seed}/{generator}_discriminator/pair_accuracy.json",
    log:
        "logs/{task}/{model}/seed{seed}/{generator}_discriminator/train.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{generator}_discriminator/train.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("discriminator"),
        mem_mb=memory_to_train("discriminator"),
        runtime=hours(12, "discriminator"),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("discriminator"),
        speed=speed("discriminator"),
        backbone=option_from(the_backbone("discriminator"), "--backbone", "backbone"),
        state="results/{task}/{model}/seed{seed}/{generator}_discriminator/state",
        form=text_form(),
    message:
        "Training the step discriminator for {wildcards.generator} of {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_discriminator.py --generator {input.generator} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --pairs {input.pairs} --seed {wildcards.seed} --state {params.state}"
        " --output {output.model} --report {output.report} {params.form} {params.options} {params.speed} {params.backbone} > {log} 2>&1"


rule train_verifier:
    input:
        unpack(the_backbone("verifier")),
        generator=the_generator,
        data=split_for("train"),
        trajectories="results/{task}/{model}/seed{seed}/{generator}_discriminator/trajectories.jsonl",
    output:
        model=directory("results/{task}/{model}/seed{seed}/{generator}_verifier/model"),
        report="results/{task}/{model}/seed{seed}/{generator}_verifier/report.json",
    log:
        "logs/{task}/{model}/seed{seed}/{generator}_verifier/train.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{generator}_verifier/train.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("verifier"),
        mem_mb=memory_to_train("verifier"),
        runtime=hours(12, "verifier"),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("verifier"),
        speed=speed("verifier"),
        backbone=option_from(the_backbone("verifier"), "--backbone", "backbone"),
        state="results/{task}/{model}/seed{seed}/{generator}_verifier/state",
    message:
        "Training the verifier for {wildcards.generator} of {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_verifier.py --generator {input.generator} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --data {input.data} --trajectories {input.trajectories}"
        " --seed {wildcards.seed} --state {params.state} --output {output.model} --report {output.report}"
        " {params.options} {params.speed} {params.backbone} > {log} 2>&1"


rule sweep_guided:
    """The discriminator's weight and the temperature, chosen on the development split."""
    input:
        unpack(examples_in_prompts("generator")),
        model=the_generator,
        discriminator=the_discriminator,
        dev=split_for("dev"),
    output:
        sweep="results/{task}/{model}/seed{seed}/{generator}_discriminator/sweep.json",
        choices="results/{task}/{model}/seed{seed}/{generator}_discriminator/choices.json",
    log:
        "logs/{task}/{model}/seed{seed}/{generator}_discriminator/sweep.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{generator}_discriminator/sweep.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.decode
    resources:
        **to_decode(24, "discriminator"),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("grace"),
        speed=speed("grace"),
        sweep=sweep_arguments,
        form=text_form(),
    message:
        "Choosing the discriminator's weight on the development split of {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/sweep_guided.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --discriminator {input.discriminator} --data {input.dev}"
        " --seed {wildcards.seed} {params.sweep} --output {output.sweep} --choices {output.choices}"
        " {params.form} {params.options} {params.speed} > {log} 2>&1"


rule measure_step_choice:
    """The discriminator's report: pair accuracy, and how often the right one of several sampled steps is chosen."""
    input:
        unpack(examples_in_prompts("generator")),
        unpack(training_report),
        model=the_generator,
        discriminator=the_discriminator,
        pairs="results/{task}/{model}/seed{seed}/{generator}_discriminator/pairs.jsonl",
        sampling="results/{task}/{model}/seed{seed}/{generator}_discriminator/trajectories.counts.jsonl",
    output:
        "results/{task}/{model}/seed{seed}/{generator}_discriminator/report.json",
    log:
        "logs/{task}/{model}/seed{seed}/{generator}_discriminator/step_choice.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{generator}_discriminator/step_choice.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.decode
    resources:
        **to_decode(4, "discriminator"),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("grace"),
        speed=speed("grace"),
        report=option_from(training_report, "--training-report", "report"),
        form=text_form(),
    message:
        "Measuring how often the right step is chosen on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/measure_step_choice.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --discriminator {input.discriminator} --pairs {input.pairs}"
        " --sampling {input.sampling}"
        " --seed {wildcards.seed} --output {output} {params.form} {params.options} {params.speed} {params.report} > {log} 2>&1"
