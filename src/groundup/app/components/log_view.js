// What a model's server wrote: it follows the end until one scrolls up.

export default {
  props: { icons: Object },
  template: `
    <div class="logs">
      <div class="row logs-head">
        <label class="logs-filter"><span v-html="icons.search"></span><span class="visually-hidden">Filter</span>
          <input type="search" v-model="filter" placeholder="Filter" maxlength="200"></label>
        <label class="row small-text"><input type="checkbox" v-model="following"> Follow</label>
        <span class="grow muted small-text figure" role="status">{{ filter ? shown.length + " of " + lines.length : lines.length }} {{ lines.length === 1 ? "line" : "lines" }}</span>
        <button type="button" class="button small" :disabled="!shown.length" @click="copy"><span v-html="icons.copy"></span>Copy</button>
      </div>
      <pre class="logs-text" ref="text" tabindex="0" aria-label="Log" @scroll="onScroll"><template v-for="(line, i) in shown" :key="i"><span :class="kind(line)">{{ line }}
</span></template></pre>
      <p v-if="!shown.length" class="muted logs-none">{{ lines.length ? "No line has this in it." : "It has written nothing." }}</p>
    </div>`,

  data() {
    return { lines: [], filter: "", following: true };
  },

  computed: {
    shown() {
      const wanted = this.filter.trim().toLowerCase();
      return wanted ? this.lines.filter((line) => line.toLowerCase().includes(wanted)) : this.lines;
    },
  },

  watch: {
    shown() {
      this.toEnd();
    },
    following() {
      this.toEnd();
    },
  },

  methods: {
    // --- called by the server

    setLines(lines) {
      this.lines = lines;
    },

    // ---

    toEnd() {
      if (this.following)
        this.$nextTick(() => {
          this.$refs.text.scrollTop = this.$refs.text.scrollHeight;
        });
    },

    onScroll() {
      const text = this.$refs.text;
      if (text.scrollTop + text.clientHeight < text.scrollHeight - 24) this.following = false;
    },

    kind: (line) => (/error|traceback|killed|cannot/i.test(line) ? "bad" : /warning/i.test(line) ? "warn" : ""),

    copy() {
      window.groundup.copy(this.shown.join("\n"));
    },
  },
};
