// The conversations at the side: search, folders, and what can be done with each.

const DAY = 86400;

export default {
  props: { icons: Object, selected: String },
  emits: ["open", "new", "search", "rename", "move", "export", "delete", "more",
          "new-folder", "rename-folder", "delete-folder"],
  template: `
    <nav class="chats" aria-label="Conversations" @keydown.esc="menu = null">
      <div class="chats-head">
        <a href="/chat" class="button grow" @click="follow($event, '')">
          <span v-html="icons.plus"></span>New chat</a>
        <button type="button" class="icon-button" aria-label="New folder" title="New folder"
                @click="newFolder" v-html="icons.folder"></button>
      </div>
      <label class="chats-search">
        <span v-html="icons.search"></span>
        <span class="visually-hidden">Search conversations</span>
        <input ref="search" type="search" v-model="query" placeholder="Search" maxlength="200"
               @input="onQuery" @keydown.esc.stop="clear" @keydown.down.prevent="step(1)">
      </label>
      <div class="chats-scroll" ref="list" @keydown.down.prevent="step(1)" @keydown.up.prevent="step(-1)">
        <p v-if="query && found && !found.length" class="muted chats-none">Nothing found for “{{ query }}”.</p>
        <section v-for="group in groups" :key="group.key" :aria-label="group.name">
          <div class="chats-group">
            <button v-if="group.folder" type="button" class="chats-fold" :aria-expanded="!closed[group.key]"
                    @click="closed[group.key] = !closed[group.key]">
              <span v-html="closed[group.key] ? icons['chevron-right'] : icons['chevron-down']"></span>
              <span class="chats-name">{{ group.name }}</span><span class="muted">{{ group.items.length }}</span>
            </button>
            <h2 v-else>{{ group.name }}</h2>
            <button v-if="group.folder" type="button" class="icon-button chats-more" aria-haspopup="menu"
                    :aria-expanded="menu === group.key" :aria-label="'Folder ' + group.name + ': more'"
                    @click="toggle(group.key)" v-html="icons.more"></button>
          </div>
          <div v-if="menu === group.key" class="chats-menu menu" role="menu" @keydown="inMenu">
            <button type="button" role="menuitem" @click="renameFolder(group.folder)">Rename folder</button>
            <button type="button" role="menuitem" class="danger" @click="deleteFolder(group.folder)">Delete folder</button>
          </div>
          <ul v-if="!closed[group.key]">
            <li v-for="chat in group.items" :key="chat.id" class="chats-item" :class="{ selected: chat.id === selected }">
              <form v-if="renaming === chat.id" @submit.prevent="saveName(chat)">
                <input class="input" v-model="name" aria-label="Title" maxlength="200" ref="name"
                       @blur="saveName(chat)" @keydown.esc.stop="renaming = null">
              </form>
              <template v-else>
                <a :href="'/chat/' + chat.id" :aria-current="chat.id === selected ? 'page' : undefined"
                   @click="follow($event, chat.id)" @dblclick.prevent="beginRename(chat)">
                  <span class="chats-name">{{ chat.title }}</span>
                  <span v-if="chat.streaming" class="chats-live" role="img" aria-label="is answering"></span>
                  <span v-if="chat.snippet" class="chats-snippet muted">{{ chat.snippet }}</span>
                </a>
                <button type="button" class="icon-button chats-more" aria-haspopup="menu"
                        :aria-expanded="menu === chat.id" :aria-label="chat.title + ': more'"
                        @click="toggle(chat.id)" v-html="icons.more"></button>
                <div v-if="menu === chat.id" class="chats-menu menu" role="menu" @keydown="inMenu">
                  <button type="button" role="menuitem" @click="beginRename(chat)">Rename</button>
                  <template v-if="folders.length">
                    <button v-for="folder in folders.filter((f) => f.id !== chat.folder)" :key="folder.id" type="button"
                            role="menuitem" @click="move(chat, folder.id)">Move to {{ folder.name }}</button>
                    <button v-if="chat.folder" type="button" role="menuitem" @click="move(chat, null)">Take out of its folder</button>
                  </template>
                  <button type="button" role="menuitem" @click="exportAs(chat, 'markdown')">Export as Markdown</button>
                  <button type="button" role="menuitem" @click="exportAs(chat, 'json')">Export as JSON</button>
                  <button type="button" role="menuitem" class="danger" @click="askDelete(chat)">Delete</button>
                </div>
              </template>
            </li>
          </ul>
        </section>
        <button v-if="more && !query" type="button" class="button quiet small" @click="$emit('more')">Show older</button>
      </div>
      <dialog ref="dialog" class="dialog" aria-labelledby="chats-dialog-title" @close="pending = null">
        <form method="dialog" v-if="pending" @submit="confirm">
          <h2 id="chats-dialog-title">{{ pending.title }}</h2>
          <p v-if="pending.text">{{ pending.text }}</p>
          <label v-if="pending.field" class="field"><span>{{ pending.field }}</span>
            <input class="input" v-model="name" maxlength="100" required autofocus></label>
          <div class="row dialog-actions">
            <button type="button" class="button quiet" @click="$refs.dialog.close()">Cancel</button>
            <button type="submit" class="button" :class="pending.danger ? 'danger' : 'primary'">{{ pending.verb }}</button>
          </div>
        </form>
      </dialog>
    </nav>`,

  data() {
    return {
      chats: [], // {id, title, folder, updated, streaming}, the newest first
      folders: [], // {id, name}
      more: false, // whether there are older ones
      found: null, // what the search found: {…, snippet}
      query: "",
      closed: {},
      menu: null,
      renaming: null,
      name: "",
      pending: null, // what the dialog asks
    };
  },

  mounted() {
    this.away = (event) => {
      if (!event.target.closest(".chats-menu, .chats-more")) this.menu = null;
    };
    this.onBack = () => {
      const id = location.pathname.split("/")[2] ?? "";
      if (id !== (this.selected ?? "")) this.$emit("open", { id, back: true }); // not for a #place
    };
    document.addEventListener("click", this.away);
    window.addEventListener("popstate", this.onBack);
  },

  beforeUnmount() {
    document.removeEventListener("click", this.away);
    window.removeEventListener("popstate", this.onBack);
    clearTimeout(this.typing);
  },

  computed: {
    groups() {
      if (this.query && this.found)
        return [{ key: "found", name: "Found", items: this.found }].filter((g) => g.items.length);
      const groups = this.folders.map((folder) => ({
        key: `folder-${folder.id}`,
        name: folder.name,
        folder,
        items: this.chats.filter((chat) => chat.folder === folder.id),
      }));
      const midnight = new Date().setHours(0, 0, 0, 0) / 1000;
      const loose = this.chats.filter((chat) => !chat.folder);
      const ages = [["Today", 0], ["Yesterday", DAY], ["Last 7 days", 7 * DAY], ["Older", Infinity]];
      let newest = Infinity;
      for (const [name, age] of ages) {
        const oldest = midnight - age;
        const items = loose.filter((chat) => chat.updated < newest && chat.updated >= oldest);
        if (items.length) groups.push({ key: name, name, items });
        newest = oldest;
      }
      return groups;
    },
  },

  methods: {
    // --- called by the server

    setList(chats, folders, more) {
      Object.assign(this, { chats, folders, more });
    },

    setFound(query, found) {
      if (query === this.query.trim()) this.found = found;
    },

    focusSearch() {
      this.$refs.search.focus();
      this.$refs.search.select();
    },

    // --- moving about

    follow(event, id) {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return; // another tab
      event.preventDefault();
      this.$emit(id ? "open" : "new", { id });
    },

    step(by) {
      const links = [...this.$refs.list.querySelectorAll("li > a")];
      const at = links.indexOf(document.activeElement);
      if (at + by < 0) this.$refs.search.focus();
      else links[Math.min(at + by, links.length - 1)]?.focus();
    },

    onQuery() {
      clearTimeout(this.typing);
      const query = this.query.trim();
      if (!query) this.found = null;
      else this.typing = setTimeout(() => this.$emit("search", { query }), 150);
    },

    clear() {
      this.query = "";
      this.found = null;
    },

    // --- menus

    toggle(key) {
      this.menu = this.menu === key ? null : key;
      if (this.menu)
        this.$nextTick(() => {
          const menu = this.$el.querySelector(".chats-menu");
          menu?.querySelector("button").focus();
          menu?.scrollIntoView({ block: "nearest" });
        });
    },

    inMenu(event) {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") {
        const opener = event.currentTarget.parentElement.querySelector(".chats-more");
        this.menu = null;
        opener?.focus();
      }
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      const items = [...event.currentTarget.querySelectorAll("button")];
      items[(items.indexOf(document.activeElement) + by + items.length) % items.length].focus();
    },

    beginRename(chat) {
      this.menu = null;
      this.renaming = chat.id;
      this.name = chat.title;
      this.$nextTick(() => {
        const input = [this.$refs.name].flat()[0];
        input?.focus();
        input?.select();
      });
    },

    saveName(chat) {
      if (this.renaming !== chat.id) return;
      this.renaming = null;
      const title = this.name.trim();
      if (title && title !== chat.title) this.$emit("rename", { id: chat.id, title });
    },

    move(chat, folder) {
      this.menu = null;
      this.$emit("move", { id: chat.id, folder });
    },

    exportAs(chat, format) {
      this.menu = null;
      this.$emit("export", { id: chat.id, format });
    },

    // --- what is asked first

    show(pending) {
      this.menu = null;
      this.pending = pending;
      this.$nextTick(() => this.$refs.dialog.showModal());
    },

    confirm() {
      this.pending.then();
    },

    askDelete(chat) {
      this.show({
        title: "Delete this conversation?",
        text: `“${chat.title}” and all its branches will be gone. Export it first to keep a copy.`,
        verb: "Delete",
        danger: true,
        then: () => this.$emit("delete", { id: chat.id }),
      });
    },

    newFolder() {
      this.name = "";
      const then = () => this.$emit("new-folder", { name: this.name.trim() });
      this.show({ title: "New folder", field: "Name", verb: "Create", then });
    },

    renameFolder(folder) {
      this.name = folder.name;
      const then = () => this.$emit("rename-folder", { id: folder.id, name: this.name.trim() });
      this.show({ title: "Rename folder", field: "Name", verb: "Rename", then });
    },

    deleteFolder(folder) {
      this.show({
        title: `Delete the folder “${folder.name}”?`,
        text: "The conversations in it are kept.",
        verb: "Delete",
        danger: true,
        then: () => this.$emit("delete-folder", { id: folder.id }),
      });
    },
  },
};
