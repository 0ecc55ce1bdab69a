// Draws the figures that pages carry, keeps times and numbers up to date. Pages work without it.
"use strict";

const style = () => getComputedStyle(document.documentElement);

// Colours of figures are names of the style sheet's.
function coloured(value, styles) {
  if (typeof value === "string" && value.startsWith("--")) return styles.getPropertyValue(value).trim();
  if (Array.isArray(value)) return value.map((each) => coloured(each, styles));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, coloured(each, styles)]));
  }
  return value;
}

function draw(root) {
  if (!window.Plotly) return;
  const styles = style();
  for (const chart of root.querySelectorAll(".chart")) {
    const { data, layout } = coloured(JSON.parse(document.getElementById(chart.dataset.figure).textContent), styles);
    chart.querySelector(".loading")?.remove();
    Plotly.react(chart, data, {
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: styles.getPropertyValue("--muted").trim() },
      hoverlabel: { bgcolor: styles.getPropertyValue("--panel").trim() },
    }, { responsive: true, displayModeBar: false });
  }
}

// Lines beside the rows of a table. They come after it: a long table is there sooner.
async function sparklines(root) {
  const table = root.querySelector("table[data-sparklines]");
  if (!table) return;
  const answer = await fetch(table.dataset.sparklines, { headers: { Accept: "application/json" } }).catch(() => null);
  if (!answer?.ok) return;
  const found = await answer.json();
  for (const cell of table.querySelectorAll("td[data-id]")) {
    if (!found[cell.dataset.id]) continue;
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 96 22");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    line.setAttribute("points", found[cell.dataset.id]);
    svg.append(line);
    cell.replaceChildren(svg);
  }
}

function ago(seconds) {
  if (seconds < 5) return "just now";
  for (const [name, size] of [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]]) {
    if (seconds >= size) {
      const count = Math.floor(seconds / size);
      return `${count} ${name}${count === 1 ? "" : "s"} ago`;
    }
  }
  return "just now";
}

function tick() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    time.title ||= new Date(time.dateTime).toLocaleString();
    const text = ago((Date.now() - new Date(time.dateTime)) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}

const live = () => document.querySelector("[data-live]");
let pending = null;
let polling = null;

// The same address again; what is about the numbers is put in its place. Forms are left alone.
async function refresh(says) {
  pending = null;
  const part = live();
  if (!part || document.hidden) {
    if (part) document.addEventListener("visibilitychange", () => refresh(says), { once: true });
    return;
  }
  if (part.contains(document.activeElement) && document.activeElement.matches("input, select")) return later(says);
  part.classList.add("is-refreshing");
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected && new URL(answer.url).pathname.endsWith("/sign-in")) return location.reload();
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
    if (!fresh) return location.reload();
    const opened = [...part.querySelectorAll("details")].map((each) => each.open);
    const focused = [...part.querySelectorAll("a, button, summary")].indexOf(document.activeElement);
    // A chart that stays is drawn over, not anew.
    for (const chart of part.querySelectorAll(".chart.js-plotly-plot")) fresh.querySelector(`#${chart.id}`)?.replaceWith(chart);
    part.replaceChildren(...fresh.childNodes);
    part.dataset.poll = fresh.dataset.poll ?? "";
    part.querySelectorAll("details").forEach((each, n) => { each.open = opened[n] ?? false; });
    if (focused >= 0) part.querySelectorAll("a, button, summary")[focused]?.focus({ preventScroll: true });
    draw(part);
    sparklines(part);
    tick();
    document.getElementById("status").textContent = says;
  } catch {
    // The service is away: the next event or tick tries again.
  } finally {
    part.classList.remove("is-refreshing");
    schedulePoll();
  }
}

function later(says) {
  pending ??= setTimeout(refresh, 800, says);
}

// Runs are Dagster's, whose states no event tells of.
function schedulePoll() {
  clearTimeout(polling);
  const seconds = Number(live()?.dataset.poll ?? 0);
  if (seconds) polling = setTimeout(refresh, seconds * 1000, "");
}

function listen() {
  const address = document.body.dataset.stream;
  if (!address || !live()) return;
  const stream = new EventSource(address);
  const says = { last_updated: "The numbers have been updated.", anomaly: "The anomalies have changed.", sync: "A sync has come further." };
  for (const kind of live().dataset.live.split(" ")) stream.addEventListener(kind, () => later(says[kind]));
  addEventListener("pagehide", () => stream.close());
}

// `meta-ads up` prints an address with a key behind #, which browsers keep to themselves.
function takeKey() {
  const form = document.getElementById("sign-in");
  const found = location.hash.match(/^#key=([\w-]+)$/);
  if (!form || !found) return;
  form.elements.key.value = found[1];
  history.replaceState(null, "", location.pathname + location.search);
  form.querySelector("button").focus();
}

// A run takes its time to be planned: what was pressed says so, and is not pressed twice.
document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("button[data-busy]");
  if (!button) return;
  button.textContent = button.dataset.busy;
  button.setAttribute("aria-busy", "true");
  setTimeout(() => { button.disabled = true; });
});

takeKey();
draw(document);
sparklines(document);
tick();
setInterval(tick, 1000);
listen();
schedulePoll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(document));
