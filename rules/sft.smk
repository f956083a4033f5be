"""Fine-tuning on worked solutions."""


rule train_sft:
    input:
        model=the_base_model,
        train="results/data/{task}/train.jsonl",
        dev="results/data/{task}/dev.jsonl",
    output:
        directory(run("sft/model")),
    log:
        logs("sft.log"),
    benchmark:
        benchmarks("sft.tsv")
    threads: settings.values.threads.train
    resources:
        **training_needs("sft", hours(12)),
    params:
        **trained_in(run("sft"), "sft"),
    message:
        "Fine-tuning {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        training("train_sft {MODEL} --model {input.model} --train {input.train} --dev {input.dev} --output {output}")
