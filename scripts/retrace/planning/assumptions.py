"""Assumptions of an estimate about devices, texts and models without measurements. Every value is an option."""

from pydantic import Field

from retrace.sections import Count, Section, Share


class Assumptions(Section):
    """Assumptions for jobs without measurements (estimate_cost.py)."""

    gpu_flops: float = Field(
        default=1.0e14,
        gt=0,
        description="floating-point operations a second that one GPU sustains in training and in reading prompts; "
        "a third of an A100's 312e12 in bfloat16. H100: 2.5e14, V100 in float16: 4e13",
    )
    gpu_bandwidth: float = Field(
        default=1.2e12,
        gt=0,
        description="bytes of weights a second that a GPU reads while decoding: 60 % of an A100's 2.0e12. H100: 2e12",
    )
    gpu_step_seconds: float = Field(
        default=0.03,
        gt=0,
        description="least time of a decoding step on a GPU, the kernel calls of a model as deep as FLAN-T5-Large (72 "
        "attentions and feed-forward layers); less in proportion for a less deep one",
    )
    cpu_flops: float = Field(
        default=1.5e10, gt=0, description="the same for one processor thread in float32, with small matrices"
    )
    cpu_bandwidth: float = Field(default=1.0e10, gt=0, description="the same for a processor")
    cpu_step_seconds: float = Field(default=0.015, gt=0, description="the same for a processor")
    start_seconds: float = Field(
        default=8.0, ge=0, description="a job's start: interpreter, libraries, graphics driver; the weights come on top"
    )
    small_job_seconds: float = Field(default=1.0, ge=0, description="a job that only reads and writes rows")
    disk_bandwidth: float = Field(
        default=5.0e8, gt=0, description="bytes a second that weights are read from disk with"
    )
    download_bandwidth: float = Field(default=3.0e7, gt=0, description="bytes a second that models are fetched with")
    rows: Count = Field(default=5000, description="rows of a split of which neither file nor task file says how many")
    question_tokens: float = Field(default=70, gt=0, description="of a question, where its data is not there yet")
    solution_tokens: float = Field(
        default=120, gt=0, description="of a worked solution, where its data is not there yet"
    )
    steps: float = Field(default=4, gt=0, description="of a worked solution, where its data is not there yet")
    characters_per_token: float = Field(default=3.2, gt=0, description="of the questions and solutions that are there")
    longest: float = Field(
        default=1.8,
        ge=1,
        description="longest text of a batch over the mean one: a batch is as slow as its longest row",
    )
    response_seconds: float = Field(default=5.0, gt=0, description="of a teacher's server for one rationale")
    wrong_share: Share = Field(
        default=0.5, description="share of sampled solutions that are wrong and not sampled before"
    )
    distinct_share: Share = Field(
        default=0.25, description="share of sampled steps that differ: the same step is embedded or judged once"
    )
    unlike_share: Share = Field(
        default=0.25, description="share of right samples that are unlike the reference and each other: pseudo-labels"
    )
    pairs_per_solution: float = Field(default=2.0, gt=0, description="discriminator pairs that a wrong solution gives")
    parameters: float = Field(default=1.0e9, gt=0, description="of a model whose YAML does not say")
    hub_bytes_per_parameter: float = Field(default=4.0, gt=0, description="of a downloaded model's files")
    factor: float = Field(
        default=4.0, ge=1, description="an estimate from the configuration alone is taken to hold within this factor"
    )
