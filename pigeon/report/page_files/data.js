"use strict";
// What the journal says, completed, and what the page is made with: words for numbers, elements.

const DATA = JSON.parse(document.getElementById("data").textContent);
const KINDS = { ok: "ok", failed: "failed ✕", cancelled: "cancelled", open: "not ended" };
const $ = (id) => document.getElementById(id);

// What the journal says, completed: when each was seen, ended, and what stood in its way.
const SESSIONS = DATA.sessions.filter((s) => s.seen !== null || s.start !== null)
  .sort((a, b) => (a.start ?? a.seen) - (b.start ?? b.seen));
const BY_ID = new Map(SESSIONS.map((s) => [s.id, s]));
for (const s of SESSIONS) {
  s.until = s.end ?? (s.kind === "open" ? DATA.made : s.start ?? s.seen);
  s.waits = s.waits.map(([reason, by, since, waited]) => ({
    reason, by, since, waited, until: since + (waited ?? Math.max(0, (s.start ?? s.until) - since)),
  }));
  s.from = Math.min(s.seen ?? s.start, s.start ?? Infinity, ...s.waits.map((w) => w.since));
  s.until = Math.max(s.until, s.from, ...s.waits.map((w) => w.until));
  s.waited = Math.max((s.slot ?? 0) + (s.lock ?? 0), ...s.waits.map((w) => w.waited ?? 0));
  s.took = s.run ?? (s.start === null ? 0 : Math.max(0, s.until - s.start));
  s.text = [s.command, s.dir, s.user, s.client, s.worker, s.error, s.ended, s.id].join("\n").toLowerCase();
  s.blocks = [];
}
for (const s of SESSIONS) for (const w of s.waits) BY_ID.get(w.by)?.blocks.push([s, w]);
const blocked = (s) => sum(s.blocks, ([, w]) => w.until - w.since);
const FIRST = Math.min(...SESSIONS.map((s) => s.from), DATA.made), LAST = Math.max(...SESSIONS.map((s) => s.until), FIRST + 1);
const PAD = (LAST - FIRST) * 0.01;
const WHOLE = [FIRST - PAD, LAST + PAD];

// Words and numbers

const glued = (text) => text.replaceAll(" ", "\u00a0");  // a number stays beside its unit

function duration(s) {
  if (s < 0.9995) return glued(`${Math.round(s * 1000)} ms`);
  if (s < 9.95) return glued(`${s.toFixed(1)} s`);
  s = Math.round(s);
  const two = (n) => String(n).padStart(2, "0");
  if (s < 60) return glued(`${s} s`);
  if (s < 3600) return glued(`${Math.floor(s / 60)} min ${two(s % 60)} s`);
  if (s < 86400) return glued(`${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`);
  return glued(`${Math.floor(s / 86400)} d ${two(Math.floor((s % 86400) / 3600))} h`);
}

function bytes(n) {
  let unit = 0;
  while (n >= 999.5 && unit < 5) { n /= 1024; unit++; }
  return glued(`${unit && n < 9.95 ? n.toFixed(1) : Math.round(n)} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit]}`);
}

const LOCALE = "en-GB";
const clock = (at) => new Date(at * 1000).toLocaleTimeString(LOCALE);
const day = (at) => new Date(at * 1000).toLocaleDateString(LOCALE, { day: "numeric", month: "short", year: "numeric" });
const moment = (at) => (day(at) === day(DATA.made) ? clock(at) : `${day(at)}, ${clock(at)}`);
const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
const sum = (list, of) => list.reduce((total, one) => total + of(one), 0);

// Elements

function element(name, attributes = {}, ...children) {
  const svg = ["svg", "g", "rect", "path", "text", "line", "defs", "pattern"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Attributes of what chooses a session, by mouse or keyboard. */
function choosing(s) {
  return {
    tabindex: 0, "data-id": s.id, onclick: () => choose(s.id),
    onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(s.id); } },
  };
}

/** In place of what was there; null is nothing. */
function fill(parent, ...children) { parent.replaceChildren(...children.filter((child) => child !== null)); }

function table(headings, rows, none) {
  if (!rows.length) return element("p", { class: "none" }, none);
  const head = element("tr", {}, ...headings.map(([title, kind]) => element("th", { class: kind ?? "" }, title)));
  const body = rows.map(([s, ...cells]) => element("tr", s ? choosing(s) : {},
    ...cells.map((cell, n) => element("td", { class: headings[n][1] ?? "" }, cell))));
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

const mono = (text) => element("code", {}, text);
const badge = (s) => element("span", { class: `badge ${s.kind}` }, s.kind === "failed" ? `✕ ${s.ended}` : s.ended);
