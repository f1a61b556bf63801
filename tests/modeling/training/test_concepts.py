"""The pull of prompts to class concepts, against its formula in numpy."""

import numpy as np
import pytest
import torch

from wordsight import PromptTrainer, WordsightForMultiLabelImageClassification
from wordsight.modeling.training.concepts import class_concepts
from wordsight.modeling.training.labeled_features import LabeledFeatures
from wordsight.modeling.training.settings import arguments_of

WEIGHT = 10.0


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def concepts_of(features, labels):
    """Mean of the sentences that mention a category less the mean of all, unit vectors."""
    means = [features[labels[:, k] == 1].mean(axis=0) - features.mean(axis=0) for k in range(labels.shape[1])]
    return unit(np.stack(means))


def make_trainer(texts_dir, encoder, out, **settings):
    settings = {"epochs": 4, "batch_size": 16, "learning_rate": 2e-2, "noise": 0.1} | settings
    model = WordsightForMultiLabelImageClassification.from_encoder(str(encoder), texts_dir)
    args = arguments_of(settings, out)
    args.feature_cache = str(out / "features")
    return PromptTrainer(model=model, args=args, train_dataset=texts_dir)


def step_loss(trainer):
    """The loss of the first step, in as many pieces as the trainer makes of it."""
    batches, count = trainer.get_batch_samples(
        iter(trainer.get_train_dataloader()), trainer.args.gradient_accumulation_steps, trainer.args.device
    )
    trainer.create_optimizer()
    return sum(float(trainer.training_step(trainer.model, batch, count)) for batch in batches)


def test_concepts_are_means_less_the_mean_of_all():
    rng = np.random.default_rng(0)
    features, labels = unit(rng.normal(size=(30, 8))).astype("float32"), rng.integers(0, 2, (30, 4)).astype("int8")
    sentences = LabeledFeatures(torch.from_numpy(features), labels)
    np.testing.assert_allclose(class_concepts(sentences, centered=True), concepts_of(features, labels), atol=1e-5)
    labels[:, 2] = 0
    assert not class_concepts(sentences, centered=True)[2].any()  # drawn to nothing


def test_a_step_has_it_once_in_however_many_pieces(texts_dir, tiny_clip_dir, tmp_path):
    gradients = []
    for pieces in (1, 3):
        settings = {"noise": 0.0, "gradient_accumulation_steps": pieces}
        plain = make_trainer(texts_dir, tiny_clip_dir, tmp_path, concept_weight=0.0, **settings)
        drawn = make_trainer(texts_dir, tiny_clip_dir, tmp_path, concept_weight=WEIGHT, **settings)
        difference = step_loss(drawn) - step_loss(plain)
        sentences = LabeledFeatures.of(drawn.train_dataset)
        concepts = concepts_of(sentences.features.numpy(), sentences.labels)
        prompts = drawn.model.prompt_embeddings()[0].detach().numpy()
        assert difference == pytest.approx(WEIGHT * (1 - (prompts * concepts).sum(axis=1)).sum(), rel=1e-3)
        gradients.append({name: parameter.grad for name, parameter in drawn.model.prompts.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-4, rtol=1e-3)


def test_prompts_are_drawn_to_their_concepts(texts_dir, tiny_clip_dir, tmp_path):
    alike = []
    for weight in (0.0, WEIGHT):
        trainer = make_trainer(texts_dir, tiny_clip_dir, tmp_path / str(weight), concept_weight=weight)
        trainer.train()
        sentences = LabeledFeatures.of(trainer.train_dataset)
        prompts = trainer.model.prompt_embeddings()[0].detach().numpy()
        alike.append((prompts * concepts_of(sentences.features.numpy(), sentences.labels)).sum(axis=1).mean())
    assert alike[1] > alike[0] + 0.05
