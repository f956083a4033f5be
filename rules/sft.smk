"""Fine-tuning on worked solutions."""


rule train_sft:
    input:
        model=start_folder,
        train="results/data/{task}/train.jsonl",
        dev="results/data/{task}/dev.jsonl",
    output:
        directory(run("{checkpoint}/model")),
    log:
        logs("{checkpoint}.log"),
    benchmark:
        benchmarks("{checkpoint}.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("sft"),
    threads: settings.values.threads.train
    resources:
        **training_needs("sft", hours(12)),
    params:
        **training_params(run("{checkpoint}"), "sft"),
    message:
        "Fine-tuning {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        training("train_sft {MODEL} --model {input.model} --train {input.train} --dev {input.dev} --output {output}")
