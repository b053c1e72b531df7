// Draws one journal. `state` says what is shown and stands in the address behind `#`, so that a view can be passed on;
// `draw` makes everything from it anew. Texts of commands and paths are only ever set as text.

const ROWS_IN_LANE = 14, ROW = 20, LANES = 40, TABLE_ROWS = 100;
const state = { range: WHOLE, text: "", kinds: new Set(Object.keys(KINDS)), dir: "", chosen: null };

function fits(s) {
  return state.kinds.has(s.kind) && (!state.dir || s.dir === state.dir) && (!state.text || s.text.includes(state.text));
}
const inRange = (s) => s.until >= state.range[0] && s.from <= state.range[1];

function draw() {
  const matching = SESSIONS.filter(fits), shown = matching.filter(inRange);
  drawStory(); // first: the rest takes the room that it leaves
  drawHead(shown);
  drawFindings(shown);
  drawOverview(matching);
  drawLanes(shown);
  drawTables(shown);
  keepAddress();
}

function drawHead(shown) {
  const [a, b] = state.range === WHOLE ? [FIRST, LAST] : state.range;
  const same = day(a) === day(b);
  document.title = $("title").textContent = `What ran on ${DATA.host}`;
  const directories = new Set(shown.map((s) => s.dir)).size;
  $("subtitle").textContent = `${day(a)}, ${clock(a)} – ${same ? "" : `${day(b)}, `}${clock(b)} · ` +
    `${count(shown.length, "command")} in ${count(directories, "directory", "directories")}`;
  $("foot").textContent = `Made ${day(DATA.made)}, ${clock(DATA.made)} from the journal on ${DATA.host} by pigeon ${DATA.version}` +
    (DATA.left_out ? `; ${DATA.left_out} older ones are left out (-n 0 shows all)` : "");
  for (const chip of $("kinds").children) {
    chip.setAttribute("aria-pressed", state.kinds.has(chip.dataset.kind));
    const n = SESSIONS.filter((s) => s.kind === chip.dataset.kind).length;
    chip.lastChild.textContent = `${KINDS[chip.dataset.kind]} ${n}`;
  }
}

function finding(kind, value, text, s = null) {
  const inner = [element("b", {}, value), element("span", {}, ...text)];
  return s ? element("button", { type: "button", class: `finding ${kind}`, ...choosing(s) }, ...inner)
    : element("div", { class: `finding ${kind}` }, ...inner);
}

/** The day in four sentences. */
function drawFindings(shown) {
  const failed = shown.filter((s) => s.kind === "failed");
  const slowest = shown.reduce((best, s) => (s.waited > (best?.waited ?? 0) ? s : best), null);
  const blocker = shown.filter((s) => s.blocks.length)
    .map((s) => [s, blocked(s)]).sort((a, b) => b[1] - a[1])[0];
  const cards = [];
  if (slowest && slowest.waited >= 1) {
    const why = slowest.waits.reduce((most, w) => (w.until - w.since > (most ? most.until - most.since : 0) ? w : most), null);
    const holder = why && BY_ID.get(why.by);
    cards.push(finding("slow", duration(slowest.waited), ["longest wait: ", mono(short(slowest.command, 60)),
      ...(holder ? [", most of it behind ", mono(short(holder.command, 60))] : why ? [` for the ${why.reason}`] : [])], slowest));
  } else cards.push(finding("", "no waiting", ["nothing waited for as long as a second"]));
  if (blocker) cards.push(finding("slow", count(blocker[0].blocks.length, "command"),
    [`waited ${duration(blocker[1])} in all behind `, mono(short(blocker[0].command, 60))], blocker[0]));
  const ways = new Map();
  for (const s of failed) ways.set(s.ended, (ways.get(s.ended) ?? 0) + 1);
  const most = [...ways].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([way, n]) => glued(`${way} × ${n}`)).join(", ");
  cards.push(failed.length ? finding("bad", count(failed.length, "failure"),
    [`${Math.round((100 * failed.length) / shown.length)} % of the commands: ${most}`], failed[failed.length - 1])
    : finding("", "no failures", ["everything that ended did so well, or was cancelled"]));
  cards.push(finding("", bytes(sum(shown, (s) => s.out)), [`of output, and ${bytes(sum(shown, (s) => s.in))} of input; `,
    `${duration(sum(shown, (s) => s.took))} of running time`]));
  $("findings").replaceChildren(...cards);
}

