"""DPO-ST (arXiv 2407.18248): rounds of sampling, preference optimisation and fine-tuning, and plain self-training."""


rule train_warm_up:
    """Round 0 of both self-trainings: fine-tuning on the references alone."""
    input:
        model=the_base_model,
        train=dpo_st_split("train"),
        dev=dpo_st_split("dev"),
    output:
        model=directory("results/{task}/{model}/seed{seed}/dpo_st_round0/model"),
        report="results/{task}/{model}/seed{seed}/dpo_st_round0/training.json",
    log:
        "logs/{task}/{model}/seed{seed}/dpo_st_round0/train.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/dpo_st_round0/train.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("dpo_st_sft"),
        mem_mb=memory_to_train("dpo_st_sft"),
        runtime=hours(12),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        form=dpo_st_form,
        labelled=labelled,
        options=options("dpo_st.sft"),
        speed=speed("dpo_st.sft"),
        state="results/{task}/{model}/seed{seed}/dpo_st_round0/state",
    message:
        "Warming up {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_round.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml {params.form} --train {input.train} --dev {input.dev}"
        " --labelled {params.labelled} --seed {wildcards.seed} --state {params.state} --output {output.model}"
        " --report {output.report} {params.options} {params.speed} > {log} 2>&1"


rule sample_round:
    input:
        model=the_sampled_model,
        data=dpo_st_split("train"),
    output:
        temp("results/{task}/{model}/seed{seed}/{sampled}/shards/trajectories_{shard}.jsonl"),
    log:
        "logs/{task}/{model}/seed{seed}/{sampled}/sample_{shard}.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{sampled}/sample/{shard}.tsv"
    wildcard_constraints:
        sampled=r"(?:dpo|dpo_st|st)_round[1-9]\d*",
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.sample
    resources:
        **to_decode(8),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        form=dpo_st_form,
        questions=sampled_questions,
        options=sampling_options,
        speed=speed_of_sampling,
        shards=round_shards,
    message:
        "Sampling solutions of {wildcards.task} for {wildcards.sampled} of {wildcards.model}, seed {wildcards.seed}, shard {wildcards.shard}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/sample_round.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml {params.form} --data {input.data} {params.questions} --seed {wildcards.seed}"
        " --shard {wildcards.shard} --shards {params.shards} --output {output} {params.options} {params.speed} > {log} 2>&1"


rule gather_round:
    input:
        shards_of(
            "results/{task}/{model}/seed{seed}/{sampled}/shards/trajectories_{shard}.jsonl",
            round_shards,
        ),
    output:
        "results/{task}/{model}/seed{seed}/{sampled}/trajectories.jsonl",
    log:
        "logs/{task}/{model}/seed{seed}/{sampled}/gather.log",
    wildcard_constraints:
        sampled=r"(?:dpo|dpo_st|st)_round[1-9]\d*",
    conda:
        "../envs/retrace.yaml"
    message:
        "Gathering the shards of {output}"
    shell:
        "python $RETRACE_SCRIPTS/gather_rows.py {input} --output {output} > {log} 2>&1"


rule make_preferences:
    """Pairs of a right and a wrong solution from the samples of all rounds so far."""
    input:
        data=dpo_st_split("train"),
        tokenizer=the_warm_up,
        trajectories=samples_so_far("dpo_round{round}"),
    output:
        pairs="results/{task}/{model}/seed{seed}/dpo_round{round}/pairs.jsonl",
        report="results/{task}/{model}/seed{seed}/dpo_round{round}/pairs.json",
    log:
        "logs/{task}/{model}/seed{seed}/dpo_round{round}/make.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/dpo_round{round}/make.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: 2
    resources:
        mem_mb=memory(8000),
        runtime=hours(1, gpus=no_gpu),
    params:
        task=what_defines_the_task,
        form=dpo_st_form,
        labelled=labelled,
        questions=sampled_questions,
        options=options("dpo_st.pairs"),
    message:
        "Making preference pairs of {wildcards.task} for round {wildcards.round} of {wildcards.model}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/make_preferences.py --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml"
        " --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml {params.form} --tokenizer {input.tokenizer} --data {input.data}"
        " --labelled {params.labelled} {params.questions} --trajectories {input.trajectories} --seed {wildcards.seed} --output {output.pairs}"
        " --report {output.report} {params.options} > {log} 2>&1"


