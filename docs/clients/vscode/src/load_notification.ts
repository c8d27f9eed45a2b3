// A progress notification for one load.
import * as vscode from "vscode";

export class LoadNotification {
  private readonly ended: Promise<void>;
  private resolve = () => {};
  private progress?: vscode.Progress<{ message?: string }>; // absent until VS Code has opened it
  private text = "";

  constructor(model: string, onCancel: () => void) {
    this.ended = new Promise((resolve) => (this.resolve = resolve));
    const options = { location: vscode.ProgressLocation.Notification, title: `ggufd: ${model}`, cancellable: true };
    void vscode.window.withProgress(options, (progress, token) => {
      token.onCancellationRequested(onCancel);
      this.progress = progress;
      this.report(this.text);
      return this.ended;
    });
  }

  report(text: string): void {
    this.text = text;
    if (text) this.progress?.report({ message: text });
  }

  end(): void {
    this.resolve();
  }
}
