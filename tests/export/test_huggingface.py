"""Hugging Face: transformers computes what the model does; padding, sampling, beams; text comes back; weights too."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import ostinato
from ostinato.cli.main import main
from ostinato.errors import BundleError
from ostinato.export import export
from ostinato.export.huggingface import restore

OLD = Path(__file__).parents[1] / "old"
TEXTS = ["", "风在春里等你\nthe 3 winds Ωé\t", "  two  blanks 𝄞 <0x41> <end> <|endoftext|>", "\u00a0\u200b\r\n\x00"]
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"


@pytest.fixture(scope="module", params=["lstm", "gru-words", "rnn-bytes"])
def exported(request, tmp_path_factory):
    """A model of ours, and what transformers reads from its export."""
    home = tmp_path_factory.mktemp("home")
    os.environ["HF_HOME"] = os.environ["HF_MODULES_CACHE"] = str(home)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = export(OLD / request.param, "huggingface", tmp_path_factory.mktemp("hf") / request.param)
    network = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    return ostinato.load(OLD / request.param), network, tokenizer


def test_text_comes_back(exported):
    model, _, tokenizer = exported
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert ids == [0, *model.ids(text)[:-1].tolist()]
        assert tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == text


def test_the_same_probabilities(exported):
    model, network, tokenizer = exported
    ids = model.ids(TEXTS[1])
    read = torch.tensor([tokenizer(TEXTS[1])["input_ids"]])
    with torch.no_grad():
        log_p = network(read).logits[0].log_softmax(-1)
    got = log_p[torch.arange(len(ids)), torch.from_numpy(ids.astype(np.int64))]
    np.testing.assert_allclose(got.numpy(), model.step_model.score(ids), atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_does_not_touch_the_state(exported, side):
    _, network, tokenizer = exported
    tokenizer.padding_side = side
    batch = tokenizer(["风", "the winds 在春"], return_tensors="pt", padding=True)
    with torch.no_grad():
        together = network(**batch)
        for row, text in enumerate(["风", "the winds 在春"]):
            alone = network(**tokenizer(text, return_tensors="pt"))
            real = batch["attention_mask"][row].bool()
            torch.testing.assert_close(together.logits[row][real], alone.logits[0], atol=1e-5, rtol=0)
            for a, b in zip(together.cache.state, alone.cache.state, strict=True):
                torch.testing.assert_close(a[:, row], b[:, 0], atol=1e-5, rtol=0)
    tokenizer.padding_side = "left"


def _log_p(network, ids):
    """log P of the ids after the first."""
    with torch.no_grad():
        log_p = network(ids[None]).logits[0, :-1].log_softmax(-1)
    return log_p.gather(1, ids[1:, None]).sum().item()


@pytest.mark.parametrize("options", [{"do_sample": False}, {"do_sample": False, "num_beams": 3}])
def test_a_batch_finds_what_each_row_finds_alone(exported, options):
    _, network, tokenizer = exported
    prompts = ["风", "the winds 在春"]
    batch = network.generate(**tokenizer(prompts, return_tensors="pt", padding=True), max_new_tokens=8, **options)
    for row, prompt in enumerate(prompts):
        alone = network.generate(**tokenizer(prompt, return_tensors="pt"), max_new_tokens=8, **options)[0]
        beside = batch[row, len(batch[row]) - len(alone) :]
        assert beside.tolist() == alone.tolist() or _log_p(network, beside) == pytest.approx(_log_p(network, alone))


def test_greedy_text_is_ours(exported):
    model, network, tokenizer = exported
    ours = model.write("风", tokens=12, temperature=0.0)
    options = {"max_new_tokens": 12, "do_sample": False}
    theirs = network.generate(**tokenizer("风", return_tensors="pt"), **options)
    assert tokenizer.decode(theirs[0], skip_special_tokens=True).rstrip("\n") == ours.rstrip("\n")


def test_the_model_comes_back(exported, tmp_path, capsys):
    model, _, _ = exported
    folder = export(model.path, "huggingface", tmp_path / "hf")
    assert main(["export", str(folder), "--to", "ostinato", "-o", str(tmp_path / "back")]) == 0
    back = ostinato.load(tmp_path / "back")
    assert {k: v for k, v in back.config.items() if k != "tokenizer_sha256"} == model.config  # 0.1.0 had none
    assert back.tokenizer == model.tokenizer
    for name, tensor in model.tensors.items():
        assert np.array_equal(back.tensors[name], tensor)
    assert back.card.splitlines()[0] == model.card.splitlines()[0]


def test_another_folder_does_not(tmp_path, capsys):
    with pytest.raises(BundleError, match="is not a Hugging Face folder that ostinato exported"):
        restore(tmp_path, tmp_path / "out")
    assert main(["export", str(tmp_path), "--to", "ostinato"]) == 2
    assert "needs -o" in capsys.readouterr().err