rule train_dpo:
    input:
        model=lambda w: checkpoint_folder(w, round_before(w, "dpo_st", w.round)),
        pairs="results/{task}/{model}/seed{seed}/dpo_round{round}/pairs.jsonl",
    output:
        model=directory("results/{task}/{model}/seed{seed}/dpo_round{round}/model"),
        report="results/{task}/{model}/seed{seed}/dpo_round{round}/training.json",
    log:
        "logs/{task}/{model}/seed{seed}/dpo_round{round}/train.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/dpo_round{round}/train.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("dpo_st_dpo"),
        mem_mb=memory_to_train("dpo_st_dpo"),
        runtime=hours(12),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        form=dpo_st_form,
        options=options("dpo_st.dpo"),
        speed=speed("dpo_st.dpo"),
        state="results/{task}/{model}/seed{seed}/dpo_round{round}/state",
    message:
        "Preference optimisation of {wildcards.model} on {wildcards.task}, round {wildcards.round}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_dpo.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml {params.form} --pairs {input.pairs} --seed {wildcards.seed}"
        " --state {params.state} --output {output.model} --report {output.report} {params.options} {params.speed} > {log} 2>&1"


rule make_pseudo_labels:
    """Right solutions from the samples of all rounds so far, and the references."""
    input:
        data=dpo_st_split("train"),
        tokenizer=the_warm_up,
        trajectories=samples_so_far("{loop}_round{round}"),
    output:
        labels="results/{task}/{model}/seed{seed}/{loop}_round{round}/pseudo_labels.jsonl",
        report="results/{task}/{model}/seed{seed}/{loop}_round{round}/pseudo_labels.json",
    log:
        "logs/{task}/{model}/seed{seed}/{loop}_round{round}/make.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{loop}_round{round}/make.tsv"
    wildcard_constraints:
        loop=one_of(LOOPS),
    conda:
        "../envs/retrace.yaml"
    threads: 2
    resources:
        mem_mb=memory(8000),
        runtime=hours(1, gpus=no_gpu),
    params:
        task=what_defines_the_task,
        form=dpo_st_form,
        labelled=labelled,
        questions=sampled_questions,
        options=options("dpo_st.labels"),
    message:
        "Choosing pseudo-labels of {wildcards.task} for {wildcards.loop}_round{wildcards.round} of {wildcards.model}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/make_pseudo_labels.py --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml"
        " --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml {params.form} --tokenizer {input.tokenizer} --data {input.data}"
        " --labelled {params.labelled} {params.questions} --trajectories {input.trajectories} --output {output.labels} --report {output.report}"
        " {params.options} > {log} 2>&1"


rule train_round:
    input:
        model=where_a_round_starts,
        train=dpo_st_split("train"),
        dev=dpo_st_split("dev"),
        labels="results/{task}/{model}/seed{seed}/{loop}_round{round}/pseudo_labels.jsonl",
    output:
        model=directory("results/{task}/{model}/seed{seed}/{loop}_round{round}/model"),
        report="results/{task}/{model}/seed{seed}/{loop}_round{round}/training.json",
    log:
        "logs/{task}/{model}/seed{seed}/{loop}_round{round}/train.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{loop}_round{round}/train.tsv"
    wildcard_constraints:
        loop=one_of(LOOPS),
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("dpo_st_sft"),
        mem_mb=memory_to_train("dpo_st_sft"),
        runtime=hours(12),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        form=dpo_st_form,
        options=options("dpo_st.sft"),
        speed=speed("dpo_st.sft"),
        state="results/{task}/{model}/seed{seed}/{loop}_round{round}/state",
    message:
        "Fine-tuning {wildcards.model} on {wildcards.task} for {wildcards.loop}_round{wildcards.round}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_round.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml {params.form} --train {input.train} --dev {input.dev}"
        " --labels {input.labels} --seed {wildcards.seed} --state {params.state} --output {output.model}"
        " --report {output.report} {params.options} {params.speed} > {log} 2>&1"


rule train_sft_continued:
    """A control: the warm-up goes on with the references for as many steps as all rounds took together."""
    input:
        model=the_warm_up,
        train=dpo_st_split("train"),
        dev=dpo_st_split("dev"),
        trainings=trainings_up_to,
    output:
        model=directory("results/{task}/{model}/seed{seed}/sft_continued_round{round}/model"),
        report="results/{task}/{model}/seed{seed}/sft_continued_round{round}/training.json",
    log:
        "logs/{task}/{model}/seed{seed}/sft_continued_round{round}/train.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/sft_continued_round{round}/train.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("dpo_st_sft"),
        mem_mb=memory_to_train("dpo_st_sft"),
        runtime=hours(24),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        form=dpo_st_form,
        labelled=labelled,
        options=options("dpo_st.sft"),
        speed=speed("dpo_st.sft"),
        state="results/{task}/{model}/seed{seed}/sft_continued_round{round}/state",
    message:
        "Going on with the references of {wildcards.task} for {wildcards.model}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_round.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml {params.form} --train {input.train} --dev {input.dev}"
        " --labelled {params.labelled} --steps-of {input.trainings} --seed {wildcards.seed} --state {params.state}"
        " --output {output.model} --report {output.report} {params.options} {params.speed} > {log} 2>&1"


