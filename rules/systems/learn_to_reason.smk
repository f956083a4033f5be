"""Learn-to-Reason (arXiv 2310.13332): rounds of exam, a teacher's feedback and training; the exam is a decoder."""


rule mark_exam:
    """Which answers of the exam are mistakes."""
    input:
        unpack(prompt_examples),
        predictions=run("{checkpoint}/exam/train.jsonl"),
        data="results/data/{task}/train.jsonl",
    output:
        marks=run("{checkpoint}/exam/marks.jsonl"),
        report=run("{checkpoint}/exam/marks.json"),
    log:
        logs("{checkpoint}/exam/mark.log"),
    localrule: True
    resources:
        **SMALL_JOB,
    params:
        task=task_digest,
        form=form_option,
    message:
        "Marking the exam of {wildcards.checkpoint} of {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        program(
            "mark_exam {TASK} --data {input.data} {params.form} --predictions {input.predictions}"
            " --output {output.marks} --report {output.report}"
        )


rule mark_released_mistakes:
    """Released mistakes, instead of an exam."""
    input:
        unpack(prompt_examples),
        released=released_mistakes_file,
        data="results/data/{task}/train.jsonl",
    output:
        marks=run("{loop}_round{round}/released_marks.jsonl"),
        report=run("{loop}_round{round}/released_marks.json"),
    log:
        logs("{loop}_round{round}/mark.log"),
    wildcard_constraints:
        loop=checkpoint_names("learn_to_reason"),
    localrule: True
    resources:
        **SMALL_JOB,
    params:
        task=noticing(task_digest, released_mistakes_files),
        form=form_option,
    message:
        "Marking released mistakes of {wildcards.task}, round {wildcards.round}"
    shell:
        program(
            "mark_exam {TASK} --data {input.data} {params.form} --released {input.released:q}"
            " --output {output.marks} --report {output.report}"
        )


rule ask_teacher:
    """Rationales for the mistakes of the round's student; only those with the right final answer are kept."""
    input:
        unpack(teacher_inputs),
        data="results/data/{task}/train.jsonl",
        marks=marks_file,
    output:
        rationales=run("{loop}_round{round}/rationales.jsonl"),
        report=run("{loop}_round{round}/feedback.json"),
        released=directory(run("{loop}_round{round}/released")),
    log:
        logs("{loop}_round{round}/ask.log"),
    benchmark:
        benchmarks("{loop}_round{round}/ask.tsv")
    wildcard_constraints:
        loop=checkpoint_names("learn_to_reason"),
    # Only a local teacher computes. Others are called from where Snakemake runs, which has network access and the key.
    localrule: settings.values.teacher.kind != "local"
    resources:
        gpus=teacher_needs_gpu,
        mem_mb=teacher_memory,
        runtime=hours(24, gpus=teacher_needs_gpu),
    params:
        **ASKING,
    message:
        "Asking the teacher about {wildcards.task}, round {wildcards.round} of {wildcards.loop} of"
        " {wildcards.model}, seed {wildcards.seed}"
    shell:
        on_devices(
            ASK,
            "--output {output.rationales} --report {output.report} --released-folder {output.released}",
        )


rule price_of_the_teacher:
    """Number of requests and approximate tokens that a round would send; sends nothing. Printed, and saved as JSON."""
    input:
        unpack(teacher_inputs),
        data="results/data/{task}/train.jsonl",
        marks=marks_file,
    output:
        run("{loop}_round{round}/price.json"),
    log:
        logs("{loop}_round{round}/price.log"),
    wildcard_constraints:
        loop=checkpoint_names("learn_to_reason"),
    localrule: True
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        **ASKING,
        prices=teacher_prices,
    message:
        "What asking the teacher about {wildcards.task} would cost, round {wildcards.round} of {wildcards.loop} of"
        " {wildcards.model}"
    shell:
        printed(ASK, "--dry-run --report {output}")


rule train_learn_to_reason:
    """One round, starting from the last round's student, on the teacher's rationales and the student's own mistakes."""
    input:
        unpack(prompt_examples),
        model=student_folder,
        train="results/data/{task}/train.jsonl",
        dev=validation_file,
        rationales=rationale_files,
        marks=marks_file,
    output:
        model=directory(run("{loop}_round{round}/model")),
        report=run("{loop}_round{round}/training.json"),
    log:
        logs("{loop}_round{round}/train.log"),
    benchmark:
        benchmarks("{loop}_round{round}/train.tsv")
    wildcard_constraints:
        loop=checkpoint_names("learn_to_reason"),
    threads: settings.values.threads.train
    resources:
        **training_needs("learn_to_reason", hours(24)),
    params:
        **training_params(run("{loop}_round{round}"), "learn_to_reason"),
        as_one=as_one_arguments,
        examples=optional_argument(prompt_examples, "--examples", "examples"),
    message:
        "Training round {wildcards.round} of {wildcards.loop} of {wildcards.model} on {wildcards.task},"
        " seed {wildcards.seed}"
    shell:
        training(
            "train_learn_to_reason {MODEL} --model {input.model} --train {input.train} --dev {input.dev}"
            " --rationales {input.rationales} --marks {input.marks} --output {output.model} --report {output.report}"
            " {params.as_one} {params.examples}"
        )


rule plot_learn_to_reason:
    input:
        results=learn_to_reason_results,
    output:
        json="results/figures/learn_to_reason_{task}.json",
        svg="results/figures/learn_to_reason_{task}.svg",
    log:
        "logs/figures/learn_to_reason_{task}.log",
    localrule: True
    message:
        "Drawing accuracy over the rounds of Learn-to-Reason on {wildcards.task}"
    shell:
        program("plot_rounds --results {input.results} {PAPERS} --json {output.json} --svg {output.svg}")


rule judge_steps:
    """Prefix correctness and trace error of a method's solutions, by the word of the teacher (Table 2 of GRACE)."""
    input:
        unpack(local_judge_input),
        predictions=lambda w: predictions_of(w.task, w.model, w.method),
        data=lambda w: data_file(w.task, test_split(w.task, w.model, w.method)),
    output:
        "results/{task}/{model}/{method}_judged.json",
    log:
        "logs/{task}/{model}/{method}_judged.log",
    benchmark:
        "benchmarks/{task}/{model}/{method}_judged.tsv"
    # As for ask_teacher: only a local teacher computes.
    localrule: settings.values.teacher.kind != "local"
    resources:
        gpus=judge_needs_gpu,
        mem_mb=judge_memory,
        runtime=hours(24, gpus=judge_needs_gpu),
    params:
        task=task_digest,
        asked=judge_arguments,
        speed=judge_speed,
        seeds=method_seeds,
        preset=settings.preset_name,
        prompt=judge_prompt,
        text=judge_prompt_digest,
        local=local_judge_arguments,
    message:
        "Judging the steps of {wildcards.method} of {wildcards.model} on {wildcards.task}"
    shell:
        on_devices(
            "judge_steps {TASK} --data {input.data} --predictions {input.predictions} {SEEDS}"
            " --method {wildcards.method} --judged-model {wildcards.model} --prompt-file {params.prompt} {params.asked}"
            " {params.speed} {params.local} --output {output}"
        )
