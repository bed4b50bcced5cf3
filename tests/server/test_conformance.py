"""Programs that know nothing of ostinato, against a real server: schemathesis, lm-eval, llm."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from server_tools import OLD

import ostinato

BESIDE = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "unsupported_method",
)  # fmt: skip


def program(name):
    """Where it is; skips where it is not."""
    found = shutil.which(name, path=BESIDE)
    if found is None:
        pytest.skip(f"{name} is not here")
    return found


def run(arguments, folder, **environment):
    done = subprocess.run(
        arguments, capture_output=True, text=True, timeout=300, check=False, cwd=folder,
        env={**os.environ, "LLM_USER_PATH": str(folder), "HF_HOME": str(folder), "HF_HUB_OFFLINE": "1",
             "HF_DATASETS_OFFLINE": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.fixture
def alone(start):
    return start(f"lstm={OLD / 'lstm' / 'model'}")


def test_every_answer_fits_the_openapi_document(server, tmp_path):
    run(
        [
            program("schemathesis"), "run", f"{server.url}/openapi.json", "--checks", ",".join(CHECKS),
            "--max-examples", "2", "--generation-deterministic", "--phases", "coverage,fuzzing",
        ],
        tmp_path,
    )  # fmt: skip
    assert not [line for line in server.log if "a fault of ostinato" in line]


def test_llm_writes_what_write_writes(alone, tmp_path):
    entries = (("text", "lstm", "completion: true"), ("chat", "lstm", "can_stream: true"))
    (tmp_path / "extra-openai-models.yaml").write_text(
        "".join(
            f"- model_id: {name}\n  model_name: {model}\n  api_base: {alone.url}/v1\n  {more}\n"
            for name, model, more in entries
        )
    )
    written = ostinato.load(OLD / "lstm" / "model").write("风", tokens=20, temperature=0.7, seed=5)
    for name in ("text", "chat"):
        for options in ((), ("--no-stream",)):
            text = run(
                [program("llm"), "-m", name, "风", "-o", "max_tokens", "20", "-o", "temperature", "0.7", "-o", "seed",
                 "5", "--no-log", "--key", "none", *options],
                tmp_path,
            )  # fmt: skip
            assert text.rstrip("\n") == written.removeprefix("风")


def test_lm_eval_finds_what_score_finds(alone, tmp_path):
    texts = ["你在雨里等风", "风在山里 the winds"]
    choices = [("风在", ["山里", "the"]), ("你在雨里", ["等风", "winds"])]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "choices.jsonl").write_text(
        "".join(json.dumps({"text": text, "choices": both, "label": 0}) + "\n" for text, both in choices)
    )
    source = "dataset_path: json\ntest_split: test\ndataset_kwargs: {data_files: {test: %s}}\n"
    (tmp_path / "rolling.yaml").write_text(
        "task: rolling\noutput_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{text}}'\n"
        "metric_list: [{metric: bits_per_byte}]\n" + source % (tmp_path / "texts.jsonl")
    )
    (tmp_path / "choice.yaml").write_text(
        "task: choice\noutput_type: multiple_choice\ndoc_to_text: '{{text}}'\ndoc_to_choice: choices\n"
        "doc_to_target: label\ntarget_delimiter: ''\nmetric_list: [{metric: acc}]\n"
        + source
        % (tmp_path / "choices.jsonl")
    )
    run(
        [
            program("lm_eval"), "--model", "local-completions", "--tasks", "rolling,choice", "--include_path",
            str(tmp_path), "--output_path", str(tmp_path / "results"), "--log_samples", "--model_args",
            f"model=lstm,base_url={alone.url}/v1/completions,tokenizer_backend=remote,max_length=65536",
        ],
        tmp_path,
    )  # fmt: skip

    def found(task):
        (path,) = (tmp_path / "results").rglob(f"samples_{task}_*.jsonl")
        return [json.loads(line)["resps"] for line in path.read_text("utf-8").splitlines()]

    model = ostinato.load(OLD / "lstm" / "model")

    def scored(text, begin=0):
        return sum(p.log_probability for p in model.logprobs(text)[begin:-1])  # without the end of the document

    for (answer,), text in zip(found("rolling"), texts, strict=True):
        assert float(answer[0]) == pytest.approx(scored(text), abs=1e-4)
    for answers, (text, both) in zip(found("choice"), choices, strict=True):
        for (answer,), choice in zip(answers, both, strict=True):
            assert float(answer[0]) == pytest.approx(scored(text + choice, len(model.ids(text)) - 1), abs=1e-4)
