// The keyboard: what each key does is told to the server's side of the page, and shown by "?".

const CODES = { ",": "Comma", ".": "Period" };

export default {
  props: { icons: Object, shortcuts: Array }, // {keys: ["Alt", "N"], action, text}
  emits: ["action"],
  template: `
    <dialog ref="dialog" class="dialog shortcuts" aria-labelledby="shortcuts-title">
      <div class="row">
        <h2 id="shortcuts-title" class="grow">Keyboard</h2>
        <button type="button" class="icon-button" aria-label="Close" @click="$refs.dialog.close()" v-html="icons.close"></button>
      </div>
      <dl>
        <div v-for="shortcut in shortcuts" :key="shortcut.text">
          <dt>{{ shortcut.text }}</dt>
          <dd><template v-for="key in shortcut.keys" :key="key"><kbd class="kbd">{{ key }}</kbd> </template></dd>
        </div>
      </dl>
    </dialog>`,

  mounted() {
    document.addEventListener("keydown", this.onKey);
  },

  beforeUnmount() {
    document.removeEventListener("keydown", this.onKey);
  },

  methods: {
    show() {
      if (!this.$refs.dialog.open) this.$refs.dialog.showModal();
    },

    onKey(event) {
      if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
      const typing = event.target.closest("input, textarea, select, [contenteditable]");
      const found = this.shortcuts.find((shortcut) => matches(shortcut.keys, event, typing));
      if (!found?.action) return;
      event.preventDefault();
      if (found.action === "help") this.show();
      else this.$emit("action", { action: found.action });
    },
  },
};

/** Keys without Ctrl or Alt are letters to one who types, all but Escape. */
function matches(keys, event, typing) {
  const key = keys[keys.length - 1];
  const [alt, control] = [keys.includes("Alt"), keys.includes("Ctrl")];
  if (event.altKey !== alt || (event.ctrlKey || event.metaKey) !== control) return false;
  if (!alt && !control && typing && key !== "Esc") return false;
  // With Alt, a Mac's keys write other characters: the key's place tells which it is.
  const pressed = { Escape: "Esc", ArrowUp: "↑", ArrowDown: "↓" }[event.key] ?? event.key;
  return pressed.toLowerCase() === key.toLowerCase() || (alt && event.code === (CODES[key] ?? `Key${key}`));
}
