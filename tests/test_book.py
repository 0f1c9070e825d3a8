"""book.py: where the texts of the course are. (Downloads have tests of their own.)"""

import hashlib

from d2lmini import book


def test_the_chapter_is_the_file_whose_checksum_stands_in_the_code():
    data = book.data_path(book.CHAPTER_FILE).read_bytes()
    assert hashlib.sha256(data).hexdigest() == book.CHAPTER_SHA256


def test_a_checkout_has_its_texts_in_data_beside_the_package():
    assert book.data_path("x.txt").parts[-2:] == ("data", "x.txt")
    assert book.data_path(book.CHAPTER_FILE).exists()


def test_an_installed_package_has_its_texts_inside(tmp_path, monkeypatch):
    package, other = tmp_path / "lib" / "d2lmini", tmp_path / "lib" / "data"
    for folder in (package / "data", other):
        folder.mkdir(parents=True)
        (folder / "text.txt").write_text("a text")
    monkeypatch.setattr(book, "__file__", str(package / "book.py"))
    assert book.data_path("text.txt") == package / "data" / "text.txt"
    assert book.data_path("missing.txt") == other / "missing.txt"
