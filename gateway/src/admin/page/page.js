"use strict";
// Everything shown is put in as text, never as markup.

const EVERY_MS = 2000;

function cell(kind, content) {
  const made = document.createElement(kind);
  if (typeof content === "boolean") {
    made.textContent = content ? "yes" : "no";
    made.className = content ? "good" : "bad";
  } else {
    made.textContent = content ?? "";
  }
  return made;
}

function show(id, heads, rows) {
  const at = document.getElementById(id);
  if (rows.length === 0) {
    const none = cell("p", "none");
    none.className = "none";
    at.replaceChildren(none);
    return;
  }
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  head.append(...heads.map((text) => headed(text, "col")));
  const body = table.createTBody();
  for (const row of rows) {
    body.insertRow().append(...row.map((content) => cell("td", content)));
  }
  at.replaceChildren(table);
}

function headed(text, scope) {
  const made = cell("th", text);
  made.scope = scope;
  return made;
}

// A list of properties: each row has its own head.
function showList(id, rows) {
  const table = document.createElement("table");
  const body = table.createTBody();
  for (const [name, content] of rows) {
    body.insertRow().append(headed(name, "row"), cell("td", content));
  }
  document.getElementById(id).replaceChildren(table);
}

function counted(count, what) {
  return `${count ?? "?"} ${what}${count === 1 ? "" : "s"}`;
}

function span(seconds) {
  if (seconds === undefined) return "never";
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

function problem(of) {
  return of.problem ? `${of.problem.reason}: ${of.problem.message}` : "";
}

function showStatus(status) {
  document.getElementById("cluster").textContent = status.cluster;
  document.title = `${status.cluster} · Spanway`;
  showList("status", [
    ["ready", status.ready],
    ...status.readiness.map((part) => [part.part, part.done]),
    ["leaving", status.leaving ? "yes" : "no"],
    ["leads the controllers", status.leading ? "yes" : "no"],
    ["trust domain", status.trust_domain],
    ["pod", status.pod],
    ["table version", status.table_version],
    ["source", status.source.source],
    ["version", status.version],
  ]);
  show("links", ["link", "connected", "freshness", "age", "services", "endpoints", "refused", "problem"],
    status.links.map((link) => [
      link.name, link.connected, link.freshness, span(link.age_seconds), link.services,
      link.endpoints,
      Object.entries(link.refused).map(([reason, count]) => `${reason} ${count}`).join(", "),
      problem(link),
    ]));
  show("exports", ["service", "ports", "endpoints", "seen by", "problem"],
    status.exports.map((one) => [
      one.service, one.ports.join(", "), one.endpoints, one.links.join(", "), problem(one),
    ]));
  show("certificates", ["kind", "name", "expires", "in", "problem"],
    status.certificates.map((one) => [
      one.kind, one.name, one.expires, span(one.expires_in_seconds), one.problem,
    ]));
  show("problems", ["problem"], [...status.source.problems, ...status.faults].map((one) => [one]));
}

function backends(all) {
  // A weight says something only beside another.
  const weight = (one) => all.length > 1 || one.weight === 0 ? `${one.weight} × ` : "";
  return all.map((one) => weight(one) + (one.problem
    ? `invalid: ${one.problem}`
    : `${one.backend} (${counted(one.endpoints, "endpoint")})`)).join("; ");
}

function showTable(table) {
  const rows = table.ports.flatMap((port) => {
    const serves = port.withdrawn ? `${port.serves}, withdrawn` : port.serves;
    const own = [port.owner, port.port, port.container_port, serves];
    if (port.rules.length === 0) return [[...own, "", "", "", backends(port.backends ?? [])]];
    return port.rules.map((rule) =>
      [...own, rule.host, rule.matches, rule.rule, backends(rule.backends)]);
  });
  show("routes", ["owner", "port", "container", "serves", "host", "matches", "rule", "backends"], rows);
}

async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function load() {
  const now = document.getElementById("now");
  try {
    const [status, table] = await Promise.all([get("/api/v1/status"), get("/api/v1/table")]);
    showStatus(status);
    showTable(table);
    now.textContent = `as of ${new Date().toLocaleTimeString()}`;
    now.className = "good";
  } catch (error) {
    now.textContent = `not reached: ${error.message}; what is shown is old`;
    now.className = "bad";
  }
  setTimeout(load, EVERY_MS);
}

load();
