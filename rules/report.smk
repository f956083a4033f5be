"""Tables, figures and the page that shows them."""


rule make_table:
    """A paper's table with what is there; with tables=run, with all that the preset can make."""
    input:
        table_inputs,
    output:
        json="results/tables/{table}.json",
        csv="results/tables/{table}.csv",
        md="results/tables/{table}.md",
        tex="results/tables/{table}.tex",
        html="results/tables/{table}.html",
    log:
        "logs/tables/{table}.log",
    wildcard_constraints:
        table=one_of(table_names(settings)),
    localrule: True
    params:
        table=table_digest,
        there=table_state,
        configuration=table_configuration,
    message:
        "Table {wildcards.table}: reported and reproduced"
    shell:
        program(
            "make_table --name {wildcards.table} --configuration {params.configuration:q}"
            " --snakefile $RETRACE_SCRIPTS/../Snakefile --json {output.json} --csv {output.csv} --md {output.md}"
            " --tex {output.tex} --html {output.html}"
        )


rule compare_with_baselines:
    """GRACE and its baselines on one task and model: accuracies, intervals and paired differences, as text."""
    input:
        lambda w: compared_results(w.task, w.model),
    output:
        "results/{task}/{model}/grace_comparison.txt",
    log:
        "logs/{task}/{model}/grace_comparison.log",
    localrule: True
    message:
        "GRACE beside its baselines on {wildcards.task} with {wildcards.model}"
    shell:
        program("show_results {input} --output {output}")


rule decide_claims:
    """The papers' claims, each with the paired tests that decide it; with tables=run, all that the preset can test."""
    input:
        claim_inputs,
    output:
        json="results/claims.json",
        md="results/claims.md",
        html="results/claims.html",
    log:
        "logs/claims.log",
    localrule: True
    params:
        claims=claims_digest,
        there=claim_state,
        configuration=table_configuration,
    message:
        "Deciding the papers' claims"
    shell:
        program(
            "decide_claims --configuration {params.configuration:q} --json {output.json} --md {output.md}"
            " --html {output.html}"
        )


rule plot_sweep:
    input:
        sweeps=lambda w: [
            f"results/{w.task}/{w.model}/seed{seed}/{settings.generator(w.task, w.model)}_discriminator/sweep.json"
            for seed in settings.seeds(w.task, w.model, "grace")
        ],
    output:
        json="results/{task}/{model}/grace_beta_sweep.json",
        svg="results/{task}/{model}/grace_beta_sweep.svg",
    log:
        "logs/{task}/{model}/grace_beta_sweep.log",
    localrule: True
    params:
        seeds=system_seeds("grace"),
        preset=settings.preset_name,
    message:
        "Drawing accuracy over beta on {wildcards.task} with {wildcards.model}"
    shell:
        program(
            "plot_sweep {TASK} {MODEL} {PAPERS} {SEEDS} --sweeps {input.sweeps}"
            " --json {output.json} --svg {output.svg}"
        )


rule make_report:
    """One page that shows what is in results/. It makes nothing else if it is the only target."""
    input:
        shown_files,
    output:
        "results/report.html",
    log:
        "logs/report.log",
    localrule: True
    params:
        results=results_digest,
    message:
        "Writing {output}, which shows what is in results/"
    shell:
        program("make_report --results results --config $RETRACE_CONFIG --output {output}")
