// An engine at work: what its last steps read of whom, and where each sequence's keys lie.

const STEPS = 80; // kept; shown are as many as fit
const LANES = 10;
const BLOCKS = 4096; // shown
const COLUMN = 10;
const LANE = 18;
const TIMES = 44;
const LABEL = 46;
const CELL = 10;
const HUES = 6;
const CARD = 34; // pixels: padding and border
const KINDS = {
  prompt: "reads its prompt", found: "found part of it in the prefix cache",
  answer: "writes its answer", lost: "lost its place",
};

export default {
  template: `
    <div class="engine"><template v-if="view">
      <dl class="facts">
        <div><dt>Running</dt><dd>{{ running }}</dd></div>
        <div><dt>Waiting</dt><dd>{{ view.sequences.length - running }}</dd></div>
        <div><dt>Blocks held</dt><dd>{{ held.size }} <span class="muted">of {{ view.blocks }}</span></dd></div>
        <div><dt>Blocks to find again</dt><dd>{{ view.cached.length }}</dd></div>
        <div><dt>Prefix cache</dt><dd>{{ hits }}</dd></div>
        <div><dt>Last step</dt><dd>{{ last ? (1000 * last.seconds).toFixed(1) + " ms" : "–" }}</dd></div>
      </dl>
      <section class="card" aria-labelledby="engine-steps">
        <h2 id="engine-steps">Steps</h2>
        <p class="muted small-text">A column is a step of the model, a lane a request.
          <span v-for="(name, kind) in KINDS" :key="kind" class="legend"><span :class="'key key-' + kind"></span>{{ name }}</span></p>
        <p v-if="!steps.length" class="muted">No step yet: nothing was asked of the model since it started.</p>
        <div v-else>
          <svg :width="LABEL + columns * COLUMN" :height="lanes.length * LANE + TIMES + 22" role="img" :aria-label="inWords" class="timeline">
            <g v-for="(lane, i) in lanes" :key="lane" :transform="'translate(0 ' + i * LANE + ')'">
              <text class="lane-name" :x="LABEL - 8" :y="LANE - 5">#{{ lane }}</text>
              <line class="lane-line" :x1="LABEL" :x2="LABEL + columns * COLUMN" :y1="LANE / 2" :y2="LANE / 2"></line>
              <template v-for="mark in marks[lane] ?? []" :key="mark.x">
                <rect :class="mark.kind" :x="LABEL + mark.x" :y="(LANE - mark.height) / 2" :width="COLUMN - 2" :height="mark.height" rx="2"><title>{{ mark.title }}</title></rect>
              </template>
            </g>
            <g :transform="'translate(0 ' + (lanes.length * LANE + 6) + ')'">
              <text class="lane-name" :x="LABEL - 8" :y="TIMES - 4">ms</text>
              <rect v-for="(step, i) in steps" :key="step.number" class="step-time" :x="LABEL + i * COLUMN" :y="TIMES - tall(step)" :width="COLUMN - 2" :height="tall(step)" rx="1">
                <title>Step {{ step.number }}: {{ (1000 * step.seconds).toFixed(1) }} ms, {{ size(step) }} tokens, {{ step.held }} blocks held</title></rect>
              <text class="step-number" :x="LABEL" :y="TIMES + 13">{{ steps[0].number }}</text>
              <text class="step-number" text-anchor="end" :x="LABEL + steps.length * COLUMN" :y="TIMES + 13" v-if="steps.length > 12">{{ last.number }}</text>
            </g>
          </svg>
        </div>
        <p v-if="more" class="muted small-text">{{ more }} more requests took part.</p>
      </section>
      <section class="card" aria-labelledby="engine-blocks">
        <h2 id="engine-blocks">Blocks of the KV cache</h2>
        <p class="muted small-text">A cell is a block of {{ view.block_size }} tokens. Coloured: held by a request (framed: by several).
          <span class="legend"><span class="key key-cached"></span>free, and can be found again</span>
          <span class="legend"><span class="key key-free"></span>free</span></p>
        <svg class="blocks" role="img" :aria-label="blocksInWords" :viewBox="'0 0 ' + perRow * CELL + ' ' + blockRows * CELL" ref="blocks">
          <path class="block-free" :d="path(free)"></path>
          <path class="block-cached" :d="path(view.cached)"></path>
          <path v-for="s in view.sequences" :key="s.sequence" :class="'block-held hue-' + (s.sequence % HUES)" :d="path(s.blocks)"><title>#{{ s.sequence }}</title></path>
          <path class="block-shared" :d="path(shared)"></path>
        </svg>
        <p v-if="view.blocks > BLOCKS" class="muted small-text">The first {{ BLOCKS }} of them are shown.</p>
        <div class="scroll-x" v-if="view.sequences.length"><table class="table">
          <caption class="visually-hidden">Requests on their way</caption>
          <thead><tr><th>Request</th><th>State</th><th class="number">Prompt</th><th class="number">Found</th><th class="number">Answer</th><th class="number">Blocks</th></tr></thead>
          <tbody><tr v-for="s in view.sequences" :key="s.sequence">
            <td><span :class="'key hue-' + (s.sequence % HUES)"></span>#{{ s.sequence }}</td><td>{{ s.running ? "running" : "waiting" }}</td>
            <td class="number">{{ s.prompt }}</td><td class="number">{{ s.found }}</td><td class="number">{{ s.tokens - s.prompt }}</td><td class="number">{{ s.blocks.length }}</td></tr></tbody>
        </table></div>
        <p v-else class="muted">No request is on its way. Blocks that were filled stay, until they are needed for others.</p>
      </section>
    </template></div>`,

  data() {
    return { view: null, kept: [], columns: STEPS, perRow: 64, KINDS, BLOCKS, COLUMN, LANE, TIMES, LABEL, CELL, HUES };
  },

  mounted() {
    this.onResize = () => {
      this.perRow = window.innerWidth < 720 ? 32 : 64;
      const room = Math.floor((this.$el.clientWidth - CARD - LABEL) / COLUMN);
      if (room > 0) this.columns = Math.min(room, STEPS); // it is not while another tab is open
    };
    window.addEventListener("resize", this.onResize);
    this.onResize();
  },

  beforeUnmount() {
    window.removeEventListener("resize", this.onResize);
  },

  computed: {
    running() {
      return this.view.sequences.filter((s) => s.running).length;
    },
    steps() {
      return this.kept.slice(-this.columns);
    },
    last() {
      return this.kept.at(-1);
    },
    holders() {
      const count = new Map();
      for (const s of this.view.sequences) for (const block of s.blocks) count.set(block, (count.get(block) ?? 0) + 1);
      return count;
    },
    held() {
      return new Set(this.holders.keys());
    },
    shared() {
      return [...this.holders].filter(([, count]) => count > 1).map(([block]) => block);
    },
    free() {
      const taken = new Set([...this.held, ...this.view.cached]);
      return Array.from({ length: Math.min(this.view.blocks, BLOCKS) }, (_, block) => block).filter((block) => !taken.has(block));
    },
    blockRows() {
      return Math.ceil(Math.min(this.view.blocks, BLOCKS) / this.perRow);
    },
    hits() {
      let found = 0, prompt = 0;
      for (const step of this.view.steps) for (const read of step.reads) {
        found += read.found;
        prompt += read.found + read.of_prompt;
      }
      return prompt ? `${found} of ${prompt} tokens` : "–";
    },
    everyLane() {
      const seen = new Set();
      for (const step of [...this.steps].reverse()) for (const read of step.reads) seen.add(read.sequence);
      return [...seen];
    },
    lanes() {
      return this.everyLane.slice(0, LANES).sort((a, b) => a - b);
    },
    more() {
      return this.everyLane.length - this.lanes.length;
    },
    marks() {
      const marks = {};
      this.steps.forEach((step, i) => {
        for (const read of step.reads) {
          const kind = read.of_prompt ? (read.found ? "mark-found" : "mark-prompt") : "mark-answer";
          const found = read.found ? `, ${read.found} found in the prefix cache` : "";
          const what = read.of_prompt ? `reads ${read.of_prompt} tokens of its prompt${found}` : `reads ${read.tokens} of its answer`;
          (marks[read.sequence] ??= []).push({ x: i * COLUMN, kind, height: read.of_prompt ? LANE - 4 : 7, title: `Step ${step.number}, #${read.sequence}: ${what}` });
        }
        for (const lost of step.preempted)
          (marks[lost] ??= []).push({ x: i * COLUMN, kind: "mark-lost", height: LANE - 4, title: `Step ${step.number}: #${lost} lost its blocks, and will be read again` });
      });
      return marks;
    },
    slowest() {
      return Math.max(...this.steps.map((step) => step.seconds));
    },
    inWords() {
      const prompt = this.steps.reduce((sum, step) => sum + step.reads.reduce((s, read) => s + read.of_prompt, 0), 0);
      const all = this.steps.reduce((sum, step) => sum + this.size(step), 0);
      return `The last ${this.steps.length} steps, of ${this.everyLane.length} requests: ${prompt} tokens of prompts and ${all - prompt} of answers were read; the slowest took ${(1000 * this.slowest).toFixed(0)} ms.`;
    },
    blocksInWords() {
      return `${this.view.blocks} blocks: ${this.held.size} held, ${this.shared.length} of them by several requests; ${this.view.cached.length} free that can be found again; ${this.view.blocks - this.held.size - this.view.cached.length} free.`;
    },
  },

  methods: {
    // --- called by the server

    setView(view) {
      const newest = this.last?.number ?? 0;
      const first = view?.steps[0]?.number ?? 0;
      if (!view || (view.steps.at(-1)?.number ?? 0) < newest) this.kept = []; // the engine began anew
      const known = this.last?.number ?? 0;
      if (view) {
        const fresh = view.steps.filter((step) => step.number > known);
        const before = first > known + 1 ? [] : this.kept; // steps were missed: no gap is hidden
        this.kept = [...before, ...fresh].slice(-STEPS);
      }
      this.view = view;
      this.onResize();
    },

    // ---

    size(step) {
      return step.reads.reduce((sum, read) => sum + read.tokens, 0);
    },

    tall(step) {
      return Math.max(1, (TIMES * step.seconds) / this.slowest);
    },

    path(blocks) {
      return blocks
        .filter((block) => block < BLOCKS)
        .map((block) => `M${(block % this.perRow) * CELL + 1} ${Math.floor(block / this.perRow) * CELL + 1}h8v8h-8z`)
        .join("");
    },
  },
};
