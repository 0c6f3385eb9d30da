"""What the refusal filter tells from a query, in many languages."""

import pytest
from pydantic import ValidationError

from synth.filters.refusal import Refusal, talk
from synth.stage import Context
from synth.types import Document, Dropped, Example

REFUSALS = [
    "I'm sorry, but I can't write a query about that.",
    "I’m sorry, but I cannot help with this document.",
    "As an AI language model, I have no opinion of the Nile.",
    "I cannot assist with that request.",
    "This goes against my guidelines.",
    "Es tut mir leid, aber ich kann dazu keine Anfrage schreiben.",
    "Als Sprachmodell habe ich keine Meinung.",
    "Désolé, je ne peux pas répondre à cette demande.",
    "En tant que modèle de langage, je n'ai pas d'avis.",
    "Lo siento, pero no puedo ayudar con eso.",
    "Desculpe, mas não posso ajudar com isso.",
    "Mi dispiace, ma non posso aiutarti.",
    "Het spijt me, maar ik kan daar niet bij helpen.",
    "Przykro mi, ale nie mogę tego napisać.",
    "Извините, но я не могу ответить на этот вопрос.",
    "Как языковая модель, я не имею мнения.",
    "Λυπάμαι, αλλά δεν μπορώ να βοηθήσω.",
    "Üzgünüm, ancak bu konuda yardımcı olamam.",
    "عذراً، لا أستطيع المساعدة في ذلك.",
    "क्षमा करें, मैं इसमें मदद नहीं कर सकता।",
    "ขออภัย ฉันไม่สามารถช่วยได้",
    "Xin lỗi, tôi không thể giúp việc này.",
    "Maaf, saya tidak bisa membantu.",
    "Samahani, siwezi kusaidia.",
    "抱歉，我无法回答这个问题。",
    "对不起，我不能写这个查询。",
    "作为一个人工智能，我没有意见。",
    "申し訳ありませんが、お手伝いできません。",
    "AIとして、意見はありません。",
    "죄송하지만 도와드릴 수 없습니다.",
]
META_TALK = [
    "Sure! Here is a search query: nile flood dates",
    "Here are three questions about the Nile",
    "Query: nile flood dates",
    "Certainly, the following query fits: nile",
    "nile flood dates. Let me know if you need more!",
    "Gerne! Hier ist eine Anfrage: Nilflut",
    "Voici une requête de recherche : crue du Nil",
    "¡Claro! Aquí tienes: crecida del Nilo",
    "Ecco la query: piena del Nilo",
    "Конечно! Вот запрос: разлив Нила",
    "当然！尼罗河什么时候泛滥",
    "以下是一个查询：尼罗河",
    "もちろんです。ナイル川の氾濫",
]
PLACEHOLDERS = [
    "opening hours of [insert name of the museum]",
    "Öffnungszeiten von [Name des Museums]",
    "Wer war [hier Namen einfügen]?",
    "horaires de [nom du musée]",
    "¿quién fue [inserte el nombre aquí]?",
    "quem foi [nome da pessoa]?",
    "По данным [вставьте имя исследователя], льда стало вдвое меньше.",
    "ποιος ήταν ο [όνομα του ποιητή];",
    "Kulingana na [weka jina la mtafiti hapa], barafu imepungua.",
    "siapa [masukkan nama tokoh]?",
    "[apartmanın adı] sakiniyim, aidat ne kadar?",
    "مواعيد [اسم المتحف] في الشتاء",
    "[यहाँ नाम लिखें] कब खुलता है?",
    "[ใส่ชื่อพิพิธภัณฑ์] เปิดกี่โมง",
    "[请插入姓名]是谁",
    "[ここに名前]は誰ですか",
    "[이름 입력]은 누구입니까",
]
BRACKETS = [
    "what does [sic] mean after a quotation?",
    "Bach BWV 1007 [Prélude]",
    "array[0] of an empty list",
    "Пушкин [стихотворение] о няне",
    "[1] 参考文献怎么写",
]
POINTS = [
    "what does the passage say about the Nile?",
    "according to the document, when does the Nile flood?",
    "based on the given text, what is silt?",
    "who is the author of this article?",
    "laut dem Text, wann steigt der Nil?",
    "selon le texte, quand le Nil déborde-t-il ?",
    "según el texto, ¿cuándo crece el Nilo?",
    "secondo il testo, quando cresce il Nilo?",
    "согласно тексту, когда разливается Нил?",
    "metne göre Nil ne zaman taşar?",
    "σύμφωνα με το κείμενο, πότε πλημμυρίζει ο Νείλος;",
    "حسب النص، متى يفيض النيل؟",
    "लेख के अनुसार नील में बाढ़ कब आती है?",
    "根据文章，尼罗河什么时候泛滥？",
    "この文書によると、ナイル川はいつ氾濫しますか",
    "이 글에 따르면 나일강은 언제 범람하나요?",
    "theo văn bản, sông Nile lũ khi nào?",
    "menurut teks, kapan sungai Nil meluap?",
]
PLACEHOLDERS = [
    "best hotels in [city name]",
    "history of {topic}",
    "<insert query here>",
    "N/A",
    "null",
    "lorem ipsum dolor",
]
FINE = [
    "",
    "how do I apologise in French, sorry or excuse me?",
    "I can't sleep, what should I do?",
    "can't help falling in love lyrics",
    "I'm sorry Miss Jackson who sang it",
    "ich kann nicht schlafen",
    "no puedo dormir",
    "claro telecom perú teléfono",
    "Scheidung gemäß Artikel 17 EGBGB",
    "según el artículo 5 de la constitución",
    "query plan of a join in postgres",
    "what is a null hypothesis?",
    "how does a language model choose the next word?",
    "document management systems compared",
    "text of the Magna Carta",
    "okay google setup",
    "当然之路",
    "对不起的英文怎么说",
    "抱歉用日语怎么说",
    "why does sourdough need time?",
    "passage of the Suez canal cost",
    "arr[index] in C",
    "<div> and <span> compared",
    "Wer hat den Text der Nationalhymne geschrieben?",
]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "refusal") for text in REFUSALS),
        *((text, "meta_talk") for text in META_TALK),
        *((text, "points_at_document") for text in POINTS),
        *((text, "placeholder") for text in PLACEHOLDERS),
        *((text, "") for text in FINE),
    ],
)
def test_talk_is_told_from_queries(text: str, reason: str) -> None:
    found = talk(text)
    assert (found[0] if found else "") == reason


