"""A small model for the commands that need one."""

import pytest

from ostinato.cli.main import main


@pytest.fixture(scope="session")
def model(tmp_path_factory, verses_text):
    """The output folder of a short run on 36 small songs with titles."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "verses.txt").write_text(verses_text, "utf-8")
    code = main(
        ["train", str(folder / "verses.txt"), "-o", str(folder / "m"), "--steps", "40", "--quiet", "--json",
         "--set", "model.hidden_size=24", "--set", "model.embedding_size=12", "--set", "training.batch_size=4",
         "--set", "training.window=16", "--set", "text.documents=^# "]
    )  # fmt: skip
    assert code == 0
    return folder / "m"
