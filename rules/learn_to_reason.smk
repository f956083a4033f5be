"""Learn-to-Reason (arXiv 2310.13332): rounds of exam, a teacher's feedback and training; the exam itself is a decoder."""

# Only a local teacher computes; the others are asked from where Snakemake runs, which has a network and the key.
if settings.values.teacher.kind != "local":

    localrules:
        ask_teacher,


rule mark_exam:
    """Which answers of the exam are mistakes."""
    input:
        unpack(examples_in_prompts("checkpoint")),
        predictions="results/{task}/{model}/seed{seed}/{checkpoint}/exam/train.jsonl",
        data="results/data/{task}/train.jsonl",
    output:
        marks="results/{task}/{model}/seed{seed}/{checkpoint}/exam/marks.jsonl",
        report="results/{task}/{model}/seed{seed}/{checkpoint}/exam/marks.json",
    log:
        "logs/{task}/{model}/seed{seed}/{checkpoint}/exam/mark.log",
    conda:
        "../envs/retrace.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        task=what_defines_the_task,
        form=text_form("checkpoint"),
    message:
        "Marking the exam of {wildcards.checkpoint} of {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/mark_exam.py --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --data {input.data}"
        " {params.form} --predictions {input.predictions} --output {output.marks} --report {output.report} > {log} 2>&1"


rule mark_released_mistakes:
    """Mistakes that somebody released, in place of an exam."""
    input:
        unpack(examples_in_prompts(the_trained_round)),
        released=the_released_mistakes,
        data="results/data/{task}/train.jsonl",
    output:
        marks="results/{task}/{model}/seed{seed}/{variant}_round{round}/released_marks.jsonl",
        report="results/{task}/{model}/seed{seed}/{variant}_round{round}/released_marks.json",
    log:
        "logs/{task}/{model}/seed{seed}/{variant}_round{round}/mark.log",
    wildcard_constraints:
        variant=ANY_VARIANT,
        round=ROUND,
    conda:
        "../envs/retrace.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        task=what_defines_the_task,
        form=form_of_the_round,
    message:
        "Marking released mistakes of {wildcards.task}, round {wildcards.round}"
    shell:
        "python $RETRACE_SCRIPTS/mark_exam.py --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --data {input.data}"
        " {params.form} --released {input.released:q} --output {output.marks} --report {output.report} > {log} 2>&1"


rule ask_teacher:
    """Rationales for the mistakes of the round's student; only those with the right final answer are kept."""
    input:
        unpack(as_many_as),
        unpack(the_local_teacher),
        unpack(the_released_rationales),
        data="results/data/{task}/train.jsonl",
        marks=the_marks,
    output:
        rationales="results/{task}/{model}/seed{seed}/{variant}_round{round}/rationales.jsonl",
        report="results/{task}/{model}/seed{seed}/{variant}_round{round}/feedback.json",
        released=directory("results/{task}/{model}/seed{seed}/{variant}_round{round}/released"),
    log:
        "logs/{task}/{model}/seed{seed}/{variant}_round{round}/ask.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{variant}_round{round}/ask.tsv"
    wildcard_constraints:
        variant=ANY_VARIANT,
        round=ROUND,
    conda:
        "../envs/retrace.yaml"
    resources:
        gpus=teacher_needs_gpu,
        mem_mb=memory_of_the_teacher,
        runtime=hours(24, gpus=teacher_needs_gpu),
    params:
        task=what_defines_the_task,
        asked=what_the_teacher_is_asked,
        speed=speed("teacher"),
        template=the_template,
        text=what_the_template_says,
        like=option_from(as_many_as, "--random-like", "like"),
        local=local_teacher_words,
        released=option_from(the_released_rationales, "--released", "released"),
    message:
        "Asking the teacher about {wildcards.task}, round {wildcards.round} of {wildcards.variant} of {wildcards.model}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/ask_teacher.py"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --data {input.data} --marks {input.marks}"
        " --template-file $RETRACE_CONFIG/prompts/{params.template:q}.yaml --round {wildcards.round} --seed {wildcards.seed}"
        " {params.asked} {params.speed} {params.like} {params.local} {params.released} --output {output.rationales}"
        " --report {output.report} --released-folder {output.released} > {log} 2>&1"


