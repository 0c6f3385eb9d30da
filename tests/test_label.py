"""label: what is drawn, what a person sees and presses, and what is in the file afterwards."""

import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fcntl import ioctl
from pathlib import Path

import pytest
from rich.cells import cell_len

from synth.errors import CorpusError, OutputError
from synth.label import Labelled, Sitting, label
from synth.labels import Drawn, append, draw, mend, pair_id, pairs, read_labels, shares_of
from synth.runs import open_run
from synth.types import Document, Example
from tests.labelled_runs import row, rows_of, say, write_run

ROOT = Path(__file__).parent.parent


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Ten rows of each grade."""
    return write_run(tmp_path / "run", rows_of({0: 10, 1: 10, 2: 10, 3: 10}))


def typed(monkeypatch: pytest.MonkeyPatch, text: str, folder: Path, **sitting: object) -> Labelled:
    """What comes of lines on standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return label(folder, None, Sitting(by="anna", **sitting))  # type: ignore[arg-type]


def written(folder: Path) -> list[tuple[str, int | None]]:
    """Query and verdict of each line, in the order of the file."""
    lines = (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    return [(each["query"], each["verdict"]) for each in map(json.loads, lines)]


# What is drawn


def test_grades_are_drawn_alike_and_more_of_those_in_the_middle(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path / "run", rows_of({0: 20, 1: 300, 2: 60, 3: 500})))
    drawn = draw(run, most=100)
    assert Counter(each.stratum[-1] for each in drawn) == {"0": 20, "1": 29, "2": 28, "3": 23}
    weights = {each.stratum[-1]: each.label(None).weight for each in drawn}
    assert weights == {"0": 1, "1": 10.34483, "2": 2.14286, "3": 21.73913}
    assert sum(each.of / each.drawn for each in drawn) == pytest.approx(880)


def test_a_small_run_is_asked_about_whole_and_each_pair_once(run: Path) -> None:
    drawn = draw(open_run(run), most=150)
    assert len({each.pair.id for each in drawn}) == len(drawn) == 40


def test_the_draw_is_the_same_every_time_and_more_only_ever_adds(run: Path) -> None:
    few, again, more = (draw(open_run(run), most=most) for most in (12, 12, 30))
    assert few == again
    assert {each.pair.id for each in few} < {each.pair.id for each in more}


def test_another_seed_draws_others(tmp_path: Path) -> None:
    rows = rows_of({1: 60, 3: 60})
    folders = [write_run(tmp_path / name, rows) for name in ("one", "other")]
    text = (folders[1] / "recipe.yaml").read_text()
    (folders[1] / "recipe.yaml").write_text(text.replace("seed: 7", "seed: 8"))
    one, other = ({each.pair.id for each in draw(open_run(folder), most=20)} for folder in folders)
    assert one != other


def test_languages_and_fates_have_their_share(tmp_path: Path) -> None:
    rows = [replace(each, language="de" if n % 4 else "sw") for n, each in enumerate(rows_of({3: 200}))]
    drawn = draw(open_run(write_run(tmp_path / "run", rows)), most=40)
    assert Counter(each.pair.row.language for each in drawn) == {"de": 30, "sw": 10}


def test_at_any_moment_the_strata_have_been_asked_about_alike(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path / "run", rows_of({0: 100, 1: 100, 2: 100, 3: 100})))
    first = Counter(each.stratum[-1] for each in draw(run, most=150)[:50])
    assert all(9 <= first[grade] <= 16 for grade in "0123")


def test_every_pair_of_a_stratum_has_the_same_chance(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [replace(r, language="ab"[n % 3 > 0]) for n, r in enumerate(rows_of({3: 30}))])
    text = (folder / "recipe.yaml").read_text()
    seen: Counter[str] = Counter()
    for seed in range(45):
        (folder / "recipe.yaml").write_text(text.replace("seed: 7", f"seed: {seed}"))
        seen.update(each.pair.row.id for each in draw(open_run(folder), most=10))
    third, rest = ({r.id for r in rows_of({3: 30})[n::3]} for n in (0, 1))
    assert 3 <= min(seen.values()) <= max(seen.values()) <= 27
    assert 145 <= sum(seen[each] for each in third) <= 155
    assert 120 <= sum(seen[each] for each in rest) <= 180


