"""The chat page is this tier's own: it is there also when the desktop is not."""


def test_the_page_and_its_files_need_neither_a_key_nor_the_desktop(vps) -> None:
    page = vps.client.get("/")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert vps.client.get("/static/main.js").status_code == 200


def test_a_file_outside_the_page_is_not_served(vps) -> None:
    assert vps.client.get("/static/../factory.py").status_code in (401, 404)
    assert vps.client.get("/static/%2e%2e/%2e%2e/factory.py").status_code in (401, 404)
