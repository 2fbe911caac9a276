// Where a model's heads look: all heads as a grid, one of them as a map, and one token's row.

const STATISTICS = { previous: "the token before", first: "the first token", itself: "the token itself" };
const GAP = 1;

export default {
  emits: ["head"],
  template: `
    <div class="attention" v-if="tokens.length">
      <section class="card attention-heads" aria-labelledby="attention-heads">
        <div class="row"><h2 id="attention-heads" class="grow">Heads</h2>
          <label class="row small-text">Share on
            <select class="input attention-select" v-model="statistic">
              <option v-for="(name, key) in statistics" :key="key" :value="key">{{ name }}</option></select></label></div>
        <p class="muted small-text">A column is a layer, the first one on the left; a cell is a head. The stronger its colour, the more it looks at {{ statistics[statistic] }}.</p>
        <div class="scroll-x"><div class="heads" role="group" aria-label="Heads" @keydown="stepHead" ref="heads"
             :style="{ gridTemplateColumns: 'repeat(' + share.length + ', minmax(9px, 26px))' }">
          <template v-for="(number, h) in heads" :key="number">
            <button v-for="(row, l) in share" :key="l" type="button" class="head" :class="{ chosen: l === layer && h === head }"
                    :tabindex="l === layer && h === head ? 0 : -1" :aria-pressed="l === layer && h === head"
                    :aria-label="named(l, h)" :title="named(l, h)" :style="{ '--share': row[h] }" @click="choose(l, h)"></button>
          </template></div></div>
      </section>
      <section class="card" aria-labelledby="attention-map">
        <h2 id="attention-map">Layer {{ layer + 1 }}, head {{ head + 1 }}</h2>
        <p class="muted small-text">A row is a token, a column what it looks at{{ earlier ? '; the first column is the ' + earlier.toLocaleString("en") + ' tokens before these' : '' }}.</p>
        <canvas ref="map" class="map" role="img" :aria-label="'Attention map of layer ' + (layer + 1) + ', head ' + (head + 1) + '. What a token looks at is told beside it.'"
                @pointermove="over" @pointerleave="hover = null" @click="pick"></canvas>
        <p class="small-text mono attention-hover">{{ hover ?? "Point at the map, or choose a token." }}</p>
      </section>
      <section class="card attention-row" aria-labelledby="attention-row">
        <h2 id="attention-row">What “{{ spell(tokens[at]) }}” looks at</h2>
        <p class="small-text">{{ looksAt }}</p>
        <div class="tokens-text" role="group" aria-label="Tokens" @keydown="step" ref="text">
          <template v-for="(token, i) in tokens" :key="i"><button type="button" class="token looked" :class="{ chosen: i === at, later: i > at }"
            :tabindex="i === at ? 0 : -1" :aria-pressed="i === at" :style="{ '--share': weight(i) }" @click="at = i">{{ shown(token) }}</button><br v-if="token.includes('\\n')"></template>
        </div>
      </section>
    </div>`,

  data() {
    return { tokens: [], earlier: 0, shares: {}, statistic: "previous", layer: 0, head: 0, rows: [], at: 0, hover: null, statistics: STATISTICS };
  },

  mounted() {
    this.observer = new MutationObserver(() => this.draw());
    this.observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    this.onResize = () => this.draw();
    window.addEventListener("resize", this.onResize);
  },

  beforeUnmount() {
    this.observer.disconnect();
    window.removeEventListener("resize", this.onResize);
  },

  computed: {
    share() {
      return this.shares[this.statistic] ?? [];
    },
    heads() {
      return this.share[0]?.length ?? 0;
    },
    looksAt() {
      const row = this.rows[this.at];
      if (!row) return "";
      const named = row.map((value, j) => [value, j === 0 ? "the tokens before these" : `“${this.spell(this.tokens[j - 1])}”`]);
      const most = named.filter(([value]) => value >= 20).sort((a, b) => b[0] - a[0]).slice(0, 6);
      return most.map(([value, name]) => `${name} ${(value / 10).toFixed(0)} %`).join(", ");
    },
  },

  methods: {
    // --- called by the server

    setReading(tokens, earlier, shares) {
      Object.assign(this, { tokens, earlier, shares, rows: [], at: tokens.length - 1, hover: null });
      const layers = shares.previous.length;
      this.layer = Math.min(this.layer, layers - 1);
      this.head = Math.min(this.head, shares.previous[0].length - 1);
      this.$emit("head", { layer: this.layer, head: this.head });
    },

    setMap(layer, head, rows) {
      if (layer !== this.layer || head !== this.head) return;
      this.rows = rows;
      this.$nextTick(this.draw);
    },

    // ---

    spell: (text) => (text ?? "").replaceAll("\n", "⏎").replaceAll(" ", "␣"),
    shown: (text) => (text === "" ? "∅" : text.replaceAll("\n", "⏎")),

    weight(i) {
      return (this.rows[this.at]?.[i + 1] ?? 0) / 1000;
    },

    named(layer, head) {
      const share = Math.round(100 * this.share[layer][head]);
      return `Layer ${layer + 1}, head ${head + 1}: ${share} % on ${this.statistics[this.statistic]}`;
    },

    choose(layer, head) {
      Object.assign(this, { layer, head });
      this.$emit("head", { layer, head });
    },

    stepHead(event) {
      const by = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
      if (!by) return;
      event.preventDefault();
      const limit = (value, size) => Math.min(Math.max(value, 0), size - 1);
      this.choose(limit(this.layer + by[0], this.share.length), limit(this.head + by[1], this.heads));
      this.$nextTick(() => this.$refs.heads.querySelector(".chosen")?.focus());
    },

    step(event) {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      this.at = Math.min(Math.max(this.at + by, 0), this.tokens.length - 1);
      this.$nextTick(() => this.$refs.text.querySelector(".chosen")?.focus());
    },

    draw() {
      const canvas = this.$refs.map;
      if (!canvas || !this.rows.length) return;
      const n = this.rows.length;
      const style = getComputedStyle(canvas);
      const width = Math.min(canvas.parentElement.clientWidth - 34, 560);
      this.cell = Math.max(2, Math.min(18, Math.floor(width / (n + 1))));
      const ratio = window.devicePixelRatio || 1;
      canvas.style.width = `${this.cell * (n + 1)}px`;
      canvas.style.height = `${this.cell * n}px`;
      canvas.width = this.cell * (n + 1) * ratio;
      canvas.height = this.cell * n * ratio;
      const brush = canvas.getContext("2d");
      brush.scale(ratio, ratio);
      const gap = this.cell > 5 ? GAP : 0;
      this.rows.forEach((row, i) => {
        row.forEach((value, j) => {
          if (j > i + 1) return; // later tokens cannot be seen
          brush.globalAlpha = 1;
          brush.fillStyle = style.getPropertyValue("--sunken");
          brush.fillRect(j * this.cell, i * this.cell, this.cell - gap, this.cell - gap);
          brush.globalAlpha = Math.sqrt(value / 1000); // small weights are to be seen too
          brush.fillStyle = style.getPropertyValue("--accent");
          brush.fillRect(j * this.cell, i * this.cell, this.cell - gap, this.cell - gap);
        });
      });
    },

    place(event) {
      const box = this.$refs.map.getBoundingClientRect();
      const i = Math.floor((event.clientY - box.top) / this.cell);
      const j = Math.floor((event.clientX - box.left) / this.cell);
      return this.rows[i] && j >= 0 && j <= i + 1 ? [i, j] : null;
    },

    over(event) {
      const place = this.place(event);
      if (!place) return (this.hover = null);
      const [i, j] = place;
      const target = j === 0 ? "the tokens before these" : this.spell(this.tokens[j - 1]);
      this.hover = `${this.spell(this.tokens[i])} → ${target}: ${(this.rows[i][j] / 10).toFixed(1)} %`;
    },

    pick(event) {
      const place = this.place(event);
      if (place) this.at = place[0];
    },
  },
};
