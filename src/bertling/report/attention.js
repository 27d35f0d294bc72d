"use strict";
// The viewer of attention: lines from each token to those that it attends to. Texts are set as text alone.
(() => {
  const root = document.getElementById("attention-viewer");
  const data = JSON.parse(document.getElementById("attention-data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const ROW = 22, WIDTH = 400, LEFT = 140, RIGHT = 260, LETTERS = 16, FAINT = 0.02;
  const decoded = new Map();

  function element(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function weightsOf(index, role) {
    const key = `${index} ${role}`;
    if (!decoded.has(key)) {
      const bytes = atob(data.texts[index].weights[role]);
      decoded.set(key, Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));
    }
    return decoded.get(key);
  }

  function fill(select, count, name, chosen) {
    for (let index = 0; index < count; index++) {
      const option = new Option(name(index), String(index), false, index === chosen);
      select.add(option);
    }
  }

  function token(text, x, y, anchor) {
    const letters = Array.from(text);
    const shown = letters.length > LETTERS ? letters.slice(0, LETTERS - 1).join("") + "…" : text;
    const made = element("text", { x, y: y + 4, "text-anchor": anchor }, shown);
    if (shown !== text) made.append(element("title", {}, text));
    return made;
  }

  function draw(panel, index) {
    const role = panel.dataset.role;
    const model = data.models[role];
    const [layer, head] = [...panel.querySelectorAll("select")].map((select) => Number(select.value));
    const tokens = data.texts[index].tokens;
    const weights = weightsOf(index, role);
    const start = (layer * model.heads + head) * tokens.length ** 2;
    const middle = (place) => (place + 0.5) * ROW;
    const picture = panel.querySelector("svg");
    picture.setAttribute("viewBox", `0 0 ${WIDTH} ${tokens.length * ROW}`);
    picture.replaceChildren();
    tokens.forEach((from, place) => {
      const group = element("g", { class: "from", tabindex: "0", role: "button", "aria-pressed": "false" });
      group.append(element("rect", { x: 0, y: place * ROW, width: LEFT, height: ROW }));
      const given = [];
      tokens.forEach((to, other) => {
        const share = weights[start + place * tokens.length + other] / 255;
        if (share < FAINT) return;
        given.push(`${to} ${Math.round(100 * share)}%`);
        const line = { x1: LEFT + 6, y1: middle(place), x2: RIGHT - 6, y2: middle(other) };
        group.append(element("line", { ...line, "stroke-opacity": share.toFixed(3) }));
      });
      group.setAttribute("aria-label", `${from}: ${given.join(", ")}`);
      group.append(token(from, LEFT, middle(place), "end"));
      group.addEventListener("click", () => {
        const alone = group.getAttribute("aria-pressed") === "true";
        for (const other of picture.querySelectorAll(".from")) other.setAttribute("aria-pressed", "false");
        group.setAttribute("aria-pressed", String(!alone));
        picture.classList.toggle("one", !alone);
      });
      group.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        group.dispatchEvent(new Event("click"));
      });
      picture.append(group);
    });
    tokens.forEach((to, place) => picture.append(token(to, RIGHT, middle(place), "start")));
    picture.classList.remove("one");
    panel.querySelector(".note").textContent = model.notes[layer * model.heads + head];
  }

  const texts = root.querySelector("select[name=text]");
  const panels = [...root.querySelectorAll("[data-role]")];
  const drawAll = () => panels.forEach((panel) => draw(panel, Number(texts.value)));
  fill(texts, data.texts.length, (index) => data.texts[index].tokens.join(" "), 0);
  texts.addEventListener("change", drawAll);
  for (const panel of panels) {
    const model = data.models[panel.dataset.role];
    const [layers, heads] = panel.querySelectorAll("select");
    fill(layers, model.layers, (index) => String(index + 1), model.layers - 1);
    fill(heads, model.heads, (index) => String(index + 1), 0);
    for (const select of [layers, heads]) {
      select.addEventListener("change", () => draw(panel, Number(texts.value)));
    }
  }
  root.hidden = false;
  drawAll();
})();
