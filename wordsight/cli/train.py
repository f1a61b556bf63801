"""`wordsight train`: prompts are learned from sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from wordsight.modeling.imagenet_variants import DEFAULT_ENCODER
from wordsight.utils.errors import InvalidInputError
from wordsight.utils.progress import load_libraries

from .options import check_exists, check_out_folder, check_texts

HEADS = ("prompts", "comc")


def train(
    texts: Annotated[
        str,
        typer.Argument(help="Sentences: the folder that `wordsight describe` wrote, a file, or a dataset on the Hub."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    encoder: Annotated[
        str, typer.Option(help="Hub id or path of a CLIP-like encoder, 'imagenet-lite2' or 'imagenet'.")
    ] = DEFAULT_ENCODER,
    revision: Annotated[str | None, typer.Option(help="The encoder's revision on the Hub.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all randomness.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in OUT.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the sentences.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Sentences a step, over all processes.")] = None,
    gradient_accumulation_steps: Annotated[int | None, typer.Option(help="Pieces a step is cut into.")] = None,
    prompt_chunk_size: Annotated[
        int | None, typer.Option(help="Prompts at a time through the text encoder: fewer take less memory, 0 for all.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="AdamW's learning rate.")] = None,
    noise: Annotated[float | None, typer.Option(help="Norm of the noise on the unit text features.")] = None,
    concept_weight: Annotated[
        float | None,
        typer.Option(help="How strongly prompts are drawn to the mean of the sentences that mention their category."),
    ] = None,
    prior_weight: Annotated[
        float | None, typer.Option(help="Weight of the name's zero-shot embedding beside the learned prompt.")
    ] = None,
    mean_shift: Annotated[
        bool | None, typer.Option(help="Take out of category embeddings what all have in common.")
    ] = None,
    correlative_weight: Annotated[
        float | None,
        typer.Option(help='Weight of "A photo of a {} often includes a {}, a {}." beside each category; 0 by default.'),
    ] = None,
    mixed_precision: Annotated[
        str | None,
        typer.Option(
            help="no, fp16 or bf16; by default as accelerate launch says.", envvar="ACCELERATE_MIXED_PRECISION"
        ),
    ] = None,
    template_sentences: Annotated[
        bool, typer.Option(help="Mix in 'a photo of a {}.' for each name and synonym.")
    ] = True,
    tokens: Annotated[
        tuple[int, int, int, int] | None,
        typer.Option(help="Prompt tokens: shared, attribute group, co-occurrence group, category.", metavar="G A C S"),
    ] = None,
    groups: Annotated[Path | None, typer.Option(help="JSON file with your own groups.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of photos for the encoder, in pixels; by default its own.")
    ] = None,
    whole_photo: Annotated[
        bool | None,
        typer.Option(
            "--whole-photo/--center-crop",
            help="Squash whole photos to a square, or cut out the middle; whole by default.",
        ),
    ] = None,
    patch_embeddings: Annotated[
        str | None, typer.Option(help="Of a ViT: value (MaskCLIP, the default), correlative (SCLIP) or plain.")
    ] = None,
    head: Annotated[
        str, typer.Option(help="What is learned: prompts, or comc, a classifier of sentences' features (seconds).")
    ] = "prompts",
    memory_weight: Annotated[
        float | None,
        typer.Option(
            help="How far photos' features are pulled towards sentences: 0 to 1; by default 0, and 0.3 for comc.",
            min=0,
            max=1,
        ),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            help="Score standardization: none, or images, which takes each photo's own level and spread out of its "
            "scores (SPARC). By default images for CLIP-like encoders and 10 or more categories.",
        ),
    ] = None,
    report_to: Annotated[
        str | None, typer.Option(help="Trackers: tensorboard, trackio, wandb, ... (comma-separated), or all.")
    ] = None,
    feature_cache: Annotated[
        Path | None, typer.Option(help="Folder for sentence features that runs share; by default wordsight's cache.")
    ] = None,
) -> None:
    """Learn prompts from sentences, for a frozen encoder.

    Options that are not given take the defaults that suit the encoder.

    Example: wordsight train my-texts --encoder openai/clip-vit-base-patch16 --out my-model

    --head comc trains a linear classifier on the sentences' features in place of prompts (CoMC).

    Example: wordsight train my-texts --head comc --out my-model

    On several GPUs: accelerate launch -m wordsight train my-texts --out my-model
    On several CPU processes: torchrun --nproc_per_node 2 -m wordsight train my-texts --out my-model
    """
    check_texts(texts)
    check_out_folder(out)
    if head not in HEADS:
        raise InvalidInputError(f"--head {head} is not known. Pass one of {', '.join(HEADS)}.")
    if head == "comc":
        of_prompts = {
            "--resume": resume or None,
            "--epochs": epochs,
            "--gradient-accumulation-steps": gradient_accumulation_steps,
            "--prompt-chunk-size": prompt_chunk_size,
            "--concept-weight": concept_weight,
            "--prior-weight": prior_weight,
            "--mean-shift": mean_shift,
            "--tokens": tokens,
            "--groups": groups,
            "--report-to": report_to,
        }
        if given := [option for option, value in of_prompts.items() if value is not None]:
            raise InvalidInputError(f"{given[0]} is about prompts, and --head comc learns none. Omit it.")
    if groups is not None:
        check_exists(groups, "file of groups")
    load_libraries()
    from accelerate import PartialState

    from wordsight.modeling.training.arguments import TOKEN_FIELDS
    from wordsight.modeling.training.settings import arguments_of
    from wordsight.modeling.training.train import train_prompts

    settings = {
        "seed": seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "gradient_accumulation_steps": gradient_accumulation_steps,
        "prompt_chunk_size": prompt_chunk_size,
        "learning_rate": learning_rate,
        "noise": noise,
        "concept_weight": concept_weight,
        "prior_weight": prior_weight,
        "mean_shift": mean_shift,
        "mixed_precision": mixed_precision,
        "template_sentences": template_sentences,
    }
    more = dict(zip(TOKEN_FIELDS, tokens, strict=True)) if tokens else {}
    fields: dict[str, Any] = {
        "image_size": image_size,
        "whole_photo": whole_photo,
        "patch_embeddings": patch_embeddings,
    }
    fields |= {"score_standardization": scores, "correlative_weight": correlative_weight}
    fields["memory_weight"] = memory_weight
    fields = {name: value for name, value in fields.items() if value is not None}
    if head == "comc":
        from wordsight.modeling.training.classifier_model import train_classifier_model

        options: dict[str, Any] = {"learning_rate": learning_rate, "batch_size": batch_size, "noise": noise}
        options = {name: value for name, value in options.items() if value is not None}
        train_classifier_model(
            texts,
            out,
            encoder,
            revision=revision,
            seed=seed,
            config_fields=fields,
            feature_cache=feature_cache,
            **options,
        )
        PartialState().destroy_process_group()
        return
    cache = str(feature_cache) if feature_cache else None
    args = arguments_of(settings, out, report_to=report_to or "none", feature_cache=cache, **more)
    train_prompts(texts, out, encoder, revision=revision, args=args, groups=groups, resume=resume, config_fields=fields)
    PartialState().destroy_process_group()
