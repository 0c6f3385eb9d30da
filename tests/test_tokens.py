"""Tokens are counted by a model's own tokenizer where it is at hand, and estimated near what tokenizers count."""

from pathlib import Path
from statistics import fmean

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from synth.backend import Message, Request
from synth.backends.openai import OpenAI
from synth.backends.vllm import VLLM
from synth.errors import BackendError
from synth.mixture import Mixture
from synth.tokens import A_MESSAGE, A_REPLY, ESTIMATED, counter_of, estimate

# From the Universal Declaration of Human Rights: what GPT-4o's tokenizer and Qwen3's make of it.
COUNTED = [
    (
        "Everyone is entitled to all the rights and freedoms set forth in this Declaration, without distinction of any "
        "kind, such as race, colour, sex, language, religion, political or other opinion, national or social origin, "
        "property, birth or other status.",
        50,
        50,
    ),
    ("Jeder hat das Recht auf Leben, Freiheit und Sicherheit der Person.", 14, 18),
    ("Tout individu a droit à la vie, à la liberté et à la sûreté de sa personne.", 20, 23),
    ("Watu wote wamezaliwa huru, hadhi na haki zao ni sawa. Wote wamejaliwa akili na dhamiri, hivyo yapasa.", 32, 42),
    (
        "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler ve birbirlerine "
        "karşı kardeşlik zihniyeti ile hareket etmelidirler.",
        46,
        55,
    ),
    ("Κάθε άτομο έχει δικαίωμα στη ζωή, την ελευθερία και την προσωπική του ασφάλεια.", 28, 68),
    ("ولما كان للإدراك العام لهذه الحقوق والحريات الأهمية الكبرى للوفاء التام بهذا التعهد.", 23, 26),
    ("הואיל והבנה משותפת במהותן של זכויות וחירויות אלה הוא תנאי חשוב לקיומה השלם של התחייבות זו.", 34, 34),
    (
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है । उन्हें बुद्घि और अन्तरात्मा की "
        "देन प्राप्त है और परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए ।",
        56,
        173,
    ),
    (
        "すべて人は、人種、皮膚の色、性、言語、宗教、政治上その他の意見、国民的もしくは社会的出身、財産、門地その他の地位又は"
        "これに類するいかなる自由による差別をも受けることなく、この宣言に掲げるすべての権利と自由とを享有することができる。",
        96,
        80,
    ),
    (
        "모든 사람은 인종, 피부색, 성, 언어, 종교, 정치적 또는 기타의 견해, 민족적 또는 사회적 출신, 재산, 출생 "
        "또는 기타의 신분과 같은 어떠한 종류의 차별이 없이, 이 선언에 규정된 모든 권리와 자유를 향유할 자격이 있다.",
        77,
        84,
    ),
    (
        "法律之前人人平等,并有权享受法律的平等保护,不受任何歧视。人人有权享受平等保护,以免受违反本宣言的任何歧视行为以及"
        "煽动这种歧视的任何行为之害。",
        60,
        43,
    ),
]


@pytest.mark.parametrize(("text", "gpt", "qwen"), COUNTED)
def test_an_estimate_comes_near_what_tokenizers_count(text: str, gpt: int, qwen: int) -> None:
    assert estimate(text, "gpt") == pytest.approx(gpt, rel=0.3)
    assert estimate(text, "qwen") == pytest.approx(qwen, rel=0.3)


def test_estimates_are_twice_as_near_as_a_fourth_of_the_bytes() -> None:
    for family, counts in (("gpt", [gpt for _, gpt, _ in COUNTED]), ("qwen", [qwen for *_, qwen in COUNTED])):
        texts = [text for text, *_ in COUNTED]
        wrong = fmean(abs(estimate(text, family) / n - 1) for text, n in zip(texts, counts, strict=True))  # type: ignore[arg-type]
        by_bytes = fmean(abs(len(text.encode()) / 4 / n - 1) for text, n in zip(texts, counts, strict=True))
        assert wrong < 0.15 < 2 * wrong < by_bytes


@pytest.mark.parametrize("text", ["", "\n\n", "\ud800", "🦉🦉", "\x00", "a" * 100_000])
def test_any_text_has_an_estimate(text: str) -> None:
    assert 0 <= estimate(text, "qwen") <= 4 * len(text)


def tokenizer(folder: Path) -> Path:
    """A folder of a model whose tokenizer makes one token of each word."""
    folder.mkdir(parents=True)
    made = Tokenizer(models.WordLevel({"the": 0, "?": 1}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.save(str(folder / "tokenizer.json"))
    return folder


ASKED = Request(id="x", messages=(Message("system", "one two three"), Message("user", "four five")))


def test_a_model_in_a_folder_is_counted_by_its_own_tokenizer(tmp_path: Path) -> None:
    counter = counter_of(VLLM(model=str(tokenizer(tmp_path / "tiny-model"))))
    assert counter.how == "counted by tiny-model's tokenizer"
    assert counter.of_request(ASKED) == 5 + 2 * A_MESSAGE + A_REPLY


def test_a_model_in_the_cache_of_the_hub_is_counted_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--me--tiny"
    tokenizer(cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    assert counter_of(OpenAI(model="me/tiny")).of_request(ASKED) == 5 + 2 * A_MESSAGE + A_REPLY
    assert counter_of(OpenAI(model="me/tiny", revision="abc")).how == "counted by tiny's tokenizer"
    assert counter_of(OpenAI(model="me/other")).how == ESTIMATED


def test_of_a_list_of_models_the_first_is_counted_by(tmp_path: Path) -> None:
    first = VLLM(model=str(tokenizer(tmp_path / "first")))
    mixture = Mixture.over([(1.0, first), (2.0, OpenAI(model="gpt-5-mini"))])
    assert "first" in counter_of(mixture).how


def test_a_tokenizer_that_is_broken_is_said_to_be(tmp_path: Path) -> None:
    for text in ("{", "{}", '{"model": 1}'):
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(BackendError, match=r"tokenizer\.json: the tokenizer cannot be read"):
            counter_of(VLLM(model=str(tmp_path)))


def test_a_schema_is_counted_where_it_is_read_out_to_the_model() -> None:
    counter = counter_of(OpenAI(model="gpt-5-mini"))
    asked = Request(id="x", messages=ASKED.messages, schema={"type": "object", "properties": {"query": {}}})
    assert counter.of_request(asked, with_schema=True) > counter.of_request(asked) + 5
