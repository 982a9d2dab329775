// The page of the daemon: figures each second as server-sent events, charts as SVG written here. No library, no network
// but this server.
"use strict";

let W = 520; // of the chart being drawn
const H = 240, LEFT = 52, RIGHT = 12, TOP = 10, BOTTOM = 26;
const POINTS = 720;
const history = [];
let acknowledging = new Set();
const token = new URLSearchParams(location.hash.slice(1)).get("token");
const headers = token ? { authorization: "Bearer " + token } : {};

const get = (id) => document.getElementById(id);
const number = (value, digits = 3) =>
  value === null || value === undefined ? "–" : Number(value).toLocaleString("en", { maximumSignificantDigits: digits });
const whole = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));

function make(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step + 0; at <= high + 1e-9 * step; at += step) found.push(at + 0);
  return found;
}

// A chart with its axes; x and y are functions from values to pixels.
function frame(id, label, xs, ys, xText, yText, log = false) {
  W = Math.max(get(id).clientWidth, 240);
  const svg = make("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label });
  const scale = log ? Math.log10 : (v) => v;
  const [x0, x1] = xs, [y0, y1] = [scale(ys[0]), scale(ys[1])];
  const x = (v) => LEFT + ((v - x0) / (x1 - x0 || 1)) * (W - LEFT - RIGHT);
  const y = (v) => H - BOTTOM - ((scale(v) - y0) / (y1 - y0 || 1)) * (H - TOP - BOTTOM);
  const marks = log
    ? ticks(Math.ceil(y0), Math.floor(y1), Math.min(5, Math.max(1, y1 - y0))).map((e) => 10 ** e)
    : ticks(ys[0], ys[1], 4);
  for (const v of marks) {
    svg.append(make("path", { class: "axis", d: `M${LEFT} ${y(v)}H${W - RIGHT}` }));
    svg.append(make("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, yText(v)));
  }
  for (const v of ticks(x0, x1, W < 420 ? 3 : 5)) {
    svg.append(make("text", { x: x(v), y: H - 6, "text-anchor": "middle" }, xText(v)));
  }
  get(id).replaceChildren(svg);
  return { svg, x, y };
}

function path(points) {
  let text = "", pen = "M";
  for (const [x, y] of points) {
    if (x === null || y === null || Number.isNaN(y)) { pen = "M"; continue; }
    text += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  }
  return text;
}

function empty(id, text) {
  const p = document.createElement("p");
  p.textContent = text;
  get(id).replaceChildren(p);
}

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// A figure over time: `series` are [class, points [time, value]].
function overTime(id, name, series, options = {}) {
  const all = series.flatMap(([, points]) => points).filter(([, v]) => v !== null && Number.isFinite(v));
  if (all.length < 2) return empty(id, "Nothing to show yet.");
  const times = history.map((s) => s.time);
  const values = all.map(([, v]) => v).concat(options.include ?? []);
  let low = Math.min(...values), high = Math.max(...values);
  if (options.log) { low = Math.max(low, 1e-3); high = Math.max(high, 10 * low); }
  else if (options.zero) { low = 0; high = high || 1; }
  else { const room = 0.1 * (high - low) || 0.05 * Math.abs(high) || 0.1; low -= room; high += room; }
  const last = all[all.length - 1][1];
  const label = `${name} over time, now ${number(last)}, between ${number(Math.min(...values))} and ${number(Math.max(...values))}`;
  const { svg, x, y } = frame(id, label, [times[0], times[times.length - 1]], [low, high], clock, (v) => number(v), options.log);
  for (const [kind, value] of options.lines ?? []) {
    svg.append(make("path", { class: kind, d: `M${LEFT} ${y(value)}H${W - RIGHT}` }));
  }
  for (const [kind, points] of series) {
    svg.append(make("path", { class: kind, d: path(points.map(([t, v]) => [x(t), v === null ? null : y(options.log ? Math.max(v, low) : v)])) }));
  }
}

// Differences between points at least `span` seconds apart: [time, value].
function rates(value) {
  const found = [];
  let last = null;
  for (const sample of history) {
    if (last === null || sample.time < last.time) { last = sample; continue; }
    if (sample.time - last.time < 0.9) continue;
    found.push([sample.time, value(sample, last, sample.time - last.time)]);
    last = sample;
  }
  return found;
}

function drawHistory() {
  if (history.length < 2) return;
  const patience = history[history.length - 1].patience;
  const evidence = history.filter((s) => s.evidence !== undefined).map((s) => [s.time, Math.max(s.evidence, 0.01)]);
  overTime("evidence", "Evidence", [["curve", evidence]], { log: true, include: patience ? [patience * 2, 1] : [], lines: patience ? [["limit", patience]] : [] });
  const judged = (a, b) => (a.examples ?? 0) - (b.examples ?? 0);
  const stretch = (total) => rates((a, b) => (judged(a, b) > 0 ? total(a, b) : null));
  const sum = (s, name) => (s.examples ? s[name] * s.examples : 0);
  overTime("loss", "Log loss", [["curve", stretch((a, b) => (sum(a, "log_loss") - sum(b, "log_loss")) / judged(a, b))]]);
  const ratio = stretch((a, b) => (sum(a, "observed") - sum(b, "observed")) / (sum(a, "stated") - sum(b, "stated")));
  overTime("ratio", "Observed over stated", [["curve", ratio]], { include: [1], lines: [["right", 1]] });
  const per = (name) => rates((a, b, seconds) => ((a[name] ?? 0) - (b[name] ?? 0)) / seconds);
  overTime("speed", "Throughput", [["curve", per("events")], ["second", per("scored")]], { zero: true });
}

function drawReliability(told) {
  const levels = told.levels;
  if (!levels.length) return empty("reliability", "No outcomes yet.");
  const text = levels.map((l) => `${number(l.stated, 2)} stated, ${number(l.observed, 2)} observed`).join("; ");
  const { svg, x, y } = frame("reliability", `Reliability diagram: ${text}`, [0, 1], [0, 1], (v) => number(v, 2), (v) => number(v, 2));
  svg.append(make("path", { class: "right", d: `M${x(0)} ${y(0)}L${x(1)} ${y(1)}` }));
  const most = Math.max(...levels.map((l) => l.events));
  svg.append(make("path", { class: "curve", d: path(levels.map((l) => [x(l.stated), y(l.observed)])) }));
  for (const l of levels) {
    const dot = make("circle", { class: "dot", cx: x(l.stated), cy: y(l.observed), r: 3 + 7 * Math.sqrt(l.events / most) });
    dot.append(make("title", {}, `${whole(l.events)} events: ${number(l.stated)} stated, ${number(l.observed)} observed`));
    svg.append(dot);
  }
  const table = document.createElement("table");
  fill(table, ["from", "to", "events", "stated", "observed"], levels.map((l) => [number(l.from, 2), number(l.to, 2), whole(l.events), number(l.stated), number(l.observed)]));
  get("reliability-table").replaceChildren(table);
}

// A table of texts; with `names`, the first cell of a row is its heading.
function fill(table, heads, rows, names = false) {
  const head = document.createElement("thead"), body = document.createElement("tbody"), top = head.insertRow();
  const cell = (row, kind, scope, text) => {
    const made = document.createElement(kind);
    if (scope) made.scope = scope;
    made.textContent = text;
    row.append(made);
  };
  for (const text of heads) cell(top, "th", "col", text);
  for (const texts of rows) {
    const row = body.insertRow();
    texts.forEach((text, k) => (names && k === 0 ? cell(row, "th", "row", text) : cell(row, "td", "", text)));
  }
  table.replaceChildren(head, body);
}

function drawModels(models) {
  get("models").hidden = models.length < 2;
  const signed = (value) => (value > 0 ? "+" : "") + number(value);
  fill(get("models-table"), ["model", "role", "learner", "events compared", "log loss", "champion's", "difference", "95 % interval"], models.map((m) => {
    const c = m.compared?.examples ? m.compared : null, none = m.role === "champion" ? "" : "–";
    return [m.name, m.out ? "out: " + m.out : m.role + (m.frozen ? ", frozen" : ""), m.learner ?? "–", c ? whole(c.examples) : none,
      c ? number(c.log_loss, 4) : none, c ? number(c.champion_log_loss, 4) : none, c ? signed(c.difference) : none, c ? `${signed(c.low)} to ${signed(c.high)}` : none];
  }), true);
}

function drawDrift(features) {
  get("drift").hidden = !features.length;
  const rows = [...features].sort((a, b) => b.jensen_shannon - b.jensen_shannon_by_chance - (a.jensen_shannon - a.jensen_shannon_by_chance));
  fill(get("drift-table"), ["feature", "Jensen-Shannon", "by chance", "PSI", "moved most", "share now", "before", "missing", "evidence"], rows.slice(0, 50).map((f) =>
    [f.feature, number(f.jensen_shannon), number(f.jensen_shannon_by_chance), number(f.psi), f.moved, number(f.share), number(f.reference), number(f.missing, 2), number(f.evidence)]), true);
}

function drawFigures(status) {
  const quality = status.quality ?? {}, counts = status.counts ?? {};
  const told = [
    ["model", status.settled ? status.learner + (status.frozen ? ", frozen" : "") : "none yet"],
    ["events", whole(counts.events)], ["learned", whole(counts.learned)], ["pending", whole(status.pending)],
    ["label lag", status.label_lag_seconds == null ? "–" : `${number(status.label_lag_seconds, 2)} s`],
    ["log loss", number(quality.log_loss, 4)], ["base rate alone", number(quality.base_log_loss, 4)],
    ["AUC", number(quality.auc)], ["observed / stated", number(quality.observed_over_expected)],
    ["calibration error", number(quality.calibration_error, 2)],
    ["evidence", `${number(status.evidence)} of ${whole(status.patience)}`], ["journal entry", whole(status.seq)],
  ];
  const list = get("figures");
  if (list.children.length !== told.length) {
    list.replaceChildren(...told.map(([name]) => {
      const pair = document.createElement("div"), dt = document.createElement("dt");
      dt.textContent = name;
      pair.append(dt, document.createElement("dd"));
      return pair;
    }));
  }
  told.forEach(([, value], k) => { list.children[k].lastChild.textContent = value; });
}

function say(text, good) {
  const state = get("state");
  if (state.textContent !== text) { state.textContent = text; state.className = good ? "good" : "bad"; }
}

function drawAlarms(alarms) {
  get("no-alarms").hidden = alarms.length > 0;
  const list = get("alarms");
  const key = JSON.stringify(alarms.map((a) => [a.id, a.acknowledged, acknowledging.has(a.id)]));
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  const focused = document.activeElement?.dataset?.alarm;
  list.replaceChildren(...[...alarms].reverse().map((alarm) => {
    const item = document.createElement("li"), title = document.createElement("strong"), text = document.createElement("span");
    if (alarm.acknowledged) item.className = "acknowledged";
    title.textContent = `${alarm.id}. ${alarm.what}: ${alarm.direction}`;
    text.textContent = `At event ${whole(alarm.event)}, since about ${whole(alarm.onset_event)}. ${alarm.advice}`;
    item.append(title, text);
    if (alarm.acknowledged) {
      const done = document.createElement("span");
      done.textContent = "Acknowledged.";
      item.append(done);
    } else {
      const button = document.createElement("button");
      button.textContent = "Acknowledge";
      button.setAttribute("aria-label", `Acknowledge alarm ${alarm.id}`);
      button.dataset.alarm = alarm.id;
      button.disabled = acknowledging.has(alarm.id);
      button.addEventListener("click", () => acknowledge(alarm.id));
      item.append(button);
    }
    return item;
  }));
  if (focused) list.querySelector(`[data-alarm="${focused}"]`)?.focus();
}

async function acknowledge(id) {
  acknowledging.add(id);
  const answer = await fetch("/v1/commands/ack", { method: "POST", headers, body: JSON.stringify({ alarm: id }) });
  acknowledging.delete(id);
  if (!answer.ok) say((await answer.json()).error, false);
}

function show(told) {
  const status = told.status, open = told.alarms.filter((a) => !a.acknowledged).length;
  if (!status.writable) say("The disk takes nothing: scoring only.", false);
  else if (open) say(`${open} alarm${open > 1 ? "s" : ""} open`, false);
  else say(status.settled ? "Serving; no alarm open." : "Serving; waiting for the first events.", true);
  history.push(told.sample);
  if (history.length > POINTS) history.splice(0, history.length - POINTS);
  drawFigures(status);
  drawReliability(told.calibration);
  drawAlarms(told.alarms);
  drawHistory();
  drawModels(told.models);
  drawDrift(status.watched?.features ?? []);
}

// Server-sent events by fetch, since EventSource cannot send a token.
async function listen() {
  try {
    if (!history.length) {
      const past = await fetch("/v1/history", { headers });
      if (past.status === 401) return say("A token is needed: open this page as /#token=TOKEN", false);
      history.push(...(await past.json()).history);
    }
    const answer = await fetch("/v1/live", { headers });
    if (!answer.ok) throw new Error((await answer.json()).error);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
      const parts = text.split("\n\n");
      text = parts.pop();
      for (const part of parts) if (part.startsWith("data: ")) show(JSON.parse(part.slice(6)));
    }
    say("The server has stopped; trying again …", false);
  } catch (error) {
    say(`No connection (${error.message}); trying again …`, false);
  }
  setTimeout(listen, 2000);
}

listen();
