// The panel of a conversation's options: system prompt, how tokens are chosen, ratings.

export default {
  props: { icons: Object, fields: Array }, // {name, label, help, low, high, step, whole, slider}
  emits: ["change", "close", "export-preferences"],
  template: `
    <aside class="options" aria-label="Options of this conversation" @keydown.esc="$emit('close')">
      <div class="row">
        <h2 class="grow">Options</h2>
        <button type="button" class="icon-button" aria-label="Close the options" @click="$emit('close')" v-html="icons.close"></button>
      </div>
      <label class="field"><span>System prompt</span>
        <textarea class="input" rows="5" v-model="system" maxlength="20000" placeholder="The model’s own"
                  ref="first" @change="change"></textarea></label>
      <div class="options-head"><h3>Sampling</h3>
        <button type="button" class="button quiet small" :disabled="!Object.keys(sampling).length" @click="reset">Reset</button></div>
      <div v-for="field in fields" :key="field.name" class="options-field">
        <label :for="'option-' + field.name" :title="field.help">{{ field.label }}</label>
        <input v-if="field.slider" type="range" :aria-label="field.label + ', slider'" :min="field.low" :max="field.high"
               :step="field.step" :value="sampling[field.name] ?? field.start" tabindex="-1"
               @input="set(field, $event.target.value)" @change="change">
        <span v-else class="muted options-help">{{ field.help }}</span>
        <input class="input" type="number" :id="'option-' + field.name" :min="field.low" :max="field.high"
               :step="field.whole ? 1 : 'any'" :value="sampling[field.name] ?? ''" placeholder="auto"
               @input="set(field, $event.target.value)" @change="change">
      </div>
      <p v-if="problem" class="banner bad" role="alert">{{ problem }}</p>
      <div class="options-head"><h3>Feedback</h3></div>
      <p class="muted">{{ rated === 1 ? "1 answer" : rated + " answers" }} rated. Ratings are kept here, as preference data for fine-tuning.</p>
      <button type="button" class="button small" @click="$emit('export-preferences')">
        <span v-html="icons.download"></span>Export as JSONL</button>
    </aside>`,

  data() {
    return { system: "", sampling: {}, rated: 0, problem: "" };
  },

  methods: {
    // --- called by the server

    setOptions(system, sampling, rated) {
      this.rated = rated;
      const shown = JSON.stringify([system, sampling]);
      if (shown === this.known) return; // what is being written here stays
      this.known = shown;
      Object.assign(this, { system, sampling, problem: "" });
    },

    refused(problem) {
      this.problem = problem;
    },

    focus() {
      this.$refs.first.focus();
    },

    // --- changes

    set(field, value) {
      const { [field.name]: _, ...others } = this.sampling;
      this.sampling = value === "" ? others : { ...others, [field.name]: Number(value) };
    },

    reset() {
      this.sampling = {};
      this.change();
    },

    change() {
      this.problem = "";
      this.known = JSON.stringify([this.system, this.sampling]);
      this.$emit("change", { system: this.system, sampling: this.sampling });
    },
  },
};
