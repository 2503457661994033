from miner.bench import BenchRow, best_of
from tests.node.cli.running import invoke

QUICK = ("miner", "bench", "--device", "numpy", "--seconds", "0.05")


def row(device: str, units: int, problem: str | None = None) -> BenchRow:
    return BenchRow(1, "forward_pass", device, problem, honest_units=units)


def test_the_bench_says_what_can_be_staked() -> None:
    shown = invoke(*QUICK, "--class", 1)

    assert shown.code == 0, shown.err
    assert "loopin provider run --class 1 --units" in shown.out
    assert "30 % of it left unused" in shown.out


def test_a_wider_window_and_a_smaller_margin_let_more_be_staked() -> None:
    words = (*QUICK, "--class", 2, "--json")

    narrow = invoke(*words, "--window", 0.1, "--margin", 95).json["rows"][0]
    wide = invoke(*words, "--window", 100, "--margin", 0).json["rows"][0]

    assert narrow["honestUnits"] < wide["honestUnits"]
    assert wide["bytesPerUnit"] == 4096
    assert wide["sealSecondsPerUnit"] > 0


def test_a_device_that_is_not_there_is_named_with_its_problem() -> None:
    rows = invoke(*QUICK[:2], "--device", "cuda-int8", "--class", 1, "--json").json["rows"]

    assert [each["device"] for each in rows] == ["cuda-int8"]
    assert rows[0]["problem"]
    assert rows[0]["honestUnits"] == 0


def test_what_there_is_not_is_refused() -> None:
    assert invoke(*QUICK, "--class", 77).code == 3
    assert invoke("miner", "bench", "--device", "abacus").code == 2
    assert invoke(*QUICK, "--chain", "dev", "--url", "http://127.0.0.1:1").code == 2


def test_the_best_device_is_the_one_with_which_most_can_be_staked() -> None:
    rows = [row("slow", 5), row("broken", 99, "other bytes"), row("fast", 9)]

    assert best_of(rows)[1].device == "fast"
    assert best_of([row("broken", 9, "gone")]) == {}
