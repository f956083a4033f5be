"""Implicit chain of thought (arXiv 2311.01460): teacher, student, emulator, the coupled pair, and baselines."""


rule train_no_cot:
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
        checkpoint=checkpoint_names("no_cot"),
    threads: settings.values.threads.train
    resources:
        **training_needs("no_cot", hours(24)),
    params:
        **training_params(run("{checkpoint}"), "no_cot"),
        layout="no_cot",
    message:
        "Training {wildcards.model} to answer {wildcards.task} at once, seed {wildcards.seed}"
    shell:
        training(
            "train_cot --layout {params.layout} {MODEL} --model {input.model} --train {input.train} --dev {input.dev}"
            " --output {output}"
        )


use rule train_no_cot as train_explicit_cot with:
    output:
        directory(run("{checkpoint}/model")),
    log:
        logs("{checkpoint}.log"),
    benchmark:
        benchmarks("{checkpoint}.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("explicit_cot"),
    resources:
        **training_needs("explicit_cot", hours(24)),
    params:
        **training_params(run("{checkpoint}"), "explicit_cot"),
        layout="explicit_cot",
    message:
        "Training {wildcards.model} to write the steps of {wildcards.task}, seed {wildcards.seed}"


use rule train_no_cot as train_no_cot_deep with:
    output:
        directory(run("{checkpoint}/model")),
    log:
        logs("{checkpoint}.log"),
    benchmark:
        benchmarks("{checkpoint}.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("no_cot_deep"),
    resources:
        **training_needs("no_cot_deep", hours(24)),
    params:
        **training_params(run("{checkpoint}"), "no_cot_deep"),
        layout="no_cot --deep",
    message:
        "Training a no-CoT control of the size of emulator and student on {wildcards.task}, seed {wildcards.seed}"


use rule train_no_cot as train_no_cot_from_teacher with:
    output:
        directory(run("{checkpoint}/model")),
    log:
        logs("{checkpoint}.log"),
    benchmark:
        benchmarks("{checkpoint}.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("no_cot_from_teacher"),
    resources:
        **training_needs("no_cot_from_teacher", hours(24)),
    params:
        **training_params(run("{checkpoint}"), "no_cot_from_teacher"),
        layout="no_cot",
    message:
        "Training a no-CoT control from the teacher's weights on {wildcards.task}, seed {wildcards.seed}"


rule cache_states:
    """The teacher's states, computed once for both stages that read them; the log states their size first."""
    input:
        teacher=decoded_checkpoint_folder,
        train=split_for("train"),
        dev=split_for("dev"),
    output:
        directory(run("{checkpoint}/states")),
    log:
        logs("{checkpoint}/states.log"),
    benchmark:
        benchmarks("{checkpoint}/states.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("explicit_cot"),
    threads: settings.values.threads.decode
    resources:
        **to_decode(8),
    params:
        **common_params("icot_states"),
        longest=row_length_options,
    message:
        "Computing the teacher's states on {wildcards.task}, seed {wildcards.seed}"
    shell:
        on_devices(
            "cache_states {TASK} --teacher {input.teacher} --train {input.train} --dev {input.dev} --output {output}"
            " {OPTIONS} {params.longest}"
        )


rule train_icot_student:
    """Mind-reading: the student answers from the teacher's states."""
    input:
        unpack(cached_states),
        model=start_folder,
        teacher=part_folder("explicit_cot"),
        train=split_for("train"),
        dev=split_for("dev"),
    output:
        directory(run("{checkpoint}/model")),
    log:
        logs("{checkpoint}.log"),
    benchmark:
        benchmarks("{checkpoint}.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("icot_student"),
    threads: settings.values.threads.train
    resources:
        **training_needs("icot_student", hours(48)),
    params:
        **training_params(run("{checkpoint}"), "icot_student", names_model=False),
        of_states=options("icot_states", lambda w: part_of(w, "explicit_cot")),
        states=optional_argument(cached_states, "--states", "states"),
    message:
        "Training the student to read the teacher's states on {wildcards.task}, seed {wildcards.seed}"
    shell:
        training("train_icot_student", FROM_STATES)


rule train_icot_emulator:
    """Thought emulation: the emulator predicts the teacher's states from the question."""
    input:
        unpack(cached_states),
        model=start_folder,
        teacher=part_folder("explicit_cot"),
        train=split_for("train"),
        dev=split_for("dev"),
    output:
        directory(run("{checkpoint}/model")),
    log:
        logs("{checkpoint}.log"),
    benchmark:
        benchmarks("{checkpoint}.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("icot_emulator"),
    threads: settings.values.threads.train
    resources:
        **training_needs("icot_emulator", hours(48)),
    params:
        **training_params(run("{checkpoint}"), "icot_emulator", names_model=False),
        of_states=options("icot_states", lambda w: part_of(w, "explicit_cot")),
        states=optional_argument(cached_states, "--states", "states"),
    message:
        "Training the emulator of the teacher's states on {wildcards.task}, seed {wildcards.seed}"
    shell:
        training("train_icot_emulator", FROM_STATES)


rule train_icot:
    """Coupling: emulator and student trained jointly on the answer; or the authors' released pair, unchanged."""
    input:
        unpack(icot_inputs),
    output:
        model=directory(run("{checkpoint}/model")),
        report=run("{checkpoint}/report.json"),
    log:
        logs("{checkpoint}.log"),
    benchmark:
        benchmarks("{checkpoint}.tsv")
    wildcard_constraints:
        checkpoint=checkpoint_names("icot"),
    threads: settings.values.threads.train
    resources:
        **training_needs("icot", hours(48)),
    params:
        **training_params(
            run("{checkpoint}"),
            "icot",
            names_model=False,
            files=files_of_options("icot.released_student", "icot.released_emulator"),
        ),
        made_from=inputs_as_options(icot_inputs),
    message:
        "Training emulator and student together on {wildcards.task}, seed {wildcards.seed}"
    shell:
        training("train_icot {params.made_from} --output {output.model} --report {output.report}")


rule train_icot_undistilled:
    """A control: emulator and student from the base model, trained together on answers alone."""
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
        checkpoint=checkpoint_names("icot_undistilled"),
    threads: settings.values.threads.train
    resources:
        **training_needs("icot_undistilled", hours(48)),
    params:
        **training_params(run("{checkpoint}"), "icot_undistilled", names_model=False),
    message:
        "Training emulator and student on the answers of {wildcards.task} alone, seed {wildcards.seed}"
    shell:
        training(
            "train_icot_undistilled --model {input.model} --train {input.train} --dev {input.dev} --output {output}"
        )


rule measure_icot_speed:
    """Latency and throughput of the three ways on the same questions, in one process; or of a released pair alone."""
    input:
        unpack(timed_checkpoints),
        data="results/data/{task}/test.jsonl",
    output:
        "results/{task}/{model}/icot_speed.json",
    log:
        "logs/{task}/{model}/icot_speed.log",
    benchmark:
        "benchmarks/{task}/{model}/icot_speed.tsv"
    threads: settings.values.threads.decode
    resources:
        **to_decode(4),
    params:
        **common_params(),
        timed=inputs_as_options(timed_checkpoints),
        options=options("icot_speed"),
        preset=settings.preset_name,
    message:
        "Measuring how fast {wildcards.model} answers {wildcards.task}"
    shell:
        on_devices(
            "measure_icot_speed {params.timed} {TASK} {MODEL} --data {input.data} --preset {params.preset}"
            " --output {output} {params.options}"
        )


rule plot_icot:
    input:
        **accuracies_and_speeds(),
    output:
        "results/figures/icot_accuracy_vs_speed.svg",
    log:
        "logs/figures/icot_accuracy_vs_speed.log",
    localrule: True
    message:
        "Drawing accuracy against speed"
    shell:
        program("plot_icot --results {input.results} --speeds {input.speeds} --svg {output}")


rule icot:
    """All results of implicit chain of thought for the tasks of the preset."""
    input:
        icot_targets(),
    localrule: True
