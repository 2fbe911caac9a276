// Figures over time, each in a small chart of its own. The newest are at the right.

const WIDTH = 320;
const HEIGHT = 84;
const GAP = 30; // seconds without a figure, after which a line breaks off

export default {
  props: { charts: Array }, // {key, title, unit, lines: [name], percent, whole}
  template: `
    <div class="charts">
      <figure v-for="chart in charts" :key="chart.key" class="card chart">
        <figcaption><span class="chart-title">{{ chart.title }}</span>
          <span v-for="(line, i) in chart.lines" :key="i" class="chart-now figure">
            <span v-if="chart.lines.length > 1" :class="'key line-' + i"></span>{{ now(chart, i) }}<span v-if="line" class="muted"> {{ line }}</span></span></figcaption>
        <svg v-if="known(chart)" :viewBox="'0 0 ' + WIDTH + ' ' + HEIGHT" preserveAspectRatio="none" role="img" :aria-label="inWords(chart)"
             @pointermove="over($event)" @pointerleave="at = null">
          <line v-for="y in [0, 0.5, 1]" :key="y" class="chart-grid" x1="0" :x2="WIDTH" :y1="2 + y * (HEIGHT - 4)" :y2="2 + y * (HEIGHT - 4)"></line>
          <path v-for="(line, i) in chart.lines" :key="i" :class="'chart-line line-' + i" :d="path(chart, i)" vector-effect="non-scaling-stroke"></path>
          <line v-if="at !== null" class="chart-at" :x1="x(points[at])" :x2="x(points[at])" y1="0" :y2="HEIGHT" vector-effect="non-scaling-stroke"></line>
        </svg>
        <p v-else class="muted small-text chart-none">Nothing yet.</p>
        <p v-if="known(chart)" class="chart-scale muted small-text figure"><span>{{ ago }}</span><span>up to {{ spelled(chart, top(chart)) }}</span><span>{{ at === null ? "now" : clock(points[at].at) }}</span></p>
      </figure>
    </div>`,

  data() {
    return { points: [], at: null, WIDTH, HEIGHT }; // {at, [key]: [value, ...]}
  },

  computed: {
    span() {
      return Math.max(60, this.points.at(-1).at - this.points[0].at);
    },
    ago() {
      return this.span < 120 ? `${Math.round(this.span)} s ago` : `${Math.round(this.span / 60)} min ago`;
    },
  },

  methods: {
    // --- called by the server

    setPoints(points) {
      this.points = points;
      this.at = null;
    },

    // ---

    value: (point, chart, i) => point?.[chart.key]?.[i] ?? null,

    known(chart) {
      return this.points.some((point) => this.value(point, chart, 0) !== null);
    },

    top(chart) {
      if (chart.percent) return 1;
      const values = this.points.flatMap((point) => (point[chart.key] ?? []).filter((value) => value !== null));
      return Math.max(chart.whole ? 1 : 0, ...values) || 1;
    },

    x(point) {
      return WIDTH * (1 - (this.points.at(-1).at - point.at) / this.span);
    },

    path(chart, i) {
      const top = this.top(chart);
      let path = "";
      let last = null;
      for (const point of this.points) {
        const value = this.value(point, chart, i);
        if (value === null) {
          last = null;
          continue;
        }
        const y = HEIGHT - 2 - (value / top) * (HEIGHT - 4);
        path += `${last !== null && point.at - last < GAP ? "L" : "M"}${this.x(point).toFixed(1)} ${y.toFixed(1)}`;
        if (last === null) path += "h0.01"; // a point alone is seen, too
        last = point.at;
      }
      return path;
    },

    now(chart, i) {
      const value = this.value(this.points[this.at ?? this.points.length - 1], chart, i);
      return value === null ? "–" : this.spelled(chart, value);
    },

    spelled(chart, value) {
      if (chart.percent) return `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
      if (chart.unit === "s") return value < 1 ? `${(1000 * value).toFixed(0)} ms` : `${value.toFixed(2)} s`;
      const number = chart.whole ? value.toFixed(0) : value < 10 ? value.toFixed(2) : value.toFixed(0);
      return chart.unit ? `${number} ${chart.unit}` : number;
    },

    clock: (at) => new Date(1000 * at).toLocaleTimeString(),

    inWords(chart) {
      const told = chart.lines.map((line, i) => `${line || chart.title} ${this.now(chart, i)}`);
      return `${chart.title} over the last ${this.ago.replace(" ago", "")}: now ${told.join(", ")}; at most ${this.spelled(chart, this.top(chart))}.`;
    },

    over(event) {
      const box = event.currentTarget.getBoundingClientRect();
      const wanted = ((event.clientX - box.left) / box.width) * WIDTH;
      let best = 0;
      this.points.forEach((point, i) => {
        if (Math.abs(this.x(point) - wanted) < Math.abs(this.x(this.points[best]) - wanted)) best = i;
      });
      this.at = best;
    },
  },
};