rule train_sft_extra:
    """A control: as many further references as the round has pseudo-labels."""
    input:
        model=the_base_model,
        train=dpo_st_split("train"),
        dev=dpo_st_split("dev"),
        labels="results/{task}/{model}/seed{seed}/dpo_st_round{round}/pseudo_labels.json",
    output:
        model=directory("results/{task}/{model}/seed{seed}/sft_extra_round{round}/model"),
        report="results/{task}/{model}/seed{seed}/sft_extra_round{round}/training.json",
    log:
        "logs/{task}/{model}/seed{seed}/sft_extra_round{round}/train.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/sft_extra_round{round}/train.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("dpo_st_sft"),
        mem_mb=memory_to_train("dpo_st_sft"),
        runtime=hours(12),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        form=dpo_st_form,
        labelled=labelled,
        options=options("dpo_st.sft"),
        speed=speed("dpo_st.sft"),
        state="results/{task}/{model}/seed{seed}/sft_extra_round{round}/state",
    message:
        "Fine-tuning {wildcards.model} on more references of {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_round.py --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml {params.form} --train {input.train} --dev {input.dev}"
        " --labelled {params.labelled} --extra-of {input.labels} --seed {wildcards.seed} --state {params.state}"
        " --output {output.model} --report {output.report} {params.options} {params.speed} > {log} 2>&1"


rule report_round:
    """What happened in a round: samples, degenerate cases, pairs, pseudo-labels and trainings."""
    input:
        pairs="results/{task}/{model}/seed{seed}/dpo_round{round}/pairs.json",
        dpo="results/{task}/{model}/seed{seed}/dpo_round{round}/training.json",
        labels="results/{task}/{model}/seed{seed}/dpo_st_round{round}/pseudo_labels.json",
        sft="results/{task}/{model}/seed{seed}/dpo_st_round{round}/training.json",
    output:
        "results/{task}/{model}/seed{seed}/dpo_st_round{round}/round.json",
    log:
        "logs/{task}/{model}/seed{seed}/dpo_st_round{round}/report.log",
    conda:
        "../envs/retrace.yaml"
    message:
        "Reporting round {wildcards.round} of {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/report_round.py --task {wildcards.task} --model {wildcards.model} --round {wildcards.round}"
        " --seed {wildcards.seed} --pairs {input.pairs} --dpo {input.dpo} --labels {input.labels} --sft {input.sft}"
        " --output {output} > {log} 2>&1"


rule measure_pass_at_k:
    """pass@k on the development split, before and after each round's DPO step."""
    input:
        greedy=predictions_around_dpo("greedy"),
        samples=predictions_around_dpo("samples"),
    output:
        "results/{task}/{model}/dpo_st_pass_at_k.json",
    log:
        "logs/{task}/{model}/dpo_st_pass_at_k.log",
    conda:
        "../envs/retrace.yaml"
    params:
        checkpoints=around_dpo,
        seeds=seeds_of_system("dpo_st"),
        preset=settings.preset_name,
    message:
        "Measuring pass@k around the DPO steps of {wildcards.model} on {wildcards.task}"
    shell:
        "python $RETRACE_SCRIPTS/measure_pass_at_k.py --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml"
        " --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml --papers $RETRACE_CONFIG/papers --checkpoints {params.checkpoints}"
        " --greedy {input.greedy} --samples {input.samples} --seeds {params.seeds} --preset {params.preset}"
        " --output {output} > {log} 2>&1"


rule plot_rounds:
    input:
        results=results_of_figure,
    output:
        json="results/figures/dpo_st_rounds.json",
        svg="results/figures/dpo_st_rounds.svg",
    log:
        "logs/figures/dpo_st_rounds.log",
    conda:
        "../envs/retrace.yaml"
    message:
        "Drawing accuracy over the rounds of self-training"
    shell:
        "python $RETRACE_SCRIPTS/plot_rounds.py --results {input.results} --papers $RETRACE_CONFIG/papers"
        " --json {output.json} --svg {output.svg} > {log} 2>&1"