def test_negatives_have_strata_of_their_own(tmp_path: Path) -> None:
    wrong = [Document(f"wrong {n}", scores={"judge": float(n)}) for n in range(2)] + [Document("not graded")]
    rows = [replace(each, negatives=tuple(wrong)) for each in rows_of({3: 5})]
    drawn = draw(open_run(write_run(tmp_path / "run", rows)))
    assert Counter((each.pair.role, each.stratum) for each in drawn) == {
        ("positive", "positive judge 3"): 5,
        ("negative", "negative judge 0"): 5,
        ("negative", "negative judge 1"): 5,
        ("negative", "negative ungraded"): 5,
    }


def test_rows_that_no_judge_saw_are_asked_about_only_where_there_is_no_judge(tmp_path: Path) -> None:
    unseen = [row(90), row(91, query=" "), row(92, positives=())]
    judged = write_run(tmp_path / "judged", [*rows_of({3: 3}), *unseen])
    assert {each.stratum for each in draw(open_run(judged))} == {"positive judge 3"}
    plain = write_run(tmp_path / "plain", unseen)
    assert [each.stratum for each in draw(open_run(plain))] == ["positive ungraded"]


def test_a_document_that_stands_twice_in_a_row_or_is_empty_is_asked_about_once_or_not_at_all(tmp_path: Path) -> None:
    twice = row(0, 3.0)
    twice = replace(twice, negatives=(replace(twice.positive, scores={}), Document(" "), Document("other")))
    found = list(pairs(open_run(write_run(tmp_path / "run", [twice]))))
    assert [(pair.role, pair.document.text) for pair in found] == [("positive", "text 0"), ("negative", "other")]


def test_a_step_restricts_what_is_asked_about(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path / "run", rows_of({0: 3, 3: 3})))
    assert {pair.fate for pair in pairs(run)} == {"kept", "irrelevant"}
    assert {pair.fate for pair in pairs(run, "extract")} == {"kept"}
    with pytest.raises(CorpusError, match="no finished step is called 'juge'; did you mean 'judge'"):
        draw(run, "juge")


@pytest.mark.parametrize(
    ("grades", "strata"),
    [
        ([0, 1, 2, 3], "0123"),
        ([1, 4, 7, 10], "0123"),
        ([0.1, 0.3, 0.6, 0.95], "0123"),
        ([1.4, 3.2, 6.25, 9.9], "0123"),
        ([10, 10, 10, 10], "3333"),
        ([0, 0, 0, 0], "0000"),
    ],
)
def test_scales_of_all_kinds_are_cut_into_quarters(tmp_path: Path, grades: Sequence[float], strata: str) -> None:
    run = open_run(write_run(tmp_path / "run", [row(n, float(grade)) for n, grade in enumerate(grades)]))
    found = {each.pair.grade: each.stratum[-1] for each in draw(run)}
    assert "".join(found[grade] for grade in grades) == strata


def test_shares_are_never_more_than_there_are() -> None:
    assert shares_of({"positive ungraded": 3, "positive judge 1": 0}, 10) == {"positive ungraded": 3}
    assert sum(shares_of({f"positive judge {n}": 7 for n in range(4)}, 20).values()) == 20


def test_a_run_without_a_pair_is_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [row(0, query="")])
    with pytest.raises(CorpusError, match="no row of this run has a query and a document to label"):
        draw(open_run(folder))


# What is pressed


