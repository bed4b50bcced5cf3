"""Detection of encodings: exact where it is marked, right on short samples, refused rather than wrong."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.encodings import check_encoding, decode, detect
from ostinato.errors import TextError, UsageError

SIMPLIFIED = "雨下了一整夜，我们不说话\n巷口有盏灯，跟着它走\n"
TRADITIONAL = "雨下了一整夜，我們不說話\n巷口有盞燈，跟著它走\n"
JAPANESE = "雨のあとの坂道を、ぼくらは自転車で下りていく。\nカメラを持って、海まで歩いた。\n"
WESTERN = "Le garçon a mangé sa crème près de la fenêtre, là où l’été s’achève.\nDie Straße führt über den Hügel.\n"
TEXTS = [("gb18030", SIMPLIFIED), ("gb18030", f"2021-03-04,{SIMPLIFIED[:2]},OK\n"), ("big5", TRADITIONAL),
         ("shift_jis", JAPANESE), ("cp1252", WESTERN), ("cp1252", "café\n")]  # fmt: skip

MORE = [
    ("euc_kr", "비가 밤새 내렸다, 우리는 말이 없었다\n골목 끝에 등불이 하나 있네\n"),
    ("euc_jp", JAPANESE), ("iso2022_jp", JAPANESE), ("iso2022_kr", "안녕\n사랑은 언제나 그 자리에 있어요.\n"),
    ("hz", SIMPLIFIED), ("cp932", "ｱﾘｶﾞﾄｳ ｺﾞｻﾞｲﾏｽ\nﾃﾚﾋﾞのﾆｭｰｽを見ていた。\n"),
    ("tis-620", "ฝนตกทั้งคืน เราไม่พูดกัน\nที่ปากซอยมีโคมไฟดวงหนึ่ง\n"),
    ("cp1251", "Всю ночь шёл дождь, и мы молчали\n"), ("koi8-r", "Выхожу один я на дорогу\n"),
    ("cp866", "В конце переулка горит фонарь\n"), ("cp1250", "Całą noc padał deszcz, nie mówiliśmy nic\n"),
    ("iso8859-2", "Celou noc pršelo a my jsme mlčeli\nPamatuji si každé tvoje slovo\n"),
    ("cp1252", "I don’t know why you say “goodbye”—\n"), ("cp1252", "là où l’été s’achève\n"),
    ("cp1252", "È piovuto tutta la notte e noi tacevamo\nperché la città è così lontana\n"),
    ("cp1253", "Έβρεχε όλη τη νύχτα και σωπαίναμε\n"), ("cp1254", "Şiir gibi güzel bir gece, ışıl ışıl\n"),
    ("cp1255", "כל הלילה ירד גשם ואנחנו שתקנו\n"), ("cp1256", "هطل المطر طوال الليل ونحن صامتون\n"),
]  # fmt: skip


def found(data: bytes) -> tuple[str, bool]:
    return tuple(detect(io.BytesIO(data), "x.txt"))  # type: ignore[return-value]


@pytest.mark.parametrize("text", ["", "plain", SIMPLIFIED, WESTERN, "𠮷" * 300_000])
def test_utf8_is_certain(text: str) -> None:
    assert found(text.encode()) == ("utf-8", False)


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-32", "utf-32")],
)
def test_a_mark_is_certain(encoding: str, codec: str) -> None:
    data = WESTERN.encode(encoding)
    assert found(data) == (codec, False)
    assert data.decode(found(data)[0]) == WESTERN


@pytest.mark.parametrize(("encoding", "text"), TEXTS)
def test_legacy_encodings_are_guessed(encoding: str, text: str) -> None:
    for sample in (text, text.splitlines(keepends=True)[0], text * 50):
        assert found(sample.encode(encoding)) == (encoding, True)


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [SIMPLIFIED, JAPANESE, WESTERN, "one\n", "一\n"])
def test_utf16_without_a_mark_is_guessed(order: str, text: str) -> None:
    assert found(text.encode(order)) == (order, True)


def test_the_sample_is_taken_where_the_text_stops_being_ascii() -> None:
    head = b"Copyright notice in English\n" * 50_000
    assert found(head + SIMPLIFIED.encode("gb18030")) == ("gb18030", True)
    assert found(b"x" * 2_000_000 + JAPANESE.encode("shift_jis")) == ("shift_jis", True)


def test_a_guess_fits_the_whole_text() -> None:
    text = TRADITIONAL * 20_000
    with pytest.raises(TextError, match=r"x.txt is in no encoding that could be recognised \(byte 0 is not UTF-8\)"):
        found(text.encode("big5") + b"\xff\xff\n")


def test_nearly_utf8_is_an_error_not_a_guess() -> None:
    data = bytearray((SIMPLIFIED * 9).encode())
    data[100] = 0xFF
    with pytest.raises(TextError, match=r"x.txt is UTF-8 except for byte 98: repair it, or name its encoding"):
        found(bytes(data))


@pytest.mark.parametrize("data", [
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06", b"\x7fELF\x02\x01\x01\0\0\0\0", b"\0" * 100,
    b"text " * 60_000 + b"\0" + b"text",
])  # fmt: skip
def test_binary_files_are_refused(data: bytes) -> None:
    with pytest.raises(TextError, match=r"x.txt looks like a binary file, not a text"):
        found(data)


@pytest.mark.parametrize("data", [bytes(range(128, 256)) * 4, "Да\n".encode("cp1251"), b"\xff\xff\x81\n"])
def test_what_no_candidate_fits_is_refused(data: bytes) -> None:
    with pytest.raises(TextError, match="name its encoding"):
        found(data)


@pytest.mark.parametrize(("encoding", "text"), MORE)
def test_the_other_encodings_of_the_world(encoding: str, text: str) -> None:
    for sample in (text, text * 30):
        guess, guessed = found(sample.encode(encoding))
        assert guessed
        assert sample.encode(encoding).decode(guess) == sample


RUSSIAN = "Ещё ты дремлешь, друг прелестный\nПора, красавица, проснись: открой глаза\nИ ель зеленеет\n"
GERMAN = "Über den Hügel läuft die Straße\nund das Mädchen fährt allein für schöne Blüten\n"
POLISH = "Całą noc padał deszcz, nie mówiliśmy nic\nCzekałem jeszcze długą chwilę\n"


@pytest.mark.parametrize(("encoding", "text"), [
    ("mac-roman", GERMAN), ("mac-latin2", GERMAN), ("mac-turkish", GERMAN), ("mac-roman", WESTERN),
    ("mac-roman", "She said, “I don’t know – it’s late.”\n"), ("mac-latin2", POLISH), ("mac-cyrillic", RUSSIAN),
    ("iso8859-5", RUSSIAN), ("cp850", GERMAN), ("cp852", POLISH),
])  # fmt: skip
def test_encodings_of_old_computers(encoding: str, text: str) -> None:
    """Each was read as one of Windows, letter for letter another text."""
    for sample in (text, text * 30):
        assert decode(sample.encode(encoding), "x") == sample


@pytest.mark.parametrize("text", [RUSSIAN, "И ель сквозь иней зеленеет,\n", "меня звали Яков, а Мороз спал\n"])
@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r", "cp866", "utf-16-le"])
def test_the_usual_russian_encodings_are_no_macs(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding), "x") == text


@pytest.mark.parametrize("text", [SIMPLIFIED, TRADITIONAL, JAPANESE, WESTERN, RUSSIAN, GERMAN, "café\n",
                                  "1 + 1\ncafé\n", "She said, “I don’t know – it’s late.”\n"])  # fmt: skip
def test_utf7_is_guessed(text: str) -> None:
    for sample in (text, "plain\n" * 300_000 + text):
        data = sample.encode("utf-7")
        assert found(data) == ("utf-7", True)
        assert decode(data, "x") == sample


@pytest.mark.parametrize("text", [
    "C++ and C+IBM-Google\n", "Call +12025550120 or +4412345678\n", "a+b+c = +And +Ask +You\n", "x = y+AAAA+BBBB\n",
    "U+FFFD to U+10FFFF, application/rss+xml\n", "1+234567 + 1+890\n", "+AMA and +IBM\n",
    "facts+evidence\n", "avi+mp4\n", "version 2+r10\n", "a+writerow\n", "C+foo-bar\n",
    "total = base+i2c + url+writeRow\n",
])  # fmt: skip
def test_texts_with_a_plus_are_utf8(text: str) -> None:
    assert found(text.encode()) == ("utf-8", False)


def test_a_plus_hides_no_other_shift() -> None:
    """The first of either may stand far before the other."""
    text = "+IBM\n" + "plain\n" * 300_000 + SIMPLIFIED
    assert found(text.encode("hz")) == ("hz", True)


@pytest.mark.parametrize("text", ["雨\n" * 9, "我——你\n", "《夜》\n", "你好\n"])
def test_a_few_chinese_characters_with_dashes(text: str) -> None:
    assert found(text.encode("gbk")) == ("gb18030", True)


def test_several_candidates_are_shown_with_a_line_of_each() -> None:
    message = (
        r"not UTF-8\): cp1252 would read 'naïve café'; cp1250 would read 'naďve café'; .*for example --encoding cp1252"
    )
    with pytest.raises(TextError, match=message):
        found("OK\nnaïve café\n".encode("cp1252"))


def test_programs_that_look_like_shifts_are_utf8() -> None:
    for text in ("a = ~{name} + ~{other}\n", "\x1b[31mred\x1b[0m\n", "~{}~}\n", "\x1b$ 5\n"):
        assert found(text.encode()) == ("utf-8", False)


def test_zero_bytes_between_letters_are_told_from_a_binary_file() -> None:
    with pytest.raises(TextError, match=r"x.txt has zero bytes between its letters \(the first is byte 8\): remove"):
        found(b"one line\0another line\0a third\0")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_decided_or_refused(data: bytes) -> None:
    try:
        encoding, guessed = found(data)
    except TextError:
        return
    assert guessed or encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32")
    if encoding == "utf-8":
        data.decode()


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfwords \x81\n", b"\xff\xfea\0b", b"\x60\x4e\x0a\x00\x36"])
def test_what_a_mark_does_not_keep_is_an_error_of_one_line(data: bytes) -> None:
    """Found by fuzzing."""
    with pytest.raises(TextError, match="x is not "):
        decode(data, "x")


def test_names_of_encodings() -> None:
    assert check_encoding("utf8") == "utf-8-sig"
    assert check_encoding("GBK") == "GBK"
    for name in ("klingon", "hex", "rot13", "a\0b"):
        with pytest.raises(UsageError, match="unknown encoding"):
            check_encoding(name)
