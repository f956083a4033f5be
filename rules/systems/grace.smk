"""GRACE (arXiv 2305.14934): a step discriminator trained on sampled wrong solutions, and the verifier baseline."""


rule align_steps:
    input:
        unpack(prompt_examples),
        unpack(embedder_folder),
        data=split_for("train"),
        trajectories=trajectories_file,
    output:
        run("{generator}_{guide}/alignments.jsonl"),
    log:
        logs("{generator}_{guide}/align.log"),
    benchmark:
        benchmarks("{generator}_{guide}/align.tsv")
    wildcard_constraints:
        generator=DECODED,
        guide=checkpoint_names("discriminator"),
    threads: settings.values.threads.align
    resources:
        gpus=needs_gpu,
        mem_mb=memory(16000, needs_gpu),
        runtime=hours(2),
    params:
        options=options("align"),
        embedder=optional_argument(embedder_folder, "--embedder-folder", "embedder"),
        form=form_option,
        family=family_of_model,
        # Equal to `family` without files: a param more would make every job run again.
        embedder_files=noticing(family_of_model, files_of_options("align.embedder")),
    message:
        "Aligning wrong solutions of {wildcards.task} with the references, seed {wildcards.seed}"
    shell:
        on_devices(
            "align_steps {TASK} --data {input.data} --trajectories {input.trajectories} --output {output}"
            " {params.form} --family {params.family} {params.options} {params.embedder}"
        )


rule make_pairs:
    input:
        unpack(entailment_model_folder),
        data=split_for("train"),
        alignments=run("{generator}_{guide}/alignments.jsonl"),
    output:
        run("{generator}_{guide}/pairs.jsonl"),
    log:
        logs("{generator}_{guide}/pair.log"),
    benchmark:
        benchmarks("{generator}_{guide}/pair.tsv")
    wildcard_constraints:
        generator=DECODED,
        guide=checkpoint_names("discriminator"),
    resources:
        gpus=judge_needs_gpu,
        mem_mb=memory(8000, judge_needs_gpu),
        runtime=hours(1, gpus=judge_needs_gpu),
    params:
        options=options("pair"),
        entailment=entailment_argument,
        # Equal to `entailment` without files: a param more would make every job run again.
        entailment_files=noticing(entailment_argument, files_of_entailment_model),
    message:
        "Making training pairs for {wildcards.task}, seed {wildcards.seed}"
    shell:
        on_devices(
            "make_pairs {TASK} --data {input.data} --alignments {input.alignments} {SEED} --output {output}"
            " {params.options} {params.entailment}"
        )


rule train_discriminator:
    input:
        unpack(prompt_examples),
        unpack(backbone_folder("discriminator")),
        generator=generator_folder,
        pairs=run("{generator}_{guide}/pairs.jsonl"),
    output:
        model=directory(run("{generator}_{guide}/model")),
        report=run("{generator}_{guide}/pair_accuracy.json"),
    log:
        logs("{generator}_{guide}/train.log"),
    benchmark:
        benchmarks("{generator}_{guide}/train.tsv")
    wildcard_constraints:
        generator=DECODED,
        guide=checkpoint_names("discriminator"),
    threads: settings.values.threads.train
    resources:
        **training_needs("discriminator", hours(12, "discriminator")),
    params:
        **training_params(run("{generator}_{guide}"), "discriminator", files=files_of_options("discriminator.backbone")),
        backbone=optional_argument(backbone_folder("discriminator"), "--backbone", "backbone"),
        form=form_option,
    message:
        "Training the step discriminator for {wildcards.generator} of {wildcards.model} on {wildcards.task},"
        " seed {wildcards.seed}"
    shell:
        training(
            "train_discriminator {MODEL} --generator {input.generator} --pairs {input.pairs} --output {output.model}"
            " --report {output.report} {params.form} {params.backbone}"
        )


rule train_verifier:
    input:
        unpack(backbone_folder("verifier")),
        generator=generator_folder,
        data=split_for("train"),
        trajectories=trajectories_file,
    output:
        model=directory(run("{generator}_{guide}/model")),
        report=run("{generator}_{guide}/report.json"),
    log:
        logs("{generator}_{guide}/train.log"),
    benchmark:
        benchmarks("{generator}_{guide}/train.tsv")
    wildcard_constraints:
        generator=DECODED,
        guide=checkpoint_names("verifier"),
    threads: settings.values.threads.train
    resources:
        **training_needs("verifier", hours(12, "verifier")),
    params:
        **training_params(run("{generator}_{guide}"), "verifier", files=files_of_options("verifier.backbone")),
        backbone=optional_argument(backbone_folder("verifier"), "--backbone", "backbone"),
    message:
        "Training the verifier for {wildcards.generator} of {wildcards.model} on {wildcards.task},"
        " seed {wildcards.seed}"
    shell:
        training(
            "train_verifier {MODEL} --generator {input.generator} --data {input.data} --output {output.model}"
            " --trajectories {input.trajectories} --report {output.report} {params.backbone}"
        )


rule sweep_guided:
    """The discriminator's weight and the temperature, chosen on the development split."""
    input:
        unpack(prompt_examples),
        model=generator_folder,
        discriminator=discriminator_folder,
        dev=split_for("dev"),
    output:
        sweep=run("{generator}_{guide}/sweep.json"),
        choices=run("{generator}_{guide}/choices.json"),
    log:
        logs("{generator}_{guide}/sweep.log"),
    benchmark:
        benchmarks("{generator}_{guide}/sweep.tsv")
    wildcard_constraints:
        generator=DECODED,
        guide=checkpoint_names("discriminator"),
    threads: settings.values.threads.decode
    resources:
        **to_decode(24, "discriminator"),
    params:
        **common_params("grace"),
        sweep=sweep_arguments,
        form=form_option,
    message:
        "Choosing the discriminator's weight on the development split of {wildcards.task}, seed {wildcards.seed}"
    shell:
        on_devices(
            "sweep_guided {TASK} {MODEL} --model {input.model} --discriminator {input.discriminator} {SEED}"
            " --data {input.dev} --output {output.sweep} --choices {output.choices}"
            " {params.form} {OPTIONS} {params.sweep}"
        )


rule measure_step_choice:
    """The discriminator's report: pair accuracy, and how often it picks the right step among several samples."""
    input:
        unpack(prompt_examples),
        unpack(training_report),
        model=generator_folder,
        discriminator=discriminator_folder,
        pairs=run("{generator}_{guide}/pairs.jsonl"),
        sampling=lambda w: trajectories_file(w, "trajectories.counts.jsonl"),
    output:
        run("{generator}_{guide}/report.json"),
    log:
        logs("{generator}_{guide}/step_choice.log"),
    benchmark:
        benchmarks("{generator}_{guide}/step_choice.tsv")
    wildcard_constraints:
        generator=DECODED,
        guide=checkpoint_names("discriminator"),
    threads: settings.values.threads.decode
    resources:
        **to_decode(4, "discriminator"),
    params:
        **common_params("grace"),
        report=optional_argument(training_report, "--training-report", "report"),
        form=form_option,
    message:
        "Measuring how often the right step is chosen on {wildcards.task}, seed {wildcards.seed}"
    shell:
        on_devices(
            "measure_step_choice {TASK} {MODEL} --model {input.model} --discriminator {input.discriminator} {SEED}"
            " --pairs {input.pairs} --sampling {input.sampling} --output {output}"
            " {params.form} {OPTIONS} {params.report}"
        )