def test_verdicts_are_written_as_they_come(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = typed(monkeypatch, "3\n0\ns\n2\n", run)
    assert done.to_json() == {
        "labels": str(run / "labels.jsonl"),
        "asked": 40,
        "left": 36,
        "skipped": 1,
        "verdicts": {"0": 1, "1": 0, "2": 1, "3": 1},
    }
    drawn = draw(open_run(run))
    assert written(run) == [
        (each.pair.row.query, verdict) for each, verdict in zip(drawn, (3, 0, None, 2), strict=False)
    ]


def test_a_line_of_the_file_says_all_that_is_known(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "3\n", run, most=8)
    [said] = read_labels(run / "labels.jsonl")
    first = draw(open_run(run), most=8)[0]
    document = first.pair.document
    assert (said.pair, said.row, said.verdict) == (first.pair.id, first.pair.row.id, 3)
    assert (said.document, said.title, said.doc_id) == (document.text, document.title, document.doc_id)
    assert (said.language, said.role, said.by, said.blind, said.revised) == ("en", "positive", "anna", False, False)
    assert (said.stratum, said.of, said.weight) == (first.stratum, 10, 5)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", said.at)


def test_the_same_command_goes_on_where_it_stopped(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "3\n3\nq\n", run)
    assert typed(monkeypatch, "1\n" * 100, run).to_json()["left"] == 0
    assert [verdict for _, verdict in written(run)] == [3, 3, *[1] * 38]
    assert len({query for query, _ in written(run)}) == 40
    assert typed(monkeypatch, "1\n", run).left == 0
    assert len(written(run)) == 40


def test_each_person_has_a_file_of_their_own_or_lines_of_their_own(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "3\n3\n", run)
    monkeypatch.setattr(sys, "stdin", io.StringIO("0\n"))
    assert label(run, None, Sitting(by="ben")).left == 39
    assert [(each.by, each.verdict) for each in read_labels(run / "labels.jsonl")] == [
        ("anna", 3),
        ("anna", 3),
        ("ben", 0),
    ]
    assert written(run)[0][0] == written(run)[2][0]


@pytest.mark.parametrize(
    ("keys", "verdicts"),
    [
        ("3b1", {0: 1}),
        ("3b\n0", {0: 3, 1: 0}),
        ("30bb1", {0: 1, 1: 0}),
        ("30bb12", {0: 1, 1: 0, 2: 2}),
        ("30bbs", {0: None, 1: 0}),
        ("3b", {0: 3}),
        ("b3", {0: 3}),
        ("3?b", {0: 3}),
        ("3??0", {0: 3, 1: 0}),
        ("3xX!0", {0: 3, 1: 0}),
        ("3mm0", {0: 3, 1: 0}),
        ("3q0", {0: 3}),
        ("３S٠", {0: 3, 1: None, 2: 0}),
        ("3⑫4567890", {0: 3, 1: 0}),
    ],
)
def test_keys_do_what_they_say(
    run: Path, monkeypatch: pytest.MonkeyPatch, keys: str, verdicts: dict[int, int | None]
) -> None:
    typed(monkeypatch, "".join(f"{key}\n" if key != "\n" else "\n" for key in keys), run)
    places = {each.pair.id: number for number, each in enumerate(draw(open_run(run)))}
    assert {places[each.pair]: each.verdict for each in read_labels(run / "labels.jsonl")} == verdicts


def test_a_verdict_that_takes_the_place_of_another_says_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "3\nb\n1\n", run)
    lines = [json.loads(line) for line in (run / "labels.jsonl").read_text().splitlines()]
    assert [(each["verdict"], each["revised"]) for each in lines] == [(3, False), (1, True)]


def test_the_way_back_leads_to_the_last_verdict_also_of_an_earlier_sitting(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "3\n0\nb\nb\n1\n", run)
    typed(monkeypatch, "b\n2\n", run)
    first, second = (each.pair.row.query for each in draw(open_run(run))[:2])
    assert written(run) == [(first, 3), (second, 0), (first, 1), (first, 2)]


# What is seen


def screens(text: str) -> list[str]:
    """The screens one after the other."""
    return re.split(r"(?m)^(?= \d+ of \d+ · )", text)[1:]


