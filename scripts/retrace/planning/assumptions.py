"""Assumptions of an estimate about devices, texts and models without measurements. Every value is an option."""

from pydantic import Field

from retrace.sections import Count, Section, Share


class Assumptions(Section):
    """Assumptions for jobs without measurements (estimate_cost.py)."""

    gpu_flops: float = Field(
        default=1.0e14,
        gt=0,
        description="floating-point operations per second that one GPU sustains in training and in reading prompts; "
        "a third of an A100's 312e12 in bfloat16. H100: 2.5e14, V100 in float16: 4e13",
    )
    gpu_bandwidth: float = Field(
        default=1.2e12,
        gt=0,
        description="bytes of weights per second that a GPU reads while decoding: 60 % of an A100's 2.0e12. H100: 2e12",
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
    disk_bandwidth: float = Field(default=5.0e8, gt=0, description="bytes per second when reading weights from disk")
    download_bandwidth: float = Field(default=3.0e7, gt=0, description="bytes per second when downloading models")
    rows: Count = Field(default=5000, description="rows of a split if neither its file nor the task file says how many")
    question_tokens: float = Field(default=70, gt=0, description="tokens of a question whose data does not exist yet")
    solution_tokens: float = Field(
        default=120, gt=0, description="tokens of a worked solution whose data does not exist yet"
    )
    steps: float = Field(default=4, gt=0, description="steps of a worked solution whose data does not exist yet")
    characters_per_token: float = Field(
        default=3.2, gt=0, description="characters per token of existing questions and solutions"
    )
    longest: float = Field(
        default=1.8,
        ge=1,
        description="ratio of the longest text in a batch to the mean, because a batch is as slow as its longest row",
    )
    response_seconds: float = Field(
        default=5.0, gt=0, description="seconds that a teacher's server needs for one rationale"
    )
    wrong_share: Share = Field(
        default=0.5, description="share of sampled solutions that are wrong and not sampled before"
    )
    distinct_share: Share = Field(
        default=0.25, description="share of sampled steps that differ: the same step is embedded or judged once"
    )
    unlike_share: Share = Field(
        default=0.25,
        description="share of correct samples that differ from the reference and each other: pseudo-labels",
    )
    pairs_per_solution: float = Field(default=2.0, gt=0, description="discriminator pairs per wrong solution")
    parameters: float = Field(default=1.0e9, gt=0, description="parameters of a model whose YAML does not say")
    hub_bytes_per_parameter: float = Field(
        default=4.0, gt=0, description="bytes per parameter in a downloaded model's files"
    )
    wheel_bytes_per_parameter: float = Field(
        default=0.75, gt=0, description="bytes per parameter of a quantized model's file in a package"
    )
    factor: float = Field(
        default=4.0, ge=1, description="assumed uncertainty factor of an estimate from the configuration alone"
    )
