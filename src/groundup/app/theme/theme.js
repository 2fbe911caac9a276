// Runs in <head>, before anything is drawn: the theme is set without a flash.
// `groundup` is all that the app's pages share in the browser.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem("theme") ?? "system";

  function draw() {
    const dark = chosen() === "dark" || (chosen() === "system" && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    window.Quasar?.Dark.set(dark); // for NiceGUI's own elements
  }

  function theme(name) {
    if (name === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", name);
    draw();
  }

  // Says something at the page's edge, for 6 seconds or until it is clicked away.
  function toast(text, kind = "") {
    const region = document.querySelector(".toasts");
    const box = document.createElement("div");
    box.className = `toast ${kind}`;
    box.textContent = text; // text, never HTML
    region.append(box);
    box.addEventListener("click", () => box.remove());
    setTimeout(() => box.remove(), 6000);
  }

  // Into the clipboard, also where a page that came by http may not use navigator.clipboard.
  function copy(text) {
    const focused = document.activeElement;
    const area = document.body.appendChild(document.createElement("textarea"));
    area.value = text;
    area.style.cssText = "position: fixed; opacity: 0";
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    focused?.focus({ preventScroll: true });
    toast(copied ? "Copied" : "The browser does not let this page copy", copied ? "good" : "bad");
  }

  system.addEventListener("change", draw);
  addEventListener("storage", draw); // another tab changed it
  document.addEventListener("DOMContentLoaded", draw);
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-theme-choice]");
    if (button) theme(button.dataset.themeChoice);
    const code = event.target.closest?.("button.copy")?.closest(".code"); // of rendered Markdown
    if (code) copy(code.querySelector("code").textContent);
  });
  draw();
  window.groundup = { theme, chosenTheme: chosen, toast, copy };
})();
