// Behaviour is asked for by data-* attributes; every page works without this file.
(() => {
  "use strict";
  document.documentElement.classList.add("js");
  const all = (selector) => document.querySelectorAll(selector);

  // What changes without the focus moving is announced politely.
  const live = document.createElement("div");
  live.className = "hidden";
  live.setAttribute("role", "status");
  document.body.append(live);

  // <button data-copy="#id">: copies the text of that element.
  const copy = async (button) => {
    const source = document.querySelector(button.dataset.copy);
    if (!source || button.style.minWidth) return;
    let done = true;
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
    } catch {
      // No clipboard without https. The older way works there; if even that fails, the text is selected.
      getSelection().selectAllChildren(source);
      done = document.execCommand("copy");
    }
    const before = [...button.childNodes];
    button.style.minWidth = `${button.offsetWidth}px`;
    button.replaceChildren(done ? "Copied" : "Press Ctrl+C");
    live.textContent = done ? "Copied to the clipboard." : "Selected. Press Ctrl+C to copy.";
    setTimeout(() => {
      button.replaceChildren(...before);
      button.style.minWidth = live.textContent = "";
    }, 2000);
  };

  // <form data-busy="Waiting for …">: says so, and takes no second click.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || !form.dataset.busy) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "true";
    const note = document.createElement("div");
    note.className = "busy";
    const bar = document.createElement("progress");
    bar.setAttribute("aria-label", form.dataset.busy);
    note.append(bar, form.dataset.busy);
    form.append(note);
    live.textContent = form.dataset.busy;
    // Later, because the browser does not send the name and value of a button that is disabled.
    setTimeout(() => {
      event.submitter?.setAttribute("aria-busy", "true");
      for (const button of form.querySelectorAll("button:enabled")) {
        button.disabled = true;
        button.dataset.busied = "true";
      }
    });
  });
  // Back in history a page returns as it was left.
  addEventListener("pageshow", () => {
    for (const note of all("form > .busy")) note.remove();
    for (const form of all("form[data-sent]")) delete form.dataset.sent;
    for (const button of all("button[data-busied]")) {
      button.disabled = false;
      button.removeAttribute("aria-busy");
      delete button.dataset.busied;
    }
  });

  // A field that only applies to some answers: data-visible-if='{"ssl": ["true"]}' on its input.
  const conditional = all("[data-visible-if]");
  const answerOf = (form, name) => {
    const field = form.elements[name];
    return field && (field.type === "checkbox" ? String(field.checked) : field.value);
  };
  const showWhatApplies = () => {
    for (const input of conditional) {
      const condition = Object.entries(JSON.parse(input.dataset.visibleIf));
      const applies = condition.every(([name, values]) => {
        const answer = answerOf(input.form, name);
        return answer === undefined || values.includes(answer);
      });
      input.closest("tr, .field").hidden = !applies;
    }
    for (const heading of all(".field-group")) {
      const fields = [];
      for (let next = heading.nextElementSibling; next?.matches(".field"); next = next.nextElementSibling) fields.push(next);
      heading.hidden = fields.every((field) => field.hidden);
    }
  };
  if (conditional.length) {
    showWhatApplies();
    document.addEventListener("change", showWhatApplies);
  }

  // <form data-live="#id">: what is found appears there while it is typed.
  for (const form of all("form[data-live]")) {
    let waiting, last = 0;
    form.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(async () => {
        const turn = ++last;
        const url = `${location.pathname}?${new URLSearchParams(new FormData(form))}`;
        const response = await fetch(url).catch(() => null);
        if (!response?.ok || response.redirected || turn !== last) return;
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        const found = page.querySelector(form.dataset.live);
        if (!found || turn !== last) return;
        document.querySelector(form.dataset.live).replaceWith(found);
        history.replaceState(null, "", url);
        live.textContent = found.dataset.found || "";
      }, 150);
    });
  }

  // <form data-check="url">: what the server says of it appears in #checked while it is typed.
  for (const form of all("form[data-check]")) {
    let waiting, last = 0;
    form.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(async () => {
        const turn = ++last, body = new FormData();
        for (const [name, value] of new FormData(form)) if (typeof value === "string") body.append(name, value);
        const response = await fetch(form.dataset.check, { method: "POST", body }).catch(() => null);
        if (!response?.ok || response.redirected || turn !== last) return;
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        const found = page.querySelector("#checked"), shown = document.querySelector("#checked");
        if (!found || !shown || turn !== last) return;
        shown.replaceWith(found);
        live.textContent = found.querySelector("h2").textContent;
      }, 400);
    });
  }

  const closeMenus = (event) => {
    for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  };
  document.addEventListener("focusin", closeMenus);
  document.addEventListener("click", (event) => {
    closeMenus(event);
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const summary = document.querySelector("details.menu[open] > summary");
      if (!summary) return;
      summary.parentElement.open = false;
      summary.focus();
    }
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    const field = document.querySelector("input[type=search]");
    if (!field || event.target.closest("input, select, textarea, [contenteditable]")) return;
    event.preventDefault();
    field.focus();
  });
})();
