"""Who may ask, and what hostile bodies, names and paths come to."""

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from urllib.parse import quote

import httpx
import pytest
from studio_tools import OLD, until

HTML = '<img src=x onerror="alert(1)">'


def port_of(studio):
    return int(studio.url.rpartition(":")[2])


def raw(studio, request, body=b""):
    """The status and body of an answer to bytes on a socket."""
    with socket.create_connection(("127.0.0.1", port_of(studio)), timeout=20) as connection:
        connection.sendall(request.encode("latin-1") + b"\r\n\r\n" + body)
        found = b""
        while part := connection.recv(65536):
            found += part
    return int(found.split(b" ", 2)[1]), found


def test_the_address_with_the_token_gives_a_cookie_that_opens_the_page(studio):
    with httpx.Client(base_url=studio.url) as browser:
        closed = browser.get("/")
        assert closed.status_code == 401
        assert "ostinato studio" in closed.text
        assert browser.get(f"/?token={studio.token[:-1]}x").status_code == 401
        opened = browser.get(f"/?token={studio.token}")
        assert (opened.status_code, opened.headers["location"]) == (303, "/")
        cookie = opened.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        page = browser.get("/")
        assert page.status_code == 200
        assert page.headers["content-security-policy"].startswith("default-src 'self'")
        assert browser.get("/studio/api/runs").status_code == 200


@pytest.mark.parametrize(
    "path", ["/studio/api/runs", "/v1/models", "/api/info", "/openapi.json", "/page/index.html", "/metrics"]
)
def test_nothing_is_told_without_the_token(studio, path):
    answer = httpx.get(studio.url + path)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "no_token"
    assert studio.http.get(path).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"}, {"host": "127.0.0.1:1"}, {"origin": "http://evil.example"}, {"origin": "null"},
        {"origin": "http://127.0.0.1:1"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
    ],
)  # fmt: skip
def test_another_host_or_origin_is_refused_even_with_the_token(studio, headers):
    answer = studio.http.get("/studio/api/runs", headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_a_cookie_alone_changes_nothing(studio):
    with httpx.Client(base_url=studio.url) as browser:
        browser.get(f"/?token={studio.token}")
        delete = "/studio/api/texts/verses.txt"
        assert browser.delete(delete).status_code == 403
        assert browser.delete(delete, headers={"origin": "http://127.0.0.1:9"}).status_code == 403
        own = browser.delete("/studio/api/texts/none.txt", headers={"origin": studio.url})
        assert own.status_code == 404


@pytest.mark.parametrize("preflight", ["/studio/api/texts", "/api/write"])
def test_no_other_page_is_let_in(studio, preflight):
    answer = studio.http.options(
        preflight, headers={"origin": "http://evil.example", "access-control-request-method": "POST"}
    )
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path",
    [
        "/page/..%2f..%2fcli/main.py", "/page/../guard.py", "/page//etc/passwd", "/studio/api/texts/..%2f..%2fetc",
        "/studio/api/runs/..", "/studio/api/runs/%2e%2e", "/studio/api/runs/..%5c..", "/studio/api/runs/.studio",
        "/studio/api/runs/texts", "/studio/api/runs/a%00b", "/studio/api/comparisons/..%2fx/picture.svg",
        "/studio/api/runs/x%0d%0aset-cookie:a/bundle.zip",
    ],
)  # fmt: skip
def test_no_path_leads_out(studio, path):
    status, answer = raw(
        studio, f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port_of(studio)}\r\nconnection: close\r\n"
        f"authorization: Bearer {studio.token}",
    )  # fmt: skip
    assert status in (400, 404), answer
    assert b"root:" not in answer


def upload(studio, name, content):
    headers = {"content-type": "application/octet-stream"}
    return studio.http.post("/studio/api/texts", params={"name": name}, content=content, headers=headers)


def test_a_body_of_a_gigabyte_is_refused_before_it_comes(studio):
    head = (
        f"POST /studio/api/texts?name=big.txt HTTP/1.1\r\nhost: 127.0.0.1:{port_of(studio)}\r\nconnection: close\r\n"
        f"authorization: Bearer {studio.token}\r\ncontent-type: application/octet-stream\r\ncontent-length: {1 << 30}"
    )
    status, answer = raw(studio, head, b"x" * 1000)
    assert status == 413
    assert b"1,073,741,824" in answer
    assert "big.txt" not in studio.http.get("/studio/api/texts").text


def test_a_body_that_does_not_say_its_size_is_cut_off(start, tmp_path):
    small = start(tmp_path / "small", "--max-upload", 1)
    sending = small.http.build_request(
        "POST", "/studio/api/texts?name=big.txt", content=(b"a line of text\n" * 4096 for _ in range(40)),
        headers={"content-type": "application/octet-stream"},
    )  # fmt: skip
    with contextlib.suppress(httpx.TransportError):  # the connection is cut while it still sends
        assert small.http.send(sending).status_code == 413
    until(lambda: not list((tmp_path / "small" / ".studio" / "uploads").iterdir()))
    assert list((tmp_path / "small" / "texts").iterdir()) == []


