"""Which texts repeat a reference, and how that is told."""

import random

import numpy as np
import pytest

from synth.contamination import Closeness, Meanings, References
from synth.passages import Passages, Text
from synth.rewordings import MOST_IN_BUCKET, Rewordings, Words
from tests import letters

EN = "The Nile rises in July when the rains of the Ethiopian highlands reach it and floods the fields until October"
ZH = "这条河每年夏天都会上涨淹没两岸的田地村里的人并不介意田地毕竟需要泥土农民们等着洪水退去然后播种小麦和大麦"
TH = "แม่น้ำสูงขึ้นทุกฤดูร้อนและท่วมทุ่งนาริมฝั่งชาวบ้านไม่มีใครสนใจเรื่องนี้มากนักทุ่งนาต้องการโคลนอยู่แล้วพวกเขารอน้ำลดแล้วจึงหว่านข้าว"
AR = "يرتفع النهر كل صيف ويغمر الحقول ولا أحد في القرية يهتم بذلك كثيرا لأن الحقول تحتاج إلى الطين قبل موسم الزرع"


def found(references: list[str], text: str, close: Closeness | None = None, **options: bool) -> tuple[int, str]:
    (match,) = References(references, close or Closeness()).find([text], **options)
    return (-1, "") if match is None else (match.number, match.how)


def made_up(words: int, seed: int) -> str:
    dice = random.Random(seed)
    return " ".join("".join(dice.choices("abcdefghij", k=5)) for _ in range(words))


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (EN, "the same words"),
        (EN.upper(), "the same words"),
        (EN + " or so", "of the letters (Jaccard)"),
        (" ".join(EN.split()[3:17]), "14 words in a row"),
        (" ".join(EN.split()[3:12]), "9 words in a row"),
        (" ".join(EN.split()[3:10]), ""),
        (made_up(30, 1) + " " + EN, "20 words in a row"),
        (made_up(30, 1) + " " + " ".join(EN.split()[2:15]), "13 words in a row"),
        (made_up(30, 1) + " " + " ".join(EN.split()[2:14]), ""),
        (made_up(20, 2), ""),
        ("", ""),
        ("…", ""),
    ],
)
def test_how_a_text_repeats_a_long_one(text: str, how: str) -> None:
    number, said = found(["a reference that comes before", EN, "", EN], text)
    assert (number, how in said) == (1 if how else -1, True)


