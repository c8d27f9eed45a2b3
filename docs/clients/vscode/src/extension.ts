// The status bar item, a notification for each load, and the commands. What they show is decided in view.ts.
import * as vscode from "vscode";
import { follow, socketPath, type Frame } from "./ggufd";
import { LoadNotification } from "./load_notification";
import { View } from "./view";

interface Check {
  group: string;
  name: string;
  result: string;
  found: string;
  advice: string;
}

export function activate(context: vscode.ExtensionContext): void {
  const extension = new Extension();
  const register = (name: string, run: () => Promise<void>) =>
    context.subscriptions.push(vscode.commands.registerCommand(`ggufd.${name}`, run));
  context.subscriptions.push(extension, vscode.workspace.onDidChangeConfiguration((change) => {
    if (change.affectsConfiguration("ggufd.socket")) extension.connect();
  }));
  register("load", () => extension.askOfModel("load"));
  register("unload", () => extension.askOfModel("unload"));
  register("doctor", () => extension.doctor());
  extension.connect();
}

class Extension implements vscode.Disposable {
  private readonly view = new View();
  private readonly item = vscode.window.createStatusBarItem(vscode.StatusBarAlignment.Left);
  private readonly output = vscode.window.createOutputChannel("ggufd");
  private readonly notifications = new Map<string, LoadNotification>(); // by the model that is being loaded
  private connection?: ReturnType<typeof follow>;

  constructor() {
    this.item.name = "ggufd";
    this.item.command = "ggufd.doctor";
    this.item.show();
  }

  connect(): void {
    this.connection?.close();
    this.show(undefined);
    const path = vscode.workspace.getConfiguration("ggufd").get<string>("socket") || socketPath;
    this.connection = follow((event) => this.show(event), path);
  }

  dispose(): void {
    this.connection?.close();
    this.endNotifications();
    this.item.dispose();
    this.output.dispose();
  }

  async askOfModel(verb: "load" | "unload"): Promise<void> {
    const model = await this.pickModel(verb);
    if (model === undefined) return;
    const answer = await this.ask(verb, { model });
    if (answer?.state) this.output.appendLine(`${model}: ${verb} leads to ${answer.state}`);
  }

  async doctor(): Promise<void> {
    const answer = await this.ask("doctor");
    if (!answer) return;
    for (const check of (answer["checks"] ?? []) as Check[]) {
      this.output.appendLine(`${check.result.padEnd(4)}  ${check.group}, ${check.name}: ${check.found}`);
      if (check.advice) this.output.appendLine(`      ${check.advice}`);
    }
    this.output.show();
  }

  // The answer; a refusal is shown, and is none.
  private async ask(verb: string, fields: object = {}): Promise<Frame | undefined> {
    const answer = await this.connection?.ask(verb, fields);
    if (answer?.type !== "error") return answer;
    void vscode.window.showErrorMessage(`ggufd: ${answer.message}`);
    return undefined;
  }

  private async pickModel(verb: string): Promise<string | undefined> {
    const answer = await this.ask("status");
    const models = (answer?.["models"] ?? []) as { name: string; state: string }[];
    const items = models.map(({ name, state }) => ({ label: name, description: state }));
    if (items.length < 2) return items[0]?.label;
    return (await vscode.window.showQuickPick(items, { title: `ggufd: ${verb}` }))?.label;
  }

  private show(event: Frame | undefined): void {
    this.view.apply(event);
    const { text, tooltip, isError } = this.view.item();
    this.item.text = text;
    this.item.tooltip = tooltip;
    this.item.backgroundColor = isError ? new vscode.ThemeColor("statusBarItem.errorBackground") : undefined;
    if (!event) this.endNotifications();
    else if (event.status === "warning") this.output.appendLine(`${event.model ?? "ggufd"}: ${event.message}`);
    else if (event.model !== undefined && event.status !== "capabilities") this.notify(event.model, event);
  }

  // One notification for each load, from its first event to its outcome.
  private notify(model: string, event: Frame): void {
    let notification = this.notifications.get(model);
    if (this.view.isLoading(model)) {
      notification ??= new LoadNotification(model, () => void this.ask("cancel", { model }));
      this.notifications.set(model, notification);
      notification.report(this.view.words(model));
    } else if (notification) {
      notification.end();
      this.notifications.delete(model);
      if (event.status === "error") void vscode.window.showErrorMessage(`ggufd: ${model}: ${event.message}`);
    }
  }

  private endNotifications(): void {
    for (const notification of this.notifications.values()) notification.end();
    this.notifications.clear();
  }
}
