// Where a message is written. It stays here until the server says that it is kept.

export default {
  props: { icons: Object, conversation: String, streaming: Boolean, longest: Number, model: String },
  emits: ["send", "stop", "edit-last"],
  template: `
    <form class="composer" @submit.prevent="send">
     <div class="composer-column">
      <p v-if="problem" class="banner bad" role="alert">{{ problem }}</p>
      <div class="composer-box" @click.self="focus">
        <label class="visually-hidden" :for="'composer-text'">Message</label>
        <textarea id="composer-text" ref="area" v-model="text" rows="1" class="composer-text"
                  :placeholder="model ? 'Ask ' + model : 'Ask anything'" :readonly="sending"
                  @input="onInput" @keydown.enter.exact="onEnter" @keydown.up="onUp"></textarea>
        <span v-if="text.length > longest * 0.8" class="composer-count" :class="{ over: text.length > longest }">
          {{ text.length.toLocaleString("en") }} of {{ longest.toLocaleString("en") }}</span>
        <button v-if="streaming" type="button" class="button composer-button" aria-label="Stop the answer"
                title="Stop (Esc)" @click="$emit('stop')" v-html="icons.stop"></button>
        <button v-else type="submit" class="button primary composer-button" aria-label="Send"
                title="Send (Enter)" :disabled="!text.trim() || sending" v-html="icons.send"></button>
      </div>
     </div>
    </form>`,

  data() {
    return { text: "", sending: false, problem: "" };
  },

  mounted() {
    this.restore();
    if (matchMedia("(pointer: fine)").matches) this.focus();
  },

  watch: {
    conversation() {
      this.problem = "";
      this.sending = false;
      this.restore();
    },
  },

  methods: {
    // --- called by the server

    sent() {
      sessionStorage.removeItem(this.sentFrom); // another conversation may be shown by now
      if (this.sending) this.text = "";
      this.sending = false;
      this.problem = "";
      this.fit();
    },

    refused(problem) {
      this.sending = false;
      this.problem = problem;
      this.focus();
    },

    write(text) {
      this.text = text;
      this.onInput();
      this.focus();
    },

    focus() {
      this.$refs.area.focus();
    },

    // --- writing

    draftKey() {
      return `groundup.draft.${this.conversation || "new"}`;
    },

    keep() {
      if (this.text) sessionStorage.setItem(this.draftKey(), this.text);
      else sessionStorage.removeItem(this.draftKey());
    },

    restore() {
      this.text = sessionStorage.getItem(this.draftKey()) ?? "";
      this.$nextTick(this.fit);
    },

    onInput() {
      this.problem = "";
      this.keep();
      this.fit();
    },

    fit() {
      this.$nextTick(() => {
        const area = this.$refs.area;
        if (!area) return;
        area.style.height = "auto";
        area.style.height = `${area.scrollHeight}px`; // its greatest height is the style sheet's
      });
    },

    onEnter(event) {
      // A phone's keyboard has no Shift+Enter, and Enter may end a composed character.
      if (event.isComposing || matchMedia("(pointer: coarse)").matches) return;
      event.preventDefault();
      this.send();
    },

    onUp(event) {
      if (this.text) return;
      event.preventDefault();
      this.$emit("edit-last");
    },

    send() {
      const text = this.text.trim();
      if (!text || this.sending || this.streaming) return;
      if (text.length > this.longest) {
        this.problem =
          `This message is ${text.length.toLocaleString("en")} characters long, and at most ` +
          `${this.longest.toLocaleString("en")} can be sent: shorten it or send it in parts.`;
        return;
      }
      this.sending = true;
      this.sentFrom = this.draftKey();
      this.problem = "";
      this.$emit("send", { text });
    },
  },
};