rule price_of_the_teacher:
    """How many requests a round would send, and about how many tokens: nothing is sent. Printed, and kept as JSON."""
    input:
        unpack(as_many_as),
        unpack(the_local_teacher),
        unpack(the_released_rationales),
        data="results/data/{task}/train.jsonl",
        marks=the_marks,
    output:
        "results/{task}/{model}/seed{seed}/{variant}_round{round}/price.json",
    log:
        "logs/{task}/{model}/seed{seed}/{variant}_round{round}/price.log",
    wildcard_constraints:
        variant=ANY_VARIANT,
        round=ROUND,
    conda:
        "../envs/retrace.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        task=what_defines_the_task,
        asked=what_the_teacher_is_asked,
        speed=speed("teacher"),
        template=the_template,
        text=what_the_template_says,
        like=option_from(as_many_as, "--random-like", "like"),
        local=local_teacher_words,
        released=option_from(the_released_rationales, "--released", "released"),
        prices=prices_of_the_teacher,
    message:
        "What asking the teacher about {wildcards.task} would cost, round {wildcards.round} of {wildcards.variant} of {wildcards.model}"
    shell:
        "python $RETRACE_SCRIPTS/ask_teacher.py --dry-run"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --data {input.data} --marks {input.marks}"
        " --template-file $RETRACE_CONFIG/prompts/{params.template:q}.yaml --round {wildcards.round} --seed {wildcards.seed}"
        " {params.asked} {params.speed} {params.like} {params.local} {params.released} --report {output} 2> {log} | tee -a {log}"


rule train_learn_to_reason:
    """One round: from the last round's student, on the teacher's rationales and the student's own mistakes."""
    input:
        unpack(examples_in_prompts(the_trained_round)),
        model=the_student,
        train="results/data/{task}/train.jsonl",
        dev=split_to_choose_on,
        rationales=rationales_to_learn,
        marks=the_marks,
    output:
        model=directory("results/{task}/{model}/seed{seed}/{variant}_round{round}/model"),
        report="results/{task}/{model}/seed{seed}/{variant}_round{round}/training.json",
    log:
        "logs/{task}/{model}/seed{seed}/{variant}_round{round}/train.log",
    benchmark:
        "benchmarks/{task}/{model}/seed{seed}/{variant}_round{round}/train.tsv"
    wildcard_constraints:
        variant=ANY_VARIANT,
        round=ROUND,
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.train
    resources:
        **to_train("learn_to_reason"),
        mem_mb=memory_to_train("learn_to_reason"),
        runtime=hours(24),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        options=options("learn_to_reason"),
        speed=speed("learn_to_reason"),
        otherwise=trained_otherwise,
        examples=option_from(examples_in_prompts(the_trained_round), "--examples", "examples"),
        state="results/{task}/{model}/seed{seed}/{variant}_round{round}/state",
    message:
        "Training round {wildcards.round} of {wildcards.variant} of {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} {resources.launch} $RETRACE_SCRIPTS/train_learn_to_reason.py --model {input.model}"
        " --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml"
        " --train {input.train} --dev {input.dev} --rationales {input.rationales} --marks {input.marks} --seed {wildcards.seed}"
        " --state {params.state} --output {output.model} --report {output.report} {params.options} {params.speed} {params.otherwise} {params.examples}"
        " > {log} 2>&1"


rule plot_learn_to_reason:
    input:
        results=results_of_learning,
    output:
        json="results/figures/learn_to_reason_{task}.json",
        svg="results/figures/learn_to_reason_{task}.svg",
    log:
        "logs/figures/learn_to_reason_{task}.log",
    conda:
        "../envs/retrace.yaml"
    message:
        "Drawing accuracy over the rounds of Learn-to-Reason on {wildcards.task}"
    shell:
        "python $RETRACE_SCRIPTS/plot_rounds.py --results {input.results} --papers $RETRACE_CONFIG/papers"
        " --json {output.json} --svg {output.svg} > {log} 2>&1"
