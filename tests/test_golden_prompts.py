"""What each shipped prompt says, filled in and word for word: a change of wording is seen in review.

`python -m tests.test_golden_prompts` writes the files anew. They hold six scripts and more, right-to-left text and
marks that combine, so whoever reads them sees what a model is sent.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from synth.prompt import Prompt
from tests.test_prompts import LISTS, NAMES, OF_PARTS

GOLDENS = Path(__file__).parent / "goldens"
TEXTS = (
    ("en", "English", "The ferry to Skarv leaves at 7:40, but not on the first Monday of a month."),
    ("ru", "Russian (русский)", "Паром на Скарв отходит в 7:40, кроме первого понедельника месяца."),
    ("ar", "Arabic (العربية)", "تغادر العبّارة إلى سكارف الساعة ٧:٤٠، إلا في أول يوم اثنين من كل شهر."),
    ("hi", "Hindi (हिन्दी)", "स्कार्व की नौका 7:40 पर छूटती है, महीने के पहले सोमवार को छोड़कर।"),
    ("zh-Hant", "Chinese (Traditional) (中文（繁體）)", "往斯卡夫的渡輪七點四十分開出，每月第一個星期一除外。"),
    ("th", "Thai (ไทย)", "เรือข้ามฟากไปสการ์ฟออกเวลา 7.40 น. ยกเว้นวันจันทร์แรกของเดือน"),
    ("he", "Hebrew (עברית)", "הַמַּעְבּוֹרֶת לסקארב יוצאת ב־7:40, פרט ליום שני הראשון בחודש."),
    ("vi", "Vietnamese (Tiếng Việt)", "Phà đi Skarv rời bến lúc 7:40, trừ thứ Hai đầu tiên của tháng."),
)


def text_of(name: str) -> str:
    """A prompt filled in: a text in the script that its name gives it, the first value of each axis."""
    prompt = Prompt.load(name)
    code, language, text = TEXTS[crc32(name.encode()) % len(TEXTS)]
    values: dict[str, Any] = {axis: next(iter(of.values())).words(code) for axis, of in prompt.header.axes.items()}
    for read in prompt.header.reads:
        values[read] = value_of(read, code, language, text, plain=name.startswith("judge/"))
    parts = [f"[{message.role}]\n{message.content}" for message in prompt.render(values)]
    return "\n".join(parts) + "\n"


def value_of(read: str, code: str, language: str, text: str, *, plain: bool) -> Any:
    if read in OF_PARTS and not plain:
        return [defaultdict(str, dict.fromkeys(OF_PARTS[read], f"{n}. {text}")) for n in (1, 2)]
    if read in LISTS:
        return [f"{n}. {text}" for n in (1, 2)]
    if read.endswith("language_name"):
        return language
    return code if read.endswith("language") else text


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_says_what_its_golden_file_holds(name: str) -> None:
    golden = GOLDENS / f"{name}.txt"
    assert golden.is_file(), "python -m tests.test_golden_prompts writes it; read it"
    assert text_of(name) == golden.read_text(encoding="utf-8")


def test_there_is_no_golden_file_without_a_prompt() -> None:
    assert {path.relative_to(GOLDENS).with_suffix("").as_posix() for path in GOLDENS.rglob("*.txt")} == set(NAMES)


def main() -> None:
    """Write all of them."""
    for name in NAMES:
        golden = GOLDENS / f"{name}.txt"
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text_of(name), encoding="utf-8")


if __name__ == "__main__":
    main()
