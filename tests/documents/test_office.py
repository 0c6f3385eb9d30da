import io
import random
import zipfile
from contextlib import suppress

import pytest

from synth.documents.office import docx_sections, pdf_sections, without_running_lines
from synth.documents.record import Fault

pytest.importorskip("pypdf")
pytest.importorskip("mammoth")

_STYLES = ("Normal", "heading 1", "heading 2", "heading 3")
_NAMESPACE = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def pdf(*pages, title=""):
    """A PDF by hand: each page a list of lines."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, page in enumerate(pages):
        shown = "".join(f"({line}) Tj T* " for line in page)
        content = f"BT /F1 12 Tf 14 TL 72 720 Td {shown}ET".encode("latin-1")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * n} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream")
    objects.append(f"<< /Title ({title}) >>".encode())
    out, places = bytearray(b"%PDF-1.4\n"), []
    for n, one in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % n + one + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>" % (len(objects) + 1, len(objects))
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + trailer
    return bytes(out + b"\nstartxref\n%d\n%%%%EOF\n" % start)


def docx(*paragraphs):
    """A DOCX by hand: pairs of a heading's level, 0 for text, and its words."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="Heading{level}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'
        for level, text in paragraphs
    )
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{n}"><w:name w:val="{_STYLES[n]}"/></w:style>' for n in range(4)
    )
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    files = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{relations}"><Relationship Id="a" Type="{office}/officeDocument" '
        'Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{relations}"><Relationship Id="b" '
        f'Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "word/styles.xml": f"<w:styles {_NAMESPACE}>{styles}</w:styles>",
        "word/document.xml": f"<w:document {_NAMESPACE}><w:body>{body}</w:body></w:document>",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def test_the_lines_of_a_pdf_run_on_below_its_title():
    (section,) = pdf_sections(pdf(["The river rises ev-", "ery summer and floods", "the fields."], title="The Nile"))
    assert section.title == "The Nile"
    assert section.text == "The river rises every summer and floods the fields."


def test_pages_are_read_in_their_order_without_running_heads_and_numbers():
    pages = [["Rivers of Africa", f"Text of page {word}.", str(n)] for n, word in enumerate(["one", "two", "three"], 1)]
    (section,) = pdf_sections(pdf(*pages))
    assert section.headings == ()
    assert section.text == "Text of page one.\n\nText of page two.\n\nText of page three."


def test_lines_within_a_page_may_recur():
    pages = [f"Head {n}\nFirst\nThe same line\nLast\n{n}{n}" for n in range(4)]
    assert all("The same line" in page for page in without_running_lines(pages))


def test_two_pages_are_too_few_to_tell_running_lines():
    assert without_running_lines(["Head\nOne", "Head\nTwo"]) == ["Head\nOne", "Head\nTwo"]


def test_a_pdf_of_pictures_alone_has_no_text():
    assert [section.text for section in pdf_sections(pdf([], []))] == [""]


def test_an_encrypted_pdf_is_a_fault():
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(PdfReader(io.BytesIO(pdf(["secret"]))))
    writer.encrypt("password", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    with pytest.raises(Fault, match="encrypted"):
        pdf_sections(out.getvalue())


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4", b"rubbish" * 200, pdf(["text"])[:200]])
def test_what_is_no_pdf_is_a_fault_in_one_line(content, capfd):
    with pytest.raises(Fault, match="not a PDF that can be read: ") as caught:
        pdf_sections(content)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_headings_of_a_docx_are_the_titles_of_its_texts():
    content = docx((1, "The Nile"), (0, "It is long."), (2, "Floods"), (0, "It rises in July."), (0, "Übung 今天"))
    assert [(section.title, section.text) for section in docx_sections(content)] == [
        ("The Nile", "It is long."),
        ("The Nile > Floods", "It rises in July.\n\nÜbung 今天"),
    ]


def test_an_empty_docx_has_no_sections():
    assert docx_sections(docx()) == []


def _zip(name, content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"rubbish", _zip("a.txt", "x"), docx((0, "text"))[:300], _zip("word/document.xml", "<not closed")]
)
def test_what_is_no_docx_is_a_fault_in_one_line(content):
    with pytest.raises(Fault, match="not a DOCX that can be read: ") as caught:
        docx_sections(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [pdf_sections, docx_sections])
def test_damaged_files_give_a_text_or_a_fault_and_nothing_else(read):
    whole = pdf(["Some text.", "More of it."], title="T") if read is pdf_sections else docx((1, "A"), (0, "Some text."))
    draws = random.Random(7)
    for _ in range(150):
        raw = bytearray(whole)
        for _ in range(draws.randrange(1, 30)):
            raw[draws.randrange(len(raw))] = draws.randrange(256)
        with suppress(Fault):
            assert isinstance(read(bytes(raw)), list)
