// The dashboard: asks /readyz and /metrics every two seconds while it is in sight.

import { $, formatBytes, h, setText } from "./dom.js";

const EVERY = 2000;
const MOST_ROWS = 200;

const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });

/**
 * readMetrics reads the Prometheus text format into
 * [{name, labels, value, help, counter}]; lines that it can't read are left out.
 */
export function readMetrics(text) {
  const help = new Map();
  const counters = new Set();
  const samples = [];
  for (const line of text.split("\n")) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment) {
      if (comment[1] === "HELP") help.set(comment[2], comment[3]);
      else if (comment[3] === "counter") counters.add(comment[2]);
      continue;
    }
    const sample = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!sample) continue;
    const [, name, labels = "", value] = sample;
    samples.push({ name, labels, value: Number(value), help: help.get(name) ?? "", counter: counters.has(name) });
  }
  return samples.filter((sample) => !Number.isNaN(sample.value));
}

let before = { at: 0, values: new Map() };
let latest = [];

const id = (sample) => `${sample.name}{${sample.labels}}`;

const show = (sample) => {
  if (sample.name.endsWith("_bytes") || sample.name.endsWith("_bytes_total")) return formatBytes(Math.round(sample.value));
  return number.format(sample.value);
};

function rate(sample) {
  const earlier = before.values.get(id(sample));
  if (!sample.counter || earlier === undefined || before.span <= 0) return "";
  return number.format((sample.value - earlier) / before.span);
}

// The large figures: the server's own gauges without labels, in the order they come.
function drawLead() {
  const own = latest.filter((s) => s.name.startsWith("holdfast_") && !s.counter && !/_(bucket|sum|count)$|build_info/.test(s.name)).slice(0, 6);
  const memory = latest.filter((s) => s.name === "process_resident_memory_bytes" || s.name === "go_goroutines");
  $("lead").replaceChildren(
    ...[...own, ...memory].map((s) => {
      const words = s.name.replace(/^(holdfast|process|go)_/, "").replace(/_bytes$/, "").replaceAll("_", " ");
      const label = s.labels ? ` (${s.labels.replace(/\w+="([^"]*)"/g, "$1")})` : "";
      return h("div", { title: s.help }, h("dt", {}, words[0].toUpperCase() + words.slice(1) + label), h("dd", {}, show(s)));
    }),
  );
}

function drawAll() {
  const wanted = $("filter").value.trim().toLowerCase();
  const found = latest.filter((s) => (wanted === "" ? s.name.startsWith("holdfast_") : id(s).toLowerCase().includes(wanted)) && !s.name.endsWith("_bucket"));
  $("all").replaceChildren(
    ...found.slice(0, MOST_ROWS).map((s) => h("tr", { title: s.help }, h("td", {}, s.name), h("td", {}, s.labels), h("td", { class: "number" }, show(s)), h("td", { class: "number" }, rate(s)))),
  );
  setText($("more"), found.length > MOST_ROWS ? `${found.length - MOST_ROWS} more: narrow the filter` : found.length === 0 && latest.length > 0 ? "No figure has that in its name." : "");
}

function say(state, title, detail) {
  $("state").dataset.state = state;
  setText($("state-title"), title);
  setText($("state-detail"), detail);
}

async function ask() {
  if (document.hidden) return;
  try {
    const ready = await fetch("readyz", { cache: "no-store" });
    const body = (await ready.text()).trim().slice(0, 300);
    if (ready.ok) say("ready", "Ready", "Taking new connections.");
    else say("draining", "Not ready", body || `It answers ${ready.status}.`);
  } catch {
    say("gone", "The server does not answer", "This page asks again every two seconds.");
    return;
  }
  try {
    const answer = await fetch("metrics", { cache: "no-store" });
    if (!answer.ok) {
      setText($("more"), `The figures are not to be had here: /metrics answers ${answer.status}.`);
      return;
    }
    const now = performance.now();
    const samples = readMetrics(await answer.text());
    before = { at: now, span: (now - before.at) / 1000, values: new Map(latest.map((s) => [id(s), s.value])) };
    latest = samples;
    drawLead();
    drawAll();
  } catch {
    // the next round says so
  }
}

$("filter").addEventListener("input", drawAll);
document.addEventListener("visibilitychange", ask);
setInterval(ask, EVERY);
ask();
