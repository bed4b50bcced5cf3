"""Task models from settings, and from a saved bundle."""

from collections.abc import Sequence
from typing import Any

from ostinato.bundle import Bundle
from ostinato.errors import BundleError, OstinatoError
from ostinato.models.classifier import Classifier, Tagger
from ostinato.models.encoder_decoder import EncoderDecoder
from ostinato.models.forecaster import Forecaster
from ostinato.models.task_models import ClassifyModel, ForecastModel, TagModel, TaskModel, TranslateModel
from ostinato.protocols import Tokenizer
from ostinato.settings import ModelSettings, TaskSettings, recorded_settings

KIND = "task"
"""The kind of these bundles; which task it is stands in config["task"]["name"]."""


def build_task_model(
    task: TaskSettings, model: ModelSettings, tokenizer: Tokenizer, *, labels: Sequence[str] = (), features: int = 0
) -> TaskModel[Any]:
    """A new model with weights from torch's global random generator.

    labels: the classes or tags. features: the width of a step where inputs are vectors, 0 where they are texts.
    """
    V = 0 if features else tokenizer.vocabulary_size
    both = task.bidirectional
    if task.name == "tag":
        return TagModel(Tagger(model, len(labels), vocabulary_size=V, bidirectional=both), tokenizer, task, labels)
    if task.name == "classify":
        classifier = Classifier(
            model, len(labels), vocabulary_size=V, features=features, bidirectional=both, pooling=task.pooling
        )
        return ClassifyModel(classifier, tokenizer, task, labels)
    if task.name == "forecast":
        return ForecastModel(Forecaster(model, task), tokenizer, task)
    network = EncoderDecoder(model, V, bidirectional=both, attention=task.attention)
    return TranslateModel(network, tokenizer, task)


def load_task_model(bundle: Bundle) -> TaskModel[Any]:
    """The model in a bundle, on the CPU. Raises BundleError for another kind and for what does not fit."""
    if bundle.kind != KIND:
        raise BundleError(
            f"{bundle.path} is a language model ({bundle.kind}), there is nothing to predict: write with it "
            "(ostinato write) or score a text (ostinato score)"
        )
    where = str(bundle.path / "config.json")
    try:
        labels, features = (bundle.config["task"][name] for name in ("labels", "features"))
        task = recorded_settings(TaskSettings, bundle.config, where)
        model = recorded_settings(ModelSettings, bundle.config, where)
        loaded = build_task_model(task, model, bundle.tokenizer, labels=labels, features=features)
    except BundleError:  # of recorded settings, which says where
        raise
    except (KeyError, TypeError, ValueError, OstinatoError) as error:
        what = f"there is no {error}" if isinstance(error, KeyError) else error
        raise BundleError(f"{where} does not describe a task's model ({what})") from None
    loaded.network.load_tensors(bundle.tensors)
    loaded.network.eval()
    return loaded
