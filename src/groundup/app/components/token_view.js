// A text's tokens, shaded by how likely the model found each, and what else might have come.

const STEPS = [0.9, 0.5, 0.2, 0.05]; // shades begin below these
const percent = (p) => (p >= 0.995 && p < 0.9995 ? `${(100 * p).toFixed(1)} %` : p >= 0.1 ? `${Math.round(100 * p)} %` : p >= 0.001 ? `${(100 * p).toFixed(1)} %` : "< 0.1 %");
export const spelled = (text) => (text === "" ? "∅" : text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣"));

export default {
  template: `
    <div class="tokens" v-if="tokens.length">
      <div class="tokens-text" role="group" aria-label="Tokens" @keydown="step" ref="text">
        <template v-for="(token, i) in tokens" :key="i"><button type="button" class="token" :class="[shade(token), { chosen: i === at }]"
          :tabindex="i === tabStop ? 0 : -1" :aria-pressed="i === at" :aria-label="label(token)" @click="choose(i)">{{ shown(token.text) }}</button><br v-if="token.text.includes('\\n')"></template>
        <span v-if="live" class="tokens-caret" aria-hidden="true"></span>
      </div>
      <aside class="tokens-side card" aria-live="polite">
        <template v-if="chosen">
          <h2>“{{ spell(chosen.text) }}”</h2>
          <p class="muted">{{ rank }}</p>
          <table v-if="chosen.top.length" class="tokens-top">
            <caption class="visually-hidden">The likeliest tokens in its place</caption>
            <tr v-for="(other, i) in chosen.top" :key="i" :class="{ own: other[0] === chosen.text && i === own }">
              <th scope="row">{{ spell(other[0]) }}</th>
              <td class="tokens-bar"><span :style="{ width: 100 * Math.exp(other[1]) + '%' }"></span></td>
              <td class="number">{{ asPercent(other[1]) }}</td>
            </tr>
          </table>
        </template>
        <template v-else>
          <h2>{{ tokens.length.toLocaleString("en") }} {{ tokens.length === 1 ? "token" : "tokens" }}</h2>
          <p v-if="perplexity" class="muted">Perplexity {{ perplexity }}: so many choices, all alike, would have been as hard.</p>
          <p class="muted">Choose a token to see what else might have come.</p>
          <ul class="tokens-legend" aria-label="Shades">
            <li v-for="(name, i) in ['90 % and more', '50 to 90 %', '20 to 50 %', '5 to 20 %', 'less than 5 %']" :key="i">
              <span class="token" :class="'shade-' + i">abc</span>{{ name }}</li>
          </ul>
        </template>
      </aside>
    </div>`,

  data() {
    return { tokens: [], at: null, live: false }; // {text, logprob, top: [[text, logprob]]}
  },

  computed: {
    chosen() {
      return this.at === null ? null : this.tokens[this.at];
    },
    tabStop() {
      return this.at ?? 0;
    },
    own() {
      return this.chosen.top.findIndex((other) => other[0] === this.chosen.text);
    },
    rank() {
      if (this.chosen.logprob === null) return "The first token: nothing comes before it.";
      const place = this.own < 0 ? `not among the ${this.chosen.top.length} likeliest` : this.own === 0 ? "the likeliest" : `number ${this.own + 1}`;
      return `${percent(Math.exp(this.chosen.logprob))} likely, ${place}`;
    },
    perplexity() {
      const known = this.tokens.filter((token) => token.logprob !== null);
      if (!known.length) return null;
      const perplexity = Math.exp(-known.reduce((sum, token) => sum + token.logprob, 0) / known.length);
      return perplexity < 1e5 ? perplexity.toLocaleString("en", { maximumFractionDigits: 1 }) : "above 100,000";
    },
  },

  methods: {
    // --- called by the server

    setTokens(tokens, live) {
      Object.assign(this, { tokens, live, at: null });
    },

    addTokens(tokens, live) {
      this.tokens.push(...tokens);
      this.live = live;
    },

    // ---

    spell: spelled,
    asPercent: (logprob) => percent(Math.exp(logprob)),
    shown: (text) => (text === "" ? "∅" : text.replaceAll("\n", "⏎").replaceAll("\t", "⇥")),

    shade(token) {
      if (token.logprob === null) return "";
      const p = Math.exp(token.logprob);
      const shade = STEPS.findIndex((step) => p >= step);
      return `shade-${shade < 0 ? STEPS.length : shade}`;
    },

    label(token) {
      const likely = token.logprob === null ? "" : `, ${percent(Math.exp(token.logprob))}`;
      return `${spelled(token.text)}${likely}`;
    },

    choose(i) {
      this.at = this.at === i ? null : i;
    },

    step(event) {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") this.at = null;
      if (!by) return;
      event.preventDefault();
      this.at = Math.min(Math.max((this.at ?? -by) + by, 0), this.tokens.length - 1);
      this.$nextTick(() => this.$refs.text.querySelector(".chosen")?.focus());
    },
  },
};
