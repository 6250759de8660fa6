// What a report does when it is clicked: layers out and back, tables sorted, lines copied. It quotes nothing itself:
// every text that is pasted comes from the page's data, and texts are only ever set as text.
"use strict";
(() => {
  const find = (css, within = document) => [...within.querySelectorAll(css)];
  const byId = (id) => document.getElementById(id);
  const make = (tag, text = "", style = "") => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (style) made.className = style;
    return made;
  };

  // Controls are of no use without a script, so they are shown by it.
  for (const each of find(".script")) each.hidden = false;

  // Tables: by depth, as they come, or by cost.
  for (const group of find(".choice")) {
    const buttons = find("button", group);
    const body = group.closest("section").querySelector("tbody");
    const rows = [...body.rows];
    const sorted = [...rows].sort((one, other) => one.dataset.cost - other.dataset.cost);
    for (const button of buttons) {
      button.addEventListener("click", () => {
        for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
        body.append(...(button.dataset.sort === "cost" ? sorted : rows));
      });
    }
  }

  // Lines to paste, with a button where the browser has a clipboard.
  if (navigator.clipboard) {
    for (const lines of find("pre")) {
      const button = make("button", "Copy", "copy");
      button.type = "button";
      button.setAttribute("aria-label", `Copy: ${lines.getAttribute("aria-label")}`);
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(lines.textContent);
          button.textContent = "Copied";
        } catch {
          button.textContent = "Select the lines and copy them";
        }
        setTimeout(() => (button.textContent = "Copy"), 2000);
      });
      lines.after(button);
    }
  }

  const source = byId("data");
  if (!source) return;

  // The map.
  const data = JSON.parse(source.textContent);
  const layers = data.layers;
  const measured = new Map(data.sets.map((set) => [set.at.join(), set.said]));
  const out = new Set();
  const boxes = new Map();

  const fixed = (value, digits, sign = false) =>
    value.toLocaleString("en-US", {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
      signDisplay: sign ? "exceptZero" : "negative",
    });
  const count = (value) => {
    const units = ["", " k", " M", " G", " T"];
    let unit = 0;
    while (value >= 999.5 && unit < units.length - 1) {
      value /= 1000;
      unit += 1;
    }
    return (unit ? value.toPrecision(3) : String(value)) + units[unit];
  };
  const plural = (number, thing) => `${number.toLocaleString("en-US")} ${thing}${number === 1 ? "" : "s"}`;
  // What lies in a layer that is out goes with it.
  const goesWith = (at) => {
    for (let outer = layers[at].outer; outer !== null; outer = layers[outer].outer) if (out.has(outer)) return outer;
    return null;
  };
  const gone = () => [...out].filter((at) => goesWith(at) === null).sort((one, other) => one - other);

  function scores(at, said) {
    const list = make("dl");
    const add = (name, value, ...more) => {
      const told = make("dd");
      told.append(make("b", value), ...more.filter(Boolean).map((text) => make("span", text)));
      const pair = make("div");
      pair.append(make("dt", name), told);
      list.append(pair);
    };
    for (const metric of data.metrics) {
      const found = said.filter((each) => each.metric === metric.name);
      if (found.length) {
        const [first, ...others] = found;
        const cost = `cost ${first.cost}${first.interval ? `, ${first.interval}` : ""}`;
        const more = others.map((each) => `${each.score} on ${each.on}`);
        add(metric.name, first.score, first.also, cost, `measured on ${first.on}`, ...more);
        continue;
      }
      if (!at.length) {
        if (!metric.cheap) add(metric.name, fixed(metric.full, 3), metric.better);
        continue;
      }
      const costs = at.map((number) => layers[number].costs[metric.name]);
      if (costs.some((cost) => cost === undefined)) {
        if (!metric.cheap) add(metric.name, "not known", "not every one of these layers was measured alone");
        continue;
      }
      const sum = costs.reduce((one, other) => one + other, 0);
      const cost = fixed(sum, metric.decimals, true);
      const score = fixed(metric.full + (metric.higher ? -sum : sum), metric.decimals);
      if (metric.cheap) add(metric.name, cost, "a score of layers that were not left out, summed");
      else add(metric.name, `≈ ${score}`, `cost ≈ ${cost}, the sum of the single costs`);
    }
    weigh(at, said, add);
    return list;
  }

  function weigh(at, said, add) {
    const left = said.find((each) => each.left !== undefined);
    const known = at.every((number) => layers[number].parameters !== undefined);
    const sum = at.reduce((all, number) => all + (layers[number].parameters ?? 0), 0);
    if (data.total && (left || known)) {
      const rest = left ? left.left : data.total - sum;
      const less = at.length ? `${fixed((100 * (rest - data.total)) / data.total, 1, true)} %` : "";
      add("parameters", count(rest), less);
    }
    const timed = said.find((each) => each.latency);
    const shares = at.map((number) => layers[number].share);
    if (timed) add("time", timed.latency, "measured");
    else if (at.length && shares.every((share) => typeof share === "number")) {
      const share = shares.reduce((all, each) => all + each, 0);
      add("time", `≈ ${fixed(-100 * share, 1, true)} %`, "of a pass: an estimate, the sum of the layers’ shares");
    }
  }

  function tell(at) {
    const said = measured.get(at.join()) ?? [];
    const head = make("p");
    const guess = at.length > 0 && !said.length;
    const known = data.metrics.some((metric) => at.every((number) => layers[number].costs[metric.name] !== undefined));
    const badge = !at.length ? "" : !guess ? "measured" : known ? "estimate" : "not measured";
    if (badge) head.append(make("span", badge, `badge ${guess ? "estimate" : "measured"}`), " ");
    const names = at.map((number) => layers[number].place);
    const shown = names.length > 12 ? `${names.slice(0, 12).join(", ")}, …` : names.join(", ");
    head.append(at.length ? `${plural(at.length, "layer")} out: ${shown}` : "The full model: no layer is out.");
    const parts = [head, scores(at, said)];
    if (guess) {
      const warning = known ? "This set was not measured. Costs do not add: measure it before you trust it." : "This set was not measured.";
      parts.push(make("p", warning, "quiet"));
    }
    byId("said").replaceChildren(...parts);
  }

  function write(at) {
    const ranked = at.map((number) => layers[number]).sort((one, other) => one.rank - other.rank);
    const [before, after, between] = data.command;
    byId("command").textContent = before + ranked.map((each) => each.edit).join(between) + after;
    const [start, end, comma, union] = data.python;
    const plans = Object.entries(data.plans)
      .map(([op, [opens, closes]]) => [opens, ranked.filter((each) => each.op === op).map((each) => each.text), closes])
      .filter(([, places]) => places.length)
      .map(([opens, places, closes]) => opens + places.join(comma) + closes);
    byId("python").textContent = start + plans.join(union) + end;
    byId("more").textContent = data.folded ? "These lines drop the layers and make up for nothing: that takes the data." : "";
    byId("lines").hidden = !at.length;
    byId("clear").disabled = !at.length;
  }

  function show() {
    const at = gone();
    for (const [number, button] of boxes) {
      const outer = goesWith(number);
      button.setAttribute("aria-pressed", String(out.has(number) || outer !== null));
      if (outer === null) button.removeAttribute("aria-disabled");
      else button.setAttribute("aria-disabled", "true");
      button.title = button.dataset.said + (outer === null ? "" : `: goes with ${layers[outer].place}`);
    }
    tell(at);
    write(at);
  }

  for (const box of find("[data-layer]")) {
    const number = Number(box.dataset.layer);
    if (box.classList.contains("gone")) out.add(number);
    if (layers[number].edit === undefined) continue;
    const button = make("button", "", box.className);
    button.classList.remove("gone");
    button.type = "button";
    button.dataset.layer = number;
    button.dataset.said = box.title;
    for (const each of find(".hear", box)) each.remove();
    button.append(...box.childNodes);
    const name = [layers[number].place, ...find("span", button).map((each) => `cost ${each.textContent}`)];
    button.setAttribute("aria-label", `${name.join(", ")}, out of the model`);
    button.addEventListener("click", () => {
      if (goesWith(number) !== null) return;
      if (!out.delete(number)) out.add(number);
      show();
    });
    box.replaceWith(button);
    boxes.set(number, button);
  }
  byId("clear").addEventListener("click", () => {
    out.clear();
    show();
    boxes.values().next().value.focus(); // the button itself can no longer have it
  });

  // A measured set in a table, shown on the map.
  for (const cell of find("[data-set]")) {
    const button = make("button", "on the map", "onmap");
    button.type = "button";
    button.addEventListener("click", () => {
      out.clear();
      for (const number of cell.dataset.set.split(",")) out.add(Number(number));
      show();
      byId("map").scrollIntoView();
      byId("said").focus({ preventScroll: true });
    });
    cell.append(" ", button);
  }
  show();
})();
