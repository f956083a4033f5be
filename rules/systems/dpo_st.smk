"""DPO-ST (arXiv 2407.18248): rounds of sampling, preference optimization and fine-tuning, and plain self-training."""


rule train_warm_up:
    """Round 0 of both self-trainings: fine-tuning on references only."""
    input:
        model=base_model_folder,
        train=split_for("train"),
        dev=split_for("dev"),
    output:
        model=directory(run("{loop}_round0/model")),
        report=run("{loop}_round0/training.json"),
    log:
        logs("{loop}_round0/train.log"),
    benchmark:
        benchmarks("{loop}_round0/train.tsv")
    wildcard_constraints:
        loop=checkpoint_names("dpo_st", "st"),
    threads: settings.values.threads.train
    resources:
        **training_needs("dpo_st_sft", hours(12)),
    params:
        **training_params(run("{loop}_round0"), "dpo_st.sft"),
        form=dpo_st_form,
        labelled=labeled_count,
    message:
        "Warming up {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        training(TRAIN_ROUND, "--labelled {params.labelled}")


rule sample_round:
    input:
        model=sampled_model,
        data=split_for("train"),
    output:
        temp(run("{loop}_round{round}/shards/trajectories_{shard}.jsonl")),
    log:
        logs("{loop}_round{round}/sample_{shard}.log"),
    benchmark:
        benchmarks("{loop}_round{round}/sample/{shard}.tsv")
    wildcard_constraints:
        loop=checkpoint_names("dpo", "dpo_st", "st"),
    threads: settings.values.threads.sample
    resources:
        **to_decode(8),
    params:
        **common_params(),
        form=dpo_st_form,
        questions=sampled_questions,
        options=sampling_options,
        speed=sampling_speed,
        shards=round_shards,
    message:
        "Sampling solutions of {wildcards.task} for {wildcards.loop}_round{wildcards.round} of {wildcards.model},"
        " seed {wildcards.seed}, shard {wildcards.shard}"
    shell:
        on_devices(
            "sample_round {TASK} {MODEL} {params.form} --model {input.model} --data {input.data} {params.questions}"
            " {SEED} {SHARD} --output {output} {OPTIONS}"
        )


rule gather_round:
    input:
        shards_of(run("{loop}_round{round}/shards/trajectories_{shard}.jsonl"), round_shards),
    output:
        run("{loop}_round{round}/trajectories.jsonl"),
    log:
        logs("{loop}_round{round}/gather.log"),
    wildcard_constraints:
        loop=checkpoint_names("dpo", "dpo_st", "st"),
    localrule: True
    message:
        "Gathering the shards of {output}"
    shell:
        program("gather_rows {input} --output {output}")


rule make_preferences:
    """Pairs of a right and a wrong solution from the samples of all rounds so far."""
    input:
        data=split_for("train"),
        tokenizer=warm_up_folder,
        trajectories=samples_so_far,
    output:
        pairs=run("{loop}_round{round}/pairs.jsonl"),
        report=run("{loop}_round{round}/pairs.json"),
    log:
        logs("{loop}_round{round}/make.log"),
    benchmark:
        benchmarks("{loop}_round{round}/make.tsv")
    wildcard_constraints:
        loop=checkpoint_names("dpo"),
    threads: 2
    resources:
        mem_mb=memory(8000),
        runtime=hours(1, gpus=no_gpu),
    params:
        task=task_digest,
        form=dpo_st_form,
        labelled=labeled_count,
        questions=sampled_questions,
        options=options("dpo_st.pairs"),
    message:
        "Making preference pairs of {wildcards.task} for round {wildcards.round} of {wildcards.model},"
        " seed {wildcards.seed}"
    shell:
        program("make_preferences", FROM_SAMPLES, "{SEED} --output {output.pairs}")


