// The stepper: the specification itself, in Python, in the reader's browser.
//
// The page holds a list of decisions and a position; `chardev_conformance.stepper.view` says what to show for both.
// Everything that is shown comes from there; nothing about the machine is known here.

const files = new URL("stepper/", import.meta.url);
const pages = new URL("../contract/", import.meta.url);
const root = document.getElementById("stepper");
const NEW = { ports: { p1: false, p2: false }, moves_per_call: null, profile: "contract", decisions: [], position: 0 };

let python = null;
let scenario = structuredClone(NEW);
let shown = null;
let finding = null;

// Building blocks

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const part = (id) => document.getElementById(`stepper-${id}`);
const link = (kind, name, text = name) =>
  element("a", { href: new URL(kind === "rule" ? `rules/${name}.html` : `${kind}s.html#chardev-${kind}-${name.toLowerCase().replaceAll("_", "-")}`, pages) }, text);

function say(text) {
  part("said").textContent = text;
}

// Python

async function load() {
  const began = performance.now();
  const { loadPyodide } = await import(new URL("pyodide.mjs", files));
  const sources = fetch(new URL("sources.zip", files)).then((answer) => answer.arrayBuffer());
  const pyodide = await loadPyodide({ indexURL: files.href });
  pyodide.unpackArchive(await sources, "zip", { extractDir: "/sources" });
  pyodide.runPython("import sys; sys.path.insert(0, '/sources')");
  python = pyodide.pyimport("chardev_conformance.stepper");
  root.dataset.seconds = ((performance.now() - began) / 1000).toFixed(2);
}

function look(proposed = null) {
  const view = JSON.parse(python.view(JSON.stringify({ ...scenario, proposed })));
  scenario.decisions = view.decisions;
  scenario.position = view.position;
  shown = view;
  show();
  return view;
}

function propose(decision) {
  const view = look(decision);
  if (view.error) {
    say(view.error);
    return;
  }
  const last = view.moments[view.position - 1];
  say(last ? `${last.text}: ${last.led}` : "");
  focusNow();
}

function go(position) {
  scenario.position = Math.min(Math.max(position, 0), scenario.decisions.length);
  look();
  const last = shown.moments[scenario.position - 1];
  say(last ? `Step ${scenario.position}. ${last.text}: ${last.led}` : "Before the first step");
}

// What is shown

function show() {
  showMoments();
  showNow();
  showStates();
  showInvariants();
  part("back").disabled = scenario.position === 0;
  part("forward").disabled = scenario.position === scenario.decisions.length;
  part("profile").value = scenario.profile;
  const address = new URL(location);
  address.hash = scenario.decisions.length ? `trace=${encode(shown.trace)}&at=${scenario.position}` : "";
  history.replaceState(null, "", address);
}

function showMoments() {
  const list = part("moments");
  list.replaceChildren(
    ...shown.moments.map((moment, number) => {
      const here = number === scenario.position - 1;
      const said = moment.kind === "call" ? moment.text : `${moment.on}: ${moment.text}`;
      const button = element(
        "button",
        { type: "button", class: `moment ${moment.led_kind}`, "aria-current": here ? "step" : null, onclick: () => go(number + 1) },
        element("span", { class: "said" }, said),
        element("span", { class: "led" }, ` → ${moment.led}`),
      );
      button.style.marginInlineStart = `${Math.min(moment.depth, 8)}rem`;
      return element("li", { class: number < scenario.position ? "" : "ahead" }, button);
    }),
  );
  // Only the list itself scrolls; the page stays where the reader is.
  const current = list.querySelector("[aria-current]");
  if (current) list.scrollTop = current.offsetTop - list.offsetTop - list.clientHeight / 2;
}

function showNow() {
  const { waiting, refusal, stack } = shown;
  const lines = [];
  if (refusal) {
    lines.push(
      element("p", { class: "refusal" }, "Refused (", link("rule", refusal.rule), "): ", refusal.message, "."),
      element("p", {}, "Because ", element("code", {}, refusal.condition), ". Nothing has changed."),
    );
  }
  if (waiting) {
    lines.push(
      element("p", {}, `In ${stack.join(" › ")} the device calls back:`),
      element("p", { class: "waiting" }, link("event", waiting.event, waiting.text)),
      element(
        "div",
        { class: "answers", role: "group", "aria-label": `Answers to ${waiting.name}` },
        ...waiting.answers.map(({ label, answer }, number) =>
          element("button", { type: "button", class: "answer", onclick: () => propose({ answer }) }, element("kbd", { "aria-hidden": "true" }, String(number + 1)), ` ${label}`),
        ),
      ),
    );
    if (waiting.most > 2) lines.push(takesForm(waiting));
  } else {
    lines.push(element("p", {}, scenario.position ? "No callback waits." : "There is no device yet: create one, or open an example."));
  }
  part("now").replaceChildren(...lines);
  part("call-title").textContent = waiting ? "Or call inside the callback" : "Make a call";
  showCalls();
}

