"""The HTTP side of fake_llama_server.py: where it listens, and what it answers while it loads and once it is ready."""
import json
import os
import socket
import threading
import time

from fake_llama_moods import BUILD, ERROR, HAS_UNIX, IS_OLD, MOOD, end, log, say_of_main, seconds, to_router

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 500: "Internal Server Error", 501: "Not Implemented",
           503: "Service Unavailable"}
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


class Server:
    def __init__(self, arguments):
        self.arguments = arguments
        self.host = arguments.get("--host", "127.0.0.1")
        self.is_ready = False
        self.hangs = threading.Event()
        self.never = threading.Event()
        self.lock = threading.Lock()
        self.model = None
        parallel = arguments.number("--parallel", 1 if IS_OLD else -1)
        self.slots = [False] * (4 if parallel < 0 else max(parallel, 1))
        self.context = arguments.number("--ctx-size", 4096) or 4096
        self.api_keys = [key for key in arguments.get("--api-key", "").split(",") if key]
        if path := arguments.get("--api-key-file", ""):
            with open(path, encoding="utf-8") as file:
                self.api_keys += [key for key in file.read().splitlines() if key]
        self.handlers = {
            ("GET", "/health"): self.health, ("GET", "/v1/health"): self.health,
            ("GET", "/props"): self.props, ("GET", "/slots"): self.slot_list, ("GET", "/metrics"): self.metrics,
            ("GET", "/v1/models"): self.models, ("GET", "/models"): self.models,
            ("POST", "/completion"): self.completion, ("POST", "/completions"): self.completion,
            ("POST", "/v1/completions"): self.completion, ("POST", "/v1/chat/completions"): self.chat,
            ("POST", "/chat/completions"): self.chat, ("POST", "/embedding"): self.embedding,
            ("POST", "/embeddings"): self.embedding, ("POST", "/v1/embeddings"): self.embedding,
            ("POST", "/v1/rerank"): self.rerank, ("POST", "/rerank"): self.rerank,
        }

    # -- listening

    def listen(self):
        port = self.arguments.number("--port", 8080)
        try:
            if HAS_UNIX and self.host.endswith(".sock"):
                self.listener = socket.socket(socket.AF_UNIX)
                self.listener.bind(self.host)
                self.address = f"unix://{self.host}"
            else:
                self.listener = socket.socket(socket.AF_INET)
                self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if self.host.endswith(".sock"):
                    raise OSError("is no address")
                self.listener.bind((self.host, port))
                port = self.listener.getsockname()[1]
                self.address = f"http://{self.host}:{port}"
            self.listener.listen(512)
        except OSError:
            told = f"couldn't bind HTTP server socket, hostname: {self.host}, port: {port}"
            say_of_main(told, ERROR)
            if not IS_OLD:
                say_of_main("exiting due to HTTP server error", ERROR)
            end(1)
        if IS_OLD:
            log(f"main: HTTP server is listening, hostname: {self.host}, port: {port}, http threads: 3")
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            try:
                while self.serve_one(connection, stream):
                    pass
            except (OSError, ValueError):
                pass  # the client has gone, or speaks no HTTP

    def serve_one(self, connection, stream):
        request = stream.readline(8192).split()
        if len(request) != 3:
            return False
        fields = {}
        while line := stream.readline(8192).strip():
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip()
        body = stream.read(int(fields.get("content-length", 0)))
        if self.hangs.is_set():
            self.never.wait()
        path = request[1].decode().partition("?")[0]
        if self.may_ask(path, fields):
            self.answer(connection, request[0].decode(), path, body)
        else:
            send(connection, *error("Invalid API Key", "authentication_error", 401))
        return fields.get("connection", "").lower() != "close"

    def may_ask(self, path, fields):
        is_public = path in ("/health", "/v1/health", "/models", "/v1/models")
        return not self.api_keys or is_public or fields.get("authorization", "").removeprefix("Bearer ") in self.api_keys

    def answer(self, connection, method, path, body):
        if not self.is_ready or "never_ready" in MOOD:
            return send(connection, *error("Loading model", "unavailable_error", 503))
        handler = self.handlers.get((method, path))
        if handler is None:
            return send(connection, *error("File Not Found", "not_found_error", 404))
        if method == "GET":
            return handler(connection)
        try:
            question = json.loads(body or b"null")
        except ValueError as problem:
            return send(connection, *error(f"[json.exception.parse_error.101] {problem}", "invalid_request_error", 400))
        if not isinstance(question, dict):
            return send(connection, *error("the body must be an object", "invalid_request_error", 400))
        return handler(connection, question)

    # -- what is asked while it runs

    def health(self, connection):
        kind = MOOD.get("bad_health")
        if kind is None:
            return send(connection, 200, {"status": "ok"})
        if kind == "500":
            return send(connection, *error("it hurts", "server_error", 500))
        if kind == "not_ok":
            return send(connection, 200, {"status": "error"})
        if kind == "slow":
            self.never.wait(30)
        if kind == "cut":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"status\"")
            raise OSError("cut")
        body = {"empty": b"", "huge": b'{"status":"' + b"x" * (8 << 20) + b'"}'}.get(kind, b"\x00\xff<html>")
        return send_bytes(connection, 200, body)

    def props(self, connection):
        capabilities = {"supports_tools": "tools" in MOOD, "supports_tool_calls": "tools" in MOOD,
                        "supports_system_role": True, "supports_preserve_reasoning": "thinking" in MOOD}
        template = TEMPLATE + ("{% if tools %}{% endif %}" if "tools" in MOOD else "")
        template += "{% if enable_thinking %}<think>{% endif %}" if "thinking" in MOOD else ""
        facts = {"default_generation_settings": {"n_ctx": self.slot_context(), "params": {"n_predict": -1}},
                 "total_slots": len(self.slots), "model_path": self.model.path, "chat_template": template}
        if not IS_OLD:
            facts.update({
                "model_alias": self.arguments.get("--alias", os.path.basename(self.model.path)),
                "modalities": {"vision": "vision" in MOOD, "video": False, "audio": "audio" in MOOD},
                "endpoint_slots": self.has_slots(), "endpoint_props": False, "endpoint_metrics": self.has_metrics(),
                "chat_template_caps": capabilities, "bos_token": "<s>", "eos_token": "</s>", "is_sleeping": False})
        send(connection, 200, {**facts, "build_info": f"b{BUILD[0]}-{BUILD[1]}"})

    def slot_context(self):
        return self.context if self.arguments.get("--kv-unified", False) else self.context // len(self.slots)

    def has_slots(self):
        return "no_slots" not in MOOD and self.arguments.get("--slots", not IS_OLD)

    def has_metrics(self):
        return self.arguments.get("--metrics", False)

    def slot_list(self, connection):
        if not self.has_slots():
            return send(connection, *error("This server does not support slots endpoint. Start it with `--slots`",
                                           "not_supported_error", 501))
        return send(connection, 200, [{"id": index, "n_ctx": self.slot_context(), "speculative": False,
                                       "is_processing": is_busy} for index, is_busy in enumerate(self.slots)])

    def metrics(self, connection):
        if not self.has_metrics():
            return send(connection, *error("This server does not support metrics endpoint. Start it with `--metrics`",
                                           "not_supported_error", 501))
        text = f"# TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing {sum(self.slots)}\n"
        return send_bytes(connection, 200, text.encode(), "text/plain; version=0.0.4")

    def models(self, connection):
        name = self.arguments.get("--alias", self.model.path)
        send(connection, 200, {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "llamacpp"}]})

    # -- inference

    def work(self, connection, needs_embeddings, answer):
        """Holds a slot while `answer()` is made; False where the request is not for this server."""
        is_embedding = self.arguments.get("--embedding", False) or "embedding" in MOOD
        if needs_embeddings and not is_embedding and not IS_OLD:
            return send(connection, *error("This server does not support embeddings. Start it with `--embeddings`",
                                           "not_supported_error", 501))
        if not needs_embeddings and is_embedding:
            return send(connection, *error("This server does not support completions. Start it without `--embeddings`",
                                           "not_supported_error", 501))
        if "fail_warm_up" in MOOD:
            return send(connection, *error("Compute error.", "server_error", 500))
        slot = self.take_slot()
        try:
            time.sleep(seconds("busy"))
            return answer()
        finally:
            self.slots[slot] = False

    def take_slot(self):
        while True:
            with self.lock:
                for slot, is_busy in enumerate(self.slots):
                    if not is_busy:
                        self.slots[slot] = True
                        return slot
            time.sleep(0.005)

    def completion(self, connection, question):
        count = int(question.get("n_predict", question.get("max_tokens", 4)) or 4)
        text = " ".join(["word"] * max(1, min(count, 4096)))
        body = {"content": text, "stop": True, "tokens_predicted": count, "tokens_evaluated": 1, "id_slot": 0,
                "timings": {"prompt_ms": 1.0, "predicted_ms": 1.0, "predicted_n": count}}
        self.work(connection, False, lambda: self.reply(connection, question, body))

    def chat(self, connection, question):
        if not isinstance(question.get("messages"), list):
            return send(connection, *error("'messages' is required", "invalid_request_error", 400))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word"}}
        body = {"object": "chat.completion", "choices": [choice], "usage": {"completion_tokens": 1, "total_tokens": 2}}
        return self.work(connection, False, lambda: self.reply(connection, question, body))

    def reply(self, connection, question, body):
        if not question.get("stream"):
            return send(connection, 200, body)
        connection.sendall(b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: text/event-stream\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n")
        for event in (json.dumps({**body, "stop": False}), json.dumps(body), "[DONE]"):
            line = f"data: {event}\n\n".encode()
            connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))
        return connection.sendall(b"0\r\n\r\n")

    def embedding(self, connection, question):
        if "input" not in question and "content" not in question:
            return send(connection, *error('"input" or "content" must be provided', "invalid_request_error", 400))
        vector = [0.5] * self.model.of_architecture("embedding_length", 8)
        return self.work(connection, True, lambda: send(connection, 200, [{"index": 0, "embedding": [vector]}]))

    def rerank(self, connection, question):
        if not self.arguments.get("--reranking", False):
            return send(connection, *error("This server does not support reranking. Start it with `--reranking`",
                                           "not_supported_error", 501))
        results = [{"index": index, "relevance_score": 0.5} for index in range(len(question.get("documents", [])))]
        return send(connection, 200, {"object": "list", "results": results})

    # -- readiness

    def become_ready(self):
        self.is_ready = True
        say_of_main("model loaded")
        say_of_main(f"server is listening on {self.address} - starting the main loop" if IS_OLD
                    else f"listening on {self.address}")
        to_router("ready")


def error(message, kind, code):
    return code, {"error": {"message": message, "type": kind, "code": code}}


def send(connection, code, document):
    send_bytes(connection, code, json.dumps(document).encode())


def send_bytes(connection, code, body, kind="application/json; charset=utf-8"):
    head = (f"HTTP/1.1 {code} {REASONS.get(code, 'Unknown')}\r\nServer: llama.cpp\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nKeep-Alive: timeout=5, max=100\r\n\r\n")
    connection.sendall(head.encode() + body)