def packed(members, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_a_zip_bomb_is_refused_and_not_kept(studio):
    answer = upload(studio, "bomb.zip", packed({"a.txt": b"\0" * (64 << 20)}))
    assert answer.status_code == 400
    assert "times its size" in answer.json()["error"]["message"]
    assert str(studio.folder) not in answer.text
    assert "bomb" not in studio.http.get("/studio/api/texts").text


def test_a_zip_with_paths_that_lead_out_is_only_read(studio, tmp_path):
    answer = upload(studio, "slip.zip", packed({"../../out.txt": "a line\n" * 40, "in.txt": "some words\n" * 9}))
    assert answer.status_code == 201
    assert not list(studio.folder.parent.rglob("out.txt"))
    assert studio.http.delete("/studio/api/texts/slip.zip").status_code == 200


@pytest.mark.parametrize("name", ["../up.txt", "a/b.txt", "..", "a\\b.txt", "", "..\\..\\x.txt", "/etc/passwd"])
def test_an_upload_has_a_name_not_a_path(studio, name):
    assert upload(studio, name, b"some words of a text\n").status_code == 400


def test_html_stays_text(studio):
    answer = upload(studio, f"{HTML}.txt", f"{HTML}\n<script>alert(2)</script>\n".encode() * 20)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    name = answer.json()["name"]
    assert "<" not in name
    shown = studio.http.get(f"/studio/api/texts/{name}")
    assert shown.headers["content-type"] == "application/json"
    assert shown.json()["report"]["samples"][0].startswith(HTML)
    assert studio.http.delete(f"/studio/api/texts/{name}").json() == {"deleted": name}


def test_a_link_in_the_folder_is_not_followed(studio, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret of somebody else\n" * 10)
    (studio.folder / "texts" / "link.txt").symlink_to(secret)
    (studio.folder / "linked").symlink_to(studio.folder / "lstm")
    try:
        assert studio.http.get("/studio/api/texts/link.txt").status_code == 403
        assert "link.txt" not in studio.http.get("/studio/api/texts").text
        assert studio.http.get("/studio/api/runs/linked").status_code == 403
        answer = studio.http.post("/api/score", json={"model": "linked", "text": "风"})
        assert answer.status_code == 404
    finally:
        (studio.folder / "texts" / "link.txt").unlink()
        (studio.folder / "linked").unlink()
    assert secret.exists()


def test_a_folder_of_files_stays_inside(studio):
    folder = studio.http.post("/studio/api/folders", json={"name": "album"}).json()["name"]
    send = {"content": b"words of a song\n" * 5, "headers": {"content-type": "application/octet-stream"}}
    address = f"/studio/api/texts/{folder}/file"
    assert studio.http.post(address, params={"path": "a/one.txt"}, **send).json()["files"] == 1
    for path in ("../one.txt", "a/../../one.txt", "/one.txt", "a//b.txt", ".", "", "a/b/c/d/e/f/g/h/i.txt"):
        assert studio.http.post(address, params={"path": path}, **send).status_code == 400, path
    assert [p.name for p in (studio.folder / "texts" / folder).rglob("*.txt")] == ["one.txt"]
    assert studio.http.delete(f"/studio/api/texts/{folder}").status_code == 200


def test_the_studio_does_without_torch():
    code = "import sys, ostinato.studio.running; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize("name", ["<b>bold<b>", "a: b?", "e\u0301te\u0301", "two\nlines", "trailing. "])
def test_what_somebody_called_otherwise_is_there_too(studio, name):
    shutil.copytree(OLD / "songs", studio.folder / name)
    shutil.copy(OLD / "verses.txt", studio.folder / "texts" / name)
    (studio.folder / os.fsdecode(b"\xff\xfe")).mkdir(exist_ok=True)
    try:
        assert name in [run["name"] for run in studio.http.get("/studio/api/runs").json()["runs"]]
        assert name in [text["name"] for text in studio.http.get("/studio/api/texts").json()["texts"]]
        assert studio.http.get(f"/studio/api/texts/{quote(name, safe='')}").status_code == 200
        assert studio.http.post("/api/score", json={"model": name, "text": "风"}).status_code == 200
        answer = studio.http.patch(f"/studio/api/runs/{quote(name, safe='')}", json={"name": "plain"})
        assert answer.json()["name"] == "plain"
        assert studio.http.patch("/studio/api/runs/plain", json={"name": f"{name}/x"}).status_code == 400
        assert studio.http.delete("/studio/api/runs/plain").status_code == 200
    finally:
        assert studio.http.delete(f"/studio/api/texts/{quote(name, safe='')}").status_code == 200