rule train_dpo:
    input:
        model=previous_round_folder,
        pairs=run("{loop}_round{round}/pairs.jsonl"),
    output:
        model=directory(run("{loop}_round{round}/model")),
        report=run("{loop}_round{round}/training.json"),
    log:
        logs("{loop}_round{round}/train.log"),
    benchmark:
        benchmarks("{loop}_round{round}/train.tsv")
    wildcard_constraints:
        loop=checkpoint_names("dpo"),
    threads: settings.values.threads.train
    resources:
        **training_needs("dpo_st_dpo", hours(12)),
    params:
        **training_params(run("{loop}_round{round}"), "dpo_st.dpo"),
        form=dpo_st_form,
    message:
        "Preference optimization of {wildcards.model} on {wildcards.task}, round {wildcards.round},"
        " seed {wildcards.seed}"
    shell:
        training(
            "train_dpo {MODEL} {params.form} --model {input.model} --pairs {input.pairs} --output {output.model}"
            " --report {output.report}"
        )


rule make_pseudo_labels:
    """Right solutions from the samples of all rounds so far, and the references."""
    input:
        data=split_for("train"),
        tokenizer=warm_up_folder,
        trajectories=samples_so_far,
    output:
        labels=run("{loop}_round{round}/pseudo_labels.jsonl"),
        report=run("{loop}_round{round}/pseudo_labels.json"),
    log:
        logs("{loop}_round{round}/make.log"),
    benchmark:
        benchmarks("{loop}_round{round}/make.tsv")
    wildcard_constraints:
        loop=checkpoint_names("dpo_st", "st"),
    threads: 2
    resources:
        mem_mb=memory(8000),
        runtime=hours(1, gpus=no_gpu),
    params:
        task=task_digest,
        form=dpo_st_form,
        labelled=labeled_count,
        questions=sampled_questions,
        options=options("dpo_st.labels"),
    message:
        "Choosing pseudo-labels of {wildcards.task} for {wildcards.loop}_round{wildcards.round} of {wildcards.model},"
        " seed {wildcards.seed}"
    shell:
        program("make_pseudo_labels", FROM_SAMPLES, "--output {output.labels}")


rule train_round:
    input:
        model=round_start_folder,
        train=split_for("train"),
        dev=split_for("dev"),
        labels=run("{loop}_round{round}/pseudo_labels.jsonl"),
    output:
        model=directory(run("{loop}_round{round}/model")),
        report=run("{loop}_round{round}/training.json"),
    log:
        logs("{loop}_round{round}/train.log"),
    benchmark:
        benchmarks("{loop}_round{round}/train.tsv")
    wildcard_constraints:
        loop=checkpoint_names("dpo_st", "st"),
    threads: settings.values.threads.train
    resources:
        **training_needs("dpo_st_sft", hours(12)),
    params:
        **training_params(run("{loop}_round{round}"), "dpo_st.sft"),
        form=dpo_st_form,
    message:
        "Fine-tuning {wildcards.model} on {wildcards.task} for {wildcards.loop}_round{wildcards.round},"
        " seed {wildcards.seed}"
    shell:
        training(TRAIN_ROUND, "--labels {input.labels}")


rule train_sft_continued:
    """Control: the warm-up continued on the references for as many steps as all rounds took together."""
    input:
        model=warm_up_folder,
        train=split_for("train"),
        dev=split_for("dev"),
        trainings=training_reports,
    output:
        model=directory(run("{loop}_round{round}/model")),
        report=run("{loop}_round{round}/training.json"),
    log:
        logs("{loop}_round{round}/train.log"),
    benchmark:
        benchmarks("{loop}_round{round}/train.tsv")
    wildcard_constraints:
        loop=checkpoint_names("sft_continued"),
    threads: settings.values.threads.train
    resources:
        **training_needs("dpo_st_sft", hours(24)),
    params:
        **training_params(run("{loop}_round{round}"), "dpo_st.sft"),
        form=dpo_st_form,
        labelled=labeled_count,
    message:
        "Going on with the references of {wildcards.task} for {wildcards.model}, seed {wildcards.seed}"
    shell:
        training(TRAIN_ROUND, "--labelled {params.labelled} --steps-of {input.trainings}")