function takesForm(waiting) {
  const input = element("input", { type: "number", min: 0, max: waiting.most, value: 1, id: "stepper-takes" });
  return element(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        propose({ answer: { on: waiting.name, value: Number(input.value) } });
      },
    },
    element("label", { for: "stepper-takes" }, `Takes so many of ${waiting.most} bytes: `),
    input,
    element("button", { type: "submit" }, "Answer"),
  );
}

function showCalls() {
  const select = part("call");
  const chosen = select.value || "create";
  select.replaceChildren(...shown.calls.map(({ name }) => element("option", { value: name }, name)));
  // Whoever has a device seldom wants another one.
  if (scenario.position === 0) select.value = "create";
  else if (chosen === "create" && shown.stack.length === 0) select.value = "client_add";
  else select.value = chosen;
  showParameters();
}

function showParameters() {
  const call = shown.calls.find(({ name }) => name === part("call").value);
  const fields = call.parameters.map((parameter) => {
    const id = `stepper-argument-${parameter.name}`;
    return element("div", { class: "argument" }, element("label", { for: id }, parameter.name), input(parameter, id));
  });
  if (call.result) {
    fields.push(element("div", { class: "argument" }, element("label", { for: "stepper-as" }, "called"), element("input", { id: "stepper-as", value: call.result })));
  }
  const devices = Object.keys(shown.states);
  const names = call.name === "create" ? [`d${devices.length + 1}`] : devices;
  const device = element("select", { id: "stepper-device" }, ...(names.length ? names : ["d1"]).map((name) => element("option", {}, name)));
  fields.unshift(element("div", { class: "argument" }, element("label", { for: "stepper-device" }, "device"), device));
  part("parameters").replaceChildren(...fields);
}

function input(parameter, id) {
  const { kind, choices, usual, name } = parameter;
  const common = { id, "data-name": name, "data-kind": kind };
  if (kind === "FLAG") return element("input", { ...common, type: "checkbox", checked: usual === true });
  if (kind === "NAME" || kind === "NAME_OR_NULL") {
    const made = element("select", common, ...choices.map((each) => element("option", { value: each }, each)));
    if (kind === "NAME_OR_NULL") made.append(element("option", { value: "" }, "none"));
    made.value = usual;
    return made;
  }
  if (kind === "BYTES") return element("input", { ...common, value: usual, spellcheck: "false" });
  return element("input", { ...common, type: "number", value: usual });
}

function step() {
  const made = { call: part("call").value, arguments: {} };
  for (const field of part("parameters").querySelectorAll("[data-name]")) {
    const { name, kind } = field.dataset;
    if (kind === "FLAG") made.arguments[name] = field.checked;
    else if (kind === "NAME_OR_NULL") made.arguments[name] = field.value || null;
    else if (kind === "NAME" || kind === "BYTES") made.arguments[name] = field.value;
    else made.arguments[name] = Number(field.value);
  }
  const device = document.getElementById("stepper-device").value;
  if (device !== "d1") made.device = device;
  const as = document.getElementById("stepper-as");
  if (as) made.as = as.value;
  return made;
}

function showStates() {
  part("states").replaceChildren(
    ...Object.entries(shown.states).flatMap(([device, rows]) =>
      rows.map(({ thing, fields }) =>
        element(
          "details",
          { open: true },
          element("summary", {}, Object.keys(shown.states).length > 1 ? `${device}: ${thing}` : thing),
          element(
            "table",
            {},
            element(
              "tbody",
              {},
              ...fields
                .filter(({ value, changed }) => changed || part("all").checked || !["no", "none", "0", "empty", ""].includes(value))
                .map(({ name, value, changed }) =>
                  element("tr", { class: changed ? "changed" : null }, element("th", { scope: "row" }, name), element("td", {}, value || "empty", changed ? element("span", { class: "mark" }, "changed") : null)),
                ),
            ),
          ),
        ),
      ),
    ),
  );
}

