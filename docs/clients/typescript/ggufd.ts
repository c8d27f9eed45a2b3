// Follows ggufd and asks it for things, with Node's standard library only. Copy this file.
//     node ggufd.js [load|unload|reload|cancel [MODEL]]     without a request: what happens, until Ctrl-C
import { connect, type Socket } from "node:net";

export interface Frame {
  id: string; type: string; status?: string; model?: string; phase?: string; seq?: number; ts?: string;
  code?: string; message?: string; reason?: string; state?: string; load_ms?: number; eta_s?: number;
  downloaded_bytes?: number; verified_bytes?: number; resident_bytes?: number; allocated_bytes?: number;
  bytes?: number; total_bytes?: number | null; [key: string]: unknown;
}
const STATUSES = ["loading_model", "ready", "restarting", "unloading", "unloaded", "error", // of a model
  "starting", "capabilities", "warning", "draining", "lagged"]; // these change no model's status
const PHASES = ["checking_local", "download", "verify", "quarantine", "mmap", "kv_cache", "engine_start", "warm_up"];
const GONE: Frame = { id: "", type: "error", code: "no_daemon", message: "there is no daemon" };
const { GGUFD_RUNTIME_DIR: own, XDG_RUNTIME_DIR: xdg } = process.env;
export const socketPath = `${own || (xdg ? `${xdg}/ggufd` : `/tmp/ggufd-${process.getuid?.()}`)}/admin.sock`;

export function describe(event: Frame): string {
  if (event.code) return `${event.status} ${event.code}: ${event.message}`;
  const text = `${PHASES.includes(event.phase ?? "") ? event.phase : event.status}`;
  const done = event.downloaded_bytes ?? event.verified_bytes ?? event.resident_bytes ?? event.allocated_bytes;
  const total = event.total_bytes ?? event.bytes;
  if (done === undefined) return text;
  return `${text} ${total ? `${Math.floor((100 * done) / total)}%` : `${Math.floor(done / 1e6)} MB`}`;
}
/** Tells every event, on each connecting the state first, and undefined where there is no daemon. */
export function follow(onEvent: (event?: Frame) => void, path = socketPath) {
  const waiting = new Map<string, (answer: Frame) => void>();
  let socket: Socket, timer: NodeJS.Timeout | undefined, pauseMs = 250, ids = 0;
  const open = () => {
    let text = "";
    socket = connect(path).setEncoding("utf8").on("error", () => {}).on("data", (piece: string) => {
      const lines = (text + piece).split("\n");
      [text, pauseMs] = [lines.pop() ?? "", 250];
      for (const frame of lines.map((line): Frame => JSON.parse(line))) {
        if (frame.type !== "status") waiting.get(frame.id)?.(frame), waiting.delete(frame.id);
        else if (STATUSES.includes(`${frame.status}`)) onEvent(frame); // else it is new to us
      }
    }).on("close", () => {
      waiting.forEach((onAnswer) => onAnswer(GONE)), waiting.clear(), onEvent();
      [timer, pauseMs] = [setTimeout(open, pauseMs), Math.min(2 * pauseMs, 5000)];
    });
  };
  const ask = (type: string, fields: object = {}) => new Promise<Frame>((onAnswer) => {
    if (socket.destroyed) return onAnswer(GONE);
    waiting.set(`${++ids}`, onAnswer), socket.write(JSON.stringify({ id: `${ids}`, type, ...fields }) + "\n");
  });
  open();
  return { ask, close: () => (clearTimeout(timer), socket.removeAllListeners("close").destroy()) };
}
if (/ggufd\.[jt]s$/.test(process.argv[1] ?? "")) {
  const shown = new Map<string, string>(), [verb, model] = process.argv.slice(2);
  const { ask } = follow((event) => {
    const name = event?.model ?? "ggufd", text = event ? describe(event) : "no daemon";
    if (shown.get(name) !== text) console.log(`${name}: ${text}`);
    shown.set(name, text).delete(event?.model ? "ggufd" : ""); // it is there (again)
  });
  if (verb) ask(verb, { model, wait: true }).then((answer) => process.exit(answer.code ? (console.error(answer.message), 1) : 0));
}
