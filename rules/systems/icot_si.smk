"""Stepwise internalization (arXiv 2405.14838): the tokens of the steps are removed one after the other."""


rule train_icot_si:
    input:
        model=start_folder,
        train=split_for("train"),
        dev=split_for("dev"),
    output:
        directory(run("{checkpoint}/model")),
    log:
        logs("{checkpoint}.log"),
    benchmark:
        benchmarks("{checkpoint}.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("icot_si"),
    threads: settings.values.threads.train
    resources:
        **training_needs("icot_si", hours(48)),
    params:
        **training_params(run("{checkpoint}"), "icot_si"),
    message:
        "Training {wildcards.model} on {wildcards.task} while its steps are removed, seed {wildcards.seed}"
    shell:
        training(
            "train_icot_si {MODEL} --model {input.model} --train {input.train} --dev {input.dev} --output {output}"
        )
