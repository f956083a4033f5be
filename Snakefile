# Retrace: any result of five chain-of-thought papers, requested by its file name.
#
#   results/data/{task}/{split}.jsonl                                        examples, in one schema
#   results/data/{task}/learn_to_reason_examples.txt                         worked examples of Learn-to-Reason's own prompts
#   results/models/{model}/                                                  a base model from the Hub, pinned
#   results/{task}/{model}/seed{seed}/{checkpoint}/model/                    a checkpoint (base: trained from scratch)
#   results/{task}/{model}/seed{seed}/{checkpoint}/{artifact}                what led to it: trajectories, alignments, pairs
#   results/{task}/{model}/seed{seed}/{checkpoint}/{decoder}/{split}.jsonl   predictions, one line per question
#   results/{task}/{model}/seed{seed}/{checkpoint}/model_card.md             its model card, with scores
#   results/{task}/{model}/{method}_acc.json                                 one method on one model, over all seeds
#   results/{task}/{model}/{method}_judged.json                              right steps by the word of a judge
#   results/{task}/{method}_acc.json                                         the same for the model that the preset headlines
#   results/{task}/{model}/compare/{method_a}_vs_{method_b}.json             the paired comparison
#   results/{task}/{model}/compare/{method_a}_vs_{method_b}_by_{measure}.json  the same by tokens or pass_at_K
#   results/{task}/{model}/transfer/{source_task}/{method}_acc.json          the same, trained on another task
#   results/{task}/{model}/dpo_st_pass_at_k.json                             pass@k before and after each DPO step
#   results/{task}/{model}/dpo_st_speed.json                                 tokens a second with the calculator and without
#   results/figures/dpo_st_rounds.{json,svg}                                 accuracy over the rounds of self-training
#   results/{task}/{model}/grace_beta_sweep.{json,svg}                       accuracy over the discriminator's weight
#   results/{task}/{model}/grace_comparison.txt                              GRACE beside its baselines, with paired differences
#   results/{task}/{model}/{method}_round{r}_acc.json                        one round of an iterative system
#   results/figures/learn_to_reason_{task}.{json,svg}                        accuracy over the rounds of Learn-to-Reason
#   results/{task}/{model}/icot_speed.json                                   latency and throughput of the three ways
#   results/figures/icot_accuracy_vs_speed.svg                               accuracy against answers per second
#   results/figures/latro_{task}_{model}.svg                                 reward, KL, length and accuracy over LaTRO's training
#   results/tables/{table}.{html,md,csv,tex,json}                            a table or figure of a paper: reported and reproduced
#   results/claims.{json,md,html}                                            the claims of the papers, each with its paired test
#   results/report.html                                                      one page that shows what is in results/
#
# Names are those of the YAML files in config/tasks, models, checkpoints, decoders and methods, and of the user's own (`own`).
# A method may also be {checkpoint}_{decoder}, a decoder alone, a checkpoint of a round (dpo_st_round2), and any of these with
# _no_calculator or _on_dev behind it.

from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

# Whether another workflow imports these rules as a module.
is_module = not workflow.modifier.is_main_snakefile()
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False))


include: "rules/configuration_common.smk"


# From the working folder (--directory) if it has one, otherwise the one next to this file. A module gets its
# configuration from the importing workflow.
configfile: str(DEFAULT_CONFIG)


include: "rules/common.smk"
include: "rules/user_files_common.smk"
include: "rules/resources_common.smk"
include: "rules/results_common.smk"
include: "rules/shards_common.smk"
include: "rules/run_common.smk"


if settings.values.container:

    container: settings.values.container


wildcard_constraints:
    task=NAME,
    model=NAME,
    checkpoint=NAME,
    decoder=NAME,
    method=NAME,
    method_a=NAME,
    method_b=NAME,
    split=NAME,
    generator=NAME,
    source_task=NAME,
    table=NAME,
    seed=r"\d+",
    shard=r"\d+",
    round=r"[1-9]\d*",


rule all:
    input:
        all_targets,
    localrule: True


# Systems are discovered by file name; helpers (NAME_common.smk) come before the rules that use them (NAME.smk).
for file in sorted(ROOT.glob("rules/systems/*.smk"), key=lambda file: (not file.stem.endswith("_common"), file)):

    include: str(file)


include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/sft.smk"
include: "rules/sample.smk"
include: "rules/decode.smk"
include: "rules/score.smk"
include: "rules/transfer.smk"
include: "rules/report.smk"
include: "rules/environment.smk"
include: "rules/slurm.smk"
include: "rules/targets_common.smk"


onstart:
    lock_run_folder()
    check_requirements()
    show_progress()


onsuccess:
    print_results()
