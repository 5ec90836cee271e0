// Moves points by slider, and shows what the rule says of them as they move. The page does the same without it, by its button.
"use strict";

(() => {
  const form = document.getElementById("points");
  const parts = ["problems", "result"].map((id) => document.getElementById(id));
  const said = document.getElementById("said");
  if (!form || !said || parts.some((one) => one === null)) return;
  let waiting = 0;
  let asking = null;

  async function ask() {
    asking?.abort();
    asking = new AbortController();
    const address = `${form.action}?${new URLSearchParams(new FormData(form))}`;
    parts[1].setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(address, { signal: asking.signal, redirect: "manual", headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("result");
      if (!fresh) return window.location.assign(address); // signed out, or something else that a page of its own tells
      for (const part of parts) part.replaceChildren(...page.getElementById(part.id).childNodes);
      // A sentence that changes is read out; the same one again is not.
      const sentence = page.getElementById("said").textContent;
      if (said.textContent !== sentence) said.textContent = sentence;
      for (const row of form.querySelectorAll("li[data-point]")) {
        const other = page.getElementById(row.id);
        row.classList.toggle("differs", other?.classList.contains("differs") ?? false);
      }
      for (const why of form.querySelectorAll("[data-why]")) {
        const told = page.getElementById(why.id);
        const field = document.getElementById(why.dataset.why);
        why.hidden = told?.hidden ?? true;
        why.textContent = told?.textContent ?? "";
        if (why.hidden) {
          field.removeAttribute("aria-invalid");
          field.removeAttribute("aria-describedby");
        } else {
          field.setAttribute("aria-invalid", "true");
          field.setAttribute("aria-describedby", why.id);
        }
      }
      window.history.replaceState(null, "", address);
      document.dispatchEvent(new CustomEvent("drawn", { detail: parts[1] }));
      parts[1].removeAttribute("aria-busy");
    } catch (error) {
      if (error.name === "AbortError") return;
      window.location.assign(address);
    }
  }

  function soon() {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(ask, 150);
  }

  for (const slider of form.querySelectorAll("input[type=range]")) {
    const field = document.getElementById(slider.dataset.field);
    slider.hidden = false;
    slider.disabled = false;
    slider.addEventListener("input", () => {
      field.value = slider.value;
      slider.setAttribute("aria-valuetext", `${slider.value} ${slider.dataset.unit}`);
    });
    field.addEventListener("input", () => {
      const value = Number(field.value);
      if (field.value.trim() && Number.isFinite(value)) slider.value = String(value);
    });
  }
  form.addEventListener("input", soon);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    window.clearTimeout(waiting);
    ask();
  });
})();
