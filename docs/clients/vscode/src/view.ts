// What is known of the models, and how the status bar shows it. Nothing here is VS Code's.
import { describe, type Frame } from "./ggufd";

export interface Item {
  text: string;
  tooltip: string;
  isError: boolean;
}

const BUSY = "$(sync~spin)";
const ICONS = new Map([
  ["loading_model", BUSY], ["restarting", BUSY], ["unloading", BUSY],
  ["ready", "$(check)"], ["unloaded", "$(circle-outline)"], ["error", "$(error)"],
]);

export class View {
  private readonly models = new Map<string, Frame>(); // of each, the last event that told its status
  private last?: Frame;
  private isConnected = false;

  /** undefined: there is no daemon. */
  apply(event?: Frame): void {
    this.isConnected = event !== undefined;
    if (!event || event.status === "lagged") {
      this.models.clear(); // the state follows
      this.last = undefined;
    } else if (event.model !== undefined && ICONS.has(`${event.status}`)) {
      this.models.set(event.model, event);
      this.last = event;
    }
  }

  isLoading(model: string): boolean {
    const status = this.models.get(model)?.status;
    return status === "loading_model" || status === "restarting";
  }

  /** "download 42%", "ready", …; of an error its code only, since its sentence is long. */
  words(model: string): string {
    const event = this.models.get(model);
    if (!event) return "";
    return event.code ? `error ${event.code}` : describe(event);
  }

  item(): Item {
    if (!this.isConnected) return { text: "$(debug-disconnect) ggufd", tooltip: "There is no ggufd.", isError: false };
    if (!this.last) return { text: "$(circle-outline) ggufd", tooltip: "ggufd has told nothing of a model.", isError: false };
    const { status, model = "" } = this.last;
    return {
      text: `${ICONS.get(`${status}`)} ${model}: ${this.words(model)}`,
      tooltip: [...this.models].sort().map(([name, event]) => `${name}: ${describe(event)}`).join("\n"),
      isError: status === "error",
    };
  }
}
