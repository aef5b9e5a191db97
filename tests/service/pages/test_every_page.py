"""What holds of every page, by the table of routes: a page that is new is looked at, too."""

import pytest

from noisegate.store.tables import Dataset
from service.access import ANYBODY, needed_scope
from service.pages import assets
from service.pages.frame import NAVIGATION
from tests.factories import ready_dataset
from tests.service.pages.conftest import EVIL, HTML, LONG, House, Parsed, page_paths

PAGES = page_paths()
WHOLE = [path for path in PAGES if not path.endswith(("/now", "/progress", "/results", "/figures", "/gc"))]


def ids_in(path: str) -> bool:
    return "{" in path


@pytest.mark.parametrize("path", [path for path in PAGES if needed_scope("GET", path) is not None])
def test_it_is_there_for_its_owner_and_for_nobody_else(house: House, path: str) -> None:
    asked = house.filled(path)
    scope = needed_scope("GET", path)
    owner = "admin" if scope == "admin" else "ada"
    found = house.get(asked, owner)
    assert (found.status_code, found.headers["cache-control"]) == (200, "private, no-cache"), found.text[:300]
    if scope == "admin":
        assert house.get(asked, "bob").status_code == 403
        return
    of_bob = house.get(asked, "bob")
    assert of_bob.status_code == (404 if ids_in(path) else 200)
    asked_for = [id for id in house.ids.values() if id not in asked]
    assert not [id for id in asked_for if id in of_bob.text]
    assert "alert(1)" not in of_bob.text


@pytest.mark.parametrize("path", WHOLE)
def test_it_is_whole_and_asks_nobody_else(house: House, path: str) -> None:
    owner = "admin" if needed_scope("GET", path) == "admin" else "ada"
    answer = house.get(house.filled(path), owner)
    page = Parsed(answer.text)
    (root,) = page.all("html")
    assert root["lang"] == "en"
    assert len(page.all("title")) == len(page.all("main")) == len(page.all("h1")) == 1
    for tag, attributes in page.elements:
        # Nothing that the policy forbids: it would be left out in silence.
        assert not [name for name in attributes if name == "style" or name.startswith("on")], (tag, attributes)
        for name in ("src", "href", "action"):
            address = attributes.get(name) or "/"
            assert address.startswith(("/", "#", "?")), (tag, address)
            assert not address.startswith("//")
    for script in page.all("script"):
        assert script.get("src") or script.get("type") == "application/json"
    labelled = {label.get("for") for label in page.all("label")}
    for field in [*page.all("select"), *page.all("input"), *page.all("textarea")]:
        hidden = field.get("type") == "hidden"
        assert hidden or field.get("id") in labelled or field.get("aria-label") or field.get("aria-labelledby"), field
    assert all("alt" in image for image in page.all("img"))


@pytest.mark.parametrize("path", WHOLE)
def test_names_that_are_html_come_out_as_text(house: House, path: str) -> None:
    owner = "admin" if needed_scope("GET", path) == "admin" else "ada"
    text = house.get(house.filled(path), owner).text
    assert EVIL not in text
    page = Parsed(text)
    assert not [attributes for _, attributes in page.elements if "onerror" in attributes]
    assert not [image for image in page.all("img") if image.get("src") == "x"]


def test_long_names_are_there_in_full(house: House) -> None:
    page = Parsed(house.get(f"/ui/experiments/{house.ids['experiment']}").text)
    assert LONG in page.text


@pytest.mark.parametrize("path", WHOLE)
def test_its_headers_keep_it_out_of_frames_and_scripts_out_of_it(house: House, path: str) -> None:
    headers = house.get(house.filled(path), "admin").headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not {"script-src", "style-src", "connect-src"} & policy.keys(), "those of default-src hold"
    assert "unsafe" not in headers["content-security-policy"]
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
    assert headers["referrer-policy"] == "same-origin", (
        "no address goes elsewhere, and our forms tell where they are from"
    )


def test_the_navigation_leads_to_pages_that_are_there() -> None:
    assert {link.path for link in NAVIGATION} <= set(PAGES)
    for link in NAVIGATION:
        assert needed_scope("GET", link.path) in (link.scope, None)


