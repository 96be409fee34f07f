// Refreshes the page: every few seconds it is fetched again, and parts with data-live are replaced.
// Everything else works without a script.
"use strict";

const EVERY_MS = 5000;

// While a visitor types, selects text, or has a section unfolded, the page is not changed.
function isBusy() {
  const field = document.activeElement;
  if (field && field.closest("main") && field.matches("input, select, textarea, button, summary")) return true;
  if (document.querySelector("main [data-live] details[open]")) return true;
  const marked = document.getSelection();
  return Boolean(marked && !marked.isCollapsed);
}

function replaceParts(fresh) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!next || next.innerHTML === part.innerHTML) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    part.replaceChildren(...next.childNodes);
    if (focused) part.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
}

async function refresh() {
  if (document.hidden || isBusy()) return;
  try {
    const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS) });
    // The session has ended, or Redis is unavailable: reload to show the full page.
    if (response.redirected || response.status === 503) return location.reload();
    if (response.ok && !isBusy()) {
      replaceParts(new DOMParser().parseFromString(await response.text(), "text/html"));
    }
  } catch {
    // The monitor is unreachable; the next round retries.
  }
}

if (document.querySelector("[data-live]")) setInterval(refresh, EVERY_MS);