def test_the_grade_is_told_after_the_verdict_and_never_if_blind(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grades = [each.pair.grade for each in draw(open_run(run))]
    typed(monkeypatch, "3\n2\n", run)
    seen = screens(capsys.readouterr().err)
    assert "judge" not in seen[0]
    assert f"the last: you 3, judge {grades[0]:g}" in seen[1]
    assert f"the last: you 2, judge {grades[1]:g}" in seen[2]
    typed(monkeypatch, "3\n2\n", run, blind=True)
    assert "judge" not in capsys.readouterr().err
    assert [each.blind for each in read_labels(run / "labels.jsonl")] == [False, False, True, True]


HARD = (
    "Ein ganz gewöhnlicher Satz, der länger ist als eine Zeile von achtzig Zeichen und darum umbrochen wird.",
    "猫が窓のそばで眠っている。外では雨が降っていて、庭の木がぬれている。" * 6,
    "القاهرة مدينة كبيرة. يعيش فيها ملايين الناس على ضفاف النيل. " * 6,
    "ภาษาไทยเขียนโดยไม่เว้นวรรคระหว่างคำ" * 12,
    "गंगा हिमालय से निकलती है। यह बंगाल की खाड़ी में गिरती है। " * 9,
    "\x1b[2J\x1b]0;title\x07 \x9b31m red \u202e turned \u2066 round\r\nnext\rover",
    "x" * 5000,
    "a\n" * 300,
)


@pytest.mark.parametrize("text", HARD, ids=range(len(HARD)))
def test_every_script_fits_the_screen_and_no_text_steers_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    hard = row(0, 2.0, query=text, instruction=text)
    hard = replace(hard, positives=(Document(text, title=text[:200], scores={"judge": 2.0}),))
    typed(monkeypatch, "m\nm\n", write_run(tmp_path / "run", [hard]))
    said = capsys.readouterr().err
    for screen in screens(said):
        lines = screen.splitlines()
        assert len(lines) <= 23  # the cursor stands on the last
        assert max(map(cell_len, lines)) <= 80
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", said)


def test_right_to_left_text_stands_alone_on_its_lines_letter_for_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    query = "أين تقع القاهرة؟"
    typed(monkeypatch, "", write_run(tmp_path / "run", [row(0, 2.0, query=query)]))
    assert query in capsys.readouterr().err.splitlines()


def test_a_long_document_has_more_pages_and_a_long_query_is_there_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    long = row(0, 2.0, query="".join(f"asked {n}\n" for n in range(30)))
    long = replace(long, positives=(Document("\n".join(f"line {n}" for n in range(20))),))
    long = replace(long, negatives=(Document("n", scores={"judge": 1.0}),), positives=long.positives)
    folder = write_run(tmp_path / "run", [long])
    while_ = "m\n" * 9
    typed(monkeypatch, f"s\n{while_}", folder)
    seen = capsys.readouterr().err
    assert re.search(r"m more \(1 of \d\)", seen)
    for n in range(20):
        assert f"line {n}\n" in seen
    assert "asked 29" in seen


def test_help_tells_what_the_verdicts_mean(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "?\n", run)
    said = capsys.readouterr().err
    assert "2  it answers a part of the query" in said
    assert max(map(len, said.splitlines())) <= 80


# At a terminal

SITTING = """
import sys
from pathlib import Path
from synth.label import Sitting, label
print(label(Path(sys.argv[1]), None, Sitting(by="anna", blind=len(sys.argv) > 2)).to_json(), flush=True)
"""


class Terminal:
    """A pseudo-terminal of 80 columns and 24 lines at which somebody sits."""

    def __init__(self, run: Path) -> None:
        self.handle, self._theirs = pty.openpty()
        ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self._theirs)
        env = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
        for name in ("COLUMNS", "LINES"):
            env.pop(name, None)
        ends = {"stdin": self._theirs, "stdout": subprocess.PIPE, "stderr": self._theirs}
        command = [sys.executable, "-c", SITTING, str(run)]
        self.process = subprocess.Popen(command, env=env, start_new_session=True, text=True, **ends)  # type: ignore[call-overload]
        self.seen = ""
        self._read_to = 0

    def wait_for(self, text: str) -> str:
        """What came until this text did, from where the last such text ended."""
        start = self._read_to
        while (place := self.seen.find(text, start)) < 0:
            ready, _, _ = select.select([self.handle], [], [], 60)
            if not ready:
                self.process.kill()
                self.close()
                pytest.fail(f"{text!r} never came: {self.seen[start:]!r}")
            self.seen += os.read(self.handle, 65536).decode("utf-8", "replace")
        self._read_to = place + len(text)
        return self.seen[start : self._read_to]

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.handle, keys.encode())

    def close(self, *, hang_up: bool = False) -> str:
        """What was printed at the end."""
        if hang_up:
            os.close(self.handle)
        out, _ = self.process.communicate(timeout=60)
        if not hang_up:
            self.after = termios.tcgetattr(self._theirs)
            os.close(self.handle)
        os.close(self._theirs)
        return str(out)


def test_at_a_terminal_one_key_is_one_verdict(run: Path) -> None:
    here = Terminal(run)
    first = here.wait_for("q quit")
    assert "\x1b[2J" in first
    assert " 1 of 40 · 0:00" in first
    for number, keys in enumerate(("3", "\x1b[A\x1b[B\x1bOC0", "s", "２"), 2):
        here.press(keys)
        here.wait_for(f" {number} of 40")
        here.wait_for("q quit")
    here.press("b")
    assert "Enter leaves it at 2" in here.wait_for("Enter leaves it at 2")
    here.press("\r?")
    here.wait_for("any key goes on")
    here.press("q\x04")
    assert "'verdicts': {'0': 1, '1': 0, '2': 1, '3': 1}" in here.close()
    assert here.after == here.before
    assert [verdict for _, verdict in written(run)] == [3, 0, None, 2]
    assert "３" not in here.seen


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_whatever_ends_it_no_verdict_is_lost(run: Path, sent: signal.Signals) -> None:
    here = Terminal(run)
    here.wait_for("q quit")
    for number in range(2, 6):
        here.press("3")
        here.wait_for(f" {number} of 40")
    here.wait_for("q quit")
    here.process.send_signal(sent)
    here.close()
    assert [verdict for _, verdict in written(run)] == [3, 3, 3, 3]
    assert sent == signal.SIGKILL or here.after == here.before


