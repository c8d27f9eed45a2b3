// Runs the VS Code extension without VS Code: a fake of the `vscode` module that writes down what the extension shows.
//
//     node vscode_driver.js EXTENSION_JS SETTINGS_JSON [late]
//
// What is shown comes as one JSON array a line: ["bar", text], ["open", title], ["progress", title, message], ["close", title],
// ["output", line], ["error", message], ["done", command]. Lines on standard input are JSON arrays, too: ["command", name, pick]
// runs a command (`pick` is what the user chooses where there is a choice), ["cancel", title] presses a notification's button,
// ["setting", name, value] changes a setting, ["dispose"] ends the extension. `late`: progress notifications open some time
// after they were asked for, as they do in VS Code.
"use strict";

const Module = require("node:module");
const readline = require("node:readline");

const [extensionPath, settingsText, late] = process.argv.slice(2);
const settings = JSON.parse(settingsText);
const commands = new Map();
const cancels = new Map();
const settingListeners = [];
let pick;

const say = (...words) => process.stdout.write(JSON.stringify(words) + "\n");
const disposable = (dispose = () => {}) => ({dispose});

class StatusBarItem {
  #text;
  get text() { return this.#text; }
  set text(text) {
    if (text !== this.#text) say("bar", text);
    this.#text = text;
  }
  show() {}
  dispose() { say("bar", null); }
}

async function withProgress({title, cancellable}, task) {
  if (late) await new Promise((resolve) => setTimeout(resolve, 20));
  say("open", title);
  const token = {onCancellationRequested: (listener) => cancels.set(title, cancellable ? listener : undefined)};
  await task({report: ({message}) => say("progress", title, message)}, token);
  say("close", title);
}

const vscode = {
  StatusBarAlignment: {Left: 1, Right: 2},
  ProgressLocation: {SourceControl: 1, Window: 10, Notification: 15},
  ThemeColor: class { constructor(id) { this.id = id; } },
  window: {
    createStatusBarItem: () => new StatusBarItem(),
    createOutputChannel: () => ({appendLine: (line) => say("output", line), show: () => say("output shown"), dispose() {}}),
    showErrorMessage: async (message) => say("error", message),
    showQuickPick: async (items) => items.find(({label}) => label === pick),
    withProgress,
  },
  commands: {
    registerCommand(name, run) {
      commands.set(name, run);
      return disposable(() => commands.delete(name));
    },
  },
  workspace: {
    getConfiguration: (section) => ({get: (name) => settings[`${section}.${name}`]}),
    onDidChangeConfiguration(listener) {
      settingListeners.push(listener);
      return disposable();
    },
  },
};

const load = Module._load;
Module._load = (request, ...rest) => (request === "vscode" ? vscode : load(request, ...rest));

const context = {subscriptions: []};
const orders = {
  async command(name, chosen) {
    pick = chosen;
    await commands.get(name)();
    say("done", name);
  },
  cancel: (title) => cancels.get(title)(),
  setting(name, value) {
    settings[name] = value;
    for (const listener of settingListeners) listener({affectsConfiguration: (section) => section === name});
  },
  dispose: () => context.subscriptions.forEach((one) => one.dispose()),
};

require(extensionPath).activate(context);
say("commands", ...[...commands.keys()].sort());
readline.createInterface({input: process.stdin}).on("line", (line) => {
  const [order, ...rest] = JSON.parse(line);
  orders[order](...rest);
});
