// An editor for a file that others may edit too. The server says what the file holds; this says what
// was written here, and from which version of the file that began.

import * as CM from "nicegui-codemirror";

// The colours of code elsewhere in the app. The bundle does not export Lezer's tags, so they are taken
// from One Dark's rules, by their colours.
const NAMES = {
  "#c678dd": "keyword", "#98c379": "string", "#61afef": "name", "#d19a66": "number", "#e5c07b": "number",
  "#7d8799": "comment",
};
const COLOURS = CM.HighlightStyle.define(
  CM.oneDarkHighlightStyle.specs.map(({ color, ...rest }) =>
    NAMES[color] ? { ...rest, color: `var(--code-${NAMES[color]})` } : rest,
  ),
);

const PAUSE = 400; // ms without a key, then it is saved
const PATIENCE = 6000; // ms without an answer, then it is sent again

export default {
  props: { text: String, version: String, name: String },
  emits: ["save", "check"],
  template: `
    <div class="code-editor">
      <div ref="box" class="code-editor-box"></div>
      <p class="code-editor-state" :class="{ problem }" role="status">{{ problem || state }}</p>
    </div>`,

  data() {
    return { state: "Saved", problem: "" };
  },

  mounted() {
    this.base = this.version;
    this.dirty = false; // something is not in the file yet
    this.sent = null; // what the server was told and did not answer yet
    this.halted = false; // both changed: the learner has to choose
    this.waiting = [];
    const language = new CM.Compartment();
    const shade = new CM.Compartment();
    this.editor = new CM.EditorView({
      doc: this.text,
      parent: this.$refs.box,
      extensions: [
        CM.Prec.high(
          CM.keymap.of([
            { key: "Mod-s", preventDefault: true, run: () => (this.send(), true) },
            { key: "Mod-Enter", preventDefault: true, run: () => (this.$emit("check"), true) },
          ]),
        ),
        CM.basicSetup,
        CM.keymap.of([CM.indentWithTab]), // Escape, then Tab leaves the editor
        CM.indentUnit.of("    "),
        language.of([]),
        CM.syntaxHighlighting(COLOURS),
        shade.of(this.shade()),
        CM.EditorView.contentAttributes.of({
          "aria-label": this.name,
          spellcheck: "false",
          tabindex: "0",
        }),
        CM.EditorView.updateListener.of((update) => {
          if (update.docChanged && !this.following) this.changed();
        }),
      ],
    });
    CM.languages
      .find((each) => each.name === "Python")
      .load()
      .then((python) => this.editor.dispatch({ effects: language.reconfigure(python) }));
    this.themes = new MutationObserver(() =>
      this.editor.dispatch({ effects: shade.reconfigure(this.shade()) }),
    );
    this.themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    addEventListener("beforeunload", this.warn);
    this.restore();
  },

  beforeUnmount() {
    this.send();
    this.themes.disconnect();
    removeEventListener("beforeunload", this.warn);
    clearTimeout(this.pause);
    clearTimeout(this.patience);
    this.editor.destroy();
  },

  methods: {
    shade() {
      return CM.EditorView.theme({}, { dark: document.documentElement.dataset.theme === "dark" });
    },

    written() {
      return this.editor.state.doc.toString();
    },

    put(text) {
      // Only what differs is replaced, so the cursor and the rest stay where they are.
      const old = this.written();
      let from = 0;
      while (from < old.length && from < text.length && old[from] === text[from]) from++;
      let end = 0;
      while (
        end < old.length - from &&
        end < text.length - from &&
        old[old.length - 1 - end] === text[text.length - 1 - end]
      )
        end++;
      this.following = true;
      this.editor.dispatch({
        changes: { from, to: old.length - end, insert: text.slice(from, text.length - end) },
      });
      this.following = false;
    },

    // --- what the browser keeps until it is saved

    key() {
      return `groundup.edit.${this.name}`;
    },

    keep() {
      const kept = JSON.stringify({ text: this.written(), base: this.base });
      sessionStorage.setItem(this.key(), kept);
    },

    restore() {
      const kept = JSON.parse(sessionStorage.getItem(this.key()) ?? "null");
      if (!kept || kept.text === this.text) return;
      this.put(kept.text);
      this.base = kept.base;
      this.dirty = true;
      this.send();
    },

    warn(event) {
      if (this.dirty) event.preventDefault();
    },

    // --- writing

    changed() {
      this.dirty = true;
      this.problem = this.halted ? this.problem : "";
      this.state = "Not saved yet";
      this.keep();
      clearTimeout(this.pause);
      this.pause = setTimeout(this.send, PAUSE);
    },

    send() {
      clearTimeout(this.pause);
      if (!this.dirty || this.halted || this.sent !== null) return;
      this.sent = this.written();
      this.state = "Saving";
      this.$emit("save", { text: this.sent, base: this.base });
      this.patience = setTimeout(() => {
        this.sent = null;
        this.problem = "Not saved yet: groundup does not answer";
        this.send();
      }, PATIENCE);
    },

    settle(done) {
      for (const resolve of this.waiting.splice(0)) resolve(done);
    },

    // --- called by the server

    saved(version) {
      clearTimeout(this.patience);
      this.base = version;
      this.problem = "";
      this.dirty = this.written() !== this.sent;
      this.sent = null;
      if (this.dirty) return this.send();
      sessionStorage.removeItem(this.key());
      this.state = "Saved";
      this.settle(true);
    },

    refused(problem) {
      clearTimeout(this.patience);
      this.sent = null;
      this.problem = `Not saved: ${problem}`;
      this.settle(false);
    },

    conflicted() {
      clearTimeout(this.patience);
      this.sent = null;
      this.halted = true;
      this.problem = "Not saved: the file was changed elsewhere too";
      this.settle(false);
    },

    follow(text, version) {
      if (this.dirty || this.sent !== null) return; // the next save finds that both changed
      this.put(text);
      this.base = version;
      this.state = "Changed elsewhere, shown here";
    },

    take(text, version) {
      clearTimeout(this.patience);
      this.put(text);
      this.base = version;
      this.dirty = this.halted = false;
      this.sent = null;
      this.problem = "";
      this.state = "Saved";
      sessionStorage.removeItem(this.key());
    },

    flush() {
      if (!this.dirty) return true;
      if (this.halted) return false;
      this.send();
      return new Promise((resolve) => this.waiting.push(resolve));
    },

    reveal(number) {
      const line = this.editor.state.doc.line(Math.min(number, this.editor.state.doc.lines));
      this.editor.dispatch({ selection: { anchor: line.from }, scrollIntoView: true });
      this.editor.focus();
    },
  },
};
