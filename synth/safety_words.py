"""Words by which coarse text is told: sexual slang and swear words and slurs, in about 30 languages.

This file is a list of words that hurt; they stand here so that rows that hold them can be dropped.

What is left out is left out on purpose. Words of medicine, law and news stay (breast, rectum, sex, rape, prostitute,
pornography), and so do mild words (damn, idiot). A word that has a harmless meaning in its own language is not listed
("bitch" is a dog, "retards" slows), only phrases with it that have none. A word that means something else in another
language (Swedish "slut" is the end) is told in texts of its own language alone. The lists of public packages were
tried and are of no use here: they hold such words, and drop 8 to 40 % of the texts of a medical corpus (NFCorpus).

In the tables a hyphen ends the beginning of a word ("motherfuck-"), and an underscore joins the words of a phrase.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from synth.resemblance import folded

Coarseness = Literal["adult", "toxic"]

_ANYWHERE: Mapping[Coarseness, str] = {
    "adult": """
    porn porno porns pornos pornstar- pornhub xvideos xhamster xnxx blowjob- handjob- rimjob- footjob- titjob- cumshot-
    cumslut- creampie creampies gangbang- bukkake milfs hentai futanari buttplug- dildo dildos camgirl- camwhore- queef-
    upskirt- shemale- pussy pussies titties wanking strapon blow_job blow_jobs hand_job hand_jobs gang_bang cum_shot
    suck_my_dick suck_my_cock big_tits huge_tits big_cock huge_cock send_nudes sex_cam sex_cams sex_chat phone_sex
    hardcore_sex xxx_video xxx_videos xxx_movie xxx_movies jerking_off jacking_off doggy_style horny_teen horny_teens
    so_horny camel_toe naked_girls hot_milf
    branlette- branler partouze- godemiché- ficken gefickt fickt möse titten schwanzlutsch- arschfick- follar follando
    follada follarse chupapollas chupar_polla culona culonas punheta- putaria piroca xoxota siririca pompino pompini
    sborra sborrata sborrate ditalino inculare neuken geneukt neukt tieten beffen cipka cipki cipkę ruchanie ruchać
    šukat šukání šukala mrdat mrdka
    порно порнуха порнуху порнухи порнушка минет минеты минета трахать трахает трахал трахала трахнуть трахаться
    трахнул дрочить дрочит дрочу дрочил дрочка сиськи ебля дрочити трахати
    μουνί μουνιά μουνάκι πούτσα πούτσο πούτσος πούτσες καύλα καυλωμέν- καυλιάρ- τσόντα τσόντες
    knulla knullar knullade knulle knuller pillua kyrpä kyrpää nussia nussii sikiş sikişme sikişen amcık amcığı
    سكس سكسي طيزها ينيك تنيك نيكني گاییدم פורנו
    चूत लंड लन्ड लौड़ा लौड़े चुदाई चोदना चोदने चोदा चोदी चुदवाने चुदक्कड़ गांड गाँड पोर्न chudai চোদাচুদি গুদ ভোদা چدائی لوڑا
    ngentot ngewe kontol bokep- colmek kantot- kantutan jakol- lồn cặc chịch địt_nhau phim_sex phim_heo bú_cu bú_lồn
    야동- 포르노- 섹파- 질싸- 딸딸이- 젖탱이-
    """,
    "toxic": """
    fuck- motherfuck- mindfuck- clusterfuck- shit shits shitty shitting shithead shitheads shithole shitholes shitface
    shitfaced bullshit- dipshit- horseshit batshit apeshit asshole- arsehole- dumbass- asshat- cunt cunts twat twats
    wanker wankers cocksuck- dickhead- douchebag- whore whores sluts slutty faggot faggots nigger- nigga niggas niggaz
    sandnigger- kikes spics wetback wetbacks gook gooks jigaboo- raghead- towelhead- beaner beaners libtard- gyppo
    gyppos pikey pikeys pakis feminazi- porch_monkey porch_monkeys camel_jockey son_of_a_bitch sons_of_bitches
    stupid_bitch dumb_bitch you_bitch little_bitch
    enculé enculés enculée enculer connard connards connasse connasses salope salopes putain putains pédé pédés
    bougnoule- youpin youpins négro négros chinetoque- gouine gouines fils_de_pute nique_ta_mère
    arschloch arschlöcher wichser- hurensohn hurensöhne fotze fotzen schlampe schlampen nutte nutten schwuchtel-
    fick_dich verfickt- kümmeltürke- schlitzauge- scheißneger drecksau hackfresse
    coño coños gilipollas cabrón cabrones cabrona hijueputa- maricón maricones sudaca sudacas pendejo pendejos pendeja
    chingada chingado malparido malparida mamahuevo mamaguevo conchatumadre pelotudo pelotudos negrata negratas jódete
    hijo_de_puta hijos_de_puta hija_de_puta concha_de_tu_madre chinga_tu_madre la_puta_madre fill_de_puta
    caralho caralhos fodido filho_da_puta filhos_da_puta tomar_no_cu vai_se_foder foda_se viado viados cuzão cuzões
    sapatão traveco travecos boiola boiolas baitola
    cazzo vaffanculo fanculo stronzo stronzi stronza stronze puttana puttane frocio froci ricchione ricchioni coglione
    coglioni terrone terroni figlio_di_puttana porco_dio dio_cane culattone
    klootzak- kutwijf kutwijven kankerlijer- kankerhoer- kankerhond- nikker nikkers godverdomme teringlijer-
    kurwa kurwy kurwą skurwysyn- skurwiel- skurwiele chuja chuju chujowy pierdol- spierdal- wypierdal- jebać jebany
    jebana jebane wyjebać pizda dziwka dziwki czarnuch czarnuchy
    píča píče píčo pičo zmrd zmrdi čurák čuráci buzerant buzeranti vyjebaný
    хуй хуя хуи хуем хуйня хуйню хуёв- хуев- нахуй похуй охуе- пизда пизде пизду пиздец пиздёж пиздабол- ебать ебал
    ебан- ебут ебёт ёбан- ебло заебал- заебис- наебал- выеб- уёбок уебок уёбище уебище долбоёб- долбоеб- блядь бляди
    блядск- блять мудак- мудил- пидор- пидарас- шлюха шлюхи шлюху жид жиды жидам жидами жидовск- ниггер- черножоп-
    пиндос- пізда піздець пиздець їбати їбан- єбати єбан- заїбал- підар- підор- курва курви майка_ти_да_еба
    jebem jebi jebati jebiga jebote jebanje pička pičke pičku kurac kurca pičkin- јебем јеби јебати јебига пичка
    пичке пичку курац курца futut fututi futu_ti căcat labagiu bulangiu poponar poponari jidan jidani
    faszfej faszom faszkalap baszd baszni bazmeg picsába ribanc
    siktir siktiğ- sikerim sikeyim sikik amına_koyayım orospu orospular orospunun götveren- yarrak- yavşak- pezevenk-
    kahpe kahpenin puşt
    μαλάκας μαλάκα μαλάκες γαμώ γαμάω γαμήσ- γαμημέν- γαμιόλ- πούστης πούστη πούστηδες πουτάνα πουτάνες αρχίδια καριόλ-
    μαλακας πουτανα πουτανες πουστης
    svartskalle- slampor røvhul røvhuller vittu vitun vitut huora huorat huoria kusipää- mulkku neekeri- ryssä ryssät
    شرموطة شرموط الشرموطة شراميط قحبة القحبة قحاب منيوك متناك متناكة لوطي كسمك كس_امك كس_اختك ابن_الشرموطة ابن_القحبة
    مادرجنده کسکش کس_کش حرومزاده حرامزاده جنده_خانه
    שרמוטה שרמוטות כוסאמק כוס_אמק בן_זונה בני_זונות בת_זונה קוקסינל קוקסינלים
    चूतिया चूतिये चूतियों चूतियापा मादरचोद मादरचोदों बहनचोद बेहनचोद भेनचोद भोसड़ी भोसडी भोसड़ीके भड़वा भड़वे रंडी गांडू
    गाण्डू हरामज़ादा हरामजादा हरामज़ादे हरामजादे कटुआ कटुए madarchod- behenchod- bhenchod- bahenchod- chutiye
    bhosdike bhosadike মাদারচোদ খানকি খানকির মাগির_পোলা চুদির_ভাই হারামজাদা مادرچود بہنچود بہن_چود چوتیا گانڈو
    رنڈی بھوسڑی jancok jancuk bangsat pukimak puki_mak bencong putangina tangina putang_ina
    địt địt_mẹ đụ_má đụ_mẹ con_đĩ đĩ_điếm
    씨발- 씨팔- 좆같- 좆까- 좆나- 좆밥- 병신 병신들 병신아 병신같은 병신새끼 븅신-
    개새끼- 지랄하- 니미럴- 씹새- 쌍년- 썅년- 미친년-
    미친놈- 화냥년- 걸레년- 김치녀- 한남충- 맘충- 틀딱- 짱깨- 쪽바리- 깜둥이-
    """,
}
"""Told in texts of any language: words that mean nothing else anywhere, as far as is known."""

_AT_HOME: Mapping[Coarseness, Mapping[str, str]] = {
    "adult": {
        "fr": "bite bites",
        "es pt": "cachonda cachondas",
        "pt": "buceta bucetas boceta boquete boquetes",
        "it": "figa fica tette cazzi",
        "pl": "cipa cipy cycki kutas kutasa",
        "bg": "путка путки",
        "sv no nb nn": "kuk kuken fitta fittan fitte pikk runka",
        "da": "fisse fissen pik kneppe kneppede kneppet",
        "fi": "pillu",
        "ro": "pulă pulii fute",
        "tr": "sik sikti",
        "id ms": "memek pepek sange toket",
        "fa": "کیر کیرم",
        "vi": "buồi",
    },
    "toxic": {
        "en": "slut",
        "fr": "pute putes encule",
        "de nl sv da no nb nn": "neger",
        "de": "kanake kanaken hure spast spasten spasti",
        "es pt ca tl fil": "puta putas puto putos",
        "es": "joder marica maricas culero culeros travelo travelos",
        "pt": "porra foda fodam foder fdp vadia vadias",
        "nl": "kut lul hoer hoeren flikker flikkers",
        "cs sk hu hr sr bs sl": "kurva kurvy kurvo kurve kurvu",
        "cs sk": "kokot kokoti jebat",
        "hr sr bs": "peder pederi",
        "pl": "chuj huj ciota cioty",
        "ro": "muie curvă curvele",
        "hu": "geci fasz faszt buzi buzik",
        "tr": "piç göt aq amk ibne ibneler gavat",
        "sv": "hora horan horor slampa",
        "no nb nn da": "hore horer luder ludere kælling kællinger perker perkere pakkis svarting",
        "fi": "hintti",
        "hi ur": "chutiya gandu",
        "fa": "جنده کونی لاشی",
        "id ms": "lonte",
        "vi": "đéo đmm đcm vcl đĩ",
    },
}
"""Told in texts of these languages alone: elsewhere they are harmless words."""

_INSIDE: Mapping[Coarseness, str] = {
    "adult": """
    เย็ด หนังโป๊ คลิปโป๊ เงี่ยน
    鸡巴 雞巴 骚逼 骚穴 淫穴 淫水 裸聊 约炮 約炮 av女优 成人电影 成人影片 色情视频 颜射 顏射 操逼
    おまんこ オマンコ おちんぽ オチンポ 生中出し 顔射 手コキ パイズリ 爆乳 痴女 ハメ撮り エロ動画 エロ漫画 エロビデオ
    アダルトビデオ av女優 肉便器 ヤリマン セフレ オナホ
    """,
    "toxic": """
    ควย ไอ้เหี้ย อีเหี้ย อีดอก ไอ้สัตว์ อีสัตว์ อีกะหรี่
    操你妈 操你媽 肏你妈 操他妈 干你娘 幹你娘 傻逼 傻屄 狗娘养 婊子 贱货 賤貨 王八蛋 黑鬼 死基佬 高丽棒子
    くそったれ クソ野郎 くそ野郎 糞野郎 ぶっ殺す チョン公 キチガイ
    """,
}
"""For scripts that put no spaces between words: told wherever they stand."""

_SPARED = (
    *("pussy riot", "pussy willow", "pussy willows", "pussy cat", "pussy cats", "pussy galore", "pussy bow"),
    *("whore of babylon", "faggots and peas"),
)
"""Phrases with such a word that mean something else."""

_HIDDEN: Mapping[Coarseness, str] = {
    "adult": "porn porno pussy cock cocks dick dicks blowjob tits",
    "toxic": "fuck fucks fucked fucker fuckers fucking motherfucker motherfuckers shit shits shitty bullshit bitch "
    "bitches cunt cunts nigger niggers nigga niggas faggot faggots whore whores slut sluts asshole assholes bastard",
}
"""Words that are told with digits for letters, drawn out or with their letters apart; some are too mild otherwise."""

_LETTERS = str.maketrans("01345$@", "oieassa")
_SIGNS = dict.fromkeys(map(ord, "#@%&*/\\_$+=|<>^~`"), " ")
_ARABIC = dict.fromkeys([*range(0x64B, 0x653), 0x640, 0x670], "") | dict.fromkeys(map(ord, "أإآ"), "ا")
_STARRED = re.compile(r"(?<![\w*])[^\W\d_]+\*{1,3}[^\W\d_]+(?![\w*])")
_IN_DIGITS = re.compile(r"(?<![\w$@])[a-z$][a-z]{0,12}[0-9$@][a-z0-9$@]{0,12}(?![\w$@])")
_APART = re.compile(r"(?<!\w)(?:[a-z] ){3,12}[a-z](?!\w)")
_DRAWN_OUT = re.compile(r"(?<!\w)[a-z]{0,12}([a-z])\1\1[a-z]{0,40}(?!\w)")
_THREE = re.compile(r"(.)\1\1+")


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of one kind: whole ones, beginnings by their first two letters, and phrases by their first word."""

    whole: frozenset[str]
    beginnings: Mapping[str, tuple[str, ...]]
    phrases: Mapping[str, tuple[str, ...]]

    def found_in(self, text: "_Reading") -> set[str]:
        """What of them stands in a text, as it stands there."""
        found = set(self.whole & text.words)
        found |= {word for word in text.words if word.startswith(self.beginnings.get(word[:2], "-"))}
        firsts = [self.phrases[word] for word in text.words if word in self.phrases]
        return found | {phrase for phrases in firsts for phrase in phrases if f" {phrase} " in text.spaced}


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text as it is looked at: folded; its words with a space at both sides, and each once; what may be disguised."""

    plain: str
    spaced: str
    words: frozenset[str]
    starred: tuple[str, ...]
    disguised: tuple[tuple[str, str], ...]


@lru_cache(maxsize=16)
def _read(text: str) -> _Reading:
    plain = _plain(text)
    spaced = f" {' '.join(plain.translate(_SIGNS).split())} "
    for phrase in _SPARED:
        spaced = spaced.replace(f" {phrase}", " ")
    starred = tuple(found[0] for found in _STARRED.finditer(plain)) if "*" in plain else ()
    return _Reading(plain, spaced, frozenset(spaced.split()), starred, tuple(_disguised(plain)))


def _disguised(plain: str) -> Iterator[tuple[str, str]]:
    """Words with digits for letters, apart or drawn out, each with what it may stand for."""
    for found in _IN_DIGITS.finditer(plain):
        yield found[0], found[0].translate(_LETTERS)
    for found in _APART.finditer(plain):
        yield found[0], found[0].replace(" ", "")
    for found in _DRAWN_OUT.finditer(plain):
        yield found[0], _THREE.sub(r"\1", found[0])
        yield found[0], _THREE.sub(r"\1\1", found[0])


def _plain(text: str) -> str:
    plain = folded(re.sub(r"(?<=\w)!(?=\w)", "1", text) if "!" in text else text)
    return plain if plain.isascii() else plain.translate(_ARABIC)


@cache
def _words(kind: Coarseness, language: str) -> _Words:
    """The words of a kind that are told in a language; with "" only those that are told in any."""
    home = [words for languages, words in _AT_HOME[kind].items() if language in languages.split()]
    return _listed(" ".join((_ANYWHERE[kind], *home)))


def _listed(words: str) -> _Words:
    beginnings: dict[str, tuple[str, ...]] = {}
    phrases: dict[str, tuple[str, ...]] = {}
    whole = set()
    for entry in words.split():
        plain = _plain(entry.replace("_", " ").removesuffix("-"))
        if entry.endswith("-"):
            beginnings[plain[:2]] = (*beginnings.get(plain[:2], ()), plain)
        elif "_" in entry:
            first = plain.split()[0]
            phrases[first] = (*phrases.get(first, ()), plain)
        else:
            whole.add(plain)
    return _Words(frozenset(whole), beginnings, phrases)


@cache
def _inside(kind: Coarseness) -> tuple[str, ...]:
    return tuple(map(_plain, _INSIDE[kind].split()))


def coarse_word(text: str, kind: Coarseness, language: str = "") -> str:
    """A word of that kind that stands in a text, as it stands there; "" for a text without any.

    `language` is the text's own, as a tag; without one, words that are harmless somewhere are not told.

    >>> coarse_word("What the F*CK is a Scunthorpe?", "toxic"), coarse_word("anal fissure, breast cancer", "adult")
    ('f*ck', '')
    >>> coarse_word("till bokens slut", "toxic", "sv"), coarse_word("shiiit", "toxic"), coarse_word("f.u.c.k", "toxic")
    ('', 'shiiit', 'f u c k')
    """
    reading = _read(text)
    listed = _words(kind, language.partition("-")[0].lower())
    found = listed.found_in(reading)
    if not text.isascii():
        found |= {word for word in _inside(kind) if word in reading.plain}
    hidden = frozenset(_HIDDEN[kind].split())
    found |= {shown for shown, word in reading.disguised if word in hidden}
    found |= {word for word in reading.starred if any(_fits(word, each) for each in (*hidden, *listed.whole))}
    return min(found, default="")


def _fits(starred: str, word: str) -> bool:
    """True for a word of four letters or more of which stars hide some.

    >>> _fits("f*ck", "fuck"), _fits("f**k", "folk"), _fits("a*b", "aab")
    (True, True, False)
    """
    alike = all(ours in ("*", theirs) for ours, theirs in zip(starred, word, strict=False))
    return len(starred) == len(word) > 3 and alike