// Time on paper

function scale(width) {
  const [a, b] = state.range;
  return { x: (at) => ((at - a) / (b - a)) * width, at: (x) => a + (x / width) * (b - a), width };
}

const STEPS = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000];

function ticks(to, height, labelled) {
  const [a, b] = state.range, wanted = Math.max(2, to.width / 110);
  const step = STEPS.find((s) => (b - a) / s <= wanted) ?? STEPS.at(-1) * Math.ceil((b - a) / wanted / STEPS.at(-1));
  const zone = new Date(a * 1000).getTimezoneOffset() * 60, made = [];
  for (let at = Math.ceil((a - zone) / step) * step + zone; at <= b; at += step) {
    const x = to.x(at);
    made.push(element("line", { class: "grid", x1: x, x2: x, y1: 0, y2: height }));
    const label = step >= 86400 ? day(at).replace(/ \d+$/, "") : step < 1 ? `${clock(at)}.${Math.round((at % 1) * 10)}`
      : step >= 60 ? clock(at).slice(0, 5) : clock(at);
    if (labelled && x > 18 && x < to.width - 18) made.push(element("text", { x, y: height + 13, "text-anchor": "middle" }, label));
  }
  return made;
}

/** Into bins: how many ran and waited at a time (the mean), and the bytes, spread over the time that it ran. */
function binned(sessions, bins) {
  const [a, b] = state.range, step = (b - a) / bins;
  const made = { running: new Float64Array(bins), waiting: new Float64Array(bins), out: new Float64Array(bins), in: new Float64Array(bins) };
  const spread = (into, from, until, amount) => {
    const length = Math.max(until - from, 1e-3);
    const first = Math.max(0, Math.floor((from - a) / step)), last = Math.min(bins - 1, Math.floor((from + length - a) / step));
    for (let n = first; n <= last; n++) {
      const covered = Math.min(from + length, a + (n + 1) * step) - Math.max(from, a + n * step);
      if (covered > 0) into[n] += amount(covered, length);
    }
  };
  for (const s of sessions) {
    if (s.start !== null) {
      spread(made.running, s.start, s.until, (covered) => covered / step);
      spread(made.out, s.start, s.until, (covered, length) => (s.out * covered) / length);
      spread(made.in, s.start, s.until, (covered, length) => (s.in * covered) / length);
    }
    for (const w of s.waits) spread(made.waiting, w.since, w.until, (covered) => covered / step);
  }
  return { ...made, step };
}

function drawOverview(matching) {
  const svg = $("overview"), width = svg.clientWidth || 900, to = scale(width), band = 62, height = 2 * band + 16;
  svg.setAttribute("viewBox", `0 0 ${width} ${height + 18}`);
  svg.setAttribute("height", height + 18);
  const bins = Math.max(20, Math.floor(width / 5)), got = binned(matching, bins), w = width / bins, parts = [];
  const stacked = (top, lower, upper, classes) => {
    const most = Math.max(1e-9, ...lower.map((v, n) => v + upper[n]));
    lower.forEach((value, n) => {
      let y = top + band;
      for (const [v, kind] of [[value, classes[0]], [upper[n], classes[1]]]) {
        const h = (v / most) * band;
        if (h > 0.05) parts.push(element("rect", { class: kind, x: n * w, y: (y -= h), width: Math.max(w - 0.6, 0.6), height: h }));
      }
    });
    return most;
  };
  const load = stacked(0, got.running, got.waiting, ["area running", "area waiting"]);
  const flow = stacked(band + 16, got.out, got.in, ["bytes out", "bytes in"]);
  const note = (y, text) => element("text", { x: 2, y, class: "note" }, text);
  svg.replaceChildren(...ticks(to, height, true), ...parts,
    note(10, load > 1e-6 ? `at most ${load < 9.95 ? load.toFixed(1) : Math.round(load)} at a time` : "nothing ran"),
    note(band + 26, flow > 1e-6 ? `at most ${bytes(flow)} in ${duration(got.step)}` : "no bytes"));
}

