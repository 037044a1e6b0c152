"""Pages of another origin in a real Chromium: those that the owner allows can use the API, others cannot."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.desktop import listening

KEY = "correct-horse-battery"

CALL = """async ([url, method, path, key, body]) => {
  try {
    const headers = { "Content-Type": "application/json", "X-Stainless-OS": "x" };
    if (key) headers.Authorization = `Bearer ${key}`;
    const answer = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
    return { status: answer.status, run: answer.headers.get("X-Run-Id"), text: await answer.text() };
  } catch (error) {
    return { failed: String(error) };
  }
}"""

IN_A_SANDBOX = """async ([url, key]) => {
  const said = new Promise((resolve) => addEventListener("message", (event) => resolve(event.data), { once: true }));
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts";
  frame.srcdoc = `<script>fetch("${url}/info", { headers: { Authorization: "Bearer ${key}" } })
    .then(() => parent.postMessage("read", "*"), () => parent.postMessage("refused", "*"))<\\/script>`;
  document.body.append(frame);
  return said;
}"""


@pytest.fixture(scope="module")
def elsewhere():
    """Two empty pages, on ports of their own."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, *args):
            pass

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Empty) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"http://127.0.0.1:{server.server_port}" for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def foreign(browser, elsewhere, backend, tmp_path):
    """Calls the API from a page of one of the two origins, of which only the first is allowed."""
    with listening(tmp_path / "data", backend, api_key=KEY, allowed_origins=[elsewhere[0]]) as server:
        context = browser.new_context()

        def page(number):
            page = context.new_page()
            page.goto(elsewhere[number])
            return page

        page.url = server.url
        yield page
        context.close()


def test_an_allowed_page_reads_answers_refusals_and_streams(foreign):
    page = foreign(0)

    def call(method, path, key=KEY, body=None):
        return page.evaluate(CALL, [foreign.url, method, path, key, body])

    assert call("GET", "/info")["status"] == 200
    refusal = call("GET", "/info", key=None)
    assert refusal["status"] == 401 and "needs an API key" in refusal["text"]
    assert call("PUT", "/context/SESSION_LOG.md", body={"text": "x"})["status"] == 428
    assert call("DELETE", "/conversations/none")["status"] == 404
    stream = call("POST", "/chat/stream", body={"message": "Hello from elsewhere"})
    assert stream["status"] == 200 and stream["run"]
    assert '"done":true' in stream["text"]
    assert call("POST", "/v1/chat/completions", body={"messages": []})["status"] == 400


def test_another_page_reads_nothing(foreign):
    page = foreign(1)
    assert "failed" in page.evaluate(CALL, [foreign.url, "GET", "/info", KEY, None])
    assert "failed" in page.evaluate(CALL, [foreign.url, "POST", "/chat", KEY, {"message": "Hi"}])


def test_a_page_that_hides_its_origin_reads_nothing(foreign):
    assert foreign(0).evaluate(IN_A_SANDBOX, [foreign.url, KEY]) == "refused"
