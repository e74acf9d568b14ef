// Updates a page while it is open. Without this script the page reloads every few seconds.
"use strict";

(() => {
  // Links of the API: the server never sees the part after #.
  const link = /^#job\/(\d+)(?:\/run\/(\d+))?$/.exec(location.hash);
  if (location.pathname === "/" && link) {
    location.replace(`/jobs/${link[1]}` + (link[2] ? `/runs/${link[2]}` : ""));
    return;
  }

  const busyMs = 1000;
  const idleMs = 4000;
  const logOf = (page) => page.querySelector("[data-log]");
  const disconnected = document.getElementById("disconnected");

  // Replaces the parts that can change with those of a newly loaded page.
  async function refreshParts() {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!response.ok) throw new Error(response.statusText);
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    if (logOf(fresh)?.dataset.log !== logOf(document)?.dataset.log) {
      location.reload(); // the run has its first task, or a new attempt
      return;
    }
    for (const part of document.querySelectorAll("[data-live]")) {
      const found = fresh.getElementById(part.id);
      if (found && found.innerHTML !== part.innerHTML) part.innerHTML = found.innerHTML;
    }
    document.title = fresh.title;
    document.body.dataset.active = fresh.body.dataset.active;
  }

  // Appends new output of a task, and keeps a reader at the end of the log there.
  async function refreshLog() {
    const log = logOf(document);
    if (!log || log.dataset.done) return;
    const response = await fetch(`${log.dataset.log}?from=${log.dataset.end}`);
    if (!response.ok) throw new Error(response.statusText);
    const piece = await response.json();
    if (piece.text) {
      const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      log.append(piece.text);
      if (atEnd) log.scrollTop = log.scrollHeight;
    }
    log.dataset.end = piece.end;
    if (piece.done) log.dataset.done = "yes";
  }

  async function refresh() {
    try {
      if (!document.hidden) {
        await refreshParts();
        await refreshLog();
      }
      disconnected.hidden = true;
    } catch {
      disconnected.hidden = false;
    }
    const log = logOf(document);
    const busy = document.body.dataset.active || (log && !log.dataset.done);
    setTimeout(refresh, busy ? busyMs : idleMs);
  }

  const log = logOf(document);
  if (log) log.scrollTop = log.scrollHeight;
  if (disconnected) setTimeout(refresh, busyMs);
})();
