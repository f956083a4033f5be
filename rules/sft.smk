"""Fine-tuning on worked solutions."""


rule train_sft:
    input:
        model=where_it_starts,
        train="results/data/{task}/train.jsonl",
        dev="results/data/{task}/dev.jsonl",
    output:
        directory(run("{checkpoint}/model")),
    log:
        logs("{checkpoint}.log"),
    benchmark:
        benchmarks("{checkpoint}.tsv")
    wildcard_constraints:
        checkpoint=made_as("sft"),
    threads: settings.values.threads.train
    resources:
        **training_needs("sft", hours(12)),
    params:
        **trained_in(run("{checkpoint}"), "sft"),
    message:
        "Fine-tuning {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        training("train_sft {MODEL} --model {input.model} --train {input.train} --dev {input.dev} --output {output}")