rule train_sft_extra:
    """Control: as many additional references as the round has pseudo-labels."""
    input:
        model=base_model_folder,
        train=split_for("train"),
        dev=split_for("dev"),
        labels=lambda w: f"{run_folder(w)}/{main_loop(w)}_round{w.round}/pseudo_labels.json",
    output:
        model=directory(run("{loop}_round{round}/model")),
        report=run("{loop}_round{round}/training.json"),
    log:
        logs("{loop}_round{round}/train.log"),
    benchmark:
        benchmarks("{loop}_round{round}/train.tsv")
    wildcard_constraints:
        loop=checkpoint_names("sft_extra"),
    threads: settings.values.threads.train
    resources:
        **training_needs("dpo_st_sft", hours(12)),
    params:
        **training_params(run("{loop}_round{round}"), "dpo_st.sft"),
        form=dpo_st_form,
        labelled=labeled_count,
    message:
        "Fine-tuning {wildcards.model} on more references of {wildcards.task}, seed {wildcards.seed}"
    shell:
        training(TRAIN_ROUND, "--labelled {params.labelled} --extra-of {input.labels}")


rule report_round:
    """Summary of a round: samples, degenerate cases, pairs, pseudo-labels and trainings."""
    input:
        pairs=lambda w: f"{run_folder(w)}/{step_of(w)}_round{w.round}/pairs.json",
        dpo=lambda w: f"{run_folder(w)}/{step_of(w)}_round{w.round}/training.json",
        labels=run("{loop}_round{round}/pseudo_labels.json"),
        sft=run("{loop}_round{round}/training.json"),
    output:
        run("{loop}_round{round}/round.json"),
    log:
        logs("{loop}_round{round}/report.log"),
    wildcard_constraints:
        loop=checkpoint_names("dpo_st"),
    localrule: True
    message:
        "Reporting round {wildcards.round} of {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        program(
            "report_round --task {wildcards.task} --model {wildcards.model} {SEED} --round {wildcards.round}"
            " --pairs {input.pairs} --dpo {input.dpo} --labels {input.labels} --sft {input.sft} --output {output}"
        )


rule measure_pass_at_k:
    """pass@k on the development split, before and after each round's DPO step."""
    input:
        greedy=predictions_around_dpo("greedy"),
        samples=predictions_around_dpo("samples"),
    output:
        "results/{task}/{model}/dpo_st_pass_at_k.json",
    log:
        "logs/{task}/{model}/dpo_st_pass_at_k.log",
    localrule: True
    params:
        checkpoints=models_around_dpo,
        seeds=system_seeds("dpo_st"),
        preset=settings.preset_name,
    message:
        "Measuring pass@k around the DPO steps of {wildcards.model} on {wildcards.task}"
    shell:
        program(
            "measure_pass_at_k {TASK} {MODEL} {PAPERS} {SEEDS} --checkpoints {params.checkpoints}"
            " --greedy {input.greedy} --samples {input.samples} --output {output}"
        )


rule measure_calculator_speed:
    """Tokens a second with the calculator and without it, of the warm-up on the same questions, in one process."""
    input:
        model=lambda w: speed_folder(w, "model"),
        data=lambda w: data_file(w.task, settings.split(w.task, w.model, "dpo_st_round0", "test")),
    output:
        "results/{task}/{model}/dpo_st_speed.json",
    log:
        "logs/{task}/{model}/dpo_st_speed.log",
    benchmark:
        "benchmarks/{task}/{model}/dpo_st_speed.tsv"
    threads: settings.values.threads.decode
    resources:
        **to_decode(4),
    params:
        **common_params(),
        form=lambda w: option_for_form(settings.form(w.task, w.model, "dpo_st_round0"), w.task),
        options=options("dpo_st_speed"),
        preset=settings.preset_name,
    message:
        "Measuring what the calculator costs {wildcards.model} on {wildcards.task}"
    shell:
        on_devices(
            "measure_calculator_speed --model {input.model} {TASK} {MODEL} {params.form} --data {input.data}"
            " --preset {params.preset} --output {output} {params.options}"
        )


rule plot_rounds:
    input:
        results=figure_results,
    output:
        json="results/figures/dpo_st_rounds.json",
        svg="results/figures/dpo_st_rounds.svg",
    log:
        "logs/figures/dpo_st_rounds.log",
    localrule: True
    message:
        "Drawing accuracy over the rounds of self-training"
    shell:
        program("plot_rounds --results {input.results} {PAPERS} --json {output.json} --svg {output.svg}")