def test_scopes_decide_what_is_offered(house: House) -> None:
    path = f"/ui/experiments/{house.ids['experiment']}"
    assert "data-path" not in house.get(path, "read").text
    assert "/cancel" in house.get(path, "ada").text
    assert house.get("/ui/classify", "classify").status_code == 200
    assert house.get("/ui/classify", "read").status_code == 403
    shown = {a.get("href") for a in Parsed(house.get("/ui", "read").text).all("a")}
    assert ("/ui/experiments" in shown, "/ui/classify" in shown, "/ui/admin" in shown) == (True, False, False)


def test_browsers_are_sent_to_pages_and_programs_are_not(house: House) -> None:
    sent = house.client.get("/", headers=HTML, follow_redirects=False)
    assert (sent.status_code, sent.headers["location"], sent.headers["vary"]) == (303, "/ui", "Accept")
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.5"):
        answer = house.client.get("/", headers={"Accept": accept}, follow_redirects=False)
        assert (answer.status_code, answer.json()["pages"], answer.headers["vary"]) == (200, "/ui", "Accept")


def test_a_problem_is_a_page_to_browsers_and_json_to_programs(house: House) -> None:
    missing = house.get("/ui/experiments/<b>nothing")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "<b>nothing" not in missing.text
    assert "there is no experiment" in Parsed(missing.text).text.lower()
    assert "'self'" in missing.headers["content-security-policy"]
    shown = {"Authorization": f"Bearer {house.tokens['ada']}"}
    program = house.client.get("/ui/experiments/exp_nothing", headers=shown)
    assert (program.status_code, program.json()["code"]) == (404, "not-found")
    assert house.get("/ui/experiments?stat=failed").status_code == 422


def test_what_nobody_foresaw_is_a_page_too(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    adas = house.client.app_state["resources"].sessions.of("ada")
    with adas.begin() as session:
        hollow = ready_dataset(session, "hollow", number=99).id  # no files lie behind it
    try:
        shown = house.get(f"/ui/datasets/{hollow}")
        assert (shown.status_code, shown.headers["content-type"]) == (500, "text/html; charset=utf-8")
        assert "'self'" in shown.headers["content-security-policy"]
        assert "Something went wrong" in Parsed(shown.text).text
        assert "FileNotFound" not in shown.text
        assert capfd.readouterr().out.count("request_failed") == 1
        as_program = {"Authorization": f"Bearer {house.tokens['ada']}"}
        program = house.client.get(f"/ui/datasets/{hollow}", headers=as_program)
        assert (program.status_code, program.json()["code"]) == (500, "unexpected")
    finally:
        with adas.begin() as session:
            session.delete(session.get_one(Dataset, hollow))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ui/nothing", 404),
        ("POST", "/ui/experiments", 405),
        ("GET", "/ui/experiments?limit=0", 422),
        ("GET", "/ui/experiments?cursor=%00", 422),
        ("GET", "/ui/compare?measure=beauty", 422),
        ("POST", "/ui/sign-in", 422),
        ("GET", "/ui/static/app.css", 404),
        ("GET", "/ui/admin", 403),
    ],
)
def test_every_refusal_is_a_page(house: House, method: str, path: str, status: int) -> None:
    shown = HTML | {"Authorization": f"Bearer {house.tokens['ada']}"}
    answer = house.client.request(method, path, headers=shown, follow_redirects=False)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert Parsed(answer.text).all("h1")


def test_files_keep_for_good_and_come_packed(house: House) -> None:
    path = assets.path_of("app.css")
    plain = house.client.get(path, headers={"Accept-Encoding": "identity"})
    packed = house.client.get(path, headers={"Accept-Encoding": "gzip"})
    assert (plain.status_code, plain.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in plain.headers["cache-control"]
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.content == packed.content == assets.assets()["app.css"].content
    assert house.client.get("/ui/static/app.000000000000.css").status_code == 404


def test_a_first_visit_is_small(house: House) -> None:
    of_pages = [
        asset for name, asset in assets.assets().items() if not name.startswith("swagger")
    ]  # /docs alone has it
    files = sum(len(asset.packed) for asset in of_pages)
    page = len(house.get(f"/ui/experiments/{house.ids['experiment']}").content)
    assert files + page < 150_000


def test_who_needs_no_key_may_do_everything() -> None:
    assert all(ANYBODY.may(link.scope) for link in NAVIGATION)
