"""The samples that a run keeps."""

from ostinato.runs.sample_file import FILE, append_sample, read_samples


def test_samples_are_kept_in_order_also_after_a_kill(tmp_path):
    assert read_samples(tmp_path) == []
    append_sample(tmp_path, step=3, seconds=1.23456, text="风在\n春里")
    with (tmp_path / FILE).open("a") as file:
        file.write('{"step": 4, "sec')
    append_sample(tmp_path, step=5, seconds=2.0, text="")
    assert read_samples(tmp_path) == [
        {"step": 3, "seconds": 1.235, "text": "风在\n春里"}, {"step": 5, "seconds": 2.0, "text": ""}
    ]  # fmt: skip