// Lanes: one for each directory; in it, rows of bars that do not touch

function packed(sessions) {
  const rows = [];
  for (const s of [...sessions].sort((a, b) => a.from - b.from || a.until - b.until)) {
    let n = rows.findIndex((end) => end <= s.from);
    if (n < 0) n = rows.length < ROWS_IN_LANE ? rows.push(0) - 1 : ROWS_IN_LANE - 1;
    rows[n] = Math.max(rows[n], s.until);
    s.row = n;
  }
  return rows.length;
}

function bar(s, to, related) {
  const y = s.row * ROW + 2, h = ROW - 5, least = 2.5, parts = [];
  const piece = (kind, from, until, inset = 0) => {
    const x = to.x(from), width = Math.max(to.x(until) - x, least);
    parts.push(element("rect", { class: kind, x, y: y + inset, width, height: h - 2 * inset }));
    return [x, width];
  };
  if (s.start !== null && s.start > s.from) piece("seen", s.from, s.start, h / 2 - 1);
  for (const w of s.waits) piece("wait", w.since, w.until, 2);
  let [x, width] = s.start !== null ? piece("run", s.start, s.until) : piece(s.waits.length ? "seen" : "run", s.from, s.until, h / 2 - 1);
  const label = (s.kind === "failed" ? "✕ " : "") + s.command, left = Math.max(x, 0), room = Math.min(x + width, to.width) - left;
  if (room > 44) parts.push(element("text", { x: left + 5, y: y + 11 }, short(label, Math.floor((room - 8) / 6.1))));
  const dim = related && !related.has(s.id) ? " dim" : "", chosen = s.id === state.chosen ? " chosen" : "";
  return element("g", { class: `bar ${s.kind}${dim}${chosen}`, role: "button", "aria-label": `${s.command}: ${s.ended}`,
    ...choosing(s), onpointermove: (event) => tip(event, s), onpointerleave: untip }, ...parts);
}

/** From the end of a wait to the end of what held it up: there the one hands over to the other. Of several waits in a
 *  row the last one is tied, but all of them for the chosen command. */
function tie(s, w, to, related) {
  if (w !== s.waits.at(-1) && s.id !== state.chosen && w.by !== state.chosen) return null;
  const holder = BY_ID.get(w.by);
  if (!holder || holder.row === undefined || holder.dir !== s.dir || !fits(holder) || !inRange(holder)) return null;
  const x1 = to.x(Math.min(holder.until, w.until)), y1 = holder.row * ROW + ROW / 2, x2 = to.x(w.until), y2 = s.row * ROW + ROW / 2;
  const close = related ? (related.has(s.id) && related.has(holder.id) ? " chosen" : " dim") : "";
  return element("path", { class: `tie${close}`, d: `M${x1},${y1} C${x1 + 12},${y1} ${x2 + 12},${y2} ${x2},${y2}` });
}

