// A conversation's messages. Only those in view have elements, so ten thousand scroll like ten:
// what is above and below them is two spacers, of measured heights where they are known.

const OVERSCAN = 900; // pixels above and below the view that have elements too
const GUESS = 140; // pixels of a message that was never measured
const NEAR_END = 48; // pixels from the end within which the view follows what comes

export default {
  props: { icons: Object },
  emits: ["need", "edit", "regenerate", "branch", "rate", "stop"],
  template: `
    <div class="conversation" ref="scroller" tabindex="0" role="region" aria-label="Messages"
         @scroll.passive="onScroll">
      <div class="conversation-rows" role="list" :aria-busy="streaming">
        <div class="conversation-spacer" ref="before" aria-hidden="true"></div>
        <article v-for="row in rows" :key="row.key" :data-index="row.index" :ref="observe"
                 role="listitem" :aria-setsize="count" :aria-posinset="row.index + 1"
                 class="message" :class="[row.role, row.state]" :tabindex="-1"
                 :aria-label="row.role === 'user' ? 'You' : 'Answer'">
          <div v-if="!row.role" class="message-loading" aria-hidden="true"></div>

          <template v-else-if="row.role === 'user'">
            <form v-if="editing === row.id" class="message-edit" @submit.prevent="saveEdit(row)">
              <textarea v-model="draft" class="input" aria-label="Edit your message" ref="editor"
                        @keydown.enter.exact.prevent="saveEdit(row)"
                        @keydown.esc.stop="cancelEdit(row)"></textarea>
              <p class="muted">Sending it begins a new branch; this one is kept.</p>
              <div class="row">
                <button type="submit" class="button primary small">Send</button>
                <button type="button" class="button quiet small" @click="cancelEdit(row)">Cancel</button>
              </div>
            </form>
            <template v-else>
              <div class="message-text">{{ row.text }}</div>
              <div class="message-actions">
                <span v-if="row.branches > 1" class="branches">
                  <button type="button" class="icon-button" aria-label="Previous version"
                          :disabled="row.branch === 0" @click="toBranch(row, -1)" v-html="icons['chevron-left']"></button>
                  <span :aria-label="'Version ' + (row.branch + 1) + ' of ' + row.branches">{{ row.branch + 1 }}/{{ row.branches }}</span>
                  <button type="button" class="icon-button" aria-label="Next version"
                          :disabled="row.branch === row.branches - 1" @click="toBranch(row, 1)" v-html="icons['chevron-right']"></button>
                </span>
                <button type="button" class="icon-button" aria-label="Edit" title="Edit"
                        @click="beginEdit(row)" v-html="icons.edit"></button>
                <button type="button" class="icon-button" aria-label="Copy" title="Copy"
                        @click="copy(row)" v-html="icons.copy"></button>
                <button v-if="row.unanswered" type="button" class="button small"
                        @click="$emit('regenerate', { id: row.id })">Answer</button>
              </div>
            </template>
          </template>

          <template v-else>
            <div class="message-text prose">
              <div v-for="(block, i) in row.blocks" :key="i" v-html="block"></div>
              <p v-if="row.state === 'streaming' && !row.blocks.length" class="message-waiting">
                <span class="dots" aria-hidden="true"><i></i><i></i><i></i></span>
                <span>{{ row.waiting || "Reading" }}</span>
              </p>
            </div>
            <div v-if="row.state === 'failed'" class="banner bad message-error" role="alert">
              <span class="grow">{{ row.error }}</span>
              <button type="button" class="button small" @click="$emit('regenerate', { id: row.id })">Try again</button>
            </div>
            <div class="message-actions">
              <span v-if="row.branches > 1" class="branches">
                <button type="button" class="icon-button" aria-label="Previous answer"
                        :disabled="row.branch === 0" @click="toBranch(row, -1)" v-html="icons['chevron-left']"></button>
                <span :aria-label="'Answer ' + (row.branch + 1) + ' of ' + row.branches">{{ row.branch + 1 }}/{{ row.branches }}</span>
                <button type="button" class="icon-button" aria-label="Next answer"
                        :disabled="row.branch === row.branches - 1" @click="toBranch(row, 1)" v-html="icons['chevron-right']"></button>
              </span>
              <template v-if="row.state !== 'streaming'">
                <button type="button" class="icon-button" aria-label="Copy" title="Copy"
                        @click="copy(row)" v-html="icons.copy"></button>
                <button type="button" class="icon-button" aria-label="Regenerate" title="Regenerate"
                        @click="$emit('regenerate', { id: row.id })" v-html="icons.refresh"></button>
                <button type="button" class="icon-button" aria-label="Good answer" title="Good answer"
                        :aria-pressed="row.rating === 1" @click="rate(row, 1)" v-html="icons['thumb-up']"></button>
                <button type="button" class="icon-button" aria-label="Bad answer" title="Bad answer"
                        :aria-pressed="row.rating === -1" @click="rate(row, -1)" v-html="icons['thumb-down']"></button>
              </template>
              <span class="message-facts muted">
                <span v-if="row.state === 'stopped'">stopped</span>
                <span v-if="row.model">{{ row.model }}</span>
                <span v-if="speed(row)" :title="row.tokens + ' tokens'">{{ speed(row) }} tokens/s</span>
                <span v-if="row.error && row.state === 'complete'">{{ row.error }}</span>
              </span>
              <details v-if="row.own && row.own.length" class="own-parts">
                <summary class="chip"><span v-html="icons.plank"></span>{{ row.own.length }} yours</summary>
                <ul class="card"><li v-for="part in row.own" :key="part">{{ part }}</li></ul>
              </details>
            </div>
          </template>
        </article>
        <div class="conversation-spacer" ref="after" aria-hidden="true"></div>
      </div>
      <button v-show="!following && count" type="button" class="icon-button to-end"
              aria-label="To the newest message" @click="toEnd" v-html="icons['arrow-down']"></button>
      <div class="visually-hidden" aria-live="polite">{{ announced }}</div>
    </div>`,

  data() {
    return {
      count: 0,
      rows: [], // of the range [first, last) that has elements
      following: true,
      streaming: false,
      editing: null,
      draft: "",
      announced: "",
    };
  },

  created() {
    this.loaded = new Map(); // by index: the rows that the server has sent
    this.indexOf = new Map(); // by id
    this.asked = new Set(); // indices that were asked for and have not come
    this.heights = []; // by index, where measured
    this.offsets = null; // above each message, made anew when a height changes
    this.first = this.last = 0;
    this.observed = new WeakSet(); // observing again would report again
    this.generation = 0; // of the conversation: rows of another are not taken for this one's
  },

  mounted() {
    this.sizes = new ResizeObserver((entries) => this.onResize(entries));
    this.sizes.observe(this.$refs.scroller);
  },

  beforeUnmount() {
    this.sizes.disconnect();
    clearTimeout(this.asking);
  },

  methods: {
    // --- called by the server

    /** Show a path of `count` messages; the first `keep` are those that are shown already. */
    setPath(generation, keep, count, rows) {
      if (generation !== this.generation) {
        this.generation = generation;
        keep = 0;
        this.following = true;
        this.editing = null;
      }
      for (const [index, row] of this.loaded) {
        if (index >= keep) {
          this.loaded.delete(index);
          this.indexOf.delete(row.id);
        }
      }
      for (const index of this.asked) if (index >= keep) this.asked.delete(index);
      this.heights.length = Math.min(this.heights.length, keep);
      this.count = count;
      this.offsets = null;
      this.take(rows);
      this.draw();
    },

    setRows(generation, rows) {
      if (generation !== this.generation) return;
      this.take(rows);
      this.draw();
    },

    /** What an answer has become: its blocks from `first` on. */
    progress(id, first, blocks, tokens, seconds, waiting) {
      const row = this.loaded.get(this.indexOf.get(id));
      if (!row || row.state !== "streaming") return;
      if (first > row.blocks.length) {
        const { generation } = this;
        return this.$emit("need", { generation, start: row.index, end: row.index + 1 });
      }
      row.blocks = [...row.blocks.slice(0, first), ...blocks];
      Object.assign(row, { tokens, seconds, waiting });
      this.refresh(row);
    },

    /** Go with what comes: the user has sent something. */
    follow() {
      this.following = true;
      this.draw();
    },

    // --- commands of the keyboard

    editLast() {
      for (let i = this.count - 1; i >= 0; i--) {
        const row = this.loaded.get(i);
        if (row?.role === "user") return this.beginEdit(row);
      }
    },

    copyLast() {
      const row = this.lastAnswer();
      if (row) this.copy(row);
    },

    regenerateLast() {
      const row = this.lastAnswer();
      if (row && row.state !== "streaming") this.$emit("regenerate", { id: row.id });
    },

    branchLast(step) {
      const row = this.lastAnswer();
      if (row?.branches > 1) this.toBranch(row, step);
    },

    lastAnswer() {
      const row = this.loaded.get(this.count - 1);
      return row?.role === "assistant" ? row : undefined;
    },

    /** Move the focus from message to message. */
    step(by) {
      const focused = document.activeElement?.closest(".message");
      const index = focused ? Number(focused.dataset.index) + by : this.count - 1;
      const article = this.$refs.scroller.querySelector(`[data-index="${index}"]`);
      article?.focus();
      article?.scrollIntoView({ block: "nearest" });
    },

    // --- rows

    take(rows) {
      for (const row of rows) {
        const before = this.loaded.get(row.index);
        if (before?.id === row.id && before.blocks?.join("") === row.blocks?.join(""))
          row.blocks = before.blocks; // its elements stay, and with them a selection in them
        row.key = row.id;
        this.loaded.set(row.index, row);
        this.indexOf.set(row.id, row.index);
        this.asked.delete(row.index);
        if (before?.state === "streaming" && row.state !== "streaming")
          this.announced = row.state === "failed" ? row.error : "The answer is complete.";
      }
      const end = this.loaded.get(this.count - 1);
      this.streaming = end?.state === "streaming";
    },

    refresh(row) {
      const at = row.index - this.first;
      if (this.rows[at]?.id === row.id) this.rows.splice(at, 1, { ...row });
    },

    top(index) {
      if (!this.offsets) {
        const known = this.heights.filter((height) => height);
        const guess = known.length ? known.reduce((a, b) => a + b) / known.length : GUESS;
        this.offsets = new Float64Array(this.count + 1);
        for (let i = 0; i < this.count; i++)
          this.offsets[i + 1] = this.offsets[i] + (this.heights[i] || guess);
      }
      return this.offsets[index];
    },

    /** The index of the message at a height. */
    at(y) {
      let low = 0;
      let high = this.count;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (this.top(middle) <= y) low = middle;
        else high = middle - 1;
      }
      return Math.max(0, Math.min(low, this.count - 1));
    },

    /** Choose what has elements, and draw it. */
    draw() {
      const scroller = this.$refs.scroller;
      if (!scroller) return;
      const y = this.following ? this.top(this.count) - scroller.clientHeight : scroller.scrollTop;
      this.first = this.count ? this.at(y - OVERSCAN) : 0;
      this.last = this.count ? this.at(y + scroller.clientHeight + OVERSCAN) + 1 : 0;
      const rows = [];
      for (let i = this.first; i < this.last; i++)
        rows.push({ ...(this.loaded.get(i) ?? { index: i, key: `?${i}` }) });
      this.rows = rows;
      this.$refs.before.style.height = `${this.top(this.first)}px`;
      this.$refs.after.style.height = `${this.top(this.count) - this.top(this.last)}px`;
      this.$nextTick(() => this.following && this.stayAtEnd());
      this.ask();
    },

    ask() {
      clearTimeout(this.asking);
      this.asking = setTimeout(() => {
        const missing = [];
        for (let i = this.first; i < this.last; i++)
          if (!this.loaded.has(i) && !this.asked.has(i)) missing.push(i);
        if (!missing.length) return;
        for (const index of missing) this.asked.add(index);
        const [start, end] = [missing[0], missing[missing.length - 1] + 1];
        this.$emit("need", { generation: this.generation, start, end });
      }, 40);
    },

    // --- heights and scrolling

    observe(article) {
      if (!article || this.observed.has(article)) return;
      this.observed.add(article);
      this.sizes.observe(article);
    },

    onResize(entries) {
      const scroller = this.$refs.scroller;
      let above = 0; // by how much what is above the view has grown
      for (const entry of entries) {
        if (entry.target === scroller) {
          this.draw();
          continue;
        }
        if (!entry.target.isConnected) {
          this.sizes.unobserve(entry.target);
          continue;
        }
        const index = Number(entry.target.dataset.index);
        const height = entry.borderBoxSize[0].blockSize;
        const before = this.heights[index] || this.top(index + 1) - this.top(index);
        if (Math.abs(height - before) < 0.5 && this.heights[index]) continue;
        if (this.top(index) + before <= scroller.scrollTop) above += height - before;
        this.heights[index] = height;
      }
      const guessedBefore = this.top(this.first);
      this.offsets = null;
      above += this.top(this.first) - guessedBefore;
      this.$refs.before.style.height = `${this.top(this.first)}px`;
      this.$refs.after.style.height = `${this.top(this.count) - this.top(this.last)}px`;
      if (this.following) this.stayAtEnd();
      else if (above) this.scrollTo(scroller.scrollTop + above);
    },

    scrollTo(y) {
      this.$refs.scroller.scrollTop = y;
      this.before = this.$refs.scroller.scrollTop;
    },

    stayAtEnd() {
      this.scrollTo(this.$refs.scroller.scrollHeight);
    },

    onScroll() {
      const { scrollTop, scrollHeight, clientHeight } = this.$refs.scroller;
      const fromEnd = scrollHeight - clientHeight - scrollTop;
      // Going up ends it, even within the margin; content that grows does not.
      if (scrollTop < (this.before ?? 0) - 1) this.following = fromEnd < 2;
      else if (fromEnd < NEAR_END) this.following = true;
      this.before = scrollTop;
      const first = this.at(scrollTop - OVERSCAN / 2);
      const last = this.at(scrollTop + clientHeight + OVERSCAN / 2) + 1;
      if (first < this.first || last > this.last) this.draw();
    },

    toEnd() {
      this.following = true;
      this.draw();
      this.$refs.scroller.focus({ preventScroll: true });
    },

    // --- what is done with a message

    toBranch(row, step) {
      this.$emit("branch", { id: row.id, step });
    },

    rate(row, value) {
      this.$emit("rate", { id: row.id, value: row.rating === value ? null : value });
    },

    beginEdit(row) {
      this.editing = row.id;
      this.draft = row.text;
      this.$nextTick(() => {
        const editor = [this.$refs.editor].flat()[0];
        if (!editor) return;
        editor.style.height = `${Math.min(editor.scrollHeight + 2, 400)}px`;
        editor.focus();
      });
    },

    cancelEdit(row) {
      this.editing = null;
      this.$nextTick(() => this.$refs.scroller.querySelector(`[data-index="${row.index}"]`)?.focus());
    },

    saveEdit(row) {
      const text = this.draft.trim();
      if (text && text !== row.text) this.$emit("edit", { id: row.id, text });
      this.editing = null;
    },

    copy(row) {
      groundup.copy(row.text);
    },

    speed(row) {
      if (!(row.tokens > 1 && row.seconds > 0)) return null;
      const speed = (row.tokens - 1) / row.seconds; // the first one took the prompt's time
      return speed.toFixed(speed < 100 ? 1 : 0);
    },
  },
};
