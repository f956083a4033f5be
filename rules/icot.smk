"""Implicit chain of thought (arXiv 2311.01460): teacher, student, emulator, both coupled, and what they are compared with."""


rule train_no_cot:
    input:
        model=the_base_model,
        train=icot_data("train"),
        dev=icot_data("dev"),
    output:
        directory("results/{task}/{model}/seed{seed}/no_cot/model"),
    log:
        "logs/{task}/{model}/seed{seed}/no_cot.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/no_cot.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("no_cot"),
        mem_mb=memory_to_train("no_cot"),
        runtime=hours(24),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("no_cot"),
        speed=speed("no_cot"),
        layout="no_cot",
        state="results/{task}/{model}/seed{seed}/no_cot/state",
    message:
        "Training {wildcards.model} to answer {wildcards.task} at once, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_cot.py --layout {params.layout} --model {input.model}"
        " --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml"
        " --train {input.train} --dev {input.dev} --seed {wildcards.seed} --state {params.state} --output {output}"
        " {params.options} {params.speed} > {log} 2>&1"


use rule train_no_cot as train_explicit_cot with:
    output:
        directory("results/{task}/{model}/seed{seed}/explicit_cot/model"),
    log:
        "logs/{task}/{model}/seed{seed}/explicit_cot.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/explicit_cot.tsv"
    resources:
        **to_train("explicit_cot"),
        mem_mb=memory_to_train("explicit_cot"),
        runtime=hours(24),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("explicit_cot"),
        speed=speed("explicit_cot"),
        layout="explicit_cot",
        state="results/{task}/{model}/seed{seed}/explicit_cot/state",
    message:
        "Training {wildcards.model} to write the steps of {wildcards.task}, seed {wildcards.seed}"


use rule train_no_cot as train_no_cot_deep with:
    output:
        directory("results/{task}/{model}/seed{seed}/no_cot_deep/model"),
    log:
        "logs/{task}/{model}/seed{seed}/no_cot_deep.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/no_cot_deep.tsv"
    resources:
        **to_train("no_cot_deep"),
        mem_mb=memory_to_train("no_cot_deep"),
        runtime=hours(24),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("no_cot_deep"),
        speed=speed("no_cot_deep"),
        layout="no_cot --deep",
        state="results/{task}/{model}/seed{seed}/no_cot_deep/state",
    message:
        "Training a no-CoT control of the size of emulator and student on {wildcards.task}, seed {wildcards.seed}"


use rule train_no_cot as train_no_cot_from_teacher with:
    input:
        model=the_teacher,
        train=icot_data("train"),
        dev=icot_data("dev"),
    output:
        directory("results/{task}/{model}/seed{seed}/no_cot_from_teacher/model"),
    log:
        "logs/{task}/{model}/seed{seed}/no_cot_from_teacher.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/no_cot_from_teacher.tsv"
    resources:
        **to_train("no_cot_from_teacher"),
        mem_mb=memory_to_train("no_cot_from_teacher"),
        runtime=hours(24),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("no_cot_from_teacher"),
        speed=speed("no_cot_from_teacher"),
        layout="no_cot",
        state="results/{task}/{model}/seed{seed}/no_cot_from_teacher/state",
    message:
        "Training a no-CoT control from the teacher's weights on {wildcards.task}, seed {wildcards.seed}"


rule cache_states:
    """The teacher's states, once for both stages that read them; the log tells their size before they are computed."""
    input:
        teacher=the_teacher,
        train=icot_data("train"),
        dev=icot_data("dev"),
    output:
        directory("results/{task}/{model}/seed{seed}/explicit_cot/states"),
    log:
        "logs/{task}/{model}/seed{seed}/icot_states.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/icot_states.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.decode
    resources:
        **to_decode(8),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("icot_states"),
        speed=speed("icot_states"),
        longest=longest_row,
    message:
        "Computing the teacher's states on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/cache_states.py --teacher {input.teacher}"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --train {input.train} --dev {input.dev} --output {output}"
        " {params.options} {params.speed} {params.longest} > {log} 2>&1"


