// Asks before a page is left on which something was written and not sent. Every form can be sent without it.
"use strict";

(() => {
  let written = false;
  for (const form of document.querySelectorAll("form[data-written]")) {
    form.addEventListener("input", () => (written = true));
    form.addEventListener("submit", () => (written = false));
  }
  window.addEventListener("beforeunload", (event) => {
    if (written) event.preventDefault();
  });
})();
