"""A model that is a script: it speaks as much of the Messages API and of the Responses API as coding agents need.

It calls one tool if it is asked to, in the words of `call TOOL {ARGUMENTS}` on a line of their own, and says one sentence
otherwise. What it was sent is kept. Listens on loopback alone.
"""

import http.server
import json
import re
import threading

SAYS = "I found that the tide gauge stands on the pier."
ASKED = re.compile(r"^call (\S+) (\{.*\})$", re.MULTILINE)


class Model:
    """Runs while it is used in a `with` block."""

    def __init__(self):
        model, self.requests = self, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                answer = model.answer(self.path.partition("?")[0], body)
                self.send_response(200 if answer else 404)
                out = (answer or "{}").encode()
                self.send_header("content-type", "text/event-stream" if answer else "application/json")
                self.send_header("content-length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path, body):
        """The events of an answer, or None to what is not asked of a model."""
        if path not in ("/v1/messages", "/v1/responses"):
            return None
        request = json.loads(body)
        self.requests.append(request)
        events = messages(request) if path == "/v1/messages" else responses(request)
        return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def texts(value):
    """Every text in what was sent, in order."""
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(item)


def asked(said):
    """The tool that is to be called, and its arguments."""
    found = ASKED.findall("\n".join(texts(said)))
    return found[-1] if found else None


def messages(request):
    said = [message["content"] for message in request["messages"]]
    answered = '"tool_result"' in json.dumps(said)
    call = None if answered else asked(said)
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": request["model"], "content": [], "stop_reason": None,
               "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
    yield {"type": "message_start", "message": message}
    if call:
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "toolu_1", "name": call[0], "input": {}}}
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": call[1]}}
    else:
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": SAYS}}
    yield {"type": "content_block_stop", "index": 0}
    reason = "tool_use" if call else "end_turn"
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 1}}
    yield {"type": "message_stop"}


def responses(_):
    said = {"type": "output_text", "text": SAYS, "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [said]}
    usage = {"input_tokens": 1, "input_tokens_details": None, "output_tokens": 1, "output_tokens_details": None, "total_tokens": 2}
    yield {"type": "response.created", "response": {"id": "resp_1"}}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": {"id": "resp_1", "output": [item], "usage": usage}}
