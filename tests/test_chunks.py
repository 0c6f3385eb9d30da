import time

import pytest

from synth.chunks import chunks, word_count
from synth.sentences import sentences

ENGLISH = "The river rises in July. Nobody in the village minds it much. The fields need the mud, after all. "
CHINESE = "这条河每年夏天都会上涨，淹没两岸的田地。村里的人并不介意。田地毕竟需要泥土。"
JAPANESE = "この川は毎年夏に水位が上がります。村の人は誰も気にしません。畑には泥が必要だからです。"
THAI = "แม่น้ำสูงขึ้นทุกฤดูร้อนและท่วมทุ่งนาริมฝั่ง ชาวบ้านไม่มีใครสนใจเรื่องนี้มากนัก ทุ่งนาต้องการโคลนอยู่แล้ว "
ARABIC = "يرتفع النهر كل صيف ويغمر الحقول. لا أحد في القرية يهتم بذلك كثيرا؟ الحقول تحتاج إلى الطين. "
HINDI = "नदी हर गर्मी में बढ़ती है। गाँव में किसी को इसकी परवाह नहीं है। खेतों को मिट्टी चाहिए। "
TEXTS = {"en": ENGLISH, "zh": CHINESE, "ja": JAPANESE, "th": THAI, "ar": ARABIC, "hi": HINDI}


def _squeezed(text):
    return "".join(text.split())


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("most_words", [20, 50, 300])
def test_no_piece_is_too_long_and_nothing_is_lost(language, most_words):
    text = TEXTS[language] * 60
    pieces = chunks(text, language, most_words)
    assert len(pieces) > 1
    assert all(word_count(piece) <= most_words for piece in pieces)
    assert _squeezed("".join(pieces)) == _squeezed(text)


@pytest.mark.parametrize("language", TEXTS)
def test_pieces_begin_and_end_with_sentences(language):
    text = TEXTS[language] * 30
    whole = set(sentences(text, language))
    for piece in chunks(text, language, 60):
        found = sentences(piece, language)
        assert found[0] in whole
        assert found[-1] in whole


@pytest.mark.parametrize("language", TEXTS)
def test_pieces_are_of_about_the_same_length(language):
    lengths = [word_count(piece) for piece in chunks(TEXTS[language] * 60, language, 100)]
    assert min(lengths) >= 0.6 * max(lengths)


@pytest.mark.parametrize("text", ["", "one", "Two words.", ENGLISH, CHINESE])
def test_what_is_short_enough_stays_as_it_is(text):
    assert chunks(text, "", 300) == [text]


def test_a_text_of_exactly_the_limit_is_not_cut():
    text = " ".join(["word"] * 300)
    assert chunks(text, "en", 300) == [text]
    assert len(chunks(text + " word", "en", 300)) == 2


def test_words_are_counted_without_spaces_too():
    assert word_count("to be or not to be") == 6
    assert word_count("这条河每年夏天都会上涨") == 6
    assert 8 <= word_count("แม่น้ำสูงขึ้นทุกฤดูร้อนและท่วมทุ่งนาริมฝั่ง") <= 14
    assert word_count("NFL 第49届") == 3
    assert word_count("") == 0


def test_a_sentence_without_end_is_cut_at_its_spaces():
    pieces = chunks("word " * 1000, "en", 300)
    assert [word_count(piece) for piece in pieces] == [300, 300, 300, 100]


def test_a_list_without_full_stops_is_cut_at_its_lines():
    lines = [f"item {i} with four more words" for i in range(100)]
    for piece in chunks("\n".join(lines), "en", 50):
        assert all(line in lines for line in piece.split("\n"))


def test_a_text_without_any_space_is_cut_too():
    pieces = chunks("x" * 10_000, "en", 50)
    assert all(len(piece) <= 1000 for piece in pieces)
    assert "".join(pieces) == "x" * 10_000


def test_no_letter_is_parted_from_its_marks():
    letter = "n\u0303\u0323"
    assert all(piece.startswith("n") for piece in chunks(letter * 3000, "", 20))


def test_two_megabytes_without_a_full_stop_take_seconds():
    began = time.process_time()
    pieces = chunks("wordy " * 340_000, "en", 300)
    assert len(pieces) == 1134
    assert time.process_time() - began < 10


def test_paragraphs_keep_their_line_ends():
    text = (ENGLISH.strip() + "\n\n") * 20
    assert any("\n\n" in piece for piece in chunks(text, "en", 100))


def test_an_unknown_language_is_cut_all_the_same():
    assert len(chunks(ENGLISH * 30, "tlh", 100)) > 3
