"""Drop rows in which the writer speaks for itself: it declines, chats, points at the page it was shown, or left a gap.

    "I'm sorry, but I can't write a query about that."       refusal
    "Sure! Here is a search query: nile flood dates"         meta_talk
    "what does the author of this passage say of the Nile?"  points_at_document
    "best hotels in [city name]"                             placeholder

SWIM-IR (arXiv 2311.05800) lost 6 to 10 % of its rows to such.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from synth.stage import Context, Stage
from synth.types import Dropped, Example

Reason = Literal["refusal", "meta_talk", "points_at_document", "placeholder"]

MOST_READ = 2000
"""Characters of a text that are read: what a writer says of itself stands at the beginning, mostly."""

_REFUSALS = (
    # en
    r"^\W*(?:i'm|i am) (?:really |very |so |truly )?sorry,? (?:but|i|as)\b",
    r"\b(?:i|we) (?:can't|cannot|can not|won't|will not|am unable to|'m unable to|am not able to|'m not able to"
    r"|must decline to) "
    r"(?:assist|help|provide|fulfill?|comply|generate|create|write|answer|continue|engage|discuss|produce"
    r"|complete)\b",
    r"\bas an? (?:ai|artificial intelligence|large language model|language model)\b",
    r"\b(?:against|violates?|contrary to) (?:my|our|openai's|content|usage|community) (?:\w+ )?(?:guidelines"
    r"|polic(?:y|ies)|programming)\b",
    r"\bi (?:don't|do not) have (?:personal (?:opinions|experiences)|access to (?:real-time|the internet|current"
    r"|the document))\b",
    r"\bmy (?:knowledge cutoff|training data)\b",
    # "as a language model", elsewhere
    r"\bals (?:ki|künstliche intelligenz|ki-sprachmodell|sprachmodell|ai|taalmodel)\b",
    r"\ben tant qu[e'] ?(?:ia|intelligence artificielle|modèle de langage|assistant)\b",
    r"\bcomo (?:un |una |um |uma )?(?:modelo de leng(?:uaje|ua)|modelo de linguagem|ia|inteligencia artificial"
    r"|inteligência artificial)\b",
    r"\b(?:in quanto|come) (?:ia|intelligenza artificiale|modello linguistico|modello di linguaggio)\b",
    r"\bjako (?:model językowy|sztuczna inteligencja|jazykový model|umělá inteligence|ai)\b",
    r"\bca (?:model lingvistic|model de limbaj|inteligență artificială)\b",
    r"\bкак (?:языковая модель|искусственный интеллект|ии)\b|\bяк (?:мовна модель|штучний інтелект)\b",
    r"\bως (?:γλωσσικό μοντέλο|τεχνητή νοημοσύνη)\b",
    r"\b(?:bir )?(?:yapay zeka|dil modeli)(?: dil modeli)? olarak\b",
    r"كنموذج لغ|بصفتي نموذج|كذكاء اصطناعي|به عنوان یک (?:مدل زبان|هوش مصنوعی)|כמודל שפה",
    r"(?:एआई|AI|भाषा मॉडल)(?: भाषा मॉडल)? (?:के रूप में|होने के नाते)|ভাষা মডেল হিসেবে",
    r"ในฐานะ(?:ที่เป็น)?(?:โมเดล|ปัญญาประดิษฐ์|แบบจำลอง|เอไอ|AI)",
    r"\blà một (?:mô hình ngôn ngữ|trí tuệ nhân tạo|ai)\b",
    r"\bsebagai (?:model bahasa|kecerdasan buatan|ai)\b|\bkama (?:modeli ya lugha|akili bandia)\b",
    r"作[为為](?:一[个個款名])?(?:人工智能|人工智慧|AI|ＡＩ|语言模型|語言模型|大型)",
    r"(?:AI|ＡＩ|言語モデル|人工知能)(?:アシスタント|言語モデル)?として|(?:언어 ?모델|인공지능|AI)(?:로서"
    r"|으로서|로써)",
    # "sorry, I cannot", elsewhere
    r"^\W*(?:es tut mir leid|entschuldigung|leider),? (?:aber )?(?:ich kann|kann ich|ich darf)\b",
    r"^\W*(?:je suis )?désolée?,? (?:mais )?je ne peux\b|\bje ne (?:peux|suis) pas (?:en mesure|répondre"
    r"|vous aider|fournir|générer)\b",
    r"^\W*lo siento,? (?:pero )?no puedo\b|^\W*(?:desculpe|sinto muito|lamento),? (?:mas )?(?:eu )?não posso\b",
    r"^\W*mi dispiace,? (?:ma )?non (?:posso|sono)\b|^\W*het spijt me,? (?:maar )?ik kan\b"
    r"|^\W*îmi pare rău,? (?:dar )?nu pot\b",
    r"^\W*(?:przykro mi|przepraszam),? (?:ale )?nie mogę\b|^\W*(?:omlouvám se|je mi líto),? (?:ale )?nemohu\b",
    r"^\W*(?:извините|простите|к сожалению),? (?:но )?я не могу\b|^\W*(?:вибачте|на жаль),? (?:але )?я не можу\b",
    r"^\W*(?:λυπάμαι|συγγνώμη),? (?:αλλά )?δεν μπορώ\b|^\W*üzgünüm,? (?:ama|ancak|bu|size|bunu)\b",
    r"^\W*(?:عذر[اًا]*|آسف|أعتذر|معذرة|متأسفم|ببخشید)[،,]? (?:ل[اك]|و?لكن|لا|من نمی|نمی|اما)"
    r"|^\W*(?:אני )?מצטער(?:ת)?,? (?:אבל|אך|אני|לא)",
    r"^\W*(?:क्षमा करें|माफ़ करें|माफ कीजिए|मुझे खेद है),? (?:लेकिन|मैं|कि|पर)|^\W*দুঃখিত,? (?:কিন্তু|আমি)",
    r"^\W*(?:ขออภัย|ขอโทษ)(?:ครับ|ค่ะ)? ?(?:แต่)?(?:ฉัน|ผม|ดิฉัน|เรา)?ไม่สามารถ",
    r"^\W*xin lỗi,? (?:nhưng )?tôi không (?:thể|được)\b|^\W*maaf,? (?:tetapi |tapi |namun )?saya tidak (?:bisa"
    r"|dapat|boleh)\b",
    r"^\W*samahani,? (?:lakini )?siwezi\b",
    r"^\W*(?:很|非常)?(?:抱歉|对不起|對不起|遗憾|遺憾)[，,。! ]*(?:但)?(?:我|作)|^\W*我(?:无法|無法"
    r"|不能)(?:提供|回答|生成|协助|協助|完成)",
    r"^\W*(?:大変)?申し訳(?:ありません|ございません)(?:が|。)|^\W*죄송(?:하지만|합니다만|합니다\. )",
)  # fmt: skip

_META_TALK = (
    r"^\W*(?:sure|certainly|of course|absolutely|okay|ok|great|no problem)\s*[!,.:]\s*(?:here|i|let|this|below"
    r"|the following)\b",
    r"^\W*(?:here(?:'s| is| are)|below (?:is|are)|the following (?:is|are)) (?:the|a|an|your|one|some|my|two"
    r"|three|four|five|\d+) "
    r"(?:[\w-]+ ){0,4}(?:quer(?:y|ies)|questions?|sentences?|passages?|documents?|examples?|texts?|responses?"
    r"|answers?|json|output)\b",
    r"^\W*(?:search query|user query|generated query|query|question|output|positive|negative|hard negative"
    r"|rewritten query)(?: \d+)?\s*:\s",
    r"\b(?:i hope this helps|let me know if you|feel free to ask|as requested|as per your (?:request"
    r"|instructions)|based on your (?:request|instructions))\b",
    r"\b(?:this|the) (?:query|question) (?:is|was|has been) (?:designed|written|generated|formulated|crafted"
    r"|phrased) to\b",
    r"^\W*(?:gerne|natürlich|klar|sicher)\s*[!,.:]\s*hier\b|^\W*hier (?:ist|sind|kommt) (?:die|eine|ihre|deine"
    r"|der|ein|das) (?:\w+ ){0,3}(?:such)?an?frage\b",
    r"^\W*(?:bien sûr|certainement|d'accord)\s*[!,.:]\s*(?:voici|je)\b|^\W*voici (?:la|une|votre|le|un|les"
    r"|des) (?:\w+ ){0,3}(?:requête|question|phrase|recherche)",
    r"^\W*(?:claro|por supuesto|desde luego|com certeza)\s*[!,.:]\s*(?:aquí|aqui|esta|este)\b"
    r"|^\W*(?:aquí (?:tienes|está|tiene)|aqui está) (?:la|una|a|uma|el|un|o|um)\b",
    r"^\W*(?:certo|certamente|va bene)\s*[!,.:]\s*ecco\b|^\W*ecco (?:la|una|il|un) (?:\w+ ){0,3}(?:query|domanda"
    r"|ricerca|frase)\b",
    r"^\W*(?:natuurlijk|zeker)\s*[!,.:]\s*hier\b|^\W*(?:oczywiście|jasne)\s*[!,.:]\s*oto\b|^\W*(?:tabii"
    r"|elbette)(?: ki)?\s*[!,.:]\s*işte\b",
    r"^\W*(?:конечно|хорошо)\s*[!,.:]\s*вот\b|^\W*вот (?:\w+ ){0,3}(?:запрос|вопрос|пример)|^\W*(?:φυσικά"
    r"|βεβαίως)\s*[!,.:]\s*(?:εδώ|ορίστε)",
    r"^\W*(?:当然|當然|好的|没问题|沒問題)\s*[！!，,。：:]|^\W*(?:以下|下面)是(?:一|为|為|根据|根據|您|你|生成)",
    r"^\W*(?:もちろん(?:です)?|承知しました|かしこまりました)\s*[！!、。]|^\W*以下は.{0,12}(?:クエリ|質問"
    r"|検索)|^\W*(?:물론|네)[!,.입]"
    r"|^\W*다음은 .{0,20}(?:질문|검색어|쿼리)",
    r"^\W*(?:بالتأكيد|بالطبع|حسنا)[ً]?\s*[!،,:.]|^\W*(?:ज़रूर|जरूर|बिल्कुल|निश्चित रूप से)\s*[!,।:]\s*(?:यह|यहाँ"
    r"|यहां)",
    r"^\W*(?:แน่นอน|ได้เลย)(?:ครับ|ค่ะ)?\s*[!,:]?\s*นี่คือ|^\W*(?:chắc chắn rồi|tất nhiên|dĩ nhiên)\s*[!,.:]"
    r"|^\W*(?:tentu|baik)(?: saja)?\s*[!,.:]\s*(?:berikut|ini)\b",
)  # fmt: skip

_DOCUMENT = r"(?:document|passage|text|article|paragraph|excerpt|context|snippet|abstract)"
_POINTS = (
    rf"\b(?:according to|based on|in|from|by|of|does|per|with) (?:the|this|that) (?:given|provided|above|following"
    rf"|present|preceding) {_DOCUMENT}\b",
    rf"\b(?:according to|based on|mentioned in|described in|stated in|discussed in|provided in|given in|author of"
    rf"|per) (?:the|this|that) {_DOCUMENT}\b",
    r"\b(?:does|do|did|is|was|are|can|what|how|why) (?:the|this) (?:passage|excerpt|snippet|paragraph|given text"
    r"|document) (?:say|state|mention|describe|discuss|suggest|explain|tell|about)",
    rf"\bthe (?:above|aforementioned|provided|given) {_DOCUMENT}\b",
    r"\b(?:laut|gemäß|nach|im|in|aus) (?:dem |diesem |der |dieser )?(?:obigen |vorliegenden |gegebenen "
    r"|vorstehenden )(?:text|dokument|artikel|abschnitt|auszug|absatz|passage)\b",
    r"\b(?:laut|gemäß) (?:dem |diesem |der |dieser )?(?:text|dokument|artikel|abschnitt|auszug|absatz|passage)\b"
    r"|\bin diesem (?:text|dokument|artikel|abschnitt|auszug|absatz)\b",
    r"\b(?:selon|d'après) (?:le |ce |cet |l')(?:texte|document|article|passage|extrait|paragraphe)\b|\bdans (?:ce"
    r"|cet) (?:texte|document|article|passage|extrait|paragraphe)\b",
    r"\b(?:según|de acuerdo con|conforme a) (?:el|este) (?:texto|documento|artículo|pasaje|fragmento|párrafo)\b"
    r"|\ben este (?:texto|documento|artículo|pasaje|fragmento|párrafo)\b",
    r"\b(?:segundo|de acordo com|conforme) (?:o|este) (?:texto|documento|artigo|trecho|parágrafo)\b|\b(?:neste"
    r"|nesse) (?:texto|documento|artigo|trecho)\b",
    r"\b(?:secondo|in base a) (?:il|questo|l') ?(?:testo|documento|articolo|brano|passaggio|paragrafo)\b"
    r"|\bin questo (?:testo|documento|articolo|brano)\b",
    r"\bvolgens (?:de|het|deze|dit) (?:tekst|document|artikel|passage|fragment|alinea)\b|\bpotrivit (?:textului"
    r"|documentului|articolului|pasajului)\b|\bconform (?:textului|documentului|articolului)\b",
    r"\b(?:według|zgodnie z) (?:tego |tym |powyższego |podanego )?(?:tekstu|tekstem|dokumentu|dokumentem|artykułu"
    r"|artykułem|fragmentu)\b|\bpodle (?:tohoto )?(?:textu|dokumentu|článku)\b",
    r"\b(?:согласно|судя по) (?:этому |данному |приведённому )?(?:тексту|документу|отрывку|статье)\b|\bв (?:этом"
    r"|данном|приведённом) (?:тексте|документе|отрывке)\b|\bзгідно з (?:текстом|документом|статтею)\b",
    r"\b(?:metne|belgeye|makaleye|pasaja|paragrafa|parçaya) göre\b|\bbu (?:metinde|belgede|makalede|pasajda"
    r"|parçada)\b",
    r"\bσύμφωνα με το (?:παραπάνω )?(?:κείμενο|έγγραφο|άρθρο|απόσπασμα)\b|\bσε αυτό το (?:κείμενο|έγγραφο"
    r"|απόσπασμα)\b",
    r"(?:وفق[اًا]* ل|حسب |بحسب |بناء على |بناءً على )(?:هذا |هذه )?(?:ل?لنص|النص|للمستند|المستند|للوثيقة|الوثيقة"
    r"|للمقال|المقال|الفقرة|للفقرة)|(?:طبق|بر اساس) (?:این )?(?:متن|سند|مقاله)|על פי (?:הטקסט|המסמך|הקטע)",
    r"(?:इस |दिए गए |उपरोक्त )?(?:पाठ|दस्तावेज़|दस्तावेज|लेख|अनुच्छेद|गद्यांश) के अनुसार|(?:অনুচ্ছেদ|নথি"
    r"|পাঠ্য) অনুসারে",
    r"(?:ตาม|จาก)(?:เอกสาร|ข้อความ|บทความ|เนื้อหา)(?:นี้|ข้างต้น|ที่ให้มา)?|ใน(?:เอกสาร|ข้อความ|บทความ)นี้",
    r"\b(?:theo|dựa vào) (?:văn bản|tài liệu|bài viết|đoạn văn|đoạn trích)\b|\btrong (?:văn bản|tài liệu|bài viết"
    r"|đoạn văn) (?:này|trên)\b",
    r"\b(?:menurut|berdasarkan) (?:teks|dokumen|artikel|bacaan|paragraf|petikan)\b|\bdalam (?:teks|dokumen"
    r"|artikel) (?:ini|tersebut)\b|\bkulingana na (?:maandishi|hati|makala|kifungu)\b",
    r"(?:根据|根據|依据|依據|按照|据)(?:本|该|該|此|上述|以上|这篇|這篇|所给|給定)?(?:文章|文档|文檔|文件"
    r"|文本|段落|资料|資料|材料|短文|上文|本文|原文)|(?:本文|文中|该文|該文"
    r"|上文)(?:提到|所述|中提|描述)",
    r"(?:この|本|上記の|与えられた)(?:文書|文章|記事|テキスト|資料|パッセージ)(?:によると|によれば|では"
    r"|において|の中で)|(?:本文|文章|記事)によ(?:ると|れば)",
    r"(?:이|본|위|위의|주어진|해당) ?(?:문서|글|기사|본문|지문|텍스트|문단)(?:에 따르면|에서|에 의하면)"
    r"|(?:본문|지문|문서)에 (?:따르면|의하면)",
)  # fmt: skip

_PLACEHOLDERS = (
    r"\[(?:your|insert|enter|specific|name of|name|company|city|topic|date|location|product|country|person|year"
    r"|number|industry)\b[^\]\n]{0,40}\]",
    r"\[(?:hier |bitte )?(?:einfügen|einsetzen|ihr(?:en|e)? name|name des|name der)\b[^\]\n]{0,40}\]"
    r"|\[[^\]\n]{0,30} (?:hier )?(?:einfügen|einsetzen|invullen|ekleyin|girin|yazın"
    r"|adı|ismi|adını|डालें|लिखें)\]",
    r"\[(?:insérez|insérer|votre|nom d[eu]|insert[ae]r?|inserir|insira|inserisci|inserire|su nombre|tu nombre"
    r"|nombre d[eo]|nome d[aeo]|voeg|wstaw|wpisz|vložte|introduceți)\b[^\]\n]{0,40}\]",
    r"\[(?:вставьте|вставить|введите|укажите|название|имя|ваш[аеи]?|вставте|назва|εισάγετε|συμπληρώστε|όνομα|weka"
    r"|ingiza|jina la|masukkan|sisipkan|nama|chèn|điền|nhập|tên)\b[^\]\n]{0,40}\]",
    r"\[(?:أدخل|أدرج|ضع|اسم|اكتب|نام|यहाँ|यहां|नाम|अपना|ใส่|ระบุ|กรอก|ชื่อ|请|請|插入|填写|填寫|此处|在此|名称|ここに|名前|入力|삽입|여기에|이름)[^\]\n]{0,40}\]",
    r"<(?:your|insert|enter|topic|query|question|document|positive|negative)\b[^>\n]{0,40}>",
    r"\{\{?\s*(?:query|topic|language|document|title|name|text|question|positive|negative|task|user_query)\s*\}?\}",
    r"\blorem ipsum\b",
    r"^\W*(?:n/?a|none|null|undefined|todo|tbd|string|example|your query here|query|question|search query"
    r"|placeholder|unknown)\W*$",
)  # fmt: skip


_NO_PARAGRAPH_OF_LAW = r"(?!\s*\d)"
"""After what points at a document: "gemäß Artikel 11" is about a law."""


def _one(patterns: tuple[str, ...], after: str = "") -> "re.Pattern[str]":
    return re.compile("|".join(f"(?:{each}){after}" for each in patterns), re.IGNORECASE)


_OF: dict[Reason, "re.Pattern[str]"] = {
    "refusal": _one(_REFUSALS),
    "meta_talk": _one(_META_TALK),
    "placeholder": _one(_PLACEHOLDERS),
    "points_at_document": _one(_POINTS, _NO_PARAGRAPH_OF_LAW),
}


class Refusal(Stage):
    """Keep rows whose query, and whose written documents, are what a writer was asked for and not talk about it.

    It reads queries, and documents with origin `written`; what was taken from a corpus is left alone. That it points at
    "the passage" is told of queries only. All kinds are known in about 25 languages. Rows of people's dialogues with an
    assistant are full of such phrases: spare them with `where:`.
    """

    kinds: tuple[Reason, ...] = Field(
        default=("refusal", "meta_talk", "points_at_document", "placeholder"),
        min_length=1,
        description="what is looked for",
    )

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Read each row's query and its written documents."""
        for row in rows:
            yield self._fate(row)

    def _fate(self, row: Example) -> Example | Dropped:
        written = [each for each in (*row.positives, *row.negatives) if each.origin == "written"]
        for place, text in [("query", row.query), *(("document", each.text) for each in written)]:
            found = talk(text)
            if found and found[0] in self.kinds and (place == "query" or found[0] != "points_at_document"):
                return Dropped(row, found[0], f"the {place} has {found[1]!r}")
        return row


def talk(text: str) -> tuple[Reason, str] | None:
    """The kind of talk that a text holds, and its words; None for a text without any.

    >>> talk("Sure! Here is a query: nile flood")
    ('meta_talk', 'Sure! Here')
    >>> talk("how do I apologise in French, sorry or excuse me?")
    """
    plain = text[:MOST_READ].replace("’", "'").replace("‘", "'")
    for reason, pattern in _OF.items():
        found = pattern.search(plain)
        if found:
            return reason, " ".join(found[0].split())[:80]
    return None