def row(query: str = "when does the Nile flood?", **documents: Document) -> Example:
    positives = (documents["positive"],) if "positive" in documents else ()
    negatives = (documents["negative"],) if "negative" in documents else ()
    return Example(id="r", query=query, positives=positives, negatives=negatives)


def test_the_words_are_told() -> None:
    bad = row("Sure! Here is a query: nile")
    assert list(Refusal().run([bad], Context())) == [Dropped(bad, "meta_talk", "the query has 'Sure! Here'")]


def test_documents_count_where_a_model_wrote_them_and_may_point_at_themselves() -> None:
    sorry = Document("I'm sorry, but I can't write that.", origin="written")
    [dropped] = Refusal().run([row(negative=sorry)], Context())
    assert isinstance(dropped, Dropped)
    assert (dropped.reason, dropped.detail) == ("refusal", 'the document has "I\'m sorry, but"')
    mined = row(negative=Document(sorry.text, origin="mined"), positive=Document(sorry.text))
    pointing = row(positive=Document("As we show, according to this document, rivers rise.", origin="written"))
    assert list(Refusal().run([mined, pointing], Context())) == [mined, pointing]


def test_only_the_kinds_that_are_asked_for_are_looked_for() -> None:
    pointing = row("what does the passage say of the Nile?")
    assert list(Refusal(kinds=("refusal",)).run([pointing], Context())) == [pointing]


@pytest.mark.parametrize("kinds", [[], ["rude"]])
def test_a_wrong_option_is_told(kinds: list[str]) -> None:
    with pytest.raises(ValidationError):
        Refusal.model_validate({"kinds": kinds})


def test_a_long_text_takes_no_longer_than_its_beginning() -> None:
    assert talk("a " * 1_000_000) is None


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_gap_that_nobody_filled_is_told(text: str) -> None:
    found = talk(text)
    assert found is not None
    assert found[0] == "placeholder"


@pytest.mark.parametrize("text", BRACKETS)
def test_brackets_alone_are_no_gap(text: str) -> None:
    assert talk(text) is None
