"""A checkpoint on the questions of another task than it was trained on (Table 2 of DPO-ST)."""


rule decode_transfer:
    """Predictions for the questions of another task than the checkpoint was trained on."""
    input:
        unpack(examples_for_the_source),
        model=lambda w: checkpoint_folder(source_of(w), w.checkpoint),
        data=lambda w: data_of(w.task, settings.transfer_split(w.task)),
    output:
        rows="results/{task}/{model}/transfer/{source_task}/seed{seed}/{checkpoint}/{decoder}/test.jsonl",
        timing="results/{task}/{model}/transfer/{source_task}/seed{seed}/{checkpoint}/{decoder}/test.timing.jsonl",
    log:
        "logs/{task}/{model}/transfer/{source_task}/seed{seed}/{checkpoint}/{decoder}.log",
    benchmark:
        "benchmarks/{task}/{model}/transfer/{source_task}/seed{seed}/{checkpoint}/{decoder}.tsv"
    wildcard_constraints:
        decoder=one_of(
            decoder
            for decoder in settings.decoders
            if decoder != "verifier" and helped_decoder(decoder) not in GUIDED_DECODERS
        ),
    priority: 10
    conda:
        "../envs/retrace.yaml"
    threads: settings.values.threads.decode
    resources:
        **to_decode(8),
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        arguments=lambda w: decoder_arguments(source_of(w)),
        speed=lambda wildcards, threads: speed()(source_of(wildcards), threads),
        form=lambda w: words_of_form(settings.form(w.source_task, w.model, w.checkpoint), w.task),
    message:
        "Decoding {wildcards.task} with {wildcards.decoder} from {wildcards.checkpoint} of {wildcards.model} on {wildcards.source_task}, seed {wildcards.seed}"
    shell:
        "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/decode.py {params.arguments} {params.speed} --model {input.model} --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml {params.form} --data {input.data} --seed {wildcards.seed}"
        " --output {output.rows} > {log} 2>&1"


rule score_transfer:
    input:
        predictions=transferred_predictions,
        data=lambda w: data_of(w.task, settings.transfer_split(w.task)),
    output:
        "results/{task}/{model}/transfer/{source_task}/{method}_acc.json",
    log:
        "logs/{task}/{model}/transfer/{source_task}/{method}_acc.log",
    conda:
        "../envs/retrace.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        checkpoint=lambda w: settings.checkpoint(w.source_task, w.model, w.method),
        split=lambda w: settings.transfer_split(w.task),
        decoder=lambda w: settings.method(w.method).decoder,
        method_names=lambda w: settings.method(w.method).paper_names,
        seeds=lambda w: settings.seeds_of(w.source_task, w.model, w.method),
        gpus=needs_gpu,
        preset=settings.preset_name,
        configuration=lambda w: what_the_result_rests_on(source_of(w)),
        costs=benchmarks_behind,
    message:
        "Scoring {wildcards.method} of {wildcards.model} from {wildcards.source_task} on {wildcards.task}"
    shell:
        "python $RETRACE_SCRIPTS/score_method.py --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --source-task-file $RETRACE_CONFIG/tasks/{wildcards.source_task}.yaml --method {wildcards.method} --checkpoint {params.checkpoint}"
        " --decoder {params.decoder} --split {params.split} --predictions {input.predictions} --data {input.data} --seeds {params.seeds}"
        " --papers $RETRACE_CONFIG/papers --method-names {params.method_names:q} --configuration {params.configuration:q}"
        " --costs {params.costs:q} --preset {params.preset} --gpus {params.gpus} --output {output} > {log} 2>&1"