rule train_icot_student:
    """Mind-reading: the student answers from the teacher's states."""
    input:
        unpack(the_states),
        model=the_base_model,
        teacher=the_teacher,
        train=icot_data("train"),
        dev=icot_data("dev"),
    output:
        directory("results/{task}/{model}/seed{seed}/icot_student/model"),
    log:
        "logs/{task}/{model}/seed{seed}/icot_student.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/icot_student.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("icot_student"),
        mem_mb=memory_to_train("icot_student"),
        runtime=hours(48),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("icot_student"),
        speed=speed("icot_student"),
        of_states=options("icot_states"),
        states=option_from(the_states, "--states", "states"),
        state="results/{task}/{model}/seed{seed}/icot_student/state",
    message:
        "Training the student to read the teacher's states on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_icot_student.py --model {input.model}"
        " --teacher {input.teacher} {params.states} --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml"
        " --train {input.train} --dev {input.dev} --seed {wildcards.seed} --state {params.state} --output {output}"
        " {params.options} {params.speed} {params.of_states} > {log} 2>&1"


rule train_icot_emulator:
    """Thought emulation: the emulator predicts the teacher's states from the question."""
    input:
        unpack(the_states),
        model=the_base_model,
        teacher=the_teacher,
        train=icot_data("train"),
        dev=icot_data("dev"),
    output:
        directory("results/{task}/{model}/seed{seed}/icot_emulator/model"),
    log:
        "logs/{task}/{model}/seed{seed}/icot_emulator.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/icot_emulator.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("icot_emulator"),
        mem_mb=memory_to_train("icot_emulator"),
        runtime=hours(48),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("icot_emulator"),
        speed=speed("icot_emulator"),
        of_states=options("icot_states"),
        states=option_from(the_states, "--states", "states"),
        state="results/{task}/{model}/seed{seed}/icot_emulator/state",
    message:
        "Training the emulator of the teacher's states on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_icot_emulator.py --model {input.model}"
        " --teacher {input.teacher} {params.states} --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml"
        " --train {input.train} --dev {input.dev} --seed {wildcards.seed} --state {params.state} --output {output}"
        " {params.options} {params.speed} {params.of_states} > {log} 2>&1"


rule train_icot:
    """Coupling: emulator and student are trained together on the answer; or the authors' pair is taken as it is."""
    input:
        unpack(what_icot_is_made_from),
    output:
        directory("results/{task}/{model}/seed{seed}/icot/model"),
    log:
        "logs/{task}/{model}/seed{seed}/icot.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/icot.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("icot"),
        mem_mb=memory_to_train("icot"),
        runtime=hours(48),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        made_from=each_as_option(what_icot_is_made_from),
        options=options("icot"),
        speed=speed("icot"),
        state="results/{task}/{model}/seed{seed}/icot/state",
    message:
        "Training emulator and student together on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_icot.py {params.made_from}"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --seed {wildcards.seed} --state {params.state}"
        " --output {output} {params.options} {params.speed} > {log} 2>&1"


rule measure_icot_speed:
    """Latency and throughput of the three ways on the same questions, in one process."""
    input:
        no_cot=timed_checkpoint("no_cot"),
        explicit_cot=timed_checkpoint("explicit_cot"),
        icot=timed_checkpoint("icot"),
        data="results/data/{task}/test.jsonl",
    output:
        "results/{task}/{model}/icot_speed.json",
    log:
        "logs/{task}/{model}/icot_speed.log",
    benchmark:
        "benchmarks/{task}/{model}/icot_speed.tsv"
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.decode
    resources:
        **to_decode(4),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("icot_speed"),
        preset=settings.preset_name,
    message:
        "Measuring the speed of the three ways on {wildcards.task}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/measure_icot_speed.py --no-cot {input.no_cot}"
        " --explicit-cot {input.explicit_cot} --icot {input.icot} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --data {input.data} --preset {params.preset} --output {output}"
        " {params.options} > {log} 2>&1"


rule plot_icot:
    input:
        **accuracies_and_speeds(),
    output:
        "results/figures/icot_accuracy_vs_speed.svg",
    log:
        "logs/figures/icot_accuracy_vs_speed.log",
    conda:
        "../envs/retrace.yaml"
    message:
        "Drawing accuracy against speed"
    shell:
        "python $RETRACE_SCRIPTS/plot_icot.py --results {input.results} --speeds {input.speeds} --svg {output} > {log} 2>&1"


rule icot:
    """All results of implicit chain of thought for the tasks of the preset."""
    input:
        icot_targets(),
