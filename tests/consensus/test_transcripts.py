from pathlib import Path

import pytest

from tests.consensus.transcript import FOLDER, Transcript

PATHS = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_machine_answers_as_the_transcript_says(path: Path) -> None:
    text = path.read_text()

    assert Transcript(text).play() == text


def test_there_are_transcripts() -> None:
    assert len(PATHS) >= 15
