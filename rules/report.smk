"""Tables, figures and the page that shows them."""


rule make_table:
    input:
        results=table_results,
    output:
        csv="results/tables/{paper}_{table}.csv",
        md="results/tables/{paper}_{table}.md",
        html="results/tables/{paper}_{table}.html",
    log:
        "logs/tables/{paper}_{table}.log",
    wildcard_constraints:
        paper=one_of(sorted({name.rpartition("_")[0] for name in tables()})),
        table=one_of(sorted({name.rpartition("_")[2] for name in tables()})),
    localrule: True
    params:
        table=lambda w: w.table.replace("table", "Table "),
    message:
        "Table {wildcards.table} of {wildcards.paper}: reported and reproduced"
    shell:
        program(
            "make_table --paper $RETRACE_CONFIG/papers/{wildcards.paper}.yaml --table {params.table:q}"
            " --results {input.results} --csv {output.csv} --md {output.md} --html {output.html}"
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
