"""Results, one JSON per method, and paired comparisons."""


rule save_configuration:
    """The configuration of this run, with all layers resolved."""
    output:
        "results/configuration.yaml",
    log:
        "logs/configuration.log",
    localrule: True
    params:
        configuration=json.dumps(settings.resolved(), sort_keys=True),
    message:
        "Saving the resolved configuration"
    shell:
        program("save_configuration --configuration {params.configuration:q} --output {output}")


rule score_method:
    input:
        unpack(extra_inputs),
        predictions=lambda w: predictions_of(w.task, w.model, w.method),
        data=lambda w: data_file(w.task, test_split(w.task, w.model, w.method)),
    output:
        "results/{task}/{model}/{method}_acc.json",
    log:
        "logs/{task}/{model}/{method}_acc.log",
    localrule: True
    resources:
        **SMALL_JOB,
    params:
        **common_params(),
        checkpoint=lambda w: settings.checkpoint(w.task, w.model, w.method),
        split=lambda w: test_split(w.task, w.model, w.method),
        decoder=lambda w: settings.method(w.method).decoder,
        method_names=lambda w: names_of_method(w.method),
        seeds=method_seeds,
        gpus=needs_gpu,
        preset=settings.preset_name,
        configuration=result_configuration,
        costs=benchmarks_behind,
        more=extra_arguments,
    message:
        "Scoring {wildcards.method} of {wildcards.model} on {wildcards.task}"
    shell:
        program("score_method", SCORE, "{params.more}")


rule score_headline:
    input:
        lambda w: f"results/{w.task}/{settings.headline_model(w.task, w.method)}/{w.method}_acc.json",
    output:
        "results/{task}/{method}_acc.json",
    log:
        "logs/{task}/{method}_acc.log",
    localrule: True
    message:
        "{wildcards.method} on {wildcards.task}, with the model that the preset headlines"
    shell:
        program("gather_rows {input} --output {output}")


rule compare_methods:
    input:
        a=compared_predictions("method_a"),
        b=compared_predictions("method_b"),
        data=lambda w: data_file(w.task, test_split(w.task, w.model, w.method_a)),
    output:
        "results/{task}/{model}/compare/{method_a}_vs_{method_b}.json",
    log:
        "logs/{task}/{model}/compare/{method_a}_vs_{method_b}.log",
    wildcard_constraints:
        method_b=rf"(?!{NAME}_by_{MEASURE}\.json$){NAME}",
    localrule: True
    resources:
        **SMALL_JOB,
    params:
        seeds=common_seeds,
        preset=settings.preset_name,
        accuracy=compared_grader,
        split=compared_split,
    message:
        "Comparing {wildcards.method_a} with {wildcards.method_b} on {wildcards.task}"
    shell:
        program(
            "compare_methods {TASK} --model {wildcards.model} --data {input.data} {SEEDS}"
            " --method-a {wildcards.method_a} --predictions-a {input.a}"
            " --method-b {wildcards.method_b} --predictions-b {input.b} --output {output}",
            "{params.split} {params.accuracy}",
        )


use rule compare_methods as compare_by_measure with:
    output:
        "results/{task}/{model}/compare/{method_a}_vs_{method_b}_by_{measure}.json",
    log:
        "logs/{task}/{model}/compare/{method_a}_vs_{method_b}_by_{measure}.log",
    wildcard_constraints:
        measure=MEASURE,
    params:
        seeds=common_seeds,
        preset=settings.preset_name,
        accuracy=compared_grader,
        split=lambda w: [*compared_split(w), "--measure", w.measure],
    message:
        "Comparing {wildcards.method_a} with {wildcards.method_b} by {wildcards.measure} on {wildcards.task}"


rule model_card:
    """A checkpoint's model card with its scores, with the calculator and without; to be published as its README.md."""
    input:
        model=card_folder,
        data=lambda w: data_file(w.task, measured_by_card(w).split),
        predictions=card_predictions,
    output:
        run("{checkpoint}/model_card.md"),
    log:
        logs("{checkpoint}/model_card.log"),
    localrule: True
    resources:
        **SMALL_JOB,
    params:
        **common_params(),
        name=lambda w: f"{w.checkpoint} of {w.model}",
        decoders=lambda w: [base_decoder(name) for name in measured_by_card(w).decoders],
        calculator=lambda w: list(measured_by_card(w).decoders.values()),
    message:
        "Writing the model card of {wildcards.checkpoint} of {wildcards.model} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        program(
            "write_model_card {TASK} {SEED} --model {input.model} --name {params.name:q} --data {input.data}"
            " --predictions {input.predictions} --decoders {params.decoders} --calculator {params.calculator}"
            " --output {output}"
        )
