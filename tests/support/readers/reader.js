// A program that waits for a model, as a plugin in Node would: see reader.py, which is the same in Python.
//
//     node reader.js SOCKET watch|ask
"use strict";

const net = require("net");
const readline = require("readline");

const words = (text) => new Set(text.split(" "));
const INTEGERS = words(
  "seq pid downloaded_bytes bytes_per_second eta_s resumed_bytes connections verified_bytes resident_bytes n_ctx bytes " +
  "allocated_bytes attempt loaded_percent kv_bytes " +
  "wire_version gpu_layers vram_total_bytes load_ms warm_up_ms restarts_left retry_in_ms missed " +
  "protocol uptime_s subscribers");
const BOOLEANS = words("v2 vision audio tools thinking embed rerank generate");
const STRINGS = words(
  "id type status phase model ts path source_url integrity kv_type_k kv_type_v backend accelerator device_name version " +
  "reason code message infer_socket expected_sha256 actual_sha256 quarantine_path");
const REQUESTS = [{id: "s", type: "status"}, {id: "p", type: "ping"}, {id: "b", type: "subscribe", since: 0}];

const [path, mode] = process.argv.slice(2);
const seen = {seqs: [], names: []};
const answers = {};
let isDone = false;

function fail(code, message) {
  console.error(message);
  process.exit(code);
}

function isRight(key, value) {
  if (INTEGERS.has(key)) return Number.isSafeInteger(value);
  if (BOOLEANS.has(key)) return typeof value === "boolean";
  if (STRINGS.has(key)) return typeof value === "string";
  if (key === "total_bytes") return value === null || Number.isSafeInteger(value);
  return true;
}

function check(frame) {
  for (const [key, value] of Object.entries(frame)) {
    if (!isRight(key, value)) fail(2, `${key} has the wrong type: ${JSON.stringify(frame)}`);
  }
  for (const key of ["id", "type"]) {
    if (!(key in frame)) fail(2, `${key} is missing: ${JSON.stringify(frame)}`);
  }
}

function note(event) {
  seen.seqs.push("seq" in event ? event.seq : null);
  seen.names.push(event.phase || event.status);
}

function watch(event) {
  note(event);
  if (event.phase === "download") (seen.totals = seen.totals || []).push(event.total_bytes);
  return event.status === "ready";
}

function ask(frame) {
  if (frame.type !== "status") {
    answers[frame.id] = frame;
  } else if (answers.b) {
    note(frame);
  }
  const last = seen.seqs[seen.seqs.length - 1];
  if (Object.keys(answers).length < REQUESTS.length || last !== answers.b.seq) return false;
  seen.answers = answers;
  return true;
}

const socket = net.createConnection(path);
socket.on("error", (error) => fail(1, `the connection broke: ${error.message}`));
socket.on("connect", () => {
  if (mode === "ask") socket.write(REQUESTS.map((request) => JSON.stringify(request) + "\n").join(""));
});
const lines = readline.createInterface({input: socket});
lines.on("line", (line) => {
  if (isDone) return;
  const frame = JSON.parse(line);
  check(frame);
  isDone = mode === "ask" ? ask(frame) : watch(frame);
  if (isDone) {
    console.log(JSON.stringify(seen));
    socket.destroy();
  }
});
lines.on("close", () => {
  if (!isDone) fail(1, "the connection ended too soon");
});
