"""Transfer: a checkpoint evaluated on a task that it was not trained on (Table 2 of DPO-ST)."""


rule decode_transfer:
    """Predictions for a task that the checkpoint was not trained on."""
    input:
        unpack(source_prompt_examples),
        model=lambda w: checkpoint_folder(source_wildcards(w), w.checkpoint),
        data=lambda w: data_file(w.task, settings.transfer_split(w.task)),
    output:
        rows="results/{task}/{model}/transfer/{source_task}/seed{seed}/{checkpoint}/{decoder}/test.jsonl",
        timing="results/{task}/{model}/transfer/{source_task}/seed{seed}/{checkpoint}/{decoder}/test.timing.jsonl",
    log:
        "logs/{task}/{model}/transfer/{source_task}/seed{seed}/{checkpoint}/{decoder}.log",
    benchmark:
        "benchmarks/{task}/{model}/transfer/{source_task}/seed{seed}/{checkpoint}/{decoder}.tsv"
    wildcard_constraints:
        decoder=one_of(
            name
            for name in settings.decoders
            if not settings.decoder(name).guide and not settings.decoder_files.algorithm(base_decoder(name)).in_steps
        ),
    priority: 10
    threads: settings.values.threads.decode
    resources:
        **to_decode(8),
    params:
        **common_params(),
        arguments=lambda w: decoder_arguments(source_wildcards(w)),
        speed=lambda wildcards, threads: speed()(source_wildcards(wildcards), threads),
        form=lambda w: option_for_form(settings.form(w.source_task, w.model, w.checkpoint), w.task),
    message:
        "Decoding {wildcards.task} with {wildcards.decoder} from {wildcards.checkpoint} of {wildcards.model} on"
        " {wildcards.source_task}, seed {wildcards.seed}"
    shell:
        on_devices(
            "decode {params.arguments} {params.speed} {TASK} {MODEL} --model {input.model} --data {input.data} {SEED}"
            " {params.form} --output {output.rows}"
        )


rule score_transfer:
    input:
        predictions=transferred_predictions,
        data=lambda w: data_file(w.task, settings.transfer_split(w.task)),
    output:
        "results/{task}/{model}/transfer/{source_task}/{method}_acc.json",
    log:
        "logs/{task}/{model}/transfer/{source_task}/{method}_acc.log",
    localrule: True
    resources:
        **SMALL_JOB,
    params:
        **common_params(),
        checkpoint=lambda w: settings.checkpoint(w.source_task, w.model, w.method, w.task),
        source_file=lambda w: shell_yaml_path("tasks", w.source_task),
        split=lambda w: settings.transfer_split(w.task),
        decoder=lambda w: settings.method(w.method).decoder,
        method_names=lambda w: settings.method(w.method).paper_names,
        seeds=lambda w: settings.seeds_of(w.source_task, w.model, w.method),
        gpus=needs_gpu,
        preset=settings.preset_name,
        configuration=lambda w: result_configuration(source_wildcards(w), w.task),
        costs=benchmarks_behind,
        accuracy=lambda w: accuracy_argument(settings.method(w.method).accuracy),
    message:
        "Scoring {wildcards.method} of {wildcards.model} from {wildcards.source_task} on {wildcards.task}"
    shell:
        program("score_method", SCORE, "--source-task-file {params.source_file}", "{params.accuracy}")