function showInvariants() {
  const broken = shown.invariants.filter(({ holds }) => !holds);
  part("invariants-title").textContent = broken.length
    ? `Invariants: ${broken.length} of ${shown.invariants.length} broken`
    : `Invariants: all ${shown.invariants.length} hold`;
  part("invariants").replaceChildren(
    ...[...broken, ...shown.invariants.filter(({ holds }) => holds)].map(({ name, text, rules, holds }) =>
      element("li", { class: holds ? "holds" : "broken" }, element("span", { class: "verdict" }, holds ? "holds: " : "broken: "), link("invariant", name), ` (${rules.join(", ")}). ${text}`),
    ),
  );
}

function focusNow() {
  const first = part("now").querySelector("button.answer") ?? part("call");
  first.focus({ preventScroll: true });
}

// Links and files

function encode(text) {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function decode(text) {
  const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder().decode(Uint8Array.from(bytes, (each) => each.charCodeAt(0)));
}

function open(text, position = null) {
  const trace = JSON.parse(python.opened(text));
  if (trace.error) {
    say(`That is no trace that can be opened: ${trace.error}`);
    return;
  }
  const { ports, moves_per_call, profile, decisions } = trace;
  scenario = { ports, moves_per_call, profile, decisions, position: position ?? decisions.length };
  finding = trace.finding;
  part("finding").replaceChildren(
    ...(finding ? [element("p", {}, `The checker found (${finding.rules.join(", ")}): in ${finding.where} it saw ${finding.seen}; the contract allows ${finding.allowed}.`)] : []),
    ...(trace.title ? [element("p", {}, trace.title)] : []),
  );
  look();
  say(`Opened: ${decisions.length} steps.`);
}

function openAddress() {
  const fields = new URLSearchParams(location.hash.slice(1));
  if (!fields.has("trace")) return false;
  try {
    open(decode(fields.get("trace")), fields.has("at") ? Number(fields.get("at")) : null);
  } catch {
    say("The address holds no scenario that can be opened.");
    return false;
  }
  return true;
}

function save() {
  const file = new Blob([shown.trace], { type: "application/jsonl" });
  const anchor = element("a", { href: URL.createObjectURL(file), download: "scenario.jsonl" });
  anchor.click();
  URL.revokeObjectURL(anchor.href);
}

function restart(profile = scenario.profile) {
  scenario = { ...structuredClone(NEW), profile };
  finding = null;
  part("finding").replaceChildren();
  look();
  say("A new scenario.");
}

// Keys: only while nothing is typed into.

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
  const answers = part("now").querySelectorAll("button.answer");
  const actions = { u: () => go(scenario.position - 1), r: () => go(scenario.position + 1), c: () => part("call").focus() };
  const action = actions[event.key] ?? (/^[1-9]$/.test(event.key) ? answers[Number(event.key) - 1]?.click.bind(answers[Number(event.key) - 1]) : null);
  if (action) {
    event.preventDefault();
    action();
  }
}

async function begin() {
  try {
    await load();
  } catch (error) {
    part("loading").textContent = `The stepper cannot run here: ${error}. It needs a web server and a browser with WebAssembly.`;
    return;
  }
  const profiles = JSON.parse(python.profiles());
  part("profile").replaceChildren(...Object.entries(profiles).map(([name, title]) => element("option", { value: name }, title)));
  part("back").addEventListener("click", () => go(scenario.position - 1));
  part("forward").addEventListener("click", () => go(scenario.position + 1));
  part("restart").addEventListener("click", () => restart());
  part("save").addEventListener("click", save);
  part("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(location.href);
    say("The address of this scenario was copied.");
  });
  part("open").addEventListener("change", async (event) => open(await event.target.files[0].text()));
  part("profile").addEventListener("change", (event) => {
    scenario.profile = event.target.value;
    // Other callbacks may come now: what was decided may make no sense any more.
    const before = scenario;
    try {
      look();
      say(`The same decisions, as ${event.target.selectedOptions[0].text} takes them.`);
    } catch {
      scenario = before;
      restart(event.target.value);
      say("The decisions make no sense for this release: a new scenario.");
    }
  });
  part("call").addEventListener("change", showParameters);
  part("all").addEventListener("change", showStates);
  part("form").addEventListener("submit", (event) => {
    event.preventDefault();
    propose({ step: step() });
  });
  document.addEventListener("keydown", key);
  window.addEventListener("hashchange", openAddress);
  part("loading").hidden = true;
  part("body").hidden = false;
  if (!openAddress()) look();
  root.dataset.ready = "yes";
}

begin();
