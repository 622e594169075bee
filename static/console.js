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

  // <div id="x" data-again>: looked at anew each second, until what is there comes without data-again.
  const until = Date.now() + 25000;
  const lookAgain = () => {
    if (!document.querySelector("[data-again]") || Date.now() > until) return;
    setTimeout(async () => {
      const shown = document.querySelector("[data-again]");
      const response = await fetch(location.href).catch(() => null);
      if (response?.ok && !response.redirected) {
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        const found = page.getElementById(shown.id);
        if (found && !found.isEqualNode(shown)) {
          shown.replaceWith(found);
          live.textContent = found.dataset.said || "";
        }
      }
      lookAgain();
    }, 1000);
  };
  lookAgain();

  // <input data-filter=".thing">: hides those things, and the groups around them, that lack its words.
  for (const field of all("[data-filter]")) {
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const thing of all(field.dataset.filter)) {
        const text = thing.textContent.toLowerCase();
        thing.hidden = !words.every((word) => text.includes(word));
        shown += !thing.hidden;
      }
      for (const group of all(`section:has(${field.dataset.filter})`)) {
        group.hidden = !group.querySelector(`${field.dataset.filter}:not([hidden])`);
      }
      for (const count of all("[data-count-of]")) {
        count.textContent = all(`#${count.dataset.countOf} ${field.dataset.filter}:not([hidden])`).length;
      }
      document.querySelector("[data-filter-empty]").hidden = shown > 0;
    });
  }

  // <form data-try>: calls the API with the key of the page, which is kept nowhere else.
  const tryIt = async (form) => {
    const parts = { path: [], query: [], header: [], body: [] };
    for (const input of form.querySelectorAll("[data-in]")) if (input.value.trim()) parts[input.dataset.in].push(input);
    let url = form.dataset.path;
    for (const { dataset, value } of parts.path) url = url.replace(`{${dataset.name}}`, encodeURIComponent(value.trim()));
    const query = new URLSearchParams(parts.query.map(({ dataset, value }) => [dataset.name, value.trim()]));
    if (parts.query.length) url += `?${query}`;
    const headers = Object.fromEntries(parts.header.map(({ dataset, value }) => [dataset.name, value.trim()]));
    const key = document.querySelector("#try-key").value.trim();
    const [body] = parts.body.map((input) => input.value);
    if (body) headers["Content-Type"] = "application/json";
    const say = (name, text) => (form.querySelector(`[data-tried-${name}]`).textContent = text);
    const started = performance.now();
    try {
      if (key) headers.Authorization = `Bearer ${key}`;
      const response = await fetch(url, { method: form.dataset.method, headers, body, credentials: "omit", cache: "no-store" });
      const text = await response.text();
      say("status", `${response.status} ${response.statusText}`);
      say("time", `${Math.round(performance.now() - started)} ms`);
      say("headers", [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n"));
      let shown = text;
      try {
        shown = JSON.stringify(JSON.parse(text), null, 2);
      } catch {
        // No JSON: as it came.
      }
      say("body", shown || "(no body)");
    } catch (error) {
      // A key or header with letters that no header takes ends here as well.
      say("status", "Nothing was sent, or nothing came back");
      for (const name of ["time", "headers"]) say(name, "");
      say("body", error.message);
    }
    form.querySelector("[data-tried]").hidden = false;
  };
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!("try" in form.dataset)) return;
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    if (button.disabled) return;
    const isLive = document.querySelector("#try-key").value.trim().startsWith("pc_live_");
    if (isLive && form.dataset.method !== "GET" && !confirm("This is done for real. Go on?")) return;
    button.disabled = true;
    await tryIt(form);
    button.disabled = false;
  });

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