function drawLanes(shown) {
  const lanes = new Map();
  for (const s of shown) lanes.has(s.dir) ? lanes.get(s.dir).push(s) : lanes.set(s.dir, [s]);
  const weight = (list) => sum(list, (s) => s.waited) * 1e3 + sum(list, (s) => s.took) + list.length;
  const ordered = [...lanes].sort((a, b) => weight(b[1]) - weight(a[1]));
  const holder = $("lanes"), narrow = matchMedia("(max-width: 760px)").matches;
  const to = scale(Math.max(200, holder.clientWidth - (narrow ? 0 : 252)));
  const chosen = BY_ID.get(state.chosen);
  const related = chosen && new Set([chosen.id, ...chosen.waits.map((w) => w.by), ...chosen.blocks.map(([s]) => s.id)]);
  const hatch = element("svg", { width: 0, height: 0, style: "position:absolute" }, element("defs", {},
    element("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      element("rect", { width: 2.2, height: 6, fill: "var(--waiting)" }))));
  const axis = element("svg", { viewBox: `0 0 ${to.width} 18`, height: 18 }, ...ticks(to, 4, true));
  const made = [hatch, element("div", { class: "lane axis" }, element("span", { class: "name" }), axis)];
  for (const [dir, list] of ordered.slice(0, LANES)) {
    for (const s of SESSIONS) if (s.dir === dir) s.row = undefined;
    const height = packed(list) * ROW + 2, drawn = new Map();
    const bars = list.filter((s) => { // of many bars in one pixel, one of each kind is drawn
      const key = `${s.row} ${s.kind} ${Math.round(to.x(s.from))}`;
      if (s.id !== state.chosen && to.x(s.until) - to.x(s.from) < 1 && drawn.has(key)) return false;
      return drawn.set(key, true);
    });
    const ties = list.flatMap((s) => s.waits.map((w) => tie(s, w, to, related))).filter(Boolean);
    const failed = list.filter((s) => s.kind === "failed").length, waited = sum(list, (s) => s.waited);
    const facts = [count(list.length, "command"), failed && `${failed} failed`, waited >= 1 && `waited ${duration(waited)}`];
    made.push(element("div", { class: "lane", "data-dir": dir },
      element("div", { class: "name" }, element("b", { title: dir }, element("span", {}, dir)), element("small", {}, facts.filter(Boolean).join(" · "))),
      element("svg", { viewBox: `0 0 ${to.width} ${height}`, height, style: "overflow:hidden" },
        ...ticks(to, height, false), ...bars.map((s) => bar(s, to, related)), ...ties)));
  }
  if (!ordered.length) made.push(element("p", { class: "none" }, "Nothing matches these filters."));
  holder.replaceChildren(...made);
  $("more-lanes").textContent = ordered.length > LANES ? `${ordered.length - LANES} directories with less to show are left out; choose one above.` : "";
}

function drawTables(shown) {
  const blockers = shown.filter((s) => s.blocks.length).map((s) => [s, blocked(s)]).sort((a, b) => b[1] - a[1]).slice(0, 12);
  $("blockers").replaceChildren(table([["in the way", "wide"], ["waiters", "number"], ["in all", "number"]],
    blockers.map(([s, total]) => [s, mono(short(s.command, 120)), String(s.blocks.length), duration(total)]), "Nobody waited for anybody."));
  const failures = shown.filter((s) => s.kind === "failed").reverse().slice(0, 12);
  $("failures").replaceChildren(table([["when"], ["ended"], ["command", "wide"]],
    failures.map((s) => [s, moment(s.until), badge(s), mono(short(s.command, 120))]), "Nothing failed."));
  const rows = [...shown].reverse().slice(0, TABLE_ROWS);
  $("table-title").textContent = rows.length < shown.length ? `The newest ${rows.length} of ${shown.length} commands` : "Commands";
  $("table").replaceChildren(table(
    [["when"], ["ended"], ["took", "number"], ["waited", "number less"], ["out", "number less"], ["directory", "less"], ["command", "wide"]],
    rows.map((s) => [s, moment(s.start ?? s.from), badge(s), duration(s.took), s.waited ? duration(s.waited) : "–", bytes(s.out),
      short(s.dir, 40), mono(short(s.command, 200))]), "Nothing matches these filters."));
}

// One command's story

function link(s) {
  return element("button", { type: "button", class: "link mono", onclick: () => choose(s.id) }, short(s.command, 90));
}

function drawStory() {
  const s = BY_ID.get(state.chosen), panel = $("story");
  panel.hidden = !s;
  document.body.classList.toggle("beside-story", Boolean(s));
  if (!s) return;
  const facts = [
    ["directory", s.dir], ["asked by", `${s.user} on ${s.client}`],
    ["worker", s.worker + (s.route ? `, route ${s.route}` : "") + `, namespace ${s.namespace}`],
    ["when", moment(s.start ?? s.from)], ["took", s.start === null ? "was not started" : duration(s.took)],
    ["waited", [s.slot && `${duration(s.slot)} for a slot`, s.lock && `${duration(s.lock)} for the directory`].filter(Boolean).join(", ")],
    ["bytes", `${bytes(s.in)} in, ${bytes(s.out)} out`],
    ["mode", `${s.terminal ? "on a terminal" : "on pipes"}${s.beside ? ", beside others (--no-lock)" : ""}`],
    ["signals", s.signals ? String(s.signals) : ""], ["ended by", s.by], ["session", s.id],
  ];
  const moments = [...s.events.map(([at, name, text]) => [at, name, text])];
  for (const w of s.waits) {
    moments.push([w.since, "waits", `for the ${w.reason}`]);
    if (w.waited !== null) moments.push([w.until, "waited", `for the ${w.reason}: ${duration(w.waited)}`]);
  }
  moments.sort((a, b) => a[0] - b[0]);
  const origin = moments[0]?.[0] ?? s.from;
  const held = Object.entries(s.waits.filter((w) => w.by).reduce((all, w) => ({ ...all, [w.by]: (all[w.by] ?? 0) + w.until - w.since }), {}))
    .sort((a, b) => b[1] - a[1]);
  const some = (list, shown, of) => (list.length ? [...list.slice(0, shown).map(of),
    element("p", { class: "quiet" }, list.length > shown ? `and ${list.length - shown} more` : "")] : []);
  fill(panel,
    element("div", { class: "top" }, badge(s), element("span", { class: "room" }),
      element("button", { type: "button", "aria-label": "earlier", onclick: () => step(-1) }, "←"),
      element("button", { type: "button", "aria-label": "later", onclick: () => step(1) }, "→"),
      element("button", { type: "button", "aria-label": "close", onclick: () => choose(null) }, "✕")),
    element("pre", { class: "mono" }, s.command),
    s.error ? element("p", { class: "error" }, s.error) : null,
    element("dl", {}, ...facts.filter(([, value]) => value).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
    held.length ? element("h3", {}, "Was held up by") : null,
    ...some(held, 6, ([by, time]) => element("p", {}, BY_ID.has(by) ? link(BY_ID.get(by)) : by, ` for ${duration(time)}`)),
    s.blocks.length ? element("h3", {}, "Held up") : null,
    ...some(s.blocks, 8, ([other, w]) => element("p", {}, link(other), ` for ${duration(w.until - w.since)}`)),
    element("h3", {}, "What happened"),
    element("ol", {}, ...moments.map(([at, name, text]) => element("li", {},
      element("time", { title: moment(at) }, `+${duration(Math.max(0, at - origin))}`), element("b", {}, name), ` ${text}`))),
    element("p", { class: "quiet mono" }, `pigeon history ${s.id}`));
}

function choose(id) {
  state.chosen = id === state.chosen ? null : id;
  untip();
  draw();
}

function step(by) {
  const shown = SESSIONS.filter((s) => fits(s) && inRange(s)), n = shown.findIndex((s) => s.id === state.chosen);
  const next = shown[n + by];
  if (next) choose(next.id);
}

function tip(event, s) {
  const box = $("tip");
  const lines = [short(s.command, 200), `${s.ended} · ${s.start === null ? "not started" : duration(s.took)}` +
    (s.waited ? ` · waited ${duration(s.waited)}` : "") + ` · ${bytes(s.out)} out`, `${moment(s.start ?? s.from)} · ${s.user}`];
  box.replaceChildren(...lines.map((line, n) => element("div", { class: n ? "" : "mono" }, line)));
  box.hidden = false;
  box.style.left = `${Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8)}px`;
  box.style.top = `${Math.min(event.clientY + 16, innerHeight - box.offsetHeight - 8)}px`;
}
function untip() { $("tip").hidden = true; }

// The address, the filters, the mouse

function keepAddress() {
  const words = new URLSearchParams();
  if (state.chosen) words.set("session", state.chosen);
  if (state.text) words.set("text", state.text);
  if (state.dir) words.set("directory", state.dir);
  if (state.kinds.size < Object.keys(KINDS).length) words.set("ended", [...state.kinds].join(","));
  if (state.range !== WHOLE) words.set("range", state.range.map((at) => at.toFixed(3)).join(","));
  history.replaceState(null, "", words.size ? `#${words}` : location.pathname + location.search);
}

function readAddress() {
  const words = new URLSearchParams(location.hash.slice(1)), range = (words.get("range") ?? "").split(",").map(Number);
  state.chosen = BY_ID.has(words.get("session")) ? words.get("session") : null;
  state.text = words.get("text") ?? "";
  state.dir = words.get("directory") ?? "";
  state.kinds = new Set((words.get("ended") ?? Object.keys(KINDS).join(",")).split(","));
  state.range = range.length === 2 && range[0] < range[1] ? range : WHOLE;
  $("text").value = state.text;
  $("directory").value = state.dir;
}

function begin() {
  const directories = [...new Set(SESSIONS.map((s) => s.dir))].sort();
  $("directory").append(element("option", { value: "" }, "every directory"), ...directories.map((dir) => element("option", { value: dir }, dir)));
  $("kinds").append(...Object.keys(KINDS).map((kind) => element("button", { type: "button", class: "chip", "data-kind": kind,
    onclick: () => { state.kinds.has(kind) ? state.kinds.delete(kind) : state.kinds.add(kind); draw(); } },
    element("i", { class: `key ${kind}` }), "")));
  $("text").addEventListener("input", () => { state.text = $("text").value.toLowerCase(); draw(); });
  $("directory").addEventListener("change", () => { state.dir = $("directory").value; draw(); });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("reset").addEventListener("click", () => { location.hash = ""; readAddress(); draw(); });
  const svg = $("overview");
  let from = null;
  const x = (event) => Math.min(Math.max(event.clientX - svg.getBoundingClientRect().left, 0), svg.clientWidth);
  svg.addEventListener("pointerdown", (event) => { from = x(event); event.preventDefault(); });
  addEventListener("pointermove", (event) => { // wherever it is: a drag may end outside
    if (from === null) return;
    svg.querySelector(".brush")?.remove();
    svg.append(element("rect", { class: "brush", x: Math.min(from, x(event)), y: 0, width: Math.abs(x(event) - from), height: 160 }));
  });
  addEventListener("pointerup", (event) => {
    if (from === null) return;
    const to = scale(svg.clientWidth), ends = [from, x(event)].sort((a, b) => a - b);
    from = null;
    if (ends[1] - ends[0] > 4) state.range = [to.at(ends[0]), to.at(ends[1])];
    draw();
  });
  svg.addEventListener("dblclick", () => { state.range = WHOLE; draw(); });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") choose(null);
    else if (state.chosen && event.target === document.body && event.key === "ArrowLeft") step(-1);
    else if (state.chosen && event.target === document.body && event.key === "ArrowRight") step(1);
  });
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
  addEventListener("hashchange", () => { readAddress(); draw(); });
  readAddress();
  draw();
}

begin();