def test_a_terminal_that_goes_away_ends_it_quietly(run: Path) -> None:
    here = Terminal(run)
    here.wait_for("q quit")
    here.press("1")
    here.wait_for("2 of 40")
    here.wait_for("q quit")
    assert "'1': 1" in here.close(hang_up=True)
    assert here.process.returncode == 0


# The file


GOOD = '{"row": "r", "query": "q", "document": "d", "verdict": 2}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "labels.jsonl:2: this is not JSON"),
        ("3", "labels.jsonl:2: a label is an object"),
        ('{"row": "r", "query": "q", "document": "d"}', "labels.jsonl:2: verdict: it is missing"),
        ('{"query": "q", "document": "d", "verdict": 1}', "labels.jsonl:2: row: it is missing"),
        (GOOD.replace("2", "4"), "labels.jsonl:2: verdict: must be less than or equal to 3, not 4"),
        (GOOD.replace("2", '"2"'), 'labels.jsonl:2: verdict: must be a valid integer, not "2"'),
        (GOOD.replace("2", "true"), "labels.jsonl:2: verdict: must be a valid integer, not true"),
        (GOOD.replace("2", "2, \"weight\": 0"), "labels.jsonl:2: weight: must be greater than 0, not 0"),
        (GOOD.replace("2", "2, \"weight\": NaN"), "labels.jsonl:2: weight: "),
        ("[" * 100_000, "labels.jsonl:2: "),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "labels.jsonl").write_text(f"{GOOD}\n{line}\n", encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        read_labels(tmp_path / "labels.jsonl")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "said"), [(None, "no labels are here"), ("\n", "it holds no labels")])
def test_a_file_without_labels_is_told(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "labels.jsonl").write_text(content)
    with pytest.raises(CorpusError, match=said):
        read_labels(tmp_path / "labels.jsonl")


def test_others_may_write_what_is_needed_and_more_beside_it(tmp_path: Path) -> None:
    text = "\ufeff" + GOOD.replace("}", ', "colour": "red"}') + "\r\n\n" + GOOD.replace("2", "null")
    (tmp_path / "labels.jsonl").write_text(text, encoding="utf-8")
    [last] = read_labels(tmp_path / "labels.jsonl")
    assert (last.verdict, last.pair, last.weight) == (None, pair_id("r", "", "d"), 1)


def test_half_a_line_that_a_power_cut_left_is_taken_out(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "3\n2\n", run)
    file = run / "labels.jsonl"
    whole = file.read_bytes()
    for cut in (1, 40, len(whole.splitlines()[1])):
        file.write_bytes(whole[:-cut])
        typed(monkeypatch, "1\n" if cut > 1 else "", run)
        assert [verdict for _, verdict in written(run)] == ([3, 1] if cut > 1 else [3, 2])
    file.write_bytes(b"")
    mend(file)
    assert typed(monkeypatch, "1\n", run).left == 39


def test_a_file_that_cannot_be_written_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "there").write_text("a file")
    monkeypatch.setattr(sys, "stdin", io.StringIO("3\n"))
    with pytest.raises(OutputError, match="cannot be written"):
        label(run, run / "there" / "labels.jsonl", Sitting(by="anna"))


def test_a_label_comes_back_as_it_was_written(tmp_path: Path) -> None:
    text = 'line\nbreak \u2028 \x1b[31m 猫 😀 "quoted"'
    strange = Example(id="r", query=text, positives=(Document(text, title=text),))
    drawn = Drawn(next(iter(pairs_of(tmp_path, strange))), "positive ungraded", 7, 2)
    append(tmp_path / "labels.jsonl", drawn.label(3))
    assert read_labels(tmp_path / "labels.jsonl") == [drawn.label(3)]


def pairs_of(folder: Path, each: Example) -> Sequence[object]:
    """The pairs of a run of one row."""
    return list(pairs(open_run(write_run(folder / "run", [each]))))


def test_labels_of_others_are_left_as_they_are(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(run / "labels.jsonl", [row(999)], [1], by="somebody")
    typed(monkeypatch, "3\n", run)
    assert [each.by for each in read_labels(run / "labels.jsonl")] == ["somebody", "anna"]
