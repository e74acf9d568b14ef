// Keeps a page current. Without this script it reloads itself, every few seconds.
"use strict";

(() => {
  // The API's links: the part after # never reaches the server.
  const link = /^#job\/(\d+)(?:\/run\/(\d+))?$/.exec(location.hash);
  if (location.pathname === "/" && link) {
    location.replace(`/jobs/${link[1]}` + (link[2] ? `/runs/${link[2]}` : ""));
    return;
  }

  const busyMs = 1000;
  const idleMs = 4000;
  const logOf = (page) => page.querySelector("[data-log]");
  const lost = document.getElementById("lost");

  // Puts what a newer version of this page says into the parts that may change.
  async function refreshParts() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (logOf(fresh)?.dataset.log !== logOf(document)?.dataset.log) {
      location.reload(); // a run has got its first task, or another attempt
      return;
    }
    for (const part of document.querySelectorAll("[data-live]")) {
      const found = fresh.getElementById(part.id);
      if (found && found.innerHTML !== part.innerHTML) part.innerHTML = found.innerHTML;
    }
    document.title = fresh.title;
    document.body.dataset.active = fresh.body.dataset.active;
  }

  // Appends what a task has written since, and stays at the end for whoever reads there.
  async function refreshLog() {
    const log = logOf(document);
    if (!log || log.dataset.done) return;
    const answer = await fetch(`${log.dataset.log}?from=${log.dataset.end}`);
    if (!answer.ok) throw new Error(answer.statusText);
    const piece = await answer.json();
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
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
    const log = logOf(document);
    const busy = document.body.dataset.active || (log && !log.dataset.done);
    setTimeout(refresh, busy ? busyMs : idleMs);
  }

  const log = logOf(document);
  if (log) log.scrollTop = log.scrollHeight;
  if (lost) setTimeout(refresh, busyMs);
})();