@pytest.mark.parametrize("whole", [ZH, TH, AR])
def test_pieces_are_found_in_any_script(whole: str) -> None:
    piece = whole[len(whole) // 8 : -len(whole) // 8]
    assert "words in a row" in found([EN, whole], f"{made_up(3, 9)} {piece} {made_up(3, 10)}")[1]
    assert found([EN, whole], f"{EN[::-1]} {piece[:15]}") == (-1, "")


def test_a_text_edited_throughout_is_known_by_its_share_of_runs() -> None:
    words = made_up(400, 3).split()
    edited = " ".join("changed" if place % 9 == 0 else word for place, word in enumerate(words))
    piece = " ".join(edited.split()[100:300])
    assert "11% of its runs of 8 words" in found([" ".join(words)], piece, Closeness(share=0.1))[1]
    around = f"{made_up(900, 4)} {edited} {made_up(900, 5)}"
    assert "it holds 11% of the runs" in found([" ".join(words)], around, Closeness(share=0.1))[1]
    assert found([" ".join(words)], around, Closeness(share=0.15)) == (-1, "")


@pytest.mark.parametrize(
    ("reference", "text", "how"),
    [
        ("breast cancer feeds cholesterol", "breast cancer makes cholesterol", "1 of 4 words differs"),
        ("breast cancer feeds cholesterol", "breast cancer feeds", "1 of 4 words differs"),
        ("eggs feed liver cancer", "which eggs feed liver cancer", "1 of 4 words differs"),
        ("breast cancer feeds cholesterol", "cholesterol feeds breast cancer", "0 of 4 words differ"),
        ("breast cancer feeds cholesterol", "liver cancer makes cholesterol", ""),
        ("breast cancer diet", "breast cancer pills", ""),
        ("a b c d e f g h i j k l", "a b c d e f g h w x y z", "4 of 12 words differ"),
        ("a b c d e f g h i j k l", "a b c d e f g v w x y z", ""),
        ("河水每年夏天都会上涨吗", "河水每年冬天都会上涨吗", "1 of 11 words differs"),
    ],
)
def test_how_many_words_may_differ(reference: str, text: str, how: str) -> None:
    assert found([EN, reference], text) == ((1, how) if how else (-1, ""))
    assert found([EN, reference], text, few_words=False) == (-1, "")
    assert found([EN, reference], text, Closeness(edits=0)) == (-1, "")


def test_turkish_capitals_are_the_same_words() -> None:
    assert found([EN, "ısı nasıl ölçülür"], "ISI NASIL ÖLÇÜLÜR?") == (1, "the same words")
    assert found([EN, "istanbul nerede kuruldu"], "İstanbul nerede kuruldu") == (1, "the same words")


@pytest.mark.parametrize("turned", [1, -1])
def test_the_nearest_of_several_references_is_named(turned: int) -> None:
    references = ["k l c d e f g h i j", "a b c d e f g h i l", "a b c d e f g h k l"]
    reworded = Rewordings([Text.of(text) for text in references[::turned]], 4)
    ((_, match),) = reworded.find([Text.of("a b c d e f g h i j")])
    assert references[::turned][match.number] == references[1]
    assert match.how == "1 of 10 words differs"
    text = made_up(60, 6)
    near = [f"{text} {made_up(9, 7)}", f"{text} {made_up(3, 8)}", f"{text} {made_up(6, 9)}"]
    assert near[::turned][found(near[::turned], text)[0]] == near[1]


def test_a_frame_is_told_by_the_texts_around() -> None:
    names = [made_up(1, seed) for seed in range(30)]
    frames = [Text.of(f"what does the word {name} mean") for name in names]
    reference = [Text.of("what does the word ciao mean")]
    alone, among = Rewordings(reference, 4), Rewordings(reference, 4, [each.text for each in frames])
    assert len(list(alone.find(frames))) == 30
    assert list(among.find(frames)) == []
    tells = "which wood is the front of a violin by {} carved from in the Cremona of his days"
    many = [Text.of(tells.format(name)) for name in names]
    others = [made_up(9, seed) for seed in range(300)]
    leaked = Rewordings([Text.of(tells.format("amati"))], 4, [*others, *(each.text for each in many)])
    assert len(list(leaked.find(many))) == 30


def test_words_that_stand_everywhere_tell_less_than_one_that_is_changed() -> None:
    frequent = [f"{word} {made_up(1, seed)}" for word in ("how", "far", "away") for seed in range(50)]
    reference, text = [Text.of("how far away jupiter")], [Text.of("how far away saturn")]
    assert len(list(Rewordings(reference, 4).find(text))) == 1
    assert list(Rewordings(reference, 4, [*frequent, text[0].text]).find(text)) == []


def test_words_that_tell_much_are_a_frame_where_others_fill_it_too() -> None:
    others = [f"{made_up(4, seed)}" for seed in range(200)]
    frame = [f"crossbow luthier orchard {made_up(1, seed)}" for seed in range(300, 304)]
    reference, text = [Text.of("crossbow luthier orchard first")], [Text.of("crossbow luthier orchard second")]
    assert len(list(Rewordings(reference, 4, [*others, text[0].text]).find(text))) == 1
    assert list(Rewordings(reference, 4, [*others, *frame, text[0].text]).find(text)) == []


def test_a_key_of_very_many_references_costs_no_more_than_one_of_some() -> None:
    references = [f"what is the capital of {made_up(1, seed)}" for seed in range(3 * MOST_IN_BUCKET)]
    index = References(references, Closeness(), references)
    assert index.find(["what is the capital of mars"]) == [None]
    (match,) = index.find([references[-1] + " please"])
    assert match is not None
    assert match.number == len(references) - 1


def test_words_are_counted_by_the_texts_that_hold_them() -> None:
    texts = [Text.of(text).hashes for text in ("a b c", "a a b", "c d", "")]
    words = Words(texts)
    asked = Text.of("a b c d e").hashes
    assert (len(words), words.counts(asked).tolist()) == (4, [2, 2, 2, 1, 0])
    assert [words.holders(Text.of(text).hashes, 1) for text in ("a b", "a c", "a d", "e", "a e")] == [2, 1, 0, 0, 0]


def test_many_texts_at_once_are_judged_as_one_by_one_is() -> None:
    references = [made_up(count, seed) for seed, count in enumerate([5, 9, 14, 40, 200] * 8)]
    dice = random.Random(1)
    texts = []
    for text in references:
        words = text.split()
        words[dice.randrange(len(words))] = "changed"
        texts += [" ".join(words), " ".join(words[len(words) // 2 :]), made_up(len(words), dice.randrange(10**6))]
    index = References(references, Closeness())
    together = index.find(texts)
    assert together == [match for text in texts for match in index.find([text])]
    assert sum(match is not None for match in together) >= len(references)
    numbers = [match.number for match in together[::3] if match is not None]
    assert numbers == list(range(len(references)))


def test_without_references_or_texts_nothing_is_found() -> None:
    assert References([], Closeness()).find(["a", ""]) == [None, None]
    assert References(["", "…"], Closeness()).find([""]) == [None]
    assert References([EN], Closeness()).find([]) == []
    assert list(Passages([]).find([Text.of(EN)])) == []


def test_a_text_in_words_of_its_script() -> None:
    assert [Text.of(text).scale for text in (EN, AR, ZH, TH, f"{EN} {ZH[:5]}")] == [1, 1, 2, 3, 1]
    assert Text.of(ZH).word_count == len(ZH) / 2


def test_meanings_are_compared_by_cosine_and_short_texts_left_out() -> None:
    references = ["vitamin", "how long is the river", "which wood is a violin of"]
    meanings = Meanings(references, letters.embedder(references), 0.7)
    match, *others = meanings.find(["the river is how long", "vitamin", "", "which is how long"])
    assert match is not None
    assert (match.number, match.how) == (1, "cosine 1.000")
    assert others == [None, None, None]
    assert Meanings(["vitamin"], letters.embedder(references), -1).find(["how long is the river"]) == [None]


def test_what_all_references_have_in_common_says_nothing() -> None:
    frame = "tell me in a few words please "
    references = [f"{frame}{made_up(2, seed)}" for seed in range(60)]
    embedder = letters.embedder(references)
    near, far = frame + references[5].split()[-1], frame + "something else"
    few = Meanings(references[:20], embedder, 0.7).find([near, far])
    assert [match is not None for match in few] == [True, True]
    match, other = Meanings(references, embedder, 0.5).find([near, far])
    assert match is not None
    assert (match.number, other) == (5, None)


def test_very_many_meanings_are_compared_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    references = [f"the {word} of a long river" for word in ("source", "mouth", "fish", "name", "water", "bank")]
    embedder = letters.embedder(references)
    whole = Meanings(references, embedder, 0.1).find(references)
    monkeypatch.setattr("synth.contamination.AT_ONCE", 2)
    assert Meanings(references, embedder, 0.1).find(references) == whole
    assert np.array([match.number for match in whole if match]).tolist() == list(range(6))
