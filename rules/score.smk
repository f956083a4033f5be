"""Results: one JSON a method, and paired comparisons."""


rule save_configuration:
    """The configuration that everything was made with, all layers resolved."""
    output:
        "results/configuration.yaml",
    log:
        "logs/configuration.log",
    conda:
        "../envs/retrace.yaml"
    params:
        configuration=json.dumps(settings.resolved(), sort_keys=True),
    message:
        "Saving the resolved configuration"
    shell:
        "python $RETRACE_SCRIPTS/save_configuration.py --configuration {params.configuration:q} --output {output}"
        " > {log} 2>&1"


rule score_method:
    input:
        unpack(what_it_was_trained_on),
        unpack(what_latro_adds_to_a_result),
        unpack(what_was_sampled),
        predictions=lambda w: predictions_of(w.task, w.model, w.method),
        data=lambda w: data_of(w.task, test_split(w.task, w.model, w.method)),
    output:
        "results/{task}/{model}/{method}_acc.json",
    log:
        "logs/{task}/{model}/{method}_acc.log",
    conda:
        "../envs/retrace.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        task=what_defines_the_task,
        model=what_defines_the_model,
        checkpoint=lambda w: settings.checkpoint(w.task, w.model, w.method),
        split=lambda w: test_split(w.task, w.model, w.method),
        decoder=lambda w: settings.method(w.method).decoder,
        method_names=lambda w: settings.method(w.method).paper_names,
        seeds=seeds_of_the_method,
        gpus=needs_gpu,
        preset=settings.preset_name,
        configuration=what_the_result_rests_on,
        costs=benchmarks_behind,
        inputs=option_from(what_it_was_trained_on, "--inputs", "trained_on"),
        more=latro_score_arguments,
        sampling=sampling_score_arguments,
    message:
        "Scoring {wildcards.method} of {wildcards.model} on {wildcards.task}"
    shell:
        "python $RETRACE_SCRIPTS/score_method.py --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --model-file $RETRACE_CONFIG/models/{wildcards.model}.yaml"
        " --method {wildcards.method} --checkpoint {params.checkpoint} --decoder {params.decoder} --split {params.split}"
        " --predictions {input.predictions} --data {input.data} --seeds {params.seeds} --papers $RETRACE_CONFIG/papers"
        " --method-names {params.method_names:q} --configuration {params.configuration:q}"
        " --costs {params.costs:q} {params.inputs} --preset {params.preset} --gpus {params.gpus} {params.more} {params.sampling}"
        " --output {output} > {log} 2>&1"


rule score_headline:
    input:
        lambda w: f"results/{w.task}/{settings.headline_model(w.task, w.method)}/{w.method}_acc.json",
    output:
        "results/{task}/{method}_acc.json",
    log:
        "logs/{task}/{method}_acc.log",
    conda:
        "../envs/retrace.yaml"
    message:
        "{wildcards.method} on {wildcards.task}, with the model that the preset headlines"
    shell:
        "python $RETRACE_SCRIPTS/gather_rows.py {input} --output {output} > {log} 2>&1"


rule compare_methods:
    input:
        a=compared_predictions("method_a"),
        b=compared_predictions("method_b"),
        data=lambda w: data_of(w.task, test_split(w.task, w.model, w.method_a)),
    output:
        "results/{task}/{model}/compare/{method_a}_vs_{method_b}.json",
    log:
        "logs/{task}/{model}/compare/{method_a}_vs_{method_b}.log",
    conda:
        "../envs/retrace.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        seeds=seeds_of_both,
        preset=settings.preset_name,
    message:
        "Comparing {wildcards.method_a} with {wildcards.method_b} on {wildcards.task}"
    shell:
        "python $RETRACE_SCRIPTS/compare_methods.py --task-file $RETRACE_CONFIG/tasks/{wildcards.task}.yaml --method-a {wildcards.method_a}"
        " --method-b {wildcards.method_b} --predictions-a {input.a} --predictions-b {input.b}"
        " --data {input.data} --model {wildcards.model} --preset {params.preset} --seeds {params.seeds}"
        " --output {output} > {log} 2>&1"
