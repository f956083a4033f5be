"""LaTRO (arXiv 2411.04282): rationales rewarded by the model's own likelihood of the answer, and a baseline."""


rule train_latro:
    input:
        model=latro_start_folder,
        train="results/data/{task}/train.jsonl",
        compare=validation_questions,
    output:
        model=directory(run("{checkpoint}/model")),
        curves=run("{checkpoint}/curves.jsonl"),
        report=run("{checkpoint}/report.json"),
    log:
        logs("{checkpoint}.log"),
    benchmark:
        benchmarks("{checkpoint}.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("latro"),
    threads: settings.values.threads.train
    resources:
        **training_needs("latro", hours(48), memory_to_train_latro),
    params:
        **training_params(run("{checkpoint}"), "latro"),
    message:
        "Training {wildcards.model} on its own rationales for {wildcards.task}, seed {wildcards.seed}"
    shell:
        training(
            "train_latro {MODEL} --model {input.model} --train {input.train} --compare {input.compare}"
            " --output {output.model} --curves {output.curves} --report {output.report}"
        )


rule train_latro_sft:
    """The baseline: fine-tuning from the same start on the same questions."""
    input:
        model=latro_start_folder,
        train="results/data/{task}/train.jsonl",
        dev="results/data/{task}/dev.jsonl",
    output:
        directory(run("{checkpoint}/model")),
    log:
        logs("{checkpoint}.log"),
    benchmark:
        benchmarks("{checkpoint}.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("latro_sft"),
    threads: settings.values.threads.train
    resources:
        **training_needs("latro_sft", hours(12)),
    params:
        **training_params(run("{checkpoint}"), "latro_sft"),
    message:
        "Fine-tuning {wildcards.model} on {wildcards.task} as LaTRO's baseline, seed {wildcards.seed}"
    shell:
        training("train_sft {MODEL} --model {input.model} --train {input.train} --dev {input.dev} --output {output}")


rule plot_latro:
    """Reward, KL, rationale length, finished rationales and accuracy over steps, all seeds in one figure."""
    input:
        latro_curves,
    output:
        "results/figures/latro_{task}_{model}.svg",
    log:
        "logs/figures/latro_{task}_{model}.log",
    wildcard_constraints:
        # Both names may contain underscores; only known names tell where the first one ends.
        task=one_of(settings.tasks),
        model=one_of(settings.models),
    params:
        seeds=system_seeds("latro"),
        preset=settings.preset_name,
    message:
        "Drawing LaTRO's training on {wildcards.task} with {wildcards.model}"
    shell:
        program("plot_latro {TASK} {MODEL} --curves {input} {SEEDS} --output {output}")
