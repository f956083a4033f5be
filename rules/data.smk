"""Examples of every task, in one schema."""


rule prepare_data:
    input:
        user_inputs(files_of_split, "results/data/{task}/{split}.jsonl"),
    output:
        "results/data/{task}/{split}.jsonl",
    log:
        "logs/data/{task}/{split}.log",
    benchmark:
        "benchmarks/data/{task}/{split}.tsv"
    localrule: True
    resources:
        **SMALL_JOB,
    params:
        task=task_digest,
        split=noticing(split_digest, files_of_split),
        limit=lambda w: limit_of(settings, w.task, w.split),
    message:
        "Preparing {wildcards.split} of {wildcards.task}"
    shell:
        program("prepare_data {TASK} --split {wildcards.split} --limit {params.limit} --output {output}")


rule fetch_examples:
    """Worked examples at the start of Learn-to-Reason's own prompts; none may be a test question."""
    input:
        user_inputs(files_of_examples, "results/data/{task}/learn_to_reason_examples.txt"),
        test="results/data/{task}/test.jsonl",
    output:
        "results/data/{task}/learn_to_reason_examples.txt",
    log:
        "logs/data/{task}/learn_to_reason_examples.log",
    localrule: True
    resources:
        **SMALL_JOB,
    params:
        source=noticing(examples_digest, files_of_examples),
    message:
        "Fetching Learn-to-Reason's worked examples of {wildcards.task}"
    shell:
        program("fetch_examples {TASK} --test {input.test} --output {output}")


rule data:
    """All splits of all tasks and the authors' examples, for machines that will lose network access."""
    input:
        all_data,
    localrule: True
